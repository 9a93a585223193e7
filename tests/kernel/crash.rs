//! `vipd apply` killed at any point: later runs converge, and leave nothing behind.

use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use testkit::netns;

use crate::support::command;
use crate::world::{Task, addresses, app, apply, apps, diff, healthy, node, table, vipd};

/// Two tables of 40 VIPs that differ in everything a plan can change.
fn tables() -> (Value, Value) {
    let many = |shift: u16| {
        let all = (0..40u16).map(|n| {
            let third = (n + shift) % 50;
            let labels = json!({
                "VIP_0": format!("3.3.{}.{}:80", third / 100, third % 100 + 1),
                "IPVS_SCHEDULER": if shift == 0 { "wlc" } else { "rr" },
            });
            let tasks: Vec<_> = (0..3)
                .map(|task| {
                    let port = 1000 + 3 * n + task + shift;
                    match (port % 7, shift) {
                        (0, _) => Task {
                            state: "TASK_KILLING",
                            host: "10.9.0.12",
                            port,
                            alive: Some(true),
                        },
                        _ => healthy("10.9.0.11", port),
                    }
                })
                .collect();
            app(&format!("/app{n}"), "tcp", &labels, &tasks)
        });
        apps(all)
    };
    (many(0), many(10))
}

/// Starts `vipd apply` and kills it after a while.
fn apply_and_kill(apps: &Value, after: Duration) -> bool {
    let mut child = command(&[
        "apply",
        "--force",
        "--no-pods",
        "--from",
        "-",
        "--lock",
        "/run/vipd-crash.lock",
        "--node-name",
        "node1",
    ])
    .stdout(Stdio::null())
    .stderr(Stdio::null())
    .spawn()
    .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let _ = stdin.write_all(apps.to_string().as_bytes());
    drop(stdin);
    std::thread::sleep(after);
    let was_running = child.try_wait().unwrap().is_none();
    let _ = child.kill();
    child.wait().unwrap();
    was_running
}

#[test]
fn killed_anywhere_it_converges_with_nothing_left_over() {
    node();
    let (one, other) = tables();
    apply(&one);
    let after_one = (table(), addresses());
    apply(&other);
    let after_other = (table(), addresses());
    assert_ne!(after_one, after_other);

    let whole = {
        let start = std::time::Instant::now();
        apply(&one);
        start.elapsed()
    };
    let (mut killed, mut halfway) = (0, 0);
    let points = 20;
    for point in 0..points {
        let (apps, before, after) = match point % 2 {
            0 => (&other, &after_one, &after_other),
            _ => (&one, &after_other, &after_one),
        };
        killed += u32::from(apply_and_kill(apps, whole * (point + 1) / (points + 1)));
        let now = (table(), addresses());
        halfway += u32::from(now != *before && now != *after);
        let ran = vipd(&["apply", "--force", "--no-pods", "--from", "-"], &apps.to_string());
        assert_eq!(ran.code, Some(0), "point {point}: {ran:?}");
        assert_eq!((table(), addresses()), *after, "point {point}");
        assert_eq!(diff(apps).code, Some(0), "point {point}");
    }
    println!("killed {killed} of {points} while running, {halfway} with the table half done");
    assert!(killed > 0, "no kill came in time");
    netns::run_tool("ipvsadm", "-C");
}
