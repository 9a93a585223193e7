//! What people write in Marathon's definitions: documents, labels, ids.

use marathon::{Document, Records};
use serde_json::{Value, json};
use vip::label::{VipRef, read_port};

/// Longest explanation of a refused label. Values are quoted in part only.
const MAX_REASON: usize = 2000;

/// Reads a document as it is and as `serde_json` writes it again: with the keys in another order,
/// and of equal keys the last. Both have the same apps and pods.
pub(crate) fn read_document(input: &[u8]) {
    let read = Document::parse(input);
    let _ = Document::parse_apps(input);
    let _ = Document::parse_pods(input);
    let Ok(value) = serde_json::from_slice::<Value>(input) else { return };
    let again = Document::parse(value.to_string().as_bytes());
    assert_eq!(read.is_ok(), again.is_ok(), "{read:?} {again:?}");
    let (Ok(read), Ok(again)) = (read, again) else { return };
    if has_equal_keys(input, &value) {
        return;
    }
    let (read, again) = (snapshot_of(&read), snapshot_of(&again));
    assert_eq!(read, again);
}

/// Tells whether the text has more than the value: a key twice, or only other spaces.
fn has_equal_keys(text: &[u8], value: &Value) -> bool {
    let colons = |bytes: &[u8]| bytes.iter().filter(|byte| **byte == b':').count();
    colons(text) != colons(value.to_string().as_bytes())
}

/// Describes each app and pod by the words of all its fields, in any order: labels stay in the order
/// in which they are written.
fn snapshot_of(document: &Document) -> Vec<Vec<String>> {
    let snapshot = document.to_snapshot(&Records::default());
    let words = |text: String| {
        let words = text.split(|c: char| " ,()[]{}".contains(c)).filter(|word| !word.is_empty());
        let mut words: Vec<_> = words.map(str::to_owned).collect();
        words.sort();
        words
    };
    let mut workloads: Vec<_> =
        snapshot.workloads.iter().map(|workload| words(format!("{workload:?}"))).collect();
    workloads.sort();
    workloads
}

/// Reads labels, one for each line: `KEY=VALUE`. What is accepted is accepted again as it is
/// printed, and a reason for refusing one has a bounded length.
pub(crate) fn read_labels(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    let pairs: Vec<_> = text.lines().filter_map(|line| line.split_once('=')).collect();
    let (port, app) = pairs.split_at(pairs.len() / 2);
    let labels = read_port(port, app);
    for bad in &labels.bad_options {
        assert!(bad.error.to_string().len() <= MAX_REASON, "{bad:?}");
    }
    for label in &labels.vip_labels {
        match &label.meaning {
            Some(Ok(VipRef::Address(address, port))) => {
                let printed = std::net::SocketAddr::new(*address, port.get()).to_string();
                assert_eq!(printed.parse(), Ok(VipRef::Address(*address, *port)));
            }
            None | Some(Ok(VipRef::Named(..))) => {}
            Some(Err(error)) => assert!(error.to_string().len() <= MAX_REASON, "{error}"),
        }
    }
}

/// Reads an app inside a group by their ids: the app's id is absolute, and stays as it is when it is
/// read again.
pub(crate) fn read_ids(input: &[u8]) {
    // Longer ids are cut.
    let Some(text) = str::from_utf8(input).ok().filter(|text| text.len() <= 255) else { return };
    let (group, app) = text.split_once('\n').unwrap_or(("/", text));
    let read = |document: Value| {
        let document = Document::parse(document.to_string().as_bytes()).ok()?;
        let snapshot = document.to_snapshot(&Records::default());
        snapshot.workloads.first().map(|workload| workload.key().id.to_string())
    };
    let app = json!({"id": app, "cmd": "x"});
    let group = json!({"id": group, "apps": [app], "groups": []});
    let root = json!({"id": "/", "apps": [], "groups": [group]});
    if let Some(id) = read(root) {
        assert_eq!(read(json!({"id": id, "cmd": "x"})), Some(id));
    }
}
