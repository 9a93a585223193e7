//! SIGHUP: a running agent applies a changed configuration.

use std::process::Command;

use serde_json::json;
use testkit::netns;

use crate::cluster::{Cluster, eventually};

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

    let no_authority = format!("{file}.pem");
    std::fs::write(&no_authority, "no certificate").unwrap();
    for wrong in [
        "[agent]\nlisten = \"nowhere\"\n",
        &format!(
            "[[marathon]]\nurls = [\"http://10.77.0.1:8080\"]\nca-file = \"{no_authority}\"\n"
        ),
    ] {
        std::fs::write(&file, wrong).unwrap();
        netns::run_tool("kill", &format!("-HUP {process}"));
        // An invalid configuration is refused: the agent keeps the old one until a valid reload.
        assert_eq!(asked(9614), "alive\n");
    }
    listen(9615);
    netns::run_tool("kill", &format!("-HUP {process}"));
    eventually("it listens where it is told", || answers(9615));
    eventually("it is ready again", || cluster.report(0)["ready"] == json!(true));
    assert_eq!(cluster.stop(0, "TERM"), Some(0));
}
