//! The caps of vipd: how much it takes from Marathon, from the kernel and from clients, at most.
//! All are declared here, and `docs/limits.md` has the table.
//!
//! A cap is far above what any real cluster needs. It keeps what one app writes, or what a Marathon
//! that means harm answers, from costing anybody else.

/// A cap as the documentation shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cap {
    /// A sentence without full stop that says what is capped and what happens beyond.
    pub meaning: &'static str,
    /// The value.
    pub value: usize,
    /// Whether the value is a number of bytes.
    pub is_bytes: bool,
}

macro_rules! caps {
    ($($(#[doc = $meaning:literal])+ $name:ident: $kind:ident = $value:expr;)*) => {
        $($(#[doc = $meaning])+ pub const $name: usize = $value;)*

        /// All caps, in the order of the documentation.
        pub const ALL: &[Cap] = &[$(Cap {
            meaning: concat!($($meaning),+).trim_ascii_start(),
            value: $value,
            is_bytes: matches!(stringify!($kind).as_bytes(), b"bytes"),
        }),*];
    };
}

caps! {
    /// The JSON of one answer, after decompression; a longer one is refused as a whole
    ANSWER: bytes = 64 << 20;
    /// The memory that is made of one answer; one that takes more is refused as a whole
    ANSWER_MEMORY: bytes = 256 << 20;
    /// The apps and pods of one answer; one with more is refused as a whole
    WORKLOADS: count = 25_000;
    /// The memory that is made of one app or pod, where the answer is large enough; one that takes
    /// more is left out, and what was known of it stays
    WORKLOAD_MEMORY: bytes = 16 << 20;
    /// One text: an id, a name, the key or the value of a label; the rest is cut off
    TEXT: bytes = 1 << 10;
    /// The labels of one app, pod or port; the others are not read
    LABELS: count = 1 << 14;
    /// The ports of one app or pod that tasks are reached at; VIP labels of the others are refused
    PORTS: count = 1000;
    /// The addresses of one instance; the others are not used
    ADDRESSES: count = 16;
    /// The endpoints, which are instances times ports, of one app or pod; one with more is left
    /// out, and what was known of it stays
    WORKLOAD_ENDPOINTS: count = 1 << 18;
    /// The endpoints of one answer; apps and pods that would exceed it are left out, and what was
    /// known of them stays
    ANSWER_ENDPOINTS: count = 1 << 20;
    /// The version records that are read for one answer; instances of other versions wait for the next
    VERSIONS: count = 1000;
    /// One version record; a longer one counts as unreadable
    VERSION: bytes = 1 << 20;
    /// The version records that are remembered; instances of other versions have no known ports
    RECORDS: bytes = 64 << 20;
    /// The virtual services of one port; its other VIP labels are refused
    PORT_VIPS: count = 64;
    /// The virtual services of one app or pod; its other VIP labels are refused
    WORKLOAD_VIPS: count = 256;
    /// The instances of one app or pod, summed up over its virtual services; its other VIP labels
    /// are refused
    WORKLOAD_SERVERS: count = 1 << 15;
    /// The virtual services of one Marathon; apps and pods that would exceed it are not served
    SOURCE_VIPS: count = 1 << 14;
    /// The instances of one Marathon, summed up over its virtual services; apps and pods that would
    /// exceed it are not served
    SOURCE_SERVERS: count = 1 << 17;
    /// The reports on labels of one app or pod; the last one stands for the others
    WORKLOAD_REPORTS: count = 100;
    /// The reports on labels of one Marathon; those of further apps and pods are dropped
    SOURCE_REPORTS: count = 20_000;
    /// The addresses of names, with those that are kept for names without an app; the first to be free
    /// again are free at once
    NAME_ADDRESSES: count = 1 << 17;
    /// The value of a label in a log line; the rest is cut off
    SHOWN_VALUE: bytes = 200;
    /// An error of a source, a line of the log or of the journal; the rest is cut off
    REASON: bytes = 1 << 10;
    /// The sentences on what isn't known about running tasks, and the host names that can't be looked
    /// up, in the status; the others count too but are not shown
    SHOWN_TROUBLES: count = 100;
    /// The host names of Mesos agents that are looked up; tasks on others are no real servers
    HOSTS: count = 10_000;
    /// The hosts that are probed; real servers on others are in use as their sources say
    PROBED_HOSTS: count = 4096;
    /// The witnesses that are probed; further ones are not asked
    WITNESSES: count = 8;
    /// The messages of one event stream that wait; if more come, everything is read
    EVENTS: count = 1024;
    /// The apps and pods of one event that are read one by one; with more, everything is read
    EVENT_WORKLOADS: count = 32;
    /// The connections to a relay; further ones are closed at once, and their agents go to another relay
    RELAY_CLIENTS: count = 16_384;
    /// The token of a relay; a longer one is refused where it is configured, since no request could hold it
    RELAY_TOKEN: bytes = 4 << 10;
    /// The snapshots that a relay sends at the same time; further agents wait
    RELAY_SNAPSHOTS: count = 200;
    /// The requests of one address to a relay in a second, or as many as it may have connections; further
    /// ones are refused with status 429
    RELAY_REQUESTS: count = 100;
    /// The batches of records that wait for one agent of a relay; its stream ends, and it gets everything
    /// anew
    RELAY_BATCHES: count = 4096;
    /// The records that wait for one agent of a relay and were published more than 10 s ago; its stream
    /// ends, and it gets everything anew
    RELAY_LAG: bytes = 8 << 20;
    /// The records that wait for one agent of a relay, however old they are; its stream ends, and it gets
    /// everything anew
    RELAY_UNTAKEN: bytes = 128 << 20;
    /// The latest records that a relay remembers for agents that were away for a moment; others get
    /// everything anew
    RELAY_RECENT: count = 4096;
    /// The same records; the oldest are dropped
    RELAY_RECENT_BYTES: bytes = 16 << 20;
    /// The entries of the journal; the oldest are dropped
    JOURNAL_ENTRIES: count = 1000;
    /// The text of the journal; the oldest entries are dropped
    JOURNAL: bytes = 1 << 20;
    /// The connections of one listener of the agent's HTTP server; the oldest is closed for a new one
    CONNECTIONS: count = 32;
    /// The answers of the agent's HTTP server that clients haven't taken yet; more are refused with
    /// status 503
    UNTAKEN_ANSWERS: bytes = 64 << 20;
    /// The zone file that the agent writes for the name server; a larger one is not read, and names
    /// answer as before
    ZONE_FILE: bytes = 16 << 20;
    /// The names of tasks with their addresses in the zone file; further ones, in the order of the
    /// alphabet, don't exist for the name server
    TASK_NAMES: bytes = 8 << 20;
    /// The addresses of one name of tasks; the highest are left out
    TASK_ADDRESSES: count = 1000;
    /// The TCP connections to the name server; the one that was idle for longest is closed for a new
    /// one
    NAME_CONNECTIONS: count = 64;
    /// The queries for other names that the name server has forwarded and that aren't answered yet;
    /// more are answered with SERVFAIL
    FORWARDED_QUERIES: count = 256;
    /// The same of one client over UDP
    FORWARDED_QUERIES_OF_CLIENT: count = 128;
}

/// Cuts a text to `cap` bytes, and marks that with an ellipsis: what was cut off never makes it
/// valid.
#[must_use]
pub fn cut_text(text: &str, cap: usize) -> std::borrow::Cow<'_, str> {
    if text.len() <= cap {
        return text.into();
    }
    let room = cap.saturating_sub('…'.len_utf8());
    let end = (0..=room).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
    [&text[..end], "…"].concat().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters_and_never_longer_than_the_cap() {
        assert_eq!(cut_text("3.3.0.6:80", 10), "3.3.0.6:80");
        assert_eq!(cut_text("3.3.0.6:8080", 10), "3.3.0.6…");
        assert_eq!(cut_text("ääääää", 8), "ää…");
        let long = "ä".repeat(5000);
        for cap in 3..40 {
            let cut = cut_text(&long, cap);
            assert!(cut.len() <= cap && cut.ends_with('…'), "{cap}: {cut}");
        }
    }
}
