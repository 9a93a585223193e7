//! What becomes of a real server whose host is silent.

use std::fmt;
use std::sync::Arc;

use super::HostVerdict;

/// A real server on a silent host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SilentServer {
    /// It takes no new connections.
    OutOfUse(Arc<HostVerdict>),
    /// It keeps its weight, since every other real server of the virtual service is out of use, too.
    Kept(Arc<HostVerdict>),
}

/// Writes a clause that follows the reason for the server's weight.
impl fmt::Display for SilentServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfUse(verdict) => write!(f, "out of use, its {verdict}"),
            Self::Kept(verdict) => {
                write!(f, "kept because no other real server is usable, though its {verdict}")
            }
        }
    }
}
