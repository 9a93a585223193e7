//! The agent on real kernels, with real traffic.

use std::time::Instant;

use std::io::BufRead;

use serde_json::{Value, json};

use crate::cluster::{Clients, Cluster, checked_web, eventually, place, tell};

const WEB: &str = "3.3.0.6:80";

/// An app whose tasks keep serving for so many milliseconds after SIGTERM; its kill grace period is
/// longer.
fn web(instances: usize, stop_delay: u32, release: u32) -> Value {
    let mut app = checked_web(WEB, instances);
    app["env"] =
        json!({"SIM_STOP_DELAY_MS": stop_delay.to_string(), "RELEASE": release.to_string()});
    app["taskKillGracePeriodSeconds"] = json!(3600);
    app["upgradeStrategy"] = json!({"minimumHealthCapacity": 1.0, "maximumOverCapacity": 0.5});
    app
}

/// A cluster with agents that serve an app.
fn serving(instances: usize, stop_delay: u32) -> Cluster {
    let mut cluster = Cluster::new();
    cluster.send("POST", "/v2/apps", &web(instances, stop_delay, 1));
    cluster.settled("/web", instances);
    cluster.start_all();
    served(&cluster, instances);
    cluster
}

/// Waits until both nodes have so many real servers of the VIP.
fn served(cluster: &Cluster, instances: usize) {
    for node in 0..2 {
        eventually("all are served", || {
            let servers = cluster.servers(node, WEB);
            servers.iter().filter(|(_, weight)| *weight > 0).count() == instances
        });
    }
}

#[test]
fn what_the_kernel_announces_is_repaired() {
    let mut cluster = Cluster::new();
    cluster.send("POST", "/v2/apps", &web(1, 0, 1));
    cluster.settled("/web", 1);
    // No full comparison for an hour: repairs follow from kernel notifications only.
    let config = format!("/run/{}.toml", cluster.nodes[0]);
    std::fs::write(&config, "[agent]\nsync-period = 3600\n").unwrap();
    cluster.start(0, &["--config", &config]);
    eventually("the agent is ready", || cluster.report(0)["ready"] == json!(true));
    let table = || cluster.try_on(0, "nft list table ip vipd");
    // The reduced data path has no nftables table; the route has the node's address as its source.
    let reduced = table().is_err();
    let first = table();
    let whole = || {
        let addresses = cluster.on(0, "ip -br addr show");
        let routes = cluster.on(0, "ip route show table local");
        let route = routes.lines().find(|line| line.starts_with("local 3.3.0.6 dev vipd0"));
        addresses.contains("3.3.0.6/32")
            && route.is_some_and(|line| !reduced || line.contains("10.77.0.11"))
            && table() == first
    };
    eventually("all is there", whole);
    let damages = [
        "ip addr del 3.3.0.6/32 dev vipd0",
        "ip link del vipd0",
        "ip link set vipd0 down",
        "ip route del local 3.3.0.6 dev vipd0 table local",
    ];
    let of_tables = [
        "nft delete table ip vipd",
        "nft flush chain ip vipd guard",
        "nft flush set ip vipd vips",
        // The first line of many firewall scripts.
        "nft flush ruleset",
    ];
    let of_tables = of_tables.into_iter().filter(|_| !reduced);
    for damage in damages.into_iter().chain(of_tables) {
        cluster.on(0, damage);
        let begun = Instant::now();
        eventually("it is repaired", whole);
        tell(&format!("{damage}: repaired and seen after {:.1?}", begun.elapsed()));
    }
}

/// The way to the real servers on the other node begins there.
#[test]
fn another_mtu_of_the_uplink_is_heard_of() {
    let mut cluster = Cluster::new();
    cluster.send("POST", "/v2/apps", &web(6, 0, 1));
    cluster.settled("/web", 6);
    let config = format!("/run/{}.toml", cluster.nodes[0]);
    std::fs::write(&config, "[agent]\nsync-period = 3600\n").unwrap();
    cluster.start(0, &["--config", &config]);
    eventually("the agent is ready", || cluster.report(0)["ready"] == json!(true));
    for mtu in [1500, 1400, 1450] {
        cluster.on(0, &format!("ip link set eth0 mtu {mtu}"));
        eventually(&format!("the VIP has the MTU {mtu}"), || {
            let routes = cluster.on(0, "ip route show table local");
            let route = routes.lines().find(|line| line.starts_with("local 3.3.0.6 dev vipd0"));
            route.is_some_and(|line| line.contains(&format!(" mtu {mtu}")))
        });
    }
}

