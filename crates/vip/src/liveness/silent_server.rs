//! What becomes of a real server whose host is silent, or that refuses clients.

use std::fmt;
use std::sync::Arc;

use super::{HostVerdict, ServerVerdict, Silence};

/// A real server that a verdict is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SilentServer {
    /// It takes no new connections.
    OutOfUse(Cause),
    /// It keeps its weight, since every other real server of the virtual service is out of use, too.
    Kept(Cause),
}

/// The verdict that a real server is out of use for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// The verdict about its host.
    Host(Arc<HostVerdict>),
    /// The verdict about itself.
    Server(Arc<ServerVerdict>),
}

impl Cause {
    /// Returns how bad it is: a port that refuses is no better than a host that was silent for a moment.
    #[must_use]
    pub fn silence(&self) -> Option<Silence> {
        match self {
            Self::Host(verdict) => verdict.silence,
            Self::Server(_) => Some(Silence::Suspected),
        }
    }
}

/// Writes a clause about the real server.
impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(verdict) => write!(f, "its {verdict}"),
            Self::Server(verdict) => write!(f, "it {verdict}"),
        }
    }
}

/// Writes a clause that follows the reason for the server's weight.
impl fmt::Display for SilentServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfUse(cause) => write!(f, "out of use, {cause}"),
            Self::Kept(cause) => {
                write!(f, "kept because no other real server is usable, though {cause}")
            }
        }
    }
}
