//! Timeouts of the IPVS table: `[ipvs]` of the configuration.

use serde_json::{Value, json};
use testkit::netns;

use crate::support::Ran;
use crate::world::{app, apps, healthy, node, vipd};

fn with(config: &str, command: &str) -> Ran {
    let name = format!("/run/vipd-timeouts-{:?}.toml", std::thread::current().id());
    std::fs::write(&name, config).unwrap();
    let web = app("/web", "tcp", &json!({ "VIP_0": "3.3.0.6:80" }), &[healthy("10.9.0.11", 1)]);
    let args = [command, "--no-pods", "--from", "-", "--config", &name];
    vipd(&args, &apps([web]).to_string())
}

/// The timeouts tcp, tcpfin and udp, read by ipvsadm.
fn timeouts() -> String {
    netns::run_tool("ipvsadm", "-L --timeout").trim().to_owned()
}

const CONFIG: &str = "[ipvs]\ntcp-timeout = 7200\nudp-timeout = 30\n";

#[test]
fn timeouts_are_set_shown_and_put_back_and_those_that_are_not_named_are_left() {
    node();
    netns::run_tool("ipvsadm", "--set 900 100 300");
    let shown = with(CONFIG, "diff");
    assert_eq!(shown.code, Some(1), "{shown:?}");
    assert!(shown.out.contains("    ~ tcp 900 s -> 7200 s\n"), "{}", shown.out);
    assert!(shown.out.contains("    ~ udp 300 s -> 30 s\n"), "{}", shown.out);
    assert_eq!(timeouts(), "Timeout (tcp tcpfin udp): 900 100 300");
    let done = with(CONFIG, "apply");
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(timeouts(), "Timeout (tcp tcpfin udp): 7200 100 30");
    assert_eq!(with(CONFIG, "apply").out, "nothing to do\n");

    netns::run_tool("ipvsadm", "--set 600 0 0");
    let drift = with(CONFIG, "diff");
    assert!(drift.out.contains("timeouts of connections only"), "{}", drift.out);
    assert_eq!(with(CONFIG, "apply").code, Some(0));
    assert_eq!(timeouts(), "Timeout (tcp tcpfin udp): 7200 100 30");
    assert_eq!(with("", "diff").code, Some(0), "unset is left as it is");

    let status = vipd(&["status", "--output", "json"], "");
    let status: Value = serde_json::from_str(&status.out).unwrap();
    assert_eq!(status["timeouts"], json!({ "tcp": 7200, "tcp-fin": 100, "udp": 30 }));
}