#[test]
fn a_node_has_one_agent_which_can_be_held_asked_and_stopped() {
    let mut cluster = serving(2, 0);
    let second = cluster.vipd(0, &["run", "--marathon", "http://10.77.0.1:8080"]).output().unwrap();
    let said = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(2));
    assert!(said.contains("only one vipd may write"), "{said}");

    let run = |args: &[&str]| {
        let output = cluster.vipd(0, args).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, text) = run(&["status"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("agent: acting, 0 draining"), "{text}");
    assert!(text.contains("events are coming; 1 apps and pods"), "{text}");
    let (code, text) = run(&["explain", "/web"]);
    assert_eq!(code, Some(0));
    assert!(text.contains("with weight 1: healthy") && text.contains("(version 20"), "{text}");
    assert_eq!(run(&["explain", "/nobody"]).0, Some(2));
    let health = cluster.on(0, "curl -sS http://127.0.0.1:9614/healthz");
    assert_eq!(health, "alive\n");
    let ready = cluster.on(0, "curl -sS http://127.0.0.1:9614/readyz");
    assert!(ready.starts_with("ready\ndata path: "), "{ready}");
    assert_eq!(ready.lines().count(), 2, "{ready}");

    assert_eq!(run(&["hold", "looking at it"]).0, Some(0));
    let before = cluster.servers(0, WEB);
    cluster.send("PUT", "/v2/apps/web?force=true", &json!({"instances": 3}));
    eventually("the other node has it", || cluster.servers(1, WEB).len() == 3);
    eventually("something is due", || cluster.report(0)["pending"] != json!(0));
    assert_eq!(cluster.servers(0, WEB), before);
    let (code, text) = run(&["status"]);
    assert_eq!(code, Some(1));
    assert!(text.contains("agent: held") && text.contains("(looking at it)"), "{text}");
    // A hold is still in force after a restart.
    assert_eq!(cluster.stop(0, "KILL"), None);
    cluster.start(0, &[]);
    eventually("it is held again", || cluster.report(0)["mode"] == json!("held"));
    let release = cluster.vipd(0, &["release"]).output().unwrap();
    assert!(release.status.success(), "{release:?}");
    eventually("it catches up", || cluster.servers(0, WEB).len() == 3);

    let before = cluster.servers(0, WEB);
    assert_eq!(cluster.stop(0, "TERM"), Some(0));
    assert_eq!(cluster.servers(0, WEB), before, "stopping leaves the kernel as it is");
    let held = cluster.vipd(0, &["hold"]).output().unwrap();
    assert_eq!(held.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&held.stderr).contains("no agent listens on"), "{held:?}");
    for held in [true, false] {
        cluster.start(0, &["--cleanup-on-exit"]);
        eventually("it is ready", || cluster.report(0)["ready"] == json!(true));
        let command = if held { "hold" } else { "release" };
        assert!(cluster.vipd(0, &[command]).status().unwrap().success());
        assert_eq!(cluster.stop(0, "TERM"), Some(0));
        let left = if held { before.clone() } else { Default::default() };
        assert_eq!(cluster.servers(0, WEB), left, "held: {held}");
        if held {
            let refused = cluster.vipd(0, &["cleanup"]).output().unwrap();
            assert_eq!(refused.status.code(), Some(2));
            assert!(String::from_utf8_lossy(&refused.stderr).contains("held"), "{refused:?}");
            assert_eq!(cluster.servers(0, WEB), left);
        }
    }
    assert_eq!(cluster.on(0, "ipvsadm -Sn"), "");
    assert!(!cluster.on(0, "ip -br link").contains("vipd0"));
}

#[test]
fn an_agent_that_observes_changes_nothing() {
    let mut cluster = Cluster::new();
    cluster.send("POST", "/v2/apps", &web(1, 0, 1));
    cluster.settled("/web", 1);
    cluster.start(0, &["--observe"]);
    // The interface, an address, a service and a real server; nftables tables if the kernel has them.
    eventually("it has decided", || cluster.report(0)["pending"].as_u64() >= Some(4));
    assert!(cluster.try_on(0, "nft list table ip vipd").is_err());
    assert_eq!(cluster.report(0)["mode"], json!("observing"));
    assert_eq!(cluster.on(0, "ipvsadm -Sn"), "");
    assert!(!cluster.on(0, "ip -br link").contains("vipd0"));
}

/// The old instances accept connections after SIGTERM for longer than a killed agent takes to restart
/// and read Marathon: until then its node sends clients to them.
#[test]
fn a_rolling_upgrade_under_traffic_fails_no_connection_though_an_agent_is_killed_in_it() {
    const ENOUGH: usize = 20_000;
    const STOP_DELAY: u32 = 30_000;
    let mut cluster = serving(4, STOP_DELAY);
    let clients = Clients::start(&cluster, WEB, 100);
    let begun = Instant::now();
    let mut upgrades = 0;
    while clients.done() < ENOUGH {
        upgrades += 1;
        let before: Vec<_> = cluster.settled("/web", 4).iter().map(place).collect();
        cluster.send("PUT", "/v2/apps/web", &web(4, STOP_DELAY, upgrades + 1));
        // Alternate between the nodes.
        let node = usize::from(upgrades % 2 == 0);
        eventually("the first new one is served", || {
            cluster.servers(node, WEB).iter().any(|(server, _)| !before.contains(server))
        });
        cluster.stop(node, "KILL");
        let killed = Instant::now();
        cluster.start(node, &[]);
        eventually("it has read Marathon", || cluster.report(node)["ready"] == json!(true));
        let back = killed.elapsed();
        cluster.settled("/web", 4);
        served(&cluster, 4);
        tell(&format!(
            "upgrade {upgrades}: {} connections, {} failed; the agent was back after {back:.1?}",
            clients.done(),
            clients.failures().len()
        ));
    }
    let (done, failures) = clients.stop();
    let took = begun.elapsed();
    tell(&format!(
        "{upgrades} rolling upgrades of 4 instances, an agent killed in each: {done} connections \
         from two nodes in {took:.0?}, {} failed",
        failures.len()
    ));
    assert_eq!(failures, [""; 0], "of {done} connections");
}

