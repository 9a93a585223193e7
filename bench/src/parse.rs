//! A whole answer of /v2/apps, read into what vipd knows of it, beside `serde_json`'s own tree.

use marathon::{Document, Records};

use crate::cluster::Cluster;
use crate::figure::{tell, tell_time, timed};
use crate::memory::{held, most};

/// So many apps of so many tasks.
pub(crate) fn measure(apps: usize, tasks: usize, times: usize) {
    let body = Cluster::new(apps, tasks).everything().into_bytes();
    let ours = || {
        let document = Document::parse_apps(&body).unwrap();
        document.to_snapshot(&Records::default())
    };
    let value = || serde_json::from_slice::<serde_json::Value>(&body).unwrap();
    for _ in 0..times {
        let (time, snapshot) = timed(ours);
        assert_eq!(snapshot.workloads.len(), apps);
        tell_time("parse/vipd", time);
        drop(snapshot);
        tell_time("parse/value", timed(value).0);
        tell_time("parse/document", timed(|| Document::parse_apps(&body).unwrap()).0);
    }
    let before = held();
    let (peak, snapshot) = most(ours);
    tell("parse/vipd-peak", peak as f64, "bytes");
    tell("parse/vipd-kept", (held() - before) as f64, "bytes");
    drop(snapshot);
    tell("parse/value-peak", most(value).0 as f64, "bytes");
    tell("parse/body", body.len() as f64, "bytes");
}
