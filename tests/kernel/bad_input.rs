//! Sources that can't be read, or only in part: the table stays as it is.

use serde_json::json;

use crate::support::{http, serve};
use crate::world::{addresses, app, apply, apps, healthy, node, table, vipd};

#[test]
fn a_sick_source_leaves_the_table_as_it_is() {
    node();
    let labels = json!({ "VIP_0": "3.3.0.6:3306" });
    apply(&apps([app("/mysql", "tcp", &labels, &[healthy("10.9.0.11", 1)])]));
    let before = (table(), addresses());
    for text in [
        "",
        " ",
        "{",
        "{}",
        "null",
        "[]x",
        "<html>",
        "[1,2,3",
        r#"{"apps":null}"#,
        r#"{"apps":7}"#,
        r#"{"message":"no leader"}"#,
        "\u{feff}",
        r#"{"apps":[{"id":"/mysql""#,
    ] {
        let ran = vipd(&["apply", "--force", "--from", "-"], text);
        assert_eq!(ran.code, Some(2), "{text:?}: {ran:?}");
        assert_eq!((table(), addresses()), before, "{text:?}");
    }
    for (status, kind, body) in [
        ("200 OK", "application/json", ""),
        ("200 OK", "text/html", "<html></html>"),
        ("200 OK", "application/json", r#"{"apps":[{"id":"/mysql"}]}"#),
        (
            "500 Internal Server Error",
            "application/json",
            r#"{"message":"while retrieving health counts for app [/x]"}"#,
        ),
        ("502 Bad Gateway", "text/html", "<html>Could not determine the current leader</html>"),
        ("401 Unauthorized", "text/plain", ""),
    ] {
        let url = serve(http(status, kind, body.as_bytes()));
        let ran = vipd(&["apply", "--force", "--marathon", &url], "");
        assert_eq!(ran.code, Some(2), "{status} {body}: {ran:?}");
        assert_eq!((table(), addresses()), before, "{status} {body}");
    }
}

#[test]
fn one_broken_app_costs_another_nothing() {
    node();
    let good = app("/good", "tcp", &json!({ "VIP_0": "3.3.0.6:80" }), &[healthy("10.9.0.11", 1)]);
    let mut odd = app(
        "/odd",
        "tcp",
        &json!({ "VIP_0": "3.3.0.7:80", "VIP_1": 7 }),
        &[healthy("10.9.0.11", 2)],
    );
    odd["container"]["portMappings"][0]["containerPort"] = json!("eighty");
    odd["tasks"][0]["ports"] = json!("many");
    let ran = apply(&apps([json!(7), json!({ "id": null, "tasks": [] }), odd, good]));
    assert!(table().contains(&"-a -t 3.3.0.6:80 -r 10.9.0.11:1 -m -w 1".to_owned()), "{ran:?}");
    assert!(ran.err.contains("warning"), "{ran:?}");
}
