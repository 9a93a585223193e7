//! A document reads the same straight and carefully.

use proptest::prelude::*;
use serde::de::Error;

use super::value::read_once;
use super::{Log, read_json};
use crate::model::Group;

/// What was made of a text, what was noted, and what room is left.
fn outcome(
    room_taken: usize,
    read: impl Fn(&mut Log) -> Result<Group, serde_json::Error>,
) -> String {
    let mut log = Log::new(0);
    for _ in 0..room_taken {
        log.make_room::<[u8; 4096]>();
    }
    log.add_finding("before");
    let group = read(&mut log);
    format!("{group:#?} {log:#?}")
}

fn assert_same_both_ways(text: &str, room_taken: usize) {
    let straight = outcome(room_taken, |log| read_json(text, log));
    let carefully = outcome(room_taken, |log| {
        log.twice_at_most(|log| {
            if log.is_careful() { read_once(text, log) } else { Err(Error::custom("not yet")) }
        })
    });
    assert_eq!(straight, carefully, "{text}");
}

/// Values of Marathon's, and all that a JSON text may hold and a reader may not.
fn odd_value() -> impl Strategy<Value = String> {
    let plain = prop::sample::select(vec![
        "null",
        "true",
        "0",
        "-0",
        "-1",
        "8080",
        "70000",
        "1.5",
        "18446744073709551616",
        "\"\"",
        r#""/shop/db""#,
        r#""\ud83d\ude00\n""#,
        r#""TASK_RUNNING""#,
        r#""2026-01-01T00:00:00Z""#,
        r#""10.0.0.1""#,
    ]);
    let unreadable = prop::sample::select(vec!["1e999", "-1e999", r#""\ud800""#]);
    let no_json = prop::sample::select(vec!["01", "", "[,]", "{\"id\"}"]);
    let deep = (prop::sample::select(vec![("[", "]"), (r#"{"id":"#, "}")]), 0..150_usize).prop_map(
        |((open, close), depth)| format!("{}0{}", open.repeat(depth), close.repeat(depth)),
    );
    prop_oneof![
        30 => plain.prop_map(str::to_owned),
        3 => unreadable.prop_map(str::to_owned),
        1 => no_json.prop_map(str::to_owned),
        2 => deep,
    ]
}

fn odd_json() -> impl Strategy<Value = String> {
    let key = prop::sample::select(vec![
        "id",
        "apps",
        "groups",
        "pods",
        "spec",
        "instances",
        "containers",
        "conditions",
        "addresses",
        "tasks",
        "ports",
        "labels",
        "networks",
        "container",
        "docker",
        "portMappings",
        "portDefinitions",
        "networkNames",
        "healthChecks",
        "healthCheckResults",
        "ipAddresses",
        "deployments",
        "state",
        "version",
        "unknown",
        r"\u0069d",
    ]);
    let key = prop_oneof![99 => key, 1 => Just(r"\ud800")];
    odd_value().prop_recursive(6, 80, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6)
                .prop_map(|list| format!("[{}]", list.join(", "))),
            prop::collection::vec((key.clone(), inner), 0..6).prop_map(|object| {
                let pairs: Vec<_> = object.iter().map(|(k, v)| format!("\"{k}\":{v}")).collect();
                format!("{{{}}}", pairs.join(","))
            }),
        ]
    })
}

/// A group of a file with one value changed: what is read of it is more than what is odd.
fn damaged(fixture: &str, place: usize, value: &str) -> String {
    let path = format!("{}/tests/fixtures/{fixture}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    // Plain values of keys: what comes before the next bracket or comma.
    let values = text.match_indices("\":").map(|(colon, _)| {
        let start = colon + 2;
        start..start + text[start..].find([',', '[', ']', '{', '}']).unwrap()
    });
    let plain: Vec<_> = values.filter(|value| !text[value.clone()].trim().is_empty()).collect();
    let old = &plain[place % plain.len()];
    format!("{}{value}{}", &text[..old.start], &text[old.end..])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn odd_json_reads_the_same_straight_and_carefully(
        json in odd_json(),
        depth in prop_oneof![3 => Just(0), 1 => 0..140_usize],
        list in prop::sample::select(vec!["apps", "pods", "groups"]),
        // Of 16,384, which are all there are.
        room_taken in prop_oneof![1 => Just(0), 1 => 16_378..16_385_usize],
    ) {
        let (open, close) = (r#"{"groups":["#.repeat(depth), "]}".repeat(depth));
        let text = format!("{open}{{\"id\":\"/\",\"{list}\":[{json},{{\"id\":1}}]}}{close}");
        assert_same_both_ways(&text, room_taken);
    }

    #[test]
    fn a_damaged_file_reads_the_same_straight_and_carefully(
        fixture in prop::sample::select(vec!["groups.json", "apps-1.4-user.json", "apps-1.6-host.json"]),
        place in any::<usize>(),
        value in odd_value(),
        cut in prop::option::weighted(0.1, any::<usize>()),
    ) {
        let text = damaged(fixture, place, &value);
        let end = cut.map_or(text.len(), |cut| cut % text.len());
        assert_same_both_ways(&String::from_utf8_lossy(&text.as_bytes()[..end]), 0);
    }
}
