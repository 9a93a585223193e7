//! Facts that only the agent of this node knows: neither Marathon nor the kernel tells them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::liveness::{HostVerdict, ServerVerdict};
use crate::naming::NameFacts;
use crate::{AppKind, Vip};

/// Facts that only the agent of this node knows. A command that decides beside an agent asks it for
/// them, so that both decide alike.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct LocalFacts {
    /// Real servers that drain.
    pub drains: Vec<DrainFacts>,
    /// Addresses that stay bound for a while though they are no longer desired, with the
    /// milliseconds that are left.
    pub lingering: BTreeMap<IpAddr, u64>,
    /// Real servers that it keeps although their source doesn't list them, which it doubts.
    pub kept: Vec<KeptServer>,
    /// The names that it knows, with their addresses.
    pub names: Vec<NameFacts>,
    /// The addresses that serve.
    pub served: BTreeSet<IpAddr>,
    /// The hosts that don't answer it, and what that means for real servers.
    pub silence: SilenceFacts,
    /// It doubts that the table holds VIPs that no source claims.
    pub doubted: bool,
    /// Such VIPs that stay no longer, since a source has told that they are gone.
    pub lapsed: BTreeSet<Vip>,
    /// Real servers that stay no longer, since their places belong to tasks that are listed.
    pub taken: BTreeSet<SocketAddr>,
}

/// A real server that the agent keeps although its source doesn't list it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptServer {
    /// The virtual service.
    pub vip: Vip,
    /// The address and port.
    pub server: SocketAddr,
    /// The weight.
    pub weight: u32,
    /// The task behind it.
    pub task: TaskName,
}

/// The hosts that don't answer the agent's probes, the real servers that refuse clients, and those that are
/// out of use because of that.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SilenceFacts {
    /// The hosts.
    pub hosts: Vec<HostVerdict>,
    /// The real servers that refuse clients.
    pub refusing: Vec<ServerVerdict>,
    /// The weights that the real servers of either would have.
    pub weights: Vec<WithheldWeight>,
}

/// The weight that a real server would have without a verdict against it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WithheldWeight {
    /// The virtual service.
    pub vip: Vip,
    /// The address and port.
    pub server: SocketAddr,
    /// The weight.
    pub weight: u32,
    /// The task behind it, if known.
    pub task: Option<TaskName>,
}

/// A real server that drains.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrainFacts {
    /// The virtual service.
    pub vip: Vip,
    /// The address and port.
    pub server: SocketAddr,
    /// The weight before.
    pub weight_before: u32,
    /// The milliseconds until it is removed at the latest; `None` until the kernel has set its
    /// weight to 0.
    pub left_ms: Option<u64>,
    /// The milliseconds without an active connection; `None` if it has some.
    pub idle_ms: Option<u64>,
    /// The task behind it, if known.
    pub task: Option<TaskName>,
}

/// A task by source, app and id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskName {
    /// The source's name.
    pub source: String,
    /// The app or pod.
    pub app: Arc<str>,
    /// Which of the two it is.
    #[serde(default, skip_serializing_if = "AppKind::is_app")]
    pub kind: AppKind,
    /// Marathon's id of the task or pod instance.
    pub task: Arc<str>,
}

/// Converts a time to milliseconds.
pub(crate) fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
