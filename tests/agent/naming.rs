//! Names of VIPs: what the framework's name does to them, and what people see and do.

use std::net::SocketAddr;
use std::process::Command;

use serde_json::{Value, json};
use vip::naming::{NameRange, NameSettings};

use crate::site::{self, Site};
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
fn names_that_are_switched_off_for_a_while_keep_their_addresses() {
    run(async {
        let mut world = World::new().await;
        world.run_app(&app("/mysql", "/mysql:3306", 1)).await;
        world.start().await;
        world.until_served(MYSQL, 1).await;
        world.stop().await;
        let saved = || std::fs::read_to_string(world.folder.path().join("state/vips.names"));
        assert!(saved().unwrap().contains("mysql.marathon"));
        world.serves_names = false;
        world.start().await;
        world.run_app(&app("/web", WEB, 1)).await;
        world.until_served(WEB, 1).await;
        world.stop().await;
        let saved = std::fs::read_to_string(world.folder.path().join("state/vips.names"));
        assert!(saved.unwrap().contains("mysql.marathon"));
        world.serves_names = true;
        world.start().await;
        world.until_served(MYSQL, 1).await;
        world.end().await;
    });
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
        // A name that nobody knows yet is no name that doesn't exist.
        let zone = || std::fs::read_to_string(world.folder.path().join("zone")).unwrap();
        eventually(async || zone().lines().any(|line| line == "partial")).await;
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
        eventually(async || !zone().lines().any(|line| line == "partial")).await;
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

/// Runs `vipd names` beside an agent.
async fn names(site: &Site, args: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vipd"));
    command.env_clear().env("VIPD_CONFIG", "/dev/null").arg("names").args(args);
    command.arg("--socket").arg(site.world.folder.path().join("agent.sock"));
    let ran = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let said = String::from_utf8([ran.stdout, ran.stderr].concat()).unwrap();
    (ran.status.code(), said)
}

#[test]
fn without_an_agent_it_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_vipd"));
    command.env_clear().env("VIPD_CONFIG", "/dev/null").arg("names");
    let ran = command.arg("--socket").arg(folder.path().join("agent.sock")).output().unwrap();
    assert_eq!(ran.status.code(), Some(2));
    let said = String::from_utf8(ran.stderr).unwrap();
    assert!(said.starts_with("error: no agent listens on"), "{said}");
}

#[test]
fn a_name_that_is_remembered_otherwise_is_shown_counted_and_reassigned() {
    site::run(async {
        let site = Site::new(World::serving(1).await).await;
        let mut mysql = app("/mysql", "/mysql:3306", 1);
        mysql["container"]["portMappings"][0]["labels"]["IPVS_ADDRESS"] = json!("11.0.0.7");
        site.world.run_app(&mysql).await;
        site.world.until_served("11.0.0.7:3306", 1).await;
        let metrics = async || site.get("/metrics").await.1;
        let text = metrics().await;
        assert!(text.contains("\nvipd_names{state=\"pinned\"} 1.0\n"), "{text}");
        let (code, said) = names(&site, &["mysql"]).await;
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("mysql.marathon  11.0.0.7  /mysql  "), "{said}");
        assert!(said.contains("pinned by IPVS_ADDRESS"), "{said}");
        let labels = json!({"VIP_0": "/mysql:3306"});
        mysql["container"]["portMappings"][0]["labels"] = labels;
        site.world.send("PUT", "/v2/apps/mysql?force=true", &mysql).await;
        let remembered = "\nvipd_names{state=\"remembered\"} 1.0\n";
        eventually(async || metrics().await.contains(remembered)).await;
        let (code, said) = names(&site, &[]).await;
        assert_eq!(code, Some(1), "{said}");
        assert!(said.starts_with("! mysql.marathon"), "{said}");
        assert!(said.contains("vipd names --reassign mysql.marathon"), "{said}");
        let request = site.http.post(format!("{}/v1/reassign", site.url));
        let body = json!({"name": "mysql.marathon"}).to_string();
        let request = request.header("content-type", "application/json").body(body);
        assert_eq!(request.send().await.unwrap().status(), 404, "only the socket takes it");
        let dns = NameSettings::default().dns_name(&"mysql.marathon".parse().unwrap());
        let (code, said) = names(&site, &["--reassign", &dns]).await;
        assert_eq!(
            (code, &*said),
            (Some(0), "note: reassigned: mysql.marathon has 11.91.210.154\n")
        );
        site.world.until_served(MYSQL, 1).await;
        let old = async || site.world.served("11.0.0.7:3306");
        eventually(async || old().await.is_none_or(|all| all.is_empty())).await;
        let (code, said) = names(&site, &["--output", "json"]).await;
        let json: Value = serde_json::from_str(&said).unwrap();
        assert_eq!(code, Some(0), "{said}");
        assert_eq!(json["names"][0]["choice"], "hash", "{json}");
        assert_eq!(json["names"][0]["dns"], dns, "{json}");
        let (code, said) = names(&site, &["--reassign", &dns, "--output", "json"]).await;
        let json: Value = serde_json::from_str(&said).unwrap();
        let expected = json!({"name": "mysql.marathon", "addresses": ["11.91.210.154"]});
        assert_eq!((code, &json["reassigned"]), (Some(0), &expected));
        let (code, said) = names(&site, &["--reassign", "no.body"]).await;
        assert_eq!(code, Some(2));
        assert!(said.contains("the agent knows no name no.body"), "{said}");
        site.end().await;
    });
}
