//! `vipd check`: the linter for app owners.

mod support;

use serde_json::Value;
use support::{example, vipd, vipd_with_input};

fn check_json(text: &str) -> (Option<i32>, Vec<Value>) {
    let ran = vipd_with_input(&["check", "--output", "json", "-"], text.as_bytes());
    let entries = serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{ran:?}"));
    (ran.code, entries)
}

fn bridge(labels: &str) -> String {
    format!(
        r#"{{"id":"/a","container":{{"docker":{{"network":"BRIDGE","portMappings":[
            {{"containerPort":80,"hostPort":0,"protocol":"tcp","labels":{labels}}}]}}}}}}"#
    )
}

#[test]
fn the_tutorials_first_form_is_clean() {
    let ran = vipd(&["check", &example("mysql.json"), &example("wordpress.json")]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{ran:?}");
    assert!(ran.out.contains("mysql.json:26: ok: /mysql VIP_0 3.3.0.6:3306/tcp"), "{}", ran.out);
    assert!(ran.out.ends_with("1 VIP, 0 findings\n"), "{}", ran.out);
}

#[test]
fn the_tutorials_second_form_has_two_vips_and_a_word_on_marathon() {
    let path = example("mysql-two-vips.json");
    let ran = vipd(&["check", "--output", "json", &path]);
    assert_eq!(ran.code, Some(1));
    let entries: Vec<Value> = serde_json::from_str(&ran.out).unwrap();
    let found: Vec<_> = entries
        .iter()
        .map(|entry| {
            (
                entry["line"].as_u64().unwrap(),
                entry["vip"].as_str().unwrap(),
                entry["ok"].as_bool().unwrap(),
            )
        })
        .collect();
    assert_eq!(found, [(26, "3.3.0.6:3306", true), (27, "4.4.0.7:3306", true)]);
    assert!(
        entries[0]["reason"]
            .as_str()
            .unwrap()
            .contains("Marathon keeps only the last: name one VIP_1")
    );
    assert!(entries[1]["reason"].as_str().unwrap().contains("Marathon keeps only this one"));
    for entry in &entries {
        assert_eq!(entry["app"], "/mysql");
        assert_eq!(entry["port"], 0);
        assert_eq!(entry["key"], "VIP_0");
        assert_eq!(entry["protocol"], "tcp");
        assert_eq!(entry["path"], "$.container.docker.portMappings[0].labels");
    }
}

#[test]
fn every_refused_label_has_its_reason_and_the_good_one_stays() {
    let (code, entries) = check_json(&bridge(
        r#"{"VIP_0":"256.1.1.1:80","VIP_1":"3.3.0.6:80","VIP_2":"127.0.0.1:80","VIP_3":"/web:80",
            "Vip_4":"3.3.0.7:80","VIP_5":"3.3.0.8:99999","IPVS_SCHEDULER":"dh"}"#,
    ));
    assert_eq!(code, Some(1));
    let verdict = |key: &str| {
        let entry = entries.iter().find(|entry| entry["key"] == key).unwrap();
        entry["verdict"].as_str().unwrap().to_owned()
    };
    for (key, expected) in [
        ("VIP_0", "refused"),
        ("VIP_1", "ok"),
        ("VIP_2", "refused"),
        ("VIP_3", "named"),
        ("Vip_4", "refused"),
        ("VIP_5", "refused"),
        ("IPVS_SCHEDULER", "refused"),
    ] {
        assert_eq!(verdict(key), expected, "{key}");
    }
    assert!(entries.iter().all(|entry| entry["ok"] == true || entry["reason"].is_string()));
}

#[test]
fn udp_and_tcp_are_two_vips() {
    let (code, entries) = check_json(
        r#"{"id":"/dns","networks":[{"mode":"container/bridge"}],"container":{"portMappings":[
            {"containerPort":53,"hostPort":0,"protocol":"udp,tcp","labels":{"VIP_0":"3.3.0.6:53"}}]}}"#,
    );
    assert_eq!(code, Some(0));
    let mut protocols: Vec<_> = entries.iter().map(|e| e["protocol"].as_str().unwrap()).collect();
    protocols.sort_unstable();
    assert_eq!(protocols, ["tcp", "udp"]);
}

#[test]
fn a_label_on_the_app_itself_is_told_where_it_belongs() {
    let (code, entries) = check_json(r#"{"id":"/a","labels":{"VIP_0":"3.3.0.6:80"}}"#);
    assert_eq!(code, Some(1));
    assert!(entries[0]["reason"].as_str().unwrap().contains("belongs on a port"));
    assert_eq!(entries[0]["port"], Value::Null);
}

#[test]
fn what_cannot_be_read_is_trouble_and_does_not_hide_the_rest() {
    let ran = vipd(&["check", "/no/such/file.json", &example("mysql.json")]);
    assert!(ran.out.ends_with(", 0 findings, 1 file not read\n"), "{ran:?}");
    assert_eq!(ran.code, Some(2));
    assert!(ran.err.contains("cannot open /no/such/file.json"), "{}", ran.err);
    assert!(ran.out.contains("3.3.0.6:3306"), "{}", ran.out);
    for text in ["", "   ", "{", "[1,2", "<html></html>", "null", "3", "\"x\"", "\u{0}"] {
        let ran = vipd_with_input(&["check", "-"], text.as_bytes());
        assert_eq!(ran.code, Some(2), "{text:?}: {ran:?}");
        assert!(ran.err.starts_with("error: standard input"), "{text:?}: {}", ran.err);
    }
}

#[test]
fn the_nodes_policy_can_be_checked_too() {
    let ran = vipd(&["check", "--vip-allow", "10.0.0.0/8", &example("mysql.json")]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.out.contains("3.3.0.6 is outside vip.allow"), "{}", ran.out);
}
