//! What the kernel counts in this thread's network namespace.

/// Opening packets of TCP connections that were sent more than once.
pub(super) fn resent_syns() -> u64 {
    counter("netstat", "TcpExt:", "TCPSynRetrans")
}

/// Segments of TCP connections that were sent more than once.
pub(super) fn resent_segments() -> u64 {
    counter("snmp", "Tcp:", "RetransSegs")
}

/// A table has a line of names and one of numbers after it.
fn counter(file: &str, table: &str, name: &str) -> u64 {
    // Of the thread: /proc/net is of the process's first thread.
    let text = std::fs::read_to_string(format!("/proc/thread-self/net/{file}")).unwrap();
    let mut lines = text.lines().filter(|line| line.starts_with(table));
    let (names, numbers) = (lines.next().unwrap(), lines.next().unwrap());
    let mut pairs = names.split(' ').zip(numbers.split(' '));
    pairs.find(|(other, _)| *other == name).unwrap().1.parse().unwrap()
}
