//! Entries of the change log: one line for each operation.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crate::naming::VipName;
use crate::plan::OpKind;
use crate::{SourceId, Vip};

/// An operation with its reason. Its [`Display`](fmt::Display) is a line such as `3.3.0.6:3306/tcp
/// -10.0.0.7:31001 /mysql task killed`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// The kind of operation.
    pub op: OpKind,
    /// The name of the virtual address.
    pub name: Option<VipName>,
    /// The virtual service that the operation changes.
    pub vip: Option<Vip>,
    /// The virtual address that the operation changes, or that of the virtual service.
    pub address: Option<IpAddr>,
    /// The real server that the operation changes.
    pub server: Option<SocketAddr>,
    /// The source of the app behind the real server, where there are several sources.
    pub source: Option<SourceId>,
    /// The app behind the real server, or all apps that claim the service. Empty if unknown.
    pub app: Arc<str>,
    /// The task behind the real server.
    pub task: Option<Arc<str>>,
    /// The reason and the effect.
    pub why: String,
    /// The time since when the operation was due, since the start of the clock.
    pub since: Option<Duration>,
}

impl fmt::Display for LogEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = self.op.sign().as_char();
        if let Some(name) = &self.name {
            write!(f, "{name} ")?;
        }
        match (self.vip, self.server, self.address) {
            (Some(vip), Some(server), _) => write!(f, "{vip} {sign}{server}")?,
            (Some(vip), None, _) => write!(f, "{sign}{vip}")?,
            (None, _, Some(address)) => write!(f, "{sign}{address}")?,
            (None, _, None) => write!(f, "{sign}{}", self.subject())?,
        }
        if !self.app.is_empty() {
            write!(f, " {}", self.app)?;
        }
        if let Some(source) = &self.source {
            write!(f, " of {source}")?;
        }
        if !self.why.is_empty() {
            write!(f, " {}", self.why)?;
        }
        Ok(())
    }
}

impl LogEntry {
    /// Names the object of an operation that changes no single address.
    fn subject(&self) -> &'static str {
        match self.op {
            OpKind::SetTable | OpKind::DeleteTable => "nftables",
            OpKind::InsertRule | OpKind::DeleteRule => "firewall",
            OpKind::SetTimeouts => "timeouts",
            _ => "interface",
        }
    }
}
