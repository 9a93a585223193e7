//! Counters of TCP in this thread's network namespace.

/// Number of retransmitted SYNs.
pub(super) fn resent_syns() -> u64 {
    counter("netstat", "TcpExt:", "TCPSynRetrans")
}

/// Number of retransmitted TCP segments.
pub(super) fn resent_segments() -> u64 {
    counter("snmp", "Tcp:", "RetransSegs")
}

/// Reads a counter; the file has a line of names followed by a line of values per table.
fn counter(file: &str, table: &str, name: &str) -> u64 {
    // The thread's own file: /proc/net belongs to the first thread of the process.
    let text = std::fs::read_to_string(format!("/proc/thread-self/net/{file}")).unwrap();
    let mut lines = text.lines().filter(|line| line.starts_with(table));
    let (names, numbers) = (lines.next().unwrap(), lines.next().unwrap());
    let mut pairs = names.split(' ').zip(numbers.split(' '));
    pairs.find(|(other, _)| *other == name).unwrap().1.parse().unwrap()
}
