//! A health check of a container.

use std::time::Duration;

/// One health check of a container.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Check {
    pub(crate) probe: Probe,
    pub(crate) grace: Duration,
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
    /// Failures in a row after which the next one kills. 0: never.
    pub(crate) max_failures: u32,
    pub(crate) ignore_1xx: bool,
    /// Made on the agent; Marathon makes HTTP, HTTPS and TCP checks itself.
    pub(crate) by_mesos: bool,
}

/// What is tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Probe {
    Tcp(Target),
    Http {
        target: Target,
        path: String,
    },
    /// Never tried: it needs certificates the built-in server doesn't have.
    Https,
    Command(String),
}

/// The port a check goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// The nth port of the container.
    Index(usize),
    /// This port, whatever is defined.
    Number(u16),
}
