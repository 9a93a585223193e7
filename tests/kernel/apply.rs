//! `vipd apply` and `vipd diff` against the IPVS table of a real kernel.

use serde_json::{Value, json};
use testkit::netns;

use crate::world::{Task, addresses, app, apply, apps, diff, healthy, node, table, vipd};

fn mysql(tasks: &[Task<'_>]) -> Value {
    app("/mysql", "tcp", &json!({ "VIP_0": "3.3.0.6:3306" }), tasks)
}

#[test]
fn apply_makes_what_diff_shows_and_a_second_run_does_nothing() {
    node();
    let apps = apps([mysql(&[healthy("10.9.0.11", 31001), healthy("10.9.0.12", 31002)])]);
    let shown = diff(&apps);
    assert_eq!(shown.code, Some(1), "{shown:?}");
    assert!(table().is_empty());

    let done = apply(&apps);
    let (lines, summary) = done.out.trim_end().rsplit_once('\n').unwrap();
    assert!(shown.out.starts_with(lines), "{done:?}");
    assert_eq!(summary, "done: 1 VIP added; 2 real servers added; 1 address bound");
    assert_eq!(
        table(),
        [
            "-A -t 3.3.0.6:3306 -s wlc -b flag-3",
            "-a -t 3.3.0.6:3306 -r 10.9.0.11:31001 -m -w 1",
            "-a -t 3.3.0.6:3306 -r 10.9.0.12:31002 -m -w 1",
        ]
    );
    assert_eq!(addresses(), ["3.3.0.6"]);

    assert_eq!(diff(&apps).code, Some(0));
    let again = apply(&apps);
    assert_eq!(again.out, "nothing to do\n");
}

#[test]
fn a_task_that_turns_unhealthy_or_is_killed_keeps_its_connections_and_takes_no_new_ones() {
    node();
    apply(&apps([mysql(&[
        healthy("10.9.0.11", 1),
        healthy("10.9.0.12", 2),
        healthy("10.9.0.13", 3),
    ])]));
    let unhealthy = Task { state: "TASK_RUNNING", host: "10.9.0.11", port: 1, alive: Some(false) };
    let killing = Task { state: "TASK_KILLING", host: "10.9.0.12", port: 2, alive: Some(true) };
    apply(&apps([mysql(&[unhealthy, killing, healthy("10.9.0.13", 3)])]));
    assert_eq!(
        table()[1..],
        [
            "-a -t 3.3.0.6:3306 -r 10.9.0.11:1 -m -w 0",
            "-a -t 3.3.0.6:3306 -r 10.9.0.12:2 -m -w 0",
            "-a -t 3.3.0.6:3306 -r 10.9.0.13:3 -m -w 1",
        ]
    );
    apply(&apps([mysql(&[healthy("10.9.0.13", 3)])]));
    assert_eq!(table()[1..], ["-a -t 3.3.0.6:3306 -r 10.9.0.13:3 -m -w 1"]);
}

#[test]
fn results_that_a_leader_change_forgot_change_nothing() {
    node();
    let down = Task { state: "TASK_RUNNING", host: "10.9.0.12", port: 2, alive: Some(false) };
    apply(&apps([mysql(&[healthy("10.9.0.11", 1), down])]));
    let before = table();
    let unknown = |host, port| Task { state: "TASK_RUNNING", host, port, alive: None };
    apply(&apps([mysql(&[unknown("10.9.0.11", 1), unknown("10.9.0.12", 2)])]));
    assert_eq!(table(), before);
}

#[test]
fn an_app_without_tasks_keeps_its_vip_and_refuses() {
    node();
    apply(&apps([mysql(&[])]));
    assert_eq!(table(), ["-A -t 3.3.0.6:3306 -s wlc -b flag-3"]);
    let error = std::net::TcpStream::connect("3.3.0.6:3306").unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
}

#[test]
fn a_file_with_one_app_adds_and_removes_nothing() {
    node();
    apply(&apps([mysql(&[healthy("10.9.0.11", 1)])]));
    let other = app("/web", "tcp", &json!({ "VIP_0": "4.4.0.7:80" }), &[healthy("10.9.0.12", 2)]);
    apply(&other);
    assert_eq!(table().len(), 4);
    apply(&json!([other]));
    assert_eq!(table().len(), 4);
    assert_eq!(addresses(), ["3.3.0.6", "4.4.0.7"]);
}

#[test]
fn a_whole_answer_removes_what_no_app_claims_and_only_if_forced_more_than_half() {
    node();
    apply(&apps([mysql(&[healthy("10.9.0.11", 1)])]));
    let nothing = json!({ "apps": [] }).to_string();
    let refused = vipd(&["apply", "--no-pods", "--from", "-"], &nothing);
    assert_eq!(refused.code, Some(2));
    assert!(refused.err.contains("1 of 1 VIPs"), "{}", refused.err);
    assert!(refused.err.contains("--force"), "{}", refused.err);
    assert_eq!(table().len(), 2);
    let forced = vipd(&["apply", "--force", "--no-pods", "--from", "-"], &nothing);
    assert_eq!(forced.code, Some(0), "{forced:?}");
    assert!(table().is_empty());
    assert!(addresses().is_empty());
}

#[test]
fn nothing_is_removed_while_a_running_tasks_definition_is_unknown() {
    node();
    apply(&apps([
        mysql(&[healthy("10.9.0.11", 1)]),
        app("/web", "tcp", &json!({ "VIP_0": "4.4.0.7:80" }), &[]),
    ]));
    let before = table();
    let mut upgraded = mysql(&[healthy("10.9.0.11", 1)]);
    upgraded["version"] = json!("2026-02-01T00:00:00.000Z");
    let ran = apply(&apps([upgraded]));
    assert!(ran.err.contains("none of its real servers are removed"), "{}", ran.err);
    assert_eq!(table(), before);
}

#[test]
fn a_sick_app_keeps_no_dead_server_of_another() {
    node();
    let web = |tasks: &[Task<'_>]| app("/web", "tcp", &json!({ "VIP_0": "4.4.0.7:80" }), tasks);
    let sick = |host| {
        let mut sick = mysql(&[healthy(host, 1)]);
        sick["tasks"][0]["host"] = json!(host);
        sick
    };
    apply(&apps([sick("10.9.0.11"), web(&[healthy("10.9.0.12", 2), healthy("10.9.0.13", 3)])]));
    let ran = apply(&apps([sick("agent7.invalid"), web(&[healthy("10.9.0.12", 2)])]));
    assert!(ran.err.contains("agent7.invalid"), "{}", ran.err);
    let left = table();
    assert!(left.contains(&"-a -t 3.3.0.6:3306 -r 10.9.0.11:1 -m -w 1".to_owned()), "{left:?}");
    assert!(!left.iter().any(|line| line.contains("10.9.0.13")), "{left:?}");
}

#[test]
fn an_answer_without_pods_removes_no_vip_that_may_be_a_pods() {
    node();
    apply(&apps([mysql(&[healthy("10.9.0.11", 1)])]));
    let ran = vipd(&["apply", "--force", "--from", "-"], r#"{"apps":[]}"#);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.err.contains("--no-pods"), "{}", ran.err);
    assert_eq!(table().len(), 2);
}

/// Every option, both protocols and both families at once.
fn everything() -> Value {
    let servers = |port| [healthy("10.9.0.11", port), healthy("10.9.0.12", port)];
    let labels = |vip: &str, scheduler: &str, more: &[(&str, &str)]| {
        let mut labels = json!({ "VIP_0": vip, "IPVS_SCHEDULER": scheduler });
        for (key, value) in more {
            labels[key] = json!(value);
        }
        labels
    };
    let mut all = Vec::new();
    let schedulers = ["rr", "wrr", "lc", "wlc", "sh", "sed", "nq", "mh", "fo", "ovf"];
    for (n, scheduler) in (1..).zip(schedulers) {
        let vip = format!("3.3.1.{n}:80");
        all.push(app(
            &format!("/s{n}"),
            "udp,tcp",
            &labels(&vip, scheduler, &[]),
            &servers(100 + n),
        ));
    }
    let flags = [("IPVS_FLAGS", "mh-port"), ("IPVS_WEIGHT", "7"), ("IPVS_PERSISTENCE", "300")];
    all.push(app("/o1", "tcp", &labels("3.3.2.1:80", "mh", &flags), &servers(200)));
    let flags = [("IPVS_FLAGS", "sh-port"), ("IPVS_WEIGHT", "0")];
    all.push(app("/o2", "tcp", &labels("3.3.2.2:80", "sh", &flags), &servers(201)));
    let v6 = [healthy("fd09::11", 300)];
    all.push(app("/v6", "tcp", &labels("[fd03::6]:80", "wlc", &[("IPVS_PERSISTENCE", "60")]), &v6));
    apps(all)
}

#[test]
fn ipvsadm_restores_from_the_diff_the_table_that_apply_makes() {
    node();
    let apps = everything();
    let shown =
        vipd(&["diff", "--output", "ipvsadm", "--no-pods", "--from", "-"], &apps.to_string());
    assert_eq!(shown.code, Some(1), "{shown:?}");
    netns::run_tool_with_input("ipvsadm", "-R", &shown.out);
    let restored = table();
    netns::run_tool("ipvsadm", "-C");
    apply(&apps);
    assert_eq!(table(), restored);
    assert_eq!(restored.len(), 23 + 45);
    assert_eq!(diff(&apps).out, "nothing to do\n");
}

#[test]
fn drift_is_found_and_put_right() {
    node();
    let apps = apps([mysql(&[healthy("10.9.0.11", 1), healthy("10.9.0.12", 2)])]);
    apply(&apps);
    let right = table();
    for damage in [
        "-e -t 3.3.0.6:3306 -r 10.9.0.11:1 -m -w 9",
        "-d -t 3.3.0.6:3306 -r 10.9.0.11:1",
        "-a -t 3.3.0.6:3306 -r 10.9.0.99:9 -m",
        "-E -t 3.3.0.6:3306 -s rr -b flag-3",
        "-E -t 3.3.0.6:3306 -s wlc -p 60 -b flag-3",
        "-e -t 3.3.0.6:3306 -r 10.9.0.12:2 -m -w 1 -x 5 -y 2",
        "-D -t 3.3.0.6:3306",
        "-C",
    ] {
        netns::run_tool("ipvsadm", damage);
        // Use the diff: `ipvsadm -S` doesn't print thresholds.
        assert_eq!(diff(&apps).code, Some(1), "{damage}");
        apply(&apps);
        assert_eq!((table(), diff(&apps).code), (right.clone(), Some(0)), "{damage}");
    }
    for damage in ["addr del 3.3.0.6/32 dev vipd0", "link del vipd0", "link set vipd0 down"] {
        netns::run_tool("ip", damage);
        assert_eq!(diff(&apps).code, Some(1), "{damage}");
        apply(&apps);
        assert_eq!(diff(&apps).code, Some(0), "{damage}");
        assert_eq!((addresses(), table()), (vec!["3.3.0.6".to_owned()], right.clone()), "{damage}");
    }
}

#[test]
fn cleanup_leaves_an_empty_table_and_no_interface() {
    node();
    apply(&everything());
    let before = table();
    let dry = vipd(&["cleanup", "--dry-run"], "");
    assert_eq!((dry.code, table()), (Some(1), before));
    let done = vipd(&["cleanup"], "");
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(table().is_empty());
    assert!(!netns::run_tool("ip", "link show").contains("vipd0"));
    let again = vipd(&["cleanup"], "");
    assert_eq!((again.code, again.out.as_str()), (Some(0), "nothing to do\n"));
}

#[test]
fn status_tells_servers_apps_and_what_is_wrong() {
    node();
    let down = Task { state: "TASK_KILLING", host: "10.9.0.12", port: 2, alive: Some(false) };
    let apps = apps([
        mysql(&[healthy("10.9.0.11", 1), down]),
        app("/empty", "tcp", &json!({ "VIP_0": "4.4.0.7:80" }), &[]),
    ]);
    apply(&apps);
    let text = vipd(&["status"], "");
    assert_eq!(text.code, Some(1), "{text:?}");
    assert!(text.out.contains("10.9.0.12:2  masq weight 0"), "{}", text.out);
    assert!(text.out.contains("! no real server: clients are refused"), "{}", text.out);
    let ran = vipd(&["status", "--output", "json", "--no-pods", "--from", "-"], &apps.to_string());
    let status: Value = serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{ran:?}"));
    assert_eq!(status["vips"][0]["vip"], "3.3.0.6:3306/tcp");
    assert_eq!(status["vips"][0]["servers"][0]["app"], "/mysql");
    assert_eq!(status["vips"][0]["servers"][0]["why"], "healthy");
    assert_eq!(status["problems"], json!([]));
}

#[test]
fn explain_tells_of_each_task_why_it_serves_or_not() {
    node();
    let new = Task { state: "TASK_STAGING", host: "10.9.0.12", port: 2, alive: None };
    let down = Task { state: "TASK_RUNNING", host: "10.9.0.13", port: 3, alive: Some(false) };
    let apps = apps([mysql(&[healthy("10.9.0.11", 1), new, down])]);
    apply(&apps);
    for what in ["/mysql", "mysql", "3.3.0.6:3306", "3.3.0.6:3306/tcp", "3.3.0.6"] {
        let ran = vipd(&["explain", what, "--from", "-"], &apps.to_string());
        assert_eq!(ran.code, Some(0), "{what}: {ran:?}");
        let lines: Vec<_> = ran.out.lines().map(str::trim).collect();
        let task = |number, is: &str| {
            format!("mysql.{number} of /mysql (version 2026-01-01T00:00:00.000Z) is {is}")
        };
        assert_eq!(
            lines,
            [
                "3.3.0.6:3306/tcp  /mysql".to_owned(),
                task(1, "the real server 10.9.0.11:1 with weight 1: healthy"),
                task(3, "the real server 10.9.0.13:3 with weight 0: unhealthy"),
                task(2, "no real server: not running yet"),
            ]
        );
    }
    let unknown = vipd(&["explain", "/nobody", "--from", "-"], &apps.to_string());
    assert_eq!(unknown.code, Some(2));
}

#[test]
fn an_address_of_this_node_is_no_vip() {
    node();
    let own = app("/evil", "tcp", &json!({ "VIP_0": "10.9.0.1:22" }), &[healthy("10.9.0.11", 1)]);
    let near =
        app("/near", "tcp", &json!({ "VIP_0": "10.9.0.200:80" }), &[healthy("10.9.0.11", 1)]);
    let good = mysql(&[healthy("10.9.0.11", 1)]);
    let ran = apply(&apps([own.clone(), near.clone(), good.clone()]));
    assert!(ran.err.contains("10.9.0.1 is an address of this node"), "{}", ran.err);
    assert!(ran.err.contains("10.9.0.200 lies in 10.9.0.0/24"), "{}", ran.err);
    assert_eq!(table().len(), 2);
    let all = apps([own, near, good]).to_string();
    let ran = vipd(
        &["apply", "--vip-allow", "10.9.0.200/32,3.0.0.0/8", "--no-pods", "--from", "-"],
        &all,
    );
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(addresses(), ["10.9.0.200", "3.3.0.6"]);
}

#[test]
fn one_writer_at_a_time() {
    node();
    let lock = std::fs::File::create("/run/vipd-held.lock").unwrap();
    lock.lock().unwrap();
    let ran = crate::support::vipd(&["cleanup", "--lock", "/run/vipd-held.lock"]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.err.contains("locked by"), "{}", ran.err);
}

/// Somebody names the interface anew, and changes it back: it stays one that vipd made.
#[test]
fn another_name_of_the_interface_costs_no_vip_nor_does_the_old_one_again() {
    node();
    let apps = apps([mysql(&[healthy("10.9.0.11", 31001)])]);
    let on = |interface: &str, command: &str| {
        let args = [command, "--no-pods", "--interface", interface, "--from", "-"];
        vipd(&args, &apps.to_string())
    };
    let whole =
        ["-A -t 3.3.0.6:3306 -s wlc -b flag-3", "-a -t 3.3.0.6:3306 -r 10.9.0.11:31001 -m -w 1"];
    for interface in ["vip0", "vipd0", "vip0"] {
        let done = on(interface, "apply");
        assert_eq!(done.code, Some(0), "{interface}: {done:?}");
        assert_eq!(table(), whole, "{interface}");
        assert_eq!(on(interface, "diff").code, Some(0), "{interface}");
    }
    let checked = vipd(&["doctor", "--interface", "vip0"], "");
    assert!(checked.out.contains("ip link del vipd0"), "{checked:?}");
    netns::run_tool("ip", "link del vipd0");
    assert_eq!(on("vip0", "diff").code, Some(0));
    assert_eq!(table(), whole);
    assert!(netns::run_tool("ip", "route get 3.3.0.6").contains("local 3.3.0.6"));
}
