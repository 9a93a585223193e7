//! Recognition of vipd's own services by their mark, after other tools changed them.

use serde_json::{Value, json};
use testkit::netns;

use crate::world::{app, apply, apps, diff, healthy, node, table, vipd};

/// One app with a plain scheduler, and two whose scheduler flags ipvsadm prints under other names.
fn wanted() -> Value {
    let with = |vip: &str, scheduler: &str| json!({ "VIP_0": vip, "IPVS_SCHEDULER": scheduler });
    apps([
        app("/rr", "tcp", &with("3.3.0.1:80", "rr"), &[healthy("10.9.0.11", 1)]),
        app("/sh", "tcp", &with("3.3.0.2:80", "sh"), &[healthy("10.9.0.11", 2)]),
        app("/mh", "tcp", &with("3.3.0.3:80", "mh"), &[healthy("10.9.0.11", 3)]),
    ])
}

#[test]
fn after_the_interface_was_deleted() {
    node();
    apply(&wanted());
    let right = table();
    netns::run_tool("ip", "link del vipd0");
    // Without the interface every service is still recognized as vipd's: a snapshot without them
    // would remove them.
    let gone = vipd(&["diff", "--no-pods", "--from", "-"], r#"{"apps":[]}"#);
    assert!(
        gone.out.contains("3 to remove") || gone.out.contains("3 VIPs to remove"),
        "{}",
        gone.out
    );
    apply(&wanted());
    assert_eq!(table(), right);
    assert_eq!(diff(&wanted()).code, Some(0));
}

#[test]
fn after_ipvsadm_saved_and_restored_them() {
    node();
    apply(&wanted());
    let saved = netns::run_tool("ipvsadm", "-Sn");
    netns::run_tool("ipvsadm", "-C");
    netns::run_tool_with_input("ipvsadm", "-R", &saved);
    apply(&wanted());
    assert_eq!(
        table(),
        saved
            .lines()
            .map(|line| line.trim().to_owned())
            .collect::<std::collections::BTreeSet<_>>()
            .into_iter()
            .collect::<Vec<_>>()
    );
    // All marks are back, whatever ipvsadm made of them: an empty snapshot removes all three.
    let emptied = vipd(&["apply", "--force", "--no-pods", "--from", "-"], r#"{"apps":[]}"#);
    assert_eq!(emptied.code, Some(0), "{emptied:?}");
    assert!(table().is_empty(), "{:?}", table());
}

#[test]
fn after_somebody_edited_one() {
    node();
    apply(&wanted());
    let right = table();
    netns::run_tool("ipvsadm", "-E -t 3.3.0.1:80 -s lc");
    netns::run_tool("ipvsadm", "-E -t 3.3.0.3:80 -s mh");
    let shown = diff(&wanted());
    assert!(shown.out.contains("vipd's mark is missing: restored"), "{}", shown.out);
    assert!(!shown.out.contains("left alone"), "{}", shown.out);
    apply(&wanted());
    assert_eq!(table(), right);
}
