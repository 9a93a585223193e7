//! What the tests of documents have in common.

use marathon::{Document, Endpoint, Instance, Records, Snapshot, Workload};

/// The text of a file in tests/fixtures.
pub(crate) fn fixture(name: &str) -> String {
    let path = format!("{}/tests/fixtures/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).unwrap()
}

/// The picture of a document, without version records.
pub(crate) fn snapshot(json: &str) -> Snapshot {
    Document::parse(json.as_bytes()).unwrap().to_snapshot(&Records::default())
}

/// The only workload of a document in which everything could be read.
pub(crate) fn only(json: &str) -> Workload {
    let snapshot = snapshot(json);
    assert_eq!(snapshot.findings, []);
    assert_eq!(snapshot.workloads.len(), 1);
    Workload::clone(&snapshot.workloads[0])
}

/// The endpoints in short: `10.0.0.5:80`, `9.0.2.130 or fd01::2 port 80`, or the reason.
pub(crate) fn endpoints(instance: &Instance) -> Vec<String> {
    let short = |endpoint: &_| match endpoint {
        Ok(Endpoint::Host { port, .. }) => {
            format!("{}:{port}", instance.host.as_ref().unwrap())
        }
        Ok(Endpoint::Container { addresses, port }) => {
            let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
            format!("{} port {port}", addresses.join(" or "))
        }
        Err(unroutable) => format!("{unroutable}"),
    };
    instance.endpoints.iter().map(short).collect()
}