#[test]
fn an_instance_that_is_killed_hard_costs_only_connections_until_it_is_known() {
    let cluster = serving(4, 0);
    let clients = Clients::start(&cluster, WEB, 50);
    eventually("there is traffic", || clients.done() > 100);
    let task = &cluster.settled("/web", 4)[0];
    let port = task["ports"][0].to_string();
    let node = usize::from(task["host"] == json!("10.77.0.12"));
    let listening = cluster.on(node, &format!("ss -Hltnp sport = :{port}"));
    let pid = listening.split("pid=").nth(1).unwrap().split(',').next().unwrap();
    cluster.on(node, &format!("kill -9 {pid}"));
    for node in 0..2 {
        eventually("it is gone", || {
            !cluster.servers(node, WEB).iter().any(|(server, _)| *server == place(task))
        });
    }
    let (then, during) = (clients.done(), clients.failures());
    eventually("there is more traffic", || clients.done() > then + 300);
    let (done, failures) = clients.stop();
    let known = during.len();
    tell(&format!("killed hard at 100 connections/s: {known} failed until it was known of"));
    assert_eq!(failures, during, "of {done}: connections failed after it was known");
}

#[test]
fn what_the_kernel_counts_is_what_the_agent_tells() {
    let mut cluster = Cluster::new();
    cluster.send("POST", "/v2/apps", &web(2, 0, 1));
    cluster.settled("/web", 2);
    cluster.start(0, &["--listen", "127.0.0.1:9614"]);
    eventually("it is served", || cluster.servers(0, WEB).len() == 2);
    eventually("its address is bound", || cluster.on(0, "ip -br addr").contains("3.3.0.6"));
    for _ in 0..7 {
        cluster.on(0, &format!("curl -sS --max-time 5 http://{WEB}/"));
    }
    let get = |path: &str| cluster.on(0, &format!("curl -sS http://127.0.0.1:9614{path}"));
    let counted = "vipd_vip_connections_total{vip=\"3.3.0.6:80\",protocol=\"tcp\"} 7\n";
    eventually("the metrics count them", || get("/metrics").contains(counted));
    let bytes = |text: &str| {
        let line = text.lines().find(|line| line.starts_with("vipd_vip_bytes_total")).unwrap();
        line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()
    };
    // Compare with another tool: ipvsadm prints InBytes in its last column but one.
    let stats = cluster.on(0, "ipvsadm -Ln --stats --exact");
    let line = stats.lines().find(|line| line.contains(WEB)).unwrap();
    let columns: Vec<_> = line.split_whitespace().collect();
    assert_eq!(bytes(&get("/metrics")).to_string(), columns[columns.len() - 2], "{stats}");
    let vip: Value = serde_json::from_str(&get(&format!("/v1/vips/{WEB}"))).unwrap();
    assert_eq!(vip["stats"]["connections"], 7, "{vip}");
    let plan: Value = serde_json::from_str(&get("/v1/diff")).unwrap();
    assert_eq!(plan["operations"], json!([]), "{plan}");
    cluster
        .on(0, &format!("ipvsadm -d -t {WEB} -r {}", cluster.servers(0, WEB).first().unwrap().0));
    eventually("the repair is told", || {
        let events = cluster.vipd(0, &["events"]).output().unwrap();
        let text = String::from_utf8(events.stdout).unwrap();
        text.matches("3.3.0.6:80/tcp +10.77").count() >= 3
    });
    eventually("and counted", || {
        get("/metrics").contains("vipd_drift_repaired_total{kind=\"server\"} 1\n")
    });

    // Into a pipe it prints plain lines, update after update, until the reader closes it.
    let mut watch = cluster.vipd(0, &["status", "--watch", "--interval", "1"]);
    let mut watch = watch.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let lines = std::io::BufReader::new(watch.stdout.take().unwrap()).lines();
    let looks: Vec<_> = lines
        .map_while(Result::ok)
        .inspect(|line| assert!(!line.contains('\x1b'), "{line:?}"))
        .filter(|line| line.contains("3.3.0.6:80/tcp"))
        .take(2)
        .collect();
    let row: Vec<_> = looks[0].split_whitespace().collect();
    assert_eq!((row[0], row[2], row.last()), ("serving", "2/2", Some(&"/web")), "{looks:?}");
    assert!(watch.wait().unwrap().success(), "a reader that goes away is no trouble");
}
