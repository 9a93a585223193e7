//! Named VIPs in a running agent: what the name server is told, and what outlives the agent.

use std::collections::BTreeSet;
use std::net::IpAddr;

use dns::{Addresses, ZoneFile};
use serde_json::Value;

use crate::world::{World, app, eventually, pass, run};

const SERVER: &str = "198.51.100.1";

/// What the name server is told; `None` without a file.
fn zone(world: &World) -> Option<ZoneFile> {
    let text = std::fs::read_to_string(world.folder.path().join("zone")).ok()?;
    Some(ZoneFile::parse(&text).unwrap())
}

fn addresses(world: &World, name: &str) -> Option<Addresses> {
    zone(world)?.names.get(name).copied()
}

fn v4(text: &str) -> Addresses {
    Addresses { v4: text.parse().ok(), v6: None }
}

fn is_bound(world: &World, address: &str) -> bool {
    world.kernel.current_state().addresses.contains_key(&address.parse::<IpAddr>().unwrap())
}

/// A cluster with `/web` under the name `web.marathon`, in the kernel.
async fn serving() -> World {
    let mut world = World::new().await;
    world.run_app(&app("/web", "/web:80", 2)).await;
    world.start().await;
    world.until_served(&format!("{}:80", web_address()), 2).await;
    eventually(async || zone(&world).is_some_and(|zone| !zone.names.is_empty())).await;
    world
}

fn web_address() -> IpAddr {
    let range = vip::naming::NameRange::default();
    range.base_address(&"web.marathon".parse().unwrap(), vip::Family::Inet).unwrap()
}

#[test]
fn a_name_is_served_and_told_to_the_name_server() {
    run(async {
        let world = serving().await;
        let zone = zone(&world).unwrap();
        assert_eq!(zone.zones, ["l4lb.thisdcos.directory"]);
        assert_eq!(
            zone.names,
            [("web.marathon".to_owned(), v4(&web_address().to_string()))].into()
        );
        eventually(async || is_bound(&world, SERVER)).await;
        // An empty service keeps its name and its address.
        world.send("PUT", "/v2/apps/web", &serde_json::json!({"instances": 0})).await;
        world.until_served(&format!("{}:80", web_address()), 0).await;
        assert_eq!(addresses(&world, "web.marathon"), Some(v4(&web_address().to_string())));
        world.send("DELETE", "/v2/apps/web", &Value::Null).await;
        eventually(async || addresses(&world, "web.marathon").is_none()).await;
        world.end().await;
    });
}

#[test]
fn a_node_that_starts_while_marathon_is_down_has_its_names() {
    run(async {
        let mut world = serving().await;
        world.stop().await;
        std::fs::remove_file(world.folder.path().join("zone")).unwrap();
        world.sim().set_leader(None);
        world.start().await;
        eventually(async || addresses(&world, "web.marathon").is_some()).await;
        // Others may have been posted meanwhile.
        assert!(zone(&world).unwrap().partial);
        assert!(is_bound(&world, SERVER));
        world.sim().set_leader(Some(0));
        eventually(async || zone(&world).is_some_and(|zone| !zone.partial)).await;
        assert_eq!(addresses(&world, "web.marathon"), Some(v4(&web_address().to_string())));
        world.end().await;
    });
}

#[test]
fn while_nothing_is_known_the_name_server_is_told_nothing() {
    run(async {
        let mut world = World::new().await;
        world.run_app(&app("/web", "/web:80", 1)).await;
        world.sim().set_leader(None);
        world.start().await;
        pass(5000).await;
        assert_eq!(zone(&world), None);
        world.sim().set_leader(Some(0));
        eventually(async || addresses(&world, "web.marathon").is_some()).await;
        world.end().await;
    });
}

#[test]
fn the_names_of_tasks_follow_them_whether_they_have_a_vip_or_not() {
    run(async {
        let mut world = World::new().await;
        world.task_zone = Some("tasks.example");
        let mut plain = app("/shop/db", "", 2);
        plain["container"]["portMappings"][0]["labels"] = serde_json::json!({});
        world.run_app(&plain).await;
        world.start().await;
        let hosts = |kind: &str| {
            let name = format!("db-shop.marathon.{kind}.tasks.example");
            zone(&world).and_then(|zone| zone.hosts.get(&name).cloned()).unwrap_or_default()
        };
        let agents: BTreeSet<IpAddr> = [[10, 1, 0, 11], [10, 1, 0, 12]].map(IpAddr::from).into();
        eventually(async || hosts("agentip") == agents).await;
        // A port of the agent leads to each.
        assert_eq!(hosts("autoip"), agents);
        assert!(hosts("containerip").is_disjoint(&agents));
        let file = zone(&world).unwrap();
        assert_eq!(
            file.host_zones,
            ["agentip.tasks.example", "containerip.tasks.example", "autoip.tasks.example"]
        );
        // The name server answers without a name of a VIP.
        eventually(async || is_bound(&world, SERVER)).await;

        world.send("PUT", "/v2/apps/shop/db", &serde_json::json!({"instances": 1})).await;
        eventually(async || hosts("agentip").len() == 1).await;
        // They are there at once after a restart, also while Marathon is down.
        world.stop().await;
        std::fs::remove_file(world.folder.path().join("zone")).unwrap();
        world.sim().set_leader(None);
        world.start().await;
        let hosts = |kind: &str| {
            let name = format!("db-shop.marathon.{kind}.tasks.example");
            zone(&world).and_then(|zone| zone.hosts.get(&name).cloned()).unwrap_or_default()
        };
        world.sim().set_leader(Some(0));
        eventually(async || hosts("agentip").len() == 1).await;
        world.send("DELETE", "/v2/apps/shop/db", &Value::Null).await;
        eventually(async || zone(&world).is_some_and(|zone| zone.hosts.is_empty())).await;
        world.end().await;
    });
}

#[test]
fn without_the_setting_tasks_have_no_names() {
    run(async {
        let world = serving().await;
        let zone = zone(&world).unwrap();
        assert!(zone.hosts.is_empty() && zone.host_zones.is_empty());
        world.end().await;
    });
}
