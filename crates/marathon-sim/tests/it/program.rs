//! The program itself, and that it leaves nothing behind.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::*;

/// The program, running one app and one shell program; and the net its agent is in.
async fn running() -> (Child, String) {
    let net = own_net();
    let agent = ip(net, 11).to_string();
    let mut child = Command::new(PROGRAM)
        .args(["--listen", "127.0.0.1:0", "--agent", &agent])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let url = line.trim().strip_prefix("listening on ").unwrap().to_owned();
    let client = reqwest::Client::new();
    let shell = serde_json::json!({"id": "/shell", "cmd": format!("sleep 1000; : {agent}")});
    for app in [bridge_app("/db", 1), shell] {
        let posted = client.post(format!("{url}/v2/apps")).body(app.to_string()).send().await;
        assert_eq!(posted.unwrap().status().as_u16(), 201);
    }
    // Itself, the server, the keeper of the shell, the shell.
    eventually(|| processes(&agent).len() == 4).await;
    (child, agent)
}

#[tokio::test]
async fn it_says_where_it_listens_and_ends_cleanly_when_told_to() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let (mut child, agent) = running().await;
        kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
        assert!(child.wait().unwrap().success());
        assert_eq!(processes(&agent), Vec::<i32>::new());
    }
}

#[tokio::test]
async fn no_task_outlives_it_even_if_it_is_killed() {
    let (mut child, agent) = running().await;
    child.kill().unwrap();
    child.wait().unwrap();
    eventually(|| processes(&agent).is_empty()).await;
}

#[test]
fn it_says_where_each_member_listens() {
    let mut child = Command::new(PROGRAM)
        .args(["--listen", "127.0.0.1:0", "--standbys", "1"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().take(2);
    let lines: Vec<String> = lines.map(Result::unwrap).collect();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(lines.iter().all(|line| line.starts_with("listening on http://127.0.0.1:")));
    assert_ne!(lines[0], lines[1]);
}

#[test]
fn help_has_examples_and_hides_what_is_not_for_people() {
    let help = Command::new(PROGRAM).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    assert!(help.contains("Examples:") && help.contains("--agent 10.1.0.11@node1"), "{help}");
    assert!(!help.contains("task "), "{help}");
}
