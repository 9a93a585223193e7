//! `vipd check`: the linter for app owners.
#![allow(clippy::unwrap_used, reason = "a test that cannot read what it gets should stop")]

mod support;

use std::io::{Write, pipe};

use serde_json::{Value, json};
use support::{command, example, vipd, vipd_with_input};

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
        ("VIP_3", "ok"),
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
    let ran = vipd(&["check", "--output", "json", "/no/such/file.json"]);
    let entries: Value = serde_json::from_str(&ran.out).unwrap();
    let entry = (&entries[0]["file"], &entries[0]["ok"], &entries[0]["verdict"]);
    let expected = (&json!("/no/such/file.json"), &json!(false), &json!("unreadable"));
    assert_eq!((ran.code, entry), (Some(2), expected));
    assert!(entries[0]["reason"].as_str().unwrap().starts_with("cannot open"), "{entries}");
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

/// Checks that a text gives one entry that nobody reads, and returns its line, path and reason.
fn unread(text: &str) -> (u64, String, String) {
    let (code, entries) = check_json(text);
    let found: Vec<_> = entries.iter().filter(|entry| entry["verdict"] == "unread").collect();
    assert_eq!((code, found.len()), (Some(1), 1), "{text}: {entries:?}");
    let text_of = |key: &str| found[0][key].as_str().unwrap().to_owned();
    (found[0]["line"].as_u64().unwrap(), text_of("path"), text_of("reason"))
}

