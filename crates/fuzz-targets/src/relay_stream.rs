//! The stream of a relay.

use std::sync::Arc;

use marathon::Workload;
use marathon::events::sse::Decoder;
use relay::{Epoch, Feed, MarathonStatus, Mirror, Scope};

/// Follows a stream as an agent does, until a record can't be used. A relay that knew what has come
/// of it would pass it on unchanged.
pub(crate) fn follow_stream(input: &[u8]) {
    let mut mirror = Mirror::default();
    let frames = Decoder::default().push_bytes(input);
    let _ = frames.iter().try_for_each(|frame| mirror.apply(frame).map(drop));
    let mut feed = Feed::new(Epoch::new("fuzz", 1));
    for workload in mirror.workloads() {
        feed.replace(workload, Scope::Vips);
    }
    feed.set_complete();
    let Some(start) = feed.start_stream(None, Scope::Vips, MarathonStatus::default()) else {
        panic!("everything is known");
    };
    let mut decoder = Decoder::default();
    let mut other = Mirror::default();
    for segment in start.all() {
        for frame in decoder.push_bytes(segment.text()) {
            if let Err(error) = other.apply(&frame) {
                panic!("{error}");
            }
        }
    }
    let known = |mirror: &Mirror| -> Vec<Arc<Workload>> {
        let all = mirror.workloads().filter(|each| !feed.left_out().contains_key(&each.key()));
        all.cloned().collect()
    };
    assert_eq!(known(&other), known(&mirror));
}
