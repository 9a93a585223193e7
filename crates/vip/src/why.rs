//! Reasons why tasks are, or aren't, real servers.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use nl_ipvs::Family;
use serde::{Deserialize, Serialize};

use crate::Ending;
use crate::liveness::Cause;

/// The reason why a task is, or isn't, a real server.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is a sentence: see Display")]
pub enum Why {
    Healthy,
    Unchecked,
    Unhealthy,
    KeptHealthy,
    KeptUnhealthy,
    NeverReported,
    NotYetChecked,
    NotReady,
    KeptReady,
    OnlyRemembered,
    Unlisted,
    Starting,
    Killing,
    Unreachable,
    UnreachableStranger,
    Terminal(Ending),
    FailOpen,
    Draining,
    NoAddress(Family),
    Port0,
    NotUnicast(IpAddr),
    SameServer(Arc<str>),
    Unroutable(Arc<str>),
    Silent(Cause),
}

/// The health of a task as its source reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// Every health check passes.
    Healthy,
    /// There are no health checks.
    Unchecked,
    /// A health check fails.
    Unhealthy,
    /// The task's agent is unreachable.
    Unreachable,
    /// Not reported.
    Unknown,
}

impl Why {
    /// Returns the health of the task.
    #[must_use]
    pub fn health(&self) -> Health {
        match self {
            Self::Healthy => Health::Healthy,
            Self::Unchecked => Health::Unchecked,
            Self::Unhealthy | Self::FailOpen => Health::Unhealthy,
            Self::Unreachable | Self::UnreachableStranger => Health::Unreachable,
            Self::KeptHealthy
            | Self::KeptUnhealthy
            | Self::NeverReported
            | Self::NotYetChecked
            | Self::NotReady
            | Self::KeptReady
            | Self::OnlyRemembered
            | Self::Unlisted
            | Self::Starting
            | Self::Killing
            | Self::Terminal(_)
            | Self::Draining
            | Self::NoAddress(_)
            | Self::Port0
            | Self::NotUnicast(_)
            | Self::SameServer(_)
            | Self::Unroutable(_)
            | Self::Silent(_) => Health::Unknown,
        }
    }
}

/// Writes the name that JSON has, such as `healthy`.
impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Healthy => "healthy",
            Self::Unchecked => "unchecked",
            Self::Unhealthy => "unhealthy",
            Self::Unreachable => "unreachable",
            Self::Unknown => "unknown",
        })
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Healthy => "healthy",
            Self::Unchecked => "running, no health checks",
            Self::Unhealthy => "unhealthy",
            Self::KeptHealthy => "health unknown now, in use before",
            Self::KeptUnhealthy => "health unknown now, out of use before",
            Self::NeverReported => "running, no result from its health checks",
            Self::NotYetChecked => "waiting for its first health check",
            Self::NotReady => "not ready, according to its readiness checks",
            Self::KeptReady => "readiness unknown now, in use before",
            Self::OnlyRemembered => {
                "remembered from an earlier run, and out of use when this one started"
            }
            Self::Unlisted => "no longer listed, and kept while that is doubted",
            Self::Starting => "not running yet",
            Self::Killing => "being killed",
            Self::Unreachable => "its agent is unreachable",
            Self::UnreachableStranger => "its agent is unreachable, and it was not in use before",
            Self::Terminal(ending) => return write!(f, "task {ending}"),
            Self::FailOpen => "unhealthy, and kept because no server is healthy (fail open)",
            Self::Draining => "out of use, and kept until its connections have ended",
            Self::NoAddress(Family::Inet) => "has no IPv4 address for this VIP",
            Self::NoAddress(Family::Inet6) => "has no IPv6 address for this VIP",
            Self::Port0 => "its port is 0",
            Self::NotUnicast(address) => {
                return write!(f, "{address} can't be the address of a server");
            }
            Self::SameServer(task) => return write!(f, "same address and port as task {task}"),
            Self::Unroutable(why) => return f.write_str(why),
            Self::Silent(cause) => return cause.fmt(f),
        })
    }
}
