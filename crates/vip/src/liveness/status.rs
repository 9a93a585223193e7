//! What the probing looks like from outside.

use std::time::Duration;

/// Counts and states of the probing, for people and metrics.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProbeStatus {
    /// The reason why this node can't probe; `None` if it can, or is not to.
    pub obstacle: Option<String>,
    /// The number of hosts that are probed.
    pub watched: usize,
    /// The number of these that never answered an echo, and so are suspected only if clients report it.
    pub mute: usize,
    /// The number of suspected hosts that are not dead yet.
    pub suspected: usize,
    /// The number of dead hosts.
    pub dead: usize,
    /// The time since when no host proves that this node is connected, so that no verdict against a
    /// host is passed; on the clock of the agent's start. `None` while one does.
    pub blind_since: Option<Duration>,
    /// The reason why clients' lost SYNs can't be heard of; `None` if they can.
    pub log_obstacle: Option<String>,
    /// The number of lost SYNs that were heard of since the start.
    pub lost_syns: u64,
    /// The number of refusals of clients that were heard of since the start.
    pub refusals: u64,
    /// The number of echoes and connections sent since the start.
    pub probes_sent: u64,
    /// The number of times that a host was suspected since the start.
    pub suspicions: u64,
    /// The number of these that were taken back before the host was dead: perhaps false alarms.
    pub taken_back: u64,
}
