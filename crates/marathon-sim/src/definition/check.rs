//! Health checks of a container.

use std::time::Duration;

/// One health check of a container.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Check {
    pub(crate) probe: Probe,
    pub(crate) grace: Duration,
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
    /// Number of failures in a row after which the next one kills. 0: never.
    pub(crate) max_failures: u32,
    pub(crate) ignore_1xx: bool,
    /// Made on the agent. Other HTTP, HTTPS and TCP checks are made by Marathon.
    pub(crate) by_mesos: bool,
}

/// The action of a health check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Probe {
    Tcp(Target),
    Http {
        target: Target,
        path: String,
    },
    /// Never made: it needs certificates, which the built-in server doesn't have.
    Https,
    Command(String),
}

/// The port of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// A port of the container, by index.
    Index(usize),
    /// This port number, whatever the definition.
    Number(u16),
}
