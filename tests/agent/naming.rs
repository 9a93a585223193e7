//! Names of VIPs: what the framework's name does to them.

use std::net::SocketAddr;

use serde_json::Value;
use vip::naming::NameRange;

use crate::world::{World, app, eventually, pass, run};

const WEB: &str = "3.3.0.6:80";
const MYSQL: &str = "11.91.210.154:3306";

/// The address of a name's hash.
fn base(name: &str, port: u16) -> String {
    let name = name.parse().unwrap();
    let address = NameRange::default().base_address(&name, vip::Family::Inet).unwrap();
    SocketAddr::new(address, port).to_string()
}

/// Marathon reads its own settings only when it starts, and another leader answers then.
async fn restart_marathon(world: &World, framework: Option<&str>) {
    world.sim().set_framework_name(framework);
    world.sim().set_leader(None);
    pass(1000).await;
    world.sim().set_leader(Some(0));
}

fn gaps(world: &World) -> Vec<String> {
    world.agent().view.borrow().gaps.clone()
}

#[test]
fn while_the_frameworks_name_is_unknown_nothing_is_removed() {
    run(async {
        let mut world = World::new().await;
        world.run_app(&app("/web", WEB, 1)).await;
        world.run_app(&app("/other", "3.3.0.7:80", 1)).await;
        world.run_app(&app("/mysql", "/mysql:3306", 2)).await;
        world.start().await;
        world.until_served(MYSQL, 2).await;
        world.until_served(WEB, 1).await;
        world.stop().await;
        // An agent without memory, and a Marathon that tells no name.
        std::fs::remove_dir_all(world.folder.path().join("state")).unwrap();
        world.sim().set_framework_name(None);
        world.start().await;
        eventually(async || !gaps(&world).is_empty()).await;
        assert_eq!(gaps(&world), ["the framework's name is not known, so no name has an address"]);
        world.send("DELETE", "/v2/apps/web?force=true", &Value::Null).await;
        pass(30_000).await;
        assert_eq!(world.served(MYSQL).map(|all| all.len()), Some(2));
        assert!(world.served(WEB).is_some(), "a VIP that could be a name's stays");
        // Others are served meanwhile.
        world.run_app(&app("/new", "3.3.0.8:80", 1)).await;
        world.until_served("3.3.0.8:80", 1).await;
        let _ = world.kernel.take_history();
        restart_marathon(&world, Some("marathon")).await;
        eventually(async || gaps(&world).is_empty() && world.served(WEB).is_none()).await;
        assert_eq!(world.served(MYSQL).map(|all| all.len()), Some(2));
        assert_eq!(world.fewest(MYSQL), 2);
        world.end().await;
    });
}

#[test]
fn names_follow_the_frameworks_name() {
    run(async {
        let mut world = World::new().await;
        world.run_app(&app("/web", WEB, 1)).await;
        world.run_app(&app("/mysql", "/mysql:3306", 2)).await;
        world.start().await;
        world.until_served(MYSQL, 2).await;
        world.until_served(WEB, 1).await;
        let _ = world.kernel.take_history();
        restart_marathon(&world, Some("marathon-user")).await;
        let renamed = base("mysql.marathon-user", 3306);
        assert_ne!(renamed, MYSQL);
        world.until_served(&renamed, 2).await;
        eventually(async || world.served(MYSQL).is_none()).await;
        assert_eq!(world.fewest(WEB), 1, "a VIP without a name stays as it is");
        // A Marathon that tells no name any more changes nothing.
        restart_marathon(&world, None).await;
        pass(600_000).await;
        assert_eq!(world.served(&renamed).map(|all| all.len()), Some(2));
        assert_eq!(gaps(&world), [""; 0]);
        world.end().await;
    });
}

#[test]
fn a_marathon_on_marathon_has_the_names_of_its_own_framework() {
    run(async {
        let mut world = World::with(&[&|_| {}, &|_| {}]).await;
        world.sims[1].set_framework_name(Some("marathon-user"));
        for sim in [0, 1] {
            world.run_app_on(sim, &app("/web", "/web:80", 1)).await;
        }
        world.start().await;
        world.until_served(&base("web.marathon", 80), 1).await;
        world.until_served("11.92.199.155:80", 1).await;
        world.end().await;
    });
}
