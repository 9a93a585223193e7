//! Measures how much later an agent behind a relay hears bad news.

use std::path::Path;

use super::Relay;
use super::agents::client_of;
use crate::agent::{measure_with_fake, read_marathon};

/// Measures from the event to the kernel in memory, without a relay and with one, in turn.
pub(crate) fn measure_delay(vipd: &Path, vips: usize, events: usize, rounds: usize) {
    for _ in 0..rounds {
        measure_with_fake("relay/direct", vips, events, read_marathon);
        measure_with_fake("relay/behind", vips, events, |url| {
            let relay = Relay::start(vipd, url, false);
            let client = client_of(url, "node1", &[&format!("http://{}", relay.address)]);
            (client, relay)
        });
    }
}