#[test]
fn a_vip_label_that_nobody_reads_is_reported_with_place_line_and_reason() {
    const LABEL: &str = "{\n\"VIP_0\":\"3.3.0.6:80\"}";
    for (text, path, reason) in [
        (
            format!(r#"{{"id":"/a","coainer":{{"portMappings":[{{"labels":{LABEL}}}]}}}}"#),
            "$.coainer.portMappings[0].labels",
            "nothing reads `coainer`: write `container`",
        ),
        (
            format!(r#"{{"id":"/a","container":{{"portMappings":[{{"label":{LABEL}}}]}}}}"#),
            "$.container.portMappings[0].label",
            "write `labels`",
        ),
        (
            format!(r#"{{"id":"/a","container":{{"portMapping":[{{"labels":{LABEL}}}]}}}}"#),
            "$.container.portMapping[0].labels",
            "write `portMappings`",
        ),
        (
            format!(r#"{{"id":"/a","port_definitions":[{{"labels":{LABEL}}}]}}"#),
            "$.port_definitions[0].labels",
            "write `portDefinitions`",
        ),
        (
            format!(r#"{{"id":"/a","portMappings":[{{"labels":{LABEL}}}]}}"#),
            "$.portMappings[0].labels",
            "`portMappings` belongs in `container`",
        ),
        (
            format!(r#"{{"id":"/a","container":{{"labels":{LABEL}}}}}"#),
            "$.container.labels",
            "no labels are read in `container`",
        ),
        (
            "{\"id\":\"/a\",\"portDefinitions\":[{\n\"VIP_0\":\"3.3.0.6:80\"}]}".to_owned(),
            "$.portDefinitions[0]",
            "it stands on the port itself",
        ),
        ("{\"id\":\"/a\",\n\"vip\":\"3.3.0.6:80\"}".to_owned(), "$", "it is not in any `labels`"),
        (format!(r#"{{"id":"/a","env":{LABEL}}}"#), "$.env", "this is an environment variable"),
        (
            format!(r#"{{"id":"/a","portDefinitions":[{{"labels":{LABEL},"labels":{{}}}}]}}"#),
            "$.portDefinitions[0].labels",
            "the key \"labels\" around it stands again later",
        ),
        (
            format!(r#"{{"id":"/a","container":{{"portMappings":{{"labels":{LABEL}}}}}}}"#),
            "$.container.portMappings.labels",
            "it is inside of $.container.portMappings, which can't be read: expected a list",
        ),
        (
            format!(r#"{{"id":"/p","containers":[{{"endpoints":[{{"lables":{LABEL}}}]}}]}}"#),
            "$.containers[0].endpoints[0].lables",
            "write `labels`",
        ),
        (
            format!(
                r#"{{"apps":[{{"id":"/a","x":{}{LABEL}{}}}]}}"#,
                "[".repeat(300),
                "]".repeat(300)
            ),
            "",
            "nothing reads labels in `x`",
        ),
    ] {
        let (line, found, why) = unread(&text);
        assert_eq!(line, 2, "{text}");
        assert!(path.is_empty() || found == path, "{text}: {found}");
        assert!(why.contains(reason), "{text}: {why}");
    }
}

#[test]
fn an_address_in_the_environment_is_no_label() {
    for env in [r#"{"VIP":"3.3.0.6:80"}"#, r#"{"VIP_0":"x"}"#, r#"{"VIP_HOST":"3.3.0.6:80"}"#] {
        let (code, entries) = check_json(&format!(r#"{{"id":"/a","env":{env}}}"#));
        assert_eq!((code, entries.len()), (Some(0), 0), "{env}");
    }
}

#[test]
fn a_definition_without_an_id_is_checked_and_told() {
    for id in ["", "\"id\":null,", "\"id\":\"\","] {
        let text = format!(
            "{{{id}\"portDefinitions\":[\n{{\"labels\":{{\"VIP_0\":\"3.3.0.6:80\",\"VIP_1\":\"x\"}}}}]}}"
        );
        for text in [text.clone(), format!("[{text}]"), format!("{{\"apps\":[{text}]}}")] {
            let (code, entries) = check_json(&text);
            assert_eq!(code, Some(1), "{text}");
            let words: Vec<_> = entries.iter().map(|e| (&e["verdict"], &e["line"])).collect();
            assert_eq!(words.len(), 3, "{text}: {words:?}");
            assert!(words.contains(&(&"ok".into(), &2.into())), "{text}: {words:?}");
            assert!(words.contains(&(&"refused".into(), &2.into())), "{text}: {words:?}");
            let reasons = entries.iter().filter_map(|entry| entry["reason"].as_str());
            assert!(reasons.into_iter().any(|why| why.contains("the id is missing")), "{text}");
        }
    }
}

#[test]
fn a_different_vip_in_the_unused_list_is_told_and_an_equal_one_is_not() {
    let text = |unused: &str| {
        format!(
            r#"{{"id":"/a","networks":[{{"mode":"container/bridge"}}],"container":{{"portMappings":[
            {{"containerPort":80,"labels":{{"VIP_0":"[fd01::1]:80","VIP_1":"/web:80"}}}}]}},
            "portDefinitions":[{{"labels":{unused}}}]}}"#
        )
    };
    for equal in [r#"{"VIP_5":"fd01:0::1:80"}"#, r#"{"VIP_1":"/web:80","VIP_0":"[fd01::1]:80"}"#] {
        let (_, entries) = check_json(&text(equal));
        assert_eq!(entries.len(), 2, "{equal}: {entries:?}");
    }
    for other in [r#"{"VIP_0":"[fd01::1]:81"}"#, r#"{"VIP_0":"/other:80"}"#, r#"{"VIP_0":"x"}"#] {
        let (code, entries) = check_json(&text(other));
        let told = entries.iter().filter_map(|entry| entry["reason"].as_str());
        let told = told.filter(|reason| reason.contains("this list is not used")).count();
        assert_eq!((code, told), (Some(1), 1), "{other}: {entries:?}");
    }
}

#[test]
fn lines_stay_with_a_byte_order_mark_and_with_bytes_that_are_not_utf_8() {
    let text = "{\n\"id\":\"/a\",\n\"cmd\":\"?\",\n\"portDefinitions\":[{\"labels\":{\n\"VIP_0\":\"3.3.0.6:80\"}}]}";
    let latin1: Vec<u8> = text.bytes().map(|byte| if byte == b'?' { 0xe9 } else { byte }).collect();
    for (bytes, findings) in [(format!("\u{feff}{text}").into_bytes(), 0), (latin1, 1)] {
        let ran = vipd_with_input(&["check", "--output", "json", "-"], &bytes);
        let entries: Vec<Value> = serde_json::from_str(&ran.out).unwrap();
        let line = |verdict: &str| {
            entries.iter().find(|entry| entry["verdict"] == verdict).map(|entry| &entry["line"])
        };
        assert_eq!(line("ok"), Some(&5.into()), "{ran:?}");
        assert_eq!(line("unreadable"), (findings == 1).then_some(&3.into()), "{ran:?}");
    }
}

#[test]
fn no_label_forges_a_line_or_a_command() {
    const EVIL: &str = "\\n::error::forged\\r\\u001b[31m\\u202e\\u2028##vso[task.complete]";
    let evil = format!(
        r#"{{"id":"/{EVIL}","labels":{{"VIP_0{EVIL}":"{EVIL}"}},"container":{{"{EVIL}":{{"VIP_0":"x"}}}},
            "portDefinitions":[{{"name":"{EVIL}","protocol":"{EVIL}","labels":{{"VIP_1":"{EVIL}",
            "VIP_2":"3.3.0.6:80","IPVS_WEIGHT":"{EVIL}","VIP_3":{{"{EVIL}":1}},"{EVIL}":1}}}}]}}"#
    );
    for text in [evil.clone(), format!("[{evil},{evil}]"), format!(r#"{{"message":"{EVIL}"}}"#)] {
        for output in ["text", "json"] {
            let ran = vipd_with_input(&["check", "--output", output, "-"], text.as_bytes());
            for line in [&ran.out, &ran.err].into_iter().flat_map(|text| text.split('\n')) {
                assert!(!line.trim_start().starts_with("::"), "{line}");
                assert!(!line.contains("##"), "{line}");
                assert!(!line.contains(vip::is_unprintable), "{line:?}");
            }
        }
    }
}

#[test]
fn many_equal_keys_take_time_in_proportion() {
    let labels: Vec<_> =
        (0..16_000).map(|n| format!("\"VIP_{}\":\"3.3.0.6:80\"", n % 8_000)).collect();
    let (code, entries) = check_json(&bridge(&format!("{{{}}}", labels.join(",\n"))));
    assert_eq!((code, entries.len()), (Some(1), 16_000));
    assert_eq!(entries[15_999]["line"], 16_001);
    // The same in many apps, where nobody reads them.
    let app = format!("{{\"id\":\"/a\",\"labls\":{{{}}}}}", labels[..1000].join(",\n"));
    let (code, entries) = check_json(&format!("[{}]", vec![app; 20].join(",\n")));
    let unread = entries.iter().filter(|entry| entry["verdict"] == "unread").count();
    assert_eq!((code, unread), (Some(1), 20_000));
}

#[test]
fn a_closed_pipe_changes_no_exit_status_and_is_no_error() {
    let bad = bridge(r#"{"VIP_0":"256.1.1.1:80"}"#);
    for (args, input) in [
        (&["check", "-"][..], bad.as_str()),
        (&["check", "--output", "json", "-"], &bad),
        (&["check", "-"], &bridge(r#"{"VIP_0":"3.3.0.6:80"}"#)),
        (&["check", "-", "/no/such/file.json"], &bad),
        (&["generate", "completions", "bash"], ""),
        (&["doctor"], ""),
        (&["doctor", "--output", "json"], ""),
        (&["--help"], ""),
    ] {
        let open = vipd_with_input(args, input.as_bytes());
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        let mut child = command(args).stdout(writer).spawn().unwrap();
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let closed = child.wait_with_output().unwrap();
        let said = String::from_utf8(closed.stderr).unwrap();
        assert_eq!(closed.status.code(), open.code, "{args:?}: {said}");
        assert_eq!(said, open.err, "{args:?}");
    }
}

#[test]
fn a_name_is_shown_with_its_dns_name_and_its_address_and_what_that_promises() {
    let ran = vipd_with_input(&["check", "-"], bridge(r#"{"VIP_0":"/mysql:3306"}"#).as_bytes());
    let shown = "/a VIP_0 mysql.marathon.l4lb.thisdcos.directory 11.91.210.154:3306/tcp\n";
    assert!(ran.out.contains(shown), "{ran:?}");
    assert_eq!(ran.err.matches("is a promise only where no other name collides").count(), 1);
    let long = vec!["a".repeat(63); 4].join(".");
    let labels = format!(r#"{{"VIP_0":"/{long}:80","VIP_1":"3.3.0.6:80"}}"#);
    let ran = vipd_with_input(&["check", "-"], bridge(&labels).as_bytes());
    assert_eq!((ran.code, &*ran.err), (Some(1), ""), "{ran:?}");
    assert!(ran.out.contains("gives a DNS name of 288 characters with its zone"), "{ran:?}");
    assert!(ran.out.contains("ok: /a VIP_1 3.3.0.6:80/tcp"), "{ran:?}");
}
