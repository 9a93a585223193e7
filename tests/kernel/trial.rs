//! `vipd try` on real kernels: what works, what fails, and where.

use serde_json::{Value, json};

use crate::cluster::{Cluster, eventually, place};
use crate::names::{ADDRESS, NAME, NameServer, web};

/// The result of a trial.
struct Tried {
    code: Option<i32>,
    report: Value,
}

impl Tried {
    fn findings(&self) -> Vec<&str> {
        let findings = self.report["findings"].as_array().unwrap();
        findings.iter().map(|finding| finding["place"].as_str().unwrap()).collect()
    }

    /// Each step with its outcome; those of servers without their order.
    fn steps(&self) -> Vec<(&str, &str)> {
        let steps = self.report["steps"].as_array().unwrap();
        let mut steps: Vec<_> = steps
            .iter()
            .map(|step| (step["step"].as_str().unwrap(), step["outcome"].as_str().unwrap()))
            .collect();
        steps.sort_unstable();
        steps
    }
}

fn attempt(mut command: std::process::Command) -> Tried {
    let output = command.output().unwrap();
    let reports: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    assert_eq!(reports.as_array().unwrap().len(), 1, "{reports}");
    Tried { code: output.status.code(), report: reports[0].clone() }
}

fn try_on(cluster: &Cluster, what: &str) -> Tried {
    attempt(cluster.vipd(0, &["try", what, "--output", "json"]))
}

#[test]
fn a_vip_is_tried_by_name_and_from_a_namespace_until_a_server_is_dead() {
    let mut cluster = Cluster::new();
    cluster.send("POST", "/v2/apps", &web(2));
    let tasks = cluster.settled("/web", 2);
    cluster.start_all();
    let _server = NameServer::start(&cluster, 0);
    let what = format!("{NAME}:80");
    eventually("it works", || try_on(&cluster, &what).code == Some(0));
    let works = try_on(&cluster, &what);
    let expected = [
        ("resolver", ADDRESS),
        ("server", "connected"),
        ("server", "connected"),
        ("vip", "connected"),
    ];
    assert_eq!(works.steps(), expected, "{}", works.report);
    assert_eq!(works.report["steps"][2]["app"], "/web");
    assert_eq!(try_on(&cluster, &format!("{ADDRESS}:80")).steps(), expected[1..]);

    // From outside of the node's namespace, by its name and by a process in it.
    let vipd = |netns: &str| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_vipd"));
        let socket = format!("/run/{}/agent.sock", cluster.nodes[0]);
        command.args(["try", &what, "--netns", netns, "--output", "json", "--socket", &socket]);
        command.env("VIPD_CONFIG", "/dev/null");
        attempt(command)
    };
    // It sees the node's resolv.conf as /etc/resolv.conf.
    let mut process = std::process::Command::new("ip");
    let process = process.args(["netns", "exec", &cluster.nodes[0], "sleep", "1000"]);
    let mut process = process.spawn().unwrap();
    eventually("it is in the namespace", || {
        let command = std::fs::read_to_string(format!("/proc/{}/comm", process.id())).unwrap();
        command.trim() == "sleep"
    });
    for netns in [cluster.nodes[0].clone(), process.id().to_string()] {
        let inside = vipd(&netns);
        assert_eq!(inside.steps(), expected, "{netns}: {}", inside.report);
        assert_eq!(inside.report["notes"], json!([]), "{netns}");
        assert_eq!(inside.report["from"], format!("namespace {netns}"));
    }

    process.kill().unwrap();
    process.wait().unwrap();

    // Nobody hears that a server is dead.
    cluster.pause_marathon();
    let dead = &tasks[0];
    let node = usize::from(dead["host"] == json!("10.77.0.12"));
    let listening = cluster.on(node, &format!("ss -Hltnp sport = :{}", dead["ports"][0]));
    let pid = listening.split("pid=").nth(1).unwrap().split(',').next().unwrap();
    cluster.on(node, &format!("kill -9 {pid}"));
    let fails = try_on(&cluster, "/web");
    assert_eq!((fails.code, fails.findings()), (Some(1), vec!["server"]), "{}", fails.report);
    let text = fails.report["findings"][0]["text"].as_str().unwrap();
    assert!(text.starts_with(&format!("{} refuses", place(dead))), "{text}");
}

#[test]
fn a_vip_without_servers_is_refused_by_vipd_and_an_unknown_one_by_policy() {
    let mut cluster = Cluster::new();
    cluster.send("POST", "/v2/apps", &web(0));
    cluster.start_all();
    eventually("it is refused", || {
        let tried =
            attempt(cluster.vipd(0, &["try", &format!("{ADDRESS}:80"), "--output", "json"]));
        tried.steps() == [("vip", "refused")] && tried.findings() == ["refusal"]
    });
    let unknown = try_on(&cluster, "10.77.0.11:81");
    assert_eq!(unknown.code, Some(1));
    assert_eq!(unknown.findings()[0], "policy", "{}", unknown.report);
    let ran = cluster.vipd(0, &["try", "/wbe"]).output().unwrap();
    assert_eq!(ran.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&ran.stderr).contains("did you mean /web "), "{ran:?}");
}
