//! What a relay knows of Marathon.

use std::collections::BTreeSet;
use std::sync::Arc;

use marathon::Timestamp;
use serde::{Deserialize, Serialize};

/// The most servers that Marathon depends on.
const MAX_SERVERS: usize = 64;

/// The longest silence of Marathon at a relay, in milliseconds. It sends a heartbeat every 10 s.
pub const UNHEARD_MS: u64 = 25_000;

/// The longest time for which a relay's reads may fail, in milliseconds: it is of less use than another
/// one then. A change of Marathon's leader takes less.
pub const UNREAD_MS: u64 = 30_000;

/// The greatest age of what a relay without events has read, in milliseconds: it polls every 30 s, and less
/// often if answers take long.
const POLLED_MS: u64 = 90_000;

/// The content of `heartbeat` and `complete`: what the relay knows of Marathon.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarathonStatus {
    /// The leader, as `X-Marathon-Leader` has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<Arc<str>>,
    /// The framework id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub framework: Option<Arc<str>>,
    /// The framework's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub framework_name: Option<Arc<str>>,
    /// The latest time of an event, by the leader's clock: of two relays with the same leader, the one
    /// with the later one knows more. It stays as it is while `behind`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latest_event: Option<Timestamp>,
    /// The time since the relay last heard from Marathon, in milliseconds. None: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silent_ms: Option<u64>,
    /// The reason why the relay hears no events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_error: Option<String>,
    /// The reason why its last read failed. Events may come nevertheless.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_error: Option<String>,
    /// The time for which reads have failed, in milliseconds. None: they don't, or the relay is of an
    /// earlier release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread_ms: Option<u64>,
    /// The time since the beginning of the last read of everything, in milliseconds, while the relay hears no
    /// events and polls. None: they come, or the relay is of an earlier release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub polled_ms: Option<u64>,
    /// Between what was last read as a whole and now there is, or may be, a gap: no stream of events is open,
    /// or not everything was read since it was opened.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub behind: bool,
    /// The number of hosts that run tasks, whether of apps with VIP labels or not: as many agents read
    /// Marathon themselves if there is no relay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hosts: Option<u64>,
    /// The names of the servers that Marathon depends on. Told at the start of a stream only.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub servers: BTreeSet<String>,
}

impl MarathonStatus {
    /// Tells whether reads have failed for so long that another relay is better.
    #[must_use]
    pub fn is_unread(&self) -> bool {
        self.unread_ms.is_some_and(|unread| unread >= UNREAD_MS)
    }

    /// Tells whether the relay polls Marathon with success, though it hears no events.
    #[must_use]
    pub fn is_polled(&self) -> bool {
        self.polled_ms.is_some_and(|polled| polled < POLLED_MS)
    }

    /// Cuts off what no Marathon tells: it stays in memory, and in logs.
    pub(crate) fn cut(mut self) -> Self {
        let names = [&mut self.leader, &mut self.framework, &mut self.framework_name];
        for name in names.into_iter().flatten().filter(|name| name.len() > caps::TEXT) {
            *name = caps::cut_text(name, caps::TEXT).into();
        }
        for why in [&mut self.stream_error, &mut self.read_error].into_iter().flatten() {
            *why = caps::cut_text(why, caps::REASON).into_owned();
        }
        let servers = self.servers.into_iter().filter(|name| name.len() <= caps::TEXT);
        self.servers = servers.take(MAX_SERVERS).collect();
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Record;

    #[test]
    fn the_texts_of_a_status_are_cut_off_and_its_servers_counted() {
        let long = "x".repeat(1 << 16);
        let servers: Vec<_> = (0..1000).map(|number| format!("m{number}")).collect();
        let body = serde_json::json!({
            "leader": long, "framework": long, "framework_name": long,
            "stream_error": long, "read_error": long, "servers": servers,
        });
        let data = serde_json::json!({ "number": 1, "body": body }).to_string();
        for name in ["heartbeat", "complete"] {
            let Some((1, Record::Heartbeat(status) | Record::Complete(status))) =
                Record::parse(name, &data).unwrap()
            else {
                panic!("{name}");
            };
            assert!(format!("{status:?}").len() < 10_000, "{name}");
            assert_eq!(status.servers.len(), MAX_SERVERS, "{name}");
        }
    }
}
