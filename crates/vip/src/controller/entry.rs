//! The change log: one line for each operation, with what, for which app, and why.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crate::Vip;
use crate::plan::OpKind;

/// One operation, and why. Its [`Display`](fmt::Display) is a line such as
/// `3.3.0.6:3306/tcp -10.0.0.7:31001 /mysql task killed`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The kind of operation.
    pub op: OpKind,
    /// The virtual service that it changes.
    pub vip: Option<Vip>,
    /// The virtual address that it changes, that of the service among them.
    pub address: Option<IpAddr>,
    /// The real server that it changes.
    pub server: Option<SocketAddr>,
    /// The app behind the real server; of a service all that claim it. Empty: nobody is known.
    pub app: Arc<str>,
    /// The task behind the real server.
    pub task: Option<Arc<str>>,
    /// Why it is done, and to what effect.
    pub why: String,
    /// Since when it was due, since the start that all times count from.
    pub since: Option<Duration>,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = self.op.sign().as_char();
        match (self.vip, self.server, self.address) {
            (Some(vip), Some(server), _) => write!(f, "{vip} {sign}{server}")?,
            (Some(vip), None, _) => write!(f, "{sign}{vip}")?,
            (None, _, Some(address)) => write!(f, "{sign}{address}")?,
            (None, _, None) => write!(f, "{sign}{}", self.subject())?,
        }
        for part in [&*self.app, &*self.why].into_iter().filter(|part| !part.is_empty()) {
            write!(f, " {part}")?;
        }
        Ok(())
    }
}

impl Entry {
    /// The thing that an operation of no address changes.
    fn subject(&self) -> &'static str {
        match self.op {
            OpKind::SetTable | OpKind::DeleteTable => "nftables",
            OpKind::InsertRule | OpKind::DeleteRule => "firewall",
            OpKind::SetTimeouts => "timeouts",
            _ => "interface",
        }
    }
}
