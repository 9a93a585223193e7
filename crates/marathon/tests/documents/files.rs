//! Documents told apart by their shape, what each of them covers, and what is none of them.

use marathon::{Coverage, Document, DocumentError, Kind};

use crate::common::{fixture, snapshot};

const NEITHER: Coverage = Coverage { apps: false, pods: false };
const APPS: Coverage = Coverage { apps: true, pods: false };
const PODS: Coverage = Coverage { apps: false, pods: true };
const BOTH: Coverage = Coverage { apps: true, pods: true };

#[test]
fn a_document_is_told_by_its_shape() {
    const POD_SPEC: &str = r#"{"id":"/p","containers":[]}"#;
    const POD: &str = r#"{"id":"/p","spec":{"containers":[]},"status":"STABLE","instances":[]}"#;
    type Case = (String, &'static [(&'static str, &'static str)], Coverage);
    let cases: [Case; 16] = [
        (r#"{"id":"/a"}"#.into(), &[("/a", "$")], NEITHER),
        (r#"{"id":"a"}"#.into(), &[("/a", "$")], NEITHER),
        ("\u{feff} \n {\"id\":\"/a\"}\n".into(), &[("/a", "$")], NEITHER),
        (r#"[{"id":"/a"},{"id":"/b"}]"#.into(), &[("/a", "$[0]"), ("/b", "$[1]")], NEITHER),
        ("[]".into(), &[], NEITHER),
        (r#"{"app":{"id":"/a","tasks":[]}}"#.into(), &[("/a", "$.app")], NEITHER),
        (r#"{"*":[{"id":"/g/a"}]}"#.into(), &[("/g/a", "$.*[0]")], NEITHER),
        (r#"{"apps":[]}"#.into(), &[], APPS),
        (r#"{"apps":[{"id":"/a"}]}"#.into(), &[("/a", "$.apps[0]")], APPS),
        (POD_SPEC.into(), &[("/p", "$")], NEITHER),
        (format!("[{POD_SPEC}]"), &[("/p", "$[0]")], NEITHER),
        (POD.into(), &[("/p", "$")], NEITHER),
        (format!("[{POD}]"), &[("/p", "$[0]")], PODS),
        (format!(r#"[{POD},{{"id":"/a"}}]"#), &[("/p", "$[0]"), ("/a", "$[1]")], NEITHER),
        (fixture("groups.json"),
         &[("/top", "$.apps[0]"), ("/prod/pod", "$.groups[0].pods[0]"), ("/prod/db/mysql", "$.groups[0].groups[0].apps[0]")],
         BOTH),
        (r#"{"id":"prod","groups":[{"id":"db","apps":[{"id":"mysql"}]}],"apps":[{"id":"/prod/x"}]}"#.into(),
         &[("/prod/x", "$.apps[0]"), ("/prod/db/mysql", "$.groups[0].apps[0]")], NEITHER),
    ];
    for (json, expected, coverage) in cases {
        let snapshot = snapshot(&json);
        let found: Vec<_> = snapshot
            .workloads
            .iter()
            .map(|workload| (&*workload.id, workload.path.as_str()))
            .collect();
        assert_eq!((&found[..], snapshot.coverage), (expected, coverage), "{json}");
    }
}

#[test]
fn a_groups_answer_that_left_something_out_does_not_cover_it() {
    for (json, expected) in [
        (r#"{"id":"/","apps":[],"pods":[],"groups":[]}"#, BOTH),
        (r#"{"id":"/","apps":[],"groups":[]}"#, APPS),
        (r#"{"id":"/","apps":[],"pods":[]}"#, NEITHER),
        (r#"{"id":"/","apps":[],"pods":[],"groups":[{"id":"/g","apps":[],"groups":[]}]}"#, APPS),
        (r#"{"id":"/","apps":[],"pods":[],"groups":[null]}"#, NEITHER),
        (r#"{"id":"/","apps":[],"pods":[],"groups":3}"#, NEITHER),
        (r#"{"id":"/g","apps":[],"pods":[],"groups":[]}"#, NEITHER),
    ] {
        assert_eq!(snapshot(json).coverage, expected, "{json}");
    }
}

#[test]
fn a_list_with_something_unreadable_covers_nothing() {
    for json in [r#"{"apps":[null]}"#, r#"{"apps":[{"id":"/a"},7]}"#, r#"{"apps":[{"id":""}]}"#] {
        let snapshot = snapshot(json);
        assert_eq!(snapshot.coverage, NEITHER, "{json}");
        assert!(!snapshot.findings.is_empty());
    }
    let snapshot = snapshot(r#"[{"id":"/p","spec":{},"instances":[]},{"spec":{},"instances":[]}]"#);
    assert_eq!((snapshot.workloads.len(), snapshot.coverage), (1, NEITHER));
}

#[test]
fn what_is_no_document_of_marathons_is_an_error_that_says_what_it_is() {
    let cases = [
        ("", "it is empty, which never means \"no apps\""),
        (" \n", "it is empty"),
        ("<html><head><Title> 502 Bad Gateway </title>", "a web page titled \"502 Bad Gateway\""),
        ("<!doctype html>", "it is a web page, not JSON"),
        ("{\"apps\":[\n{\"id\":", "cut off at line 2, column 6"),
        ("{\"apps\":[]", "cut off at line 1, column 10"),
        ("[{\"id\":\"/a\"},\n{]", "not JSON: key must be a string at line 2, column 2"),
        ("\n\n{\"id\" 3}", "not JSON: expected `:` at line 3, column 7"),
        ("{\"id\":\"/a\"} x", "not JSON: trailing characters at line 1, column 13"),
        ("hello", "not JSON: expected value at line 1, column 1"),
        ("null", "it is a bare value"),
        ("3", "it is a bare value; expected an app"),
        ("{}", "it is an empty object"),
        ("[3]", "it is a bare value"),
        (r#"{"apps":{}}"#, "whose apps are not a list"),
        (r#"{"apps":null}"#, "whose apps are not a list"),
        (
            r#"{"message":"App '/x' does not exist"}"#,
            "an error message: \"App '/x' does not exist\"",
        ),
        (r#"{"tasks":[]}"#, "a list of tasks"),
        (r#"{"id":"t","appId":"/a"}"#, "a task"),
        (r#"[{"id":"d","affectedApps":[]}]"#, "a deployment"),
        (r#"{"name":"marathon","marathon_config":{}}"#, "an answer of /v2/info"),
        (r#"{"kind":"List","items":[]}"#, "an object with the keys kind, items"),
    ];
    for (json, expected) in cases {
        let error = Document::parse(json.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(expected), "{json:?}: {error}");
    }
}

#[test]
fn a_live_read_wants_the_answer_it_asked_for_with_the_tasks_of_every_app() {
    let read = |json: &str| Document::parse_apps(json.as_bytes());
    assert!(read(r#"{"apps":[{"id":"/a","tasks":[]}]}"#).is_ok());
    assert!(read(r#"{"apps":[]}"#).is_ok());
    for tasks in ["", r#","tasks":null"#, r#","tasks":{}"#] {
        let json = format!(r#"{{"apps":[{{"id":"/a","tasks":[]}},{{"id":"/b"{tasks}}}]}}"#);
        assert_eq!(read(&json).unwrap_err(), DocumentError::MissingTasks { app: "/b".to_owned() });
    }
    for other in ["[]", r#"{"id":"/a"}"#, r#"{"app":{"id":"/a","tasks":[]}}"#, r#"{"*":[]}"#] {
        assert!(matches!(read(other), Err(DocumentError::Unrecognised { .. })), "{other}");
    }
}

#[test]
fn a_live_read_of_pods_may_find_none() {
    let read = |json: &str| {
        Document::parse_pods(json.as_bytes()).unwrap().to_snapshot(&Default::default())
    };
    assert_eq!(read("[]").coverage, PODS);
    let pods = read(&fixture("pods.json"));
    assert_eq!((pods.workloads[0].kind, pods.coverage), (Kind::Pod, PODS));
    assert!(Document::parse_pods(b"{\"apps\":[]}").is_err());
    assert_eq!(read(r#"[{"id":"/a"}]"#).coverage, NEITHER, "an app is no pod's state");
}

#[test]
fn two_documents_join_and_of_two_definitions_with_one_id_the_last_counts() {
    let read = |json: &str| Document::parse(json.as_bytes()).unwrap();
    let joined = read(r#"{"apps":[{"id":"/a","labels":{"x":"1"}},{"id":"/b"}]}"#)
        .merge(read(&fixture("pods.json")))
        .merge(read(r#"{"id":"/a","labels":{"x":"2"}}"#))
        .to_snapshot(&Default::default());
    let ids: Vec<_> = joined.workloads.iter().map(|workload| &*workload.id).collect();
    assert_eq!((ids, joined.coverage), (vec!["/b", "/productpage", "/a"], BOTH));
    assert_eq!(joined.workloads[2].spec.labels.get("x"), Some("2"));
    assert_eq!(joined.findings[0].path, "$.apps[0]");
}

#[test]
fn what_is_no_json_is_named_with_what_to_do() {
    let utf16: Vec<u8> =
        "\u{feff}{\"id\":\"/a\"}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let utf16_plain: Vec<u8> =
        "{\"id\":\"/a\"}".encode_utf16().flat_map(u16::to_be_bytes).collect();
    let cases: [(&[u8], &str); 45] = [
        (&utf16, "it is UTF-16 or UTF-32; save it as UTF-8"),
        (&utf16_plain, "it is UTF-16"),
        (b"\x1f\x8b\x08\0", "it is compressed"),
        (b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n{}", "HTTP headers"),
        (b"```json\n{}\n```", "Markdown"),
        (b"{\"id\":\"/a\"}\n```\n", "Markdown"),
        (b"#!/bin/sh\ncurl x", "a script"),
        (b"curl -X POST -d '{}' x", "a script"),
        (b"---\nid: /a\n", "YAML; Marathon takes JSON"),
        (b"id: /a\ncontainer:\n  type: DOCKER\n", "YAML"),
        (b"- id: /a\n", "YAML"),
        (b"apps:\n- id: /a\n", "YAML"),
        (b"id = \"/a\"\n", "TOML, HCL"),
        (
            b"{\n\"id\": \"/a\",\n\"mem\": {{ mem }}\n}",
            "it is a template; fill it in first, and check the result (line 3",
        ),
        (b"{{ header }}\n{\"id\":\"/a\"}", "a template"),
        (b"{% if x %}\n{\"id\":\"/a\"}", "a template"),
        (b"{\"id\":\"/a\"{% if x %},\"mem\":1{% endif %}}", "a template"),
        (b"{\"mem\": ${MEM}}", "a template"),
        (b"{\"mem\": $MEM}", "a template"),
        (b"{\"mem\": <%= mem %>}", "a template"),
        (b"{\"mem\": @@MEM@@}", "a template"),
        (b"{\"mem\": %{mem}}", "a template"),
        (b"// an app\n{\"id\":\"/a\"}", "a comment"),
        (
            b"{\n  // an app\n  \"id\":\"/a\"}",
            "a comment, and JSON has none; remove the comment: Marathon refuses it, too (line 2",
        ),
        (b"{\"id\":\"/a\", /* x */ \"mem\":1}", "a comment"),
        (b"{\"id\":\"/a\", # x\n \"mem\":1}", "a comment"),
        (b"# x\n{\"id\":\"/a\"}", "a comment"),
        (b"{\"id\":\"/a\"} // x", "a comment"),
        (b"{'id':'/a'}", "single quotes"),
        (b"{\"id\":'/a'}", "single quotes"),
        ("{“id”:“/a”}".as_bytes(), "typographic quotes"),
        ("{\"id\":„/a“}".as_bytes(), "typographic quotes"),
        ("{\"id\":\u{a0}\"/a\"}".as_bytes(), "an invisible or foreign blank"),
        ("{\u{200b}\"id\":\"/a\"}".as_bytes(), "an invisible or foreign blank"),
        ("{\"id\":\"/a\"}\u{feff}".as_bytes(), "an invisible or foreign blank"),
        (b"{\x93id\x94:1}", "a byte that is not UTF-8"),
        (b"{\"a\":True}", "Python or JavaScript"),
        (b"{\"a\":None}", "Python or JavaScript"),
        (b"{\"a\":NaN}", "Python or JavaScript"),
        (b"{id: \"/a\"}", "a key has no quotes"),
        (
            b"{\"id\":\"/a\"}\n{\"id\":\"/b\"}\n",
            "a second document follows the first; put both in a list",
        ),
        (b"{\"id\":\"/a\"},\n{\"id\":\"/b\"}", "a second document"),
        (b"[{\"id\":\"/a\"}][]", "a second document"),
        (b"{\n<<<<<<< HEAD\n\"id\":\"/a\"}", "a merge conflict"),
        (b"{\"id\":\"/a\"}\n---\n{\"id\":\"/b\"}", "a second document"),
    ];
    for (body, expected) in cases {
        let text = String::from_utf8_lossy(body);
        let error = Document::parse(body).map(|_| ()).expect_err(&text).to_string();
        assert!(error.contains(expected) && error.contains("not JSON"), "{text:?}: {error}");
        assert!(!error.contains("key must be a string"), "{text:?}: {error}");
    }
}
