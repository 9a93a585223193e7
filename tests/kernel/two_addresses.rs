//! A node with an address in each of two networks: agent and commands agree on the source of its
//! own connections, which is that of the way to each VIP's real servers.

use std::net::Ipv4Addr;

use serde_json::{Value, json};
use testkit::netns;

use crate::cluster::eventually;
use crate::marathon::marathon;
use crate::support::command;
use crate::world::{Running, app, apps, healthy, vipd};

/// The networks 10.1.0.0/24 and 10.2.0.0/24, with the router in the second one.
fn node() {
    netns::enter_netns();
    for network in 1..=2 {
        netns::run_tool("ip", &format!("link add eth{network} type dummy"));
        netns::run_tool("ip", &format!("addr add 10.{network}.0.1/24 dev eth{network}"));
        netns::run_tool("ip", &format!("link set eth{network} up"));
    }
    netns::run_tool("ip", "route add default via 10.2.0.254");
}

/// The arguments by which agent and commands find each other.
fn own(folder: &std::path::Path) -> Vec<String> {
    let at = |name: &str| folder.join(name).display().to_string();
    ["--socket".into(), at("agent.sock"), "--node-name".into(), "node1".into()].into()
}

/// The source that a local route names.
fn source(vip: Ipv4Addr) -> Option<String> {
    let routes = netns::run_tool("ip", "route show table local");
    let route = routes.lines().find(|line| line.starts_with(&format!("local {vip} dev vipd0")))?;
    let mut words = route.split_whitespace().skip_while(|word| *word != "src");
    words.nth(1).map(str::to_owned)
}

/// Two apps: the first has its only real server on an agent in the first network, though another
/// agent, in the second network, is named before it.
fn two_apps() -> Value {
    let first = app("/a", "tcp", &json!({}), &[healthy("10.2.0.5", 31001)]);
    let label = |vip: &str| json!({ "VIP_0": vip });
    let mysql = app("/mysql", "tcp", &label("3.3.0.6:3306"), &[healthy("10.1.0.5", 31002)]);
    let web = app("/web", "tcp", &label("3.3.0.7:80"), &[healthy("10.2.0.5", 31003)]);
    apps([first, mysql, web])
}

#[test]
fn agent_and_commands_agree_on_the_source_of_each_vip() {
    node();
    let url = marathon(&two_apps(), &json!([]));
    let folder = tempfile::tempdir_in("/run").unwrap();
    let own = own(folder.path());
    let own: Vec<_> = own.iter().map(String::as_str).collect();
    let lock = folder.path().join("lock").display().to_string();
    let state = folder.path().join("state").display().to_string();
    let agent = ["run", "--marathon", &url, "--lock", &lock, "--state", &state];
    let agent = Running(command(&[&agent[..], &own].concat()).spawn().unwrap());

    let mysql = Ipv4Addr::new(3, 3, 0, 6);
    eventually("the VIPs are bound", || {
        let shown = netns::run_tool("ip", "-br addr show");
        shown.contains("3.3.0.6/32") && shown.contains("3.3.0.7/32")
    });
    let table = netns::try_run_tool("nft", "list table ip vipd").unwrap_or_default();
    if table.contains("masquerade") {
        // Routes stay the kernel's own.
        assert_eq!(source(mysql).as_deref(), Some("3.3.0.6"));
    } else {
        assert_eq!(source(mysql).as_deref(), Some("10.1.0.1"));
        assert_eq!(source(Ipv4Addr::new(3, 3, 0, 7)).as_deref(), Some("10.2.0.1"));
    }

    // `vipd` names the node itself.
    let ask = |args: &[&str]| vipd(&[args, &own[..2], &["--marathon", &url]].concat(), "");
    let diff = ask(&["diff"]);
    assert_eq!(diff.code, Some(0), "{diff:?}");
    let status = ask(&["status"]);
    assert!(!status.out.contains("the kernel differs"), "{status:?}");
    drop(agent);
    let alone = ask(&["diff"]);
    assert_eq!(alone.code, Some(0), "{alone:?}");
    assert!(alone.err.contains("no agent"), "{alone:?}");
}
