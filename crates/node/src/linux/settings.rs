//! Settings of a [`LinuxKernel`](super::LinuxKernel).

/// What can be chosen about a [`LinuxKernel`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The dummy interface that holds the VIPs. It is made when it is missing; every address on
    /// it is vipd's.
    pub interface: String,
    /// Keep VIPs out of ARP on other interfaces: `arp_ignore` and `arp_announce`.
    pub strict_arp: bool,
    /// Keep what was counted of real servers. Who only decides has no use for it.
    pub counters: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { interface: "vipd0".to_owned(), strict_arp: false, counters: true }
    }
}
