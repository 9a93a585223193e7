//! SIGHUP: a running agent applies a changed configuration.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use serde_json::json;
use testkit::netns;

use crate::cluster::{API, Cluster, checked_web, eventually};
use crate::world::Running;

/// Listens on a port until it is ended.
const TAKE_PORT: &str = "import socket, time
taken = socket.create_server(('127.0.0.1', 9616))
time.sleep(600)";

#[test]
fn a_reload_takes_a_new_configuration_in_the_same_process_and_refuses_a_wrong_one() {
    let mut cluster = Cluster::new();
    let file = format!("/run/{}.toml", cluster.nodes[0]);
    let listen = |port: u16| {
        std::fs::write(&file, format!("[agent]\nlisten = \"127.0.0.1:{port}\"\n")).unwrap();
    };
    listen(9614);
    cluster.start(0, &["--config", &file]);
    eventually("the agent is ready", || cluster.report(0)["ready"] == json!(true));
    let process = cluster.process(0);
    let node = cluster.nodes[0].clone();
    let asked = |port: u16| {
        let url = format!("http://127.0.0.1:{port}/healthz");
        let curl = Command::new("ip").args(["netns", "exec", &node, "curl", "-sS", &url]).output();
        let curl = curl.unwrap();
        [curl.stdout, curl.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat()
    };
    let answers = |port: u16| asked(port) == "alive\n";
    assert_eq!(asked(9614), "alive\n");

    cluster.send("POST", "/v2/apps", &checked_web("3.3.0.6:80", 1));
    eventually("its VIP is there", || !cluster.servers(0, "3.3.0.6:80").is_empty());

    let no_authority = format!("{file}.pem");
    std::fs::write(&no_authority, "no certificate").unwrap();
    for (wrong, wrong_word) in [
        ("[agent]\nlisten = \"nowhere\"\n", "invalid socket address"),
        (
            &*format!(
                "[[marathon]]\nurls = [\"http://10.77.0.1:8080\"]\nca-file = \"{no_authority}\"\n"
            ),
            "has no certificate as PEM",
        ),
        ("[vip]\nallow = [\"30.0.0.0/8\"]\n", "1 of 1 VIPs of apps would be refused"),
        ("[cluster]\naddresses = [\"3.0.0.0/8\"]\n", "is the address of a server of the cluster"),
        ("[vip.owner]\n\"3.3.0.0/16\" = \"/shop\"\n", "which vip.owner reserves for /shop"),
    ] {
        std::fs::write(&file, wrong).unwrap();
        netns::run_tool("kill", &format!("-HUP {process}"));
        // An invalid configuration is refused: the agent keeps the old one until a valid reload.
        eventually("the refusal is noted", || {
            let notes = cluster.report(0)["notes"].to_string();
            notes.contains("the reload at") && notes.contains(wrong_word)
        });
        assert_eq!(asked(9614), "alive\n");
        let metrics = cluster.on(0, "curl -sS http://127.0.0.1:9614/metrics");
        assert!(metrics.contains("\nvipd_config_last_reload_successful 0"), "{metrics}");
        let ready = cluster.on(0, "curl -sS http://127.0.0.1:9614/readyz");
        assert!(ready.starts_with("ready") && ready.contains("was refused"), "{ready}");
        // As the unit does before it tells the agent.
        let checked = cluster.vipd(0, &["config", "check", &file]).output().unwrap();
        let said = String::from_utf8_lossy(&checked.stdout).into_owned();
        assert_eq!(checked.status.code(), Some(1), "{said}");
        assert!(said.contains(wrong_word), "{said}");
    }
    assert!(cluster.servers(0, "3.3.0.6:80").iter().any(|(_, weight)| *weight > 0));
    // An address that another program has is a problem for this agent only.
    let taken =
        Command::new("ip").args(["netns", "exec", &node, "python3", "-c", TAKE_PORT]).spawn();
    let taken = Running(taken.unwrap());
    listen(9616);
    eventually("the port is taken", || {
        let checked = cluster.vipd(0, &["config", "check", &file]).output().unwrap();
        String::from_utf8_lossy(&checked.stdout)
            .contains(":2:1: agent.listen: [agent] listen: cannot")
    });
    drop(taken);
    listen(9615);
    netns::run_tool("kill", &format!("-HUP {process}"));
    eventually("it listens where it is told", || answers(9615));
    eventually("it is ready again", || cluster.report(0)["ready"] == json!(true));
    // The new program in the process knows nothing of the refusals before.
    let metrics = cluster.on(0, "curl -sS http://127.0.0.1:9615/metrics");
    assert!(metrics.contains("\nvipd_config_last_reload_successful 1"), "{metrics}");
    assert!(!cluster.report(0)["notes"].to_string().contains("was refused"));
    assert_eq!(cluster.stop(0, "TERM"), Some(0));
}

/// A configuration from a pipe is gone once it was read: an empty configuration would take its place.
#[test]
fn a_configuration_from_a_pipe_stays_in_force_at_a_reload() {
    let cluster = Cluster::new();
    let (url, state) = (format!("http://{API}"), format!("/run/{}/state", cluster.nodes[0]));
    let run = ["run", "--marathon", &url, "--state", &state, "--config", "/proc/self/fd/0"];
    let agent = cluster.vipd(0, &run).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut agent = Running(agent.unwrap());
    let config = b"[agent]\nsync-period = 77\n";
    agent.0.stdin.take().unwrap().write_all(config).unwrap();
    let (log, lines) = channel();
    let said = BufReader::new(agent.0.stderr.take().unwrap());
    std::thread::spawn(move || {
        said.lines().map_while(Result::ok).try_for_each(|line| log.send(line))
    });
    eventually("the agent is ready", || cluster.report(0)["ready"] == json!(true));
    netns::run_tool("kill", &format!("-HUP {}", agent.0.id()));
    eventually("the reload is refused", || {
        lines.try_iter().any(|line| line.contains("can be read only once"))
    });
    let config = cluster.on(0, "curl -sS http://127.0.0.1:9614/v1/config");
    assert!(config.contains("77"), "{config}");
}

/// systemd sends both: `systemctl reload vipd; systemctl stop vipd`.
#[test]
fn a_stop_during_a_reload_stops_and_a_second_reload_harms_nobody() {
    let mut cluster = Cluster::new();
    for pause in [0, 5, 20, 50, 100, 200, 400] {
        cluster.start(0, &["--cleanup-on-exit"]);
        let process = cluster.process(0);
        let kill = |signal: &str| netns::run_tool("kill", &format!("-{signal} {process}"));
        let wait = || std::thread::sleep(Duration::from_millis(pause));
        // From the start on, when the agent isn't ready yet.
        eventually("it listens", || cluster.report(0)["ready"] != json!(null));
        for _ in 0..5 {
            kill("HUP");
            wait();
        }
        let begun = Instant::now();
        // The lock isn't free for a moment, so nobody can write between the two programs.
        while begun.elapsed() < Duration::from_millis(300) {
            let applied = cluster.vipd(0, &["cleanup"]).output().unwrap();
            let said = String::from_utf8_lossy(&applied.stderr).into_owned();
            assert!(said.contains(&format!("process {process}")), "after {pause} ms: {said}");
        }
        kill("HUP");
        wait();
        let told = Instant::now();
        assert_eq!(cluster.stop(0, "TERM"), Some(0), "after {pause} ms");
        assert!(told.elapsed() < Duration::from_secs(10), "after {pause} ms");
        let left = cluster.vipd(0, &["cleanup", "--dry-run"]).output().unwrap();
        assert_eq!(left.status.code(), Some(0), "after {pause} ms: {left:?}");
    }
}

#[test]
fn an_agent_whose_directory_is_removed_takes_the_lock_anew_and_stays_held() {
    let mut cluster = Cluster::new();
    cluster.start(0, &[]);
    eventually("the agent is ready", || cluster.report(0)["ready"] == json!(true));
    assert!(cluster.vipd(0, &["hold", "why"]).output().unwrap().status.success());
    std::fs::remove_dir_all(format!("/run/{}", cluster.nodes[0])).unwrap();
    eventually("it is back", || cluster.report(0)["hold"]["reason"] == json!("why"));
    let refused = cluster.vipd(0, &["cleanup"]).output().unwrap();
    let process = format!("process {}", cluster.process(0));
    assert!(String::from_utf8_lossy(&refused.stderr).contains(&process), "{refused:?}");
    assert_eq!(cluster.stop(0, "TERM"), Some(0));
    // Nobody runs, and the hold is known all the same.
    let status = cluster.vipd(0, &["status"]).output().unwrap();
    assert!(String::from_utf8_lossy(&status.stdout).contains("no agent runs; the node is held"));
    let url = format!("http://{}", crate::cluster::API);
    let refused = cluster.vipd(0, &["apply", "--marathon", &url]).output().unwrap();
    assert!(String::from_utf8_lossy(&refused.stderr).contains("vipd release"), "{refused:?}");
    let forced = cluster.vipd(0, &["apply", "--force", "--marathon", &url]).output().unwrap();
    assert_eq!(forced.status.code(), Some(0), "{forced:?}");
}
