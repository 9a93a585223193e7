//! One node in a network namespace, and Marathon's answers about its tasks.

use std::collections::BTreeSet;
use std::process::Child;

use serde_json::{Value, json};
use testkit::netns;

use crate::support::{Ran, vipd_with_input};

/// Enters a new node with the address `10.9.0.1/24` on a dummy interface.
pub(crate) fn node() {
    netns::enter_netns();
    netns::run_tool("ip", "link add eth9 type dummy");
    netns::run_tool("ip", "addr add 10.9.0.1/24 dev eth9");
    netns::run_tool("ip", "-6 addr add fd09::1/64 dev eth9 nodad");
    netns::run_tool("ip", "link set eth9 up");
    netns::run_tool("ip", "route add default via 10.9.0.254");
}

/// A program that is killed with the test.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs vipd on this thread's node.
pub(crate) fn vipd(args: &[&str], input: &str) -> Ran {
    let lock = format!("/run/vipd-{:?}.lock", std::thread::current().id());
    let args: Vec<_> =
        args.iter().copied().chain(["--lock", &lock, "--node-name", "node1"]).collect();
    vipd_with_input(&args, input.as_bytes())
}

/// Applies an answer of Marathon in a cluster without pods; it must succeed.
#[track_caller]
pub(crate) fn apply(apps: &Value) -> Ran {
    let ran = vipd(&["apply", "--force", "--no-pods", "--from", "-"], &apps.to_string());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    ran
}

/// Runs `vipd diff` with an answer of Marathon.
pub(crate) fn diff(apps: &Value) -> Ran {
    vipd(&["diff", "--no-pods", "--from", "-"], &apps.to_string())
}

/// An answer of /v2/apps.
pub(crate) fn apps(apps: impl IntoIterator<Item = Value>) -> Value {
    json!({ "apps": apps.into_iter().collect::<Vec<_>>() })
}

/// A bridged app with one port. `labels` are the port's; each task is a state, an agent, a port
/// and the result of its health check (`None`: none yet).
pub(crate) fn app(id: &str, protocol: &str, labels: &Value, tasks: &[Task<'_>]) -> Value {
    let version = "2026-01-01T00:00:00.000Z";
    let tasks = tasks.iter().map(|task| {
        let results = match task.alive {
            None => json!([]),
            Some(alive) => json!([{
                "alive": alive, "consecutiveFailures": i32::from(!alive),
                "lastSuccess": alive.then_some("2026-01-01T00:01:00.000Z"),
                "lastFailure": (!alive).then_some("2026-01-01T00:01:00.000Z"),
            }]),
        };
        json!({
            "id": format!("{}.{}", id.trim_start_matches('/'), task.port), "appId": id,
            "host": task.host, "ports": [task.port], "state": task.state, "version": version,
            "stagedAt": version, "startedAt": version, "healthCheckResults": results,
            "ipAddresses": [{ "ipAddress": "172.17.0.2", "protocol": "IPv4" }],
        })
    });
    json!({
        "id": id, "version": version, "networks": [{ "mode": "container/bridge" }],
        "container": { "portMappings": [
            { "containerPort": 80, "hostPort": 0, "protocol": protocol, "labels": labels },
        ]},
        "healthChecks": [{ "protocol": "TCP", "gracePeriodSeconds": 300, "intervalSeconds": 60 }],
        "tasks": tasks.collect::<Vec<_>>(),
    })
}

/// One task for [`app`].
pub(crate) struct Task<'a> {
    pub(crate) state: &'a str,
    pub(crate) host: &'a str,
    pub(crate) port: u16,
    pub(crate) alive: Option<bool>,
}

/// A healthy task.
pub(crate) fn healthy(host: &str, port: u16) -> Task<'_> {
    Task { state: "TASK_RUNNING", host, port, alive: Some(true) }
}

/// The IPVS table as printed by ipvsadm; sorted, since the kernel lists the newest first.
pub(crate) fn table() -> Vec<String> {
    let text = netns::run_tool("ipvsadm", "-Sn");
    let lines: BTreeSet<_> = text.lines().map(|line| line.trim().to_owned()).collect();
    lines.into_iter().collect()
}

/// The addresses on vipd's interface, read by `ip`; none if it doesn't exist.
pub(crate) fn addresses() -> Vec<String> {
    let all: Value = serde_json::from_str(&netns::run_tool("ip", "-j addr show")).unwrap();
    let link = all.as_array().unwrap().iter().find(|link| link["ifname"] == "vipd0");
    let infos = link.and_then(|link| link["addr_info"].as_array()).into_iter().flatten();
    let bound = infos.filter(|info| info["scope"] != "link");
    let mut addresses: Vec<_> =
        bound.map(|info| info["local"].as_str().unwrap().to_owned()).collect();
    addresses.sort();
    addresses
}
