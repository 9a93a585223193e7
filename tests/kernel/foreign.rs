//! Virtual services and addresses that vipd didn't create.

use serde_json::{Value, json};
use testkit::netns;

use crate::world::{addresses, app, apply, apps, diff, healthy, node, table, vipd};

fn wanted() -> Value {
    apps([
        app("/mysql", "tcp", &json!({ "VIP_0": "3.3.0.6:3306" }), &[healthy("10.9.0.11", 1)]),
        app("/web", "tcp", &json!({ "VIP_0": "4.4.0.7:80" }), &[healthy("10.9.0.12", 2)]),
        app("/free", "tcp", &json!({ "VIP_0": "5.5.0.8:80" }), &[healthy("10.9.0.13", 3)]),
    ])
}

const FOREIGN: &str = "\
-A -t 3.3.0.6:3306 -s rr
-a -t 3.3.0.6:3306 -r 10.9.0.66:66 -m -w 6
-A -t 4.4.0.7:443 -s lc -p 60
-A -u 8.8.8.8:53 -s wrr
-a -u 8.8.8.8:53 -r 10.9.0.67:53 -g -w 7
-A -f 7 -s rr
";

#[test]
fn services_that_vipd_did_not_make_are_untouched_and_reported() {
    node();
    netns::run_tool_with_input("ipvsadm", "-R", FOREIGN);
    let theirs = table();
    let shown = diff(&wanted());
    assert!(shown.out.contains("! 3.3.0.6:3306/tcp  /mysql"), "{}", shown.out);
    assert!(shown.out.contains("vipd adopt 3.3.0.6:3306/tcp"), "{}", shown.out);
    assert!(shown.out.contains("! 4.4.0.7:80/tcp  /web"), "{}", shown.out);
    assert!(shown.out.contains("2 VIPs left alone"), "{}", shown.out);

    apply(&wanted());
    let mut both = theirs.clone();
    both.extend(
        ["-A -t 5.5.0.8:80 -s wlc -b flag-3", "-a -t 5.5.0.8:80 -r 10.9.0.13:3 -m -w 1"]
            .map(String::from),
    );
    both.sort();
    assert_eq!(table(), both);
    assert_eq!(addresses(), ["5.5.0.8"]);

    let cleaned = vipd(&["cleanup"], "");
    assert_eq!(cleaned.code, Some(0), "{cleaned:?}");
    assert!(cleaned.out.contains("3.3.0.6:3306/tcp stays: not vipd's"), "{}", cleaned.out);
    assert_eq!(table(), theirs);
}

#[test]
fn adopting_takes_over_on_request_only() {
    node();
    netns::run_tool_with_input("ipvsadm", "-R", FOREIGN);
    let unknown = vipd(&["adopt", "9.9.9.9:1"], "");
    assert_eq!(unknown.code, Some(2));
    assert!(unknown.err.contains("3.3.0.6:3306/tcp"), "{}", unknown.err);

    let adopted = vipd(&["adopt", "3.3.0.6:3306", "4.4.0.7:443/tcp"], "");
    assert_eq!(adopted.code, Some(0), "{adopted:?}");
    let marked = table();
    assert!(marked.contains(&"-A -t 3.3.0.6:3306 -s rr -b flag-3".to_owned()), "{marked:?}");
    assert!(marked.contains(&"-A -t 4.4.0.7:443 -s lc -p 60 -b flag-3".to_owned()), "{marked:?}");
    assert!(marked.contains(&"-a -t 3.3.0.6:3306 -r 10.9.0.66:66 -m -w 6".to_owned()));

    apply(&wanted());
    let table = table();
    for line in [
        "-A -t 3.3.0.6:3306 -s wlc -b flag-3",
        "-a -t 3.3.0.6:3306 -r 10.9.0.11:1 -m -w 1",
        "-A -u 8.8.8.8:53 -s wrr",
        "-A -f 7 -s rr",
    ] {
        assert!(table.contains(&line.to_owned()), "{line}: {table:?}");
    }
    assert!(!table.iter().any(|line| line.contains("10.9.0.66") || line.contains("4.4.0.7:443")));
    assert_eq!(addresses(), ["3.3.0.6", "4.4.0.7", "5.5.0.8"]);
}
