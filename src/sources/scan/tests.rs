//! The labels and lines of texts, right and wrong.

use super::*;

/// Lists `path key=value at line` of each label, with `!` in front of a void one.
fn found(text: &[u8]) -> Vec<String> {
    let scan = Scan::of_text(text, &BTreeSet::new());
    let show = |label: &FoundLabel| {
        let FoundLabel { path, key, occurrence, value, line, superseded_by } = label;
        let void = if superseded_by.is_some() { "!" } else { "" };
        format!("{void}{path} {key}.{occurrence}={value} at {line}")
    };
    scan.labels.iter().map(show).collect()
}

#[test]
fn labels_are_found_anywhere_with_their_lines() {
    let text = "{\n \"apps\": [\n  {\"labels\": {\n   \"VIP_0\": \"a\",\n   \"VIP_0\": \"b\"}},\n
        {\"x y\":{\"vip\": 3,\n\"\\u0056IP\":null, \"IPVS_WEIGHT\":\"1\", \"other\":\"{\\\"\"}}]}";
    assert_eq!(
        found(text.as_bytes()),
        [
            "$.apps[0].labels VIP_0.0=a at 4",
            "$.apps[0].labels VIP_0.1=b at 5",
            "$.apps[1][\"x y\"] vip.0=3 at 7",
            "$.apps[1][\"x y\"] VIP.0=null at 8",
            "$.apps[1][\"x y\"] IPVS_WEIGHT.0=1 at 8",
        ]
    );
}

#[test]
fn no_encoding_and_no_line_ending_changes_a_line() {
    let lines = ["{", "\"a\":\"\u{e9}\",", "\"labels\":{", "\"VIP\":\"x\"}}"];
    let latin1: Vec<u8> =
        lines.join("\n").chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
    let bom = format!("\u{feff}{}", lines.join("\n"));
    let (dos, mac) = (lines.join("\r\n"), lines.join("\r"));
    for text in [&latin1[..], bom.as_bytes(), dos.as_bytes(), mac.as_bytes()] {
        assert_eq!(found(text), ["$.labels VIP.0=x at 4"]);
    }
    assert_eq!(Scan::of_text(&latin1, &BTreeSet::new()).line_of("$"), Some(2));
}

#[test]
fn only_the_last_of_equal_keys_counts() {
    assert_eq!(
        found(
            br#"{"a":{"VIP":"1"},"b":{"VIP":"2"},"a":{},"b":{"VIP":"3"},"b":{"c":[{"VIP":"4"}]}}"#
        ),
        ["!$.a VIP.0=1 at 1", "!$.b VIP.0=2 at 1", "!$.b VIP.0=3 at 1", "$.b.c[0] VIP.0=4 at 1"]
    );
}

#[test]
fn parts_that_were_asked_for_have_a_line() {
    let text = b"{\n\"apps\":[1,\n{\"labels\":{\n\"b c\":\n1,\n\"VIP\":2}}]}";
    let wanted =
        ["$", "$.apps[1]", "$.apps[1].labels[\"b c\"]", "$.apps[1].labels[\"VIP\"]", "$.x"];
    let scan = Scan::of_text(text, &wanted.into_iter().collect());
    assert_eq!(wanted.map(|path| scan.line_of(path)), [Some(1), Some(3), Some(5), Some(6), None]);
}

#[test]
fn large_and_deep_texts_are_scanned_in_one_pass() {
    // Quadratic work on any of these would take minutes.
    let many = 1 << 17;
    let deep = |open: &str| open.repeat(many) + "\"VIP\":\"x\"";
    for text in [
        deep("["),
        deep("{\"a\":"),
        deep("{\"VIP\":\"x\",\"a\":"),
        deep("{\"labels\":{\"VIP\":\"x\"},\"labels\":"),
        format!("{{\"labels\":{{{}}}}}", "\"VIP_0\":\"x\",".repeat(many)),
        format!("{{{}}}", "\"labels\":{\"VIP_0\":\"x\"},".repeat(many)),
        "\"".repeat(many),
        "\\\"".repeat(many),
        "}],:".repeat(many),
    ] {
        let scan = Scan::of_text(text.as_bytes(), &["$.x"].into_iter().collect());
        assert!(scan.labels.len() <= many + 1);
    }
}
