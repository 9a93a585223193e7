//! Settings of a [`LinuxKernel`](super::LinuxKernel).

/// The settings of a [`LinuxKernel`](super::LinuxKernel).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The dummy interface that holds the VIPs. It is created when missing; every address on it
    /// is vipd's.
    pub interface: String,
    /// Keep VIPs out of ARP on other interfaces: `arp_ignore` and `arp_announce`.
    pub strict_arp: bool,
    /// Keep the counters of real servers. Decisions don't need them; status reports do.
    pub counters: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { interface: "vipd0".to_owned(), strict_arp: false, counters: true }
    }
}
