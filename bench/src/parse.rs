//! Measures reading an answer of /v2/apps, compared with `serde_json`'s own tree of values.

use marathon::{Document, Records};

use crate::cluster::Cluster;
use crate::figure::{measure_time, print_figure, print_time};
use crate::memory::{bytes_held, peak_bytes};

/// Measures with this many apps, and tasks for each.
pub(crate) fn measure_parsing(apps: usize, tasks: usize, times: usize) {
    let body = Cluster::new(apps, tasks).apps_body().into_bytes();
    let ours = || {
        let document = Document::parse_apps(&body).unwrap();
        document.to_snapshot(&Records::default())
    };
    let value = || serde_json::from_slice::<serde_json::Value>(&body).unwrap();
    for _ in 0..times {
        let (time, snapshot) = measure_time(ours);
        assert_eq!(snapshot.workloads.len(), apps);
        print_time("parse/vipd", time);
        drop(snapshot);
        print_time("parse/value", measure_time(value).0);
        print_time("parse/document", measure_time(|| Document::parse_apps(&body).unwrap()).0);
    }
    let before = bytes_held();
    let (peak, snapshot) = peak_bytes(ours);
    print_figure("parse/vipd-peak", peak as f64, "bytes");
    print_figure("parse/vipd-kept", (bytes_held() - before) as f64, "bytes");
    drop(snapshot);
    print_figure("parse/value-peak", peak_bytes(value).0 as f64, "bytes");
    print_figure("parse/body", body.len() as f64, "bytes");
}
