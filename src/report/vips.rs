//! The VIPs with their real servers, as `/v1/vips` and `vipd status --watch` show them. Pure.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use vip::{DesiredService, Health, Observed, ObservedService, Stats, Vip, Why};

use crate::agent::status::Table;

/// One VIP. `vip`, `protocol` and `backend` with `ip` and `port` are those of DC/OS's
/// `/v1/vips`; an IPv6 address stands in brackets, which it didn't there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VipReport {
    /// Address and port.
    pub vip: String,
    /// `tcp` or `udp`.
    pub protocol: String,
    /// Its real servers, by address.
    pub backend: Vec<Backend>,
    /// The apps and pods that claim it.
    pub apps: Vec<Arc<str>>,
    /// Their tasks that are no real servers, ended ones aside.
    pub left_out: Vec<LeftOut>,
    /// How it fares.
    pub state: VipState,
    /// What is wrong with it, each a sentence.
    pub problems: Vec<String>,
    /// The kernel's scheduler for it.
    pub scheduler: Option<String>,
    /// For how long a client stays with its server, in seconds.
    pub persistence: Option<u32>,
    /// What the kernel counted. None: it isn't there, or can't be read.
    pub stats: Option<Traffic>,
}

/// How a VIP fares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VipState {
    /// Clients are refused: nobody is there to serve them.
    Refusing,
    /// Somebody else's service stands in the way.
    Conflict,
    /// The kernel hasn't got it as it should be.
    Unapplied,
    /// Some of its tasks don't serve.
    Degraded,
    /// All of its tasks serve.
    Serving,
}

/// A real server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backend {
    /// Its address.
    pub ip: IpAddr,
    /// Its port.
    pub port: u16,
    /// The app or pod.
    pub app: Arc<str>,
    /// The task. Empty: it isn't known.
    pub task: Arc<str>,
    /// The version of the definition that the task runs by.
    pub version: Option<String>,
    /// What it should have.
    pub weight: u32,
    /// What it has in the kernel. None: it isn't there.
    pub kernel_weight: Option<u32>,
    /// Whether it takes new connections.
    pub state: BackendState,
    /// The task's health.
    pub health: Health,
    /// Why it has its weight.
    pub reason: String,
    /// How long it may still drain, in seconds.
    pub drains_for: Option<u64>,
    /// Connections in an established state.
    pub active: Option<u32>,
    /// All others, those in `TIME_WAIT` among them.
    pub inactive: Option<u32>,
    /// What the kernel counted.
    pub stats: Option<Traffic>,
}

/// Whether a real server takes new connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BackendState {
    /// It does.
    Serving,
    /// It keeps what it has until that ends.
    Draining,
    /// It takes none.
    Idle,
}

/// A task that is no real server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// The app or pod.
    pub app: Arc<str>,
    /// The task.
    pub task: Arc<str>,
    /// Why.
    pub reason: String,
}

/// Counters since the kernel made the service or server, and rates averaged by the kernel over
/// some seconds. In is from clients, out is to clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each is named after what it counts")]
pub struct Traffic {
    pub connections: u64,
    pub packets_in: u64,
    pub packets_out: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub connections_per_second: u64,
    pub packets_in_per_second: u64,
    pub packets_out_per_second: u64,
    pub bytes_in_per_second: u64,
    pub bytes_out_per_second: u64,
}

impl From<&Stats> for Traffic {
    fn from(stats: &Stats) -> Self {
        Self {
            connections: stats.connections,
            packets_in: stats.in_packets,
            packets_out: stats.out_packets,
            bytes_in: stats.in_bytes,
            bytes_out: stats.out_bytes,
            connections_per_second: stats.connections_per_second,
            packets_in_per_second: stats.in_packets_per_second,
            packets_out_per_second: stats.out_packets_per_second,
            bytes_in_per_second: stats.in_bytes_per_second,
            bytes_out_per_second: stats.out_bytes_per_second,
        }
    }
}

/// Every VIP that is decided about. `kernel`: as it was read for this; without it there are no
/// counters, and what the agent knows of the kernel stands in for it.
#[must_use]
pub fn vips(table: &Table, kernel: Option<&Observed>) -> Vec<VipReport> {
    let services = table.desired.services.iter();
    services.map(|(vip, service)| VipReport::of(vip, service, table, kernel)).collect()
}

impl VipReport {
    fn of(vip: &Vip, wanted: &DesiredService, table: &Table, kernel: Option<&Observed>) -> Self {
        let known = kernel.or(table.observed.as_deref());
        let held = known.and_then(|known| known.service(vip));
        let conflict = table.conflicts.iter().find(|conflict| conflict.vip == *vip);
        let fresh = kernel.and(held);
        let backend: Vec<_> = wanted
            .selection
            .members
            .iter()
            .map(|(at, member)| {
                let held = held.and_then(|held| held.servers.get(at));
                let drains_for = table.drains.get(&(*vip, *at)).map(std::time::Duration::as_secs);
                let fresh = kernel.and(held);
                Backend {
                    ip: at.ip(),
                    port: at.port(),
                    app: member.app.clone(),
                    task: member.task.clone(),
                    version: table.versions.get(&member.task).cloned(),
                    weight: member.weight,
                    kernel_weight: held.map(|held| held.settings.weight),
                    state: match (member.weight, drains_for, &member.why) {
                        (1.., ..) => BackendState::Serving,
                        (0, Some(_), _) | (0, _, Why::Draining | Why::Killing) => {
                            BackendState::Draining
                        }
                        (0, None, _) => BackendState::Idle,
                    },
                    health: member.why.health(),
                    reason: member.why.to_string(),
                    drains_for,
                    active: fresh.map(|held| held.active),
                    inactive: fresh.map(|held| held.inactive),
                    stats: fresh.map(|held| (&held.counted()).into()),
                }
            })
            .collect();
        let left_out: Vec<_> = wanted.selection.waiting().map(LeftOut::of).collect();
        let settings = wanted.settings(vip);
        let mut report = Self {
            vip: vip.socket().to_string(),
            protocol: vip.protocol.to_string(),
            backend,
            apps: wanted.apps.clone(),
            left_out,
            state: VipState::Serving,
            problems: Vec::new(),
            scheduler: settings.scheduler.map(|scheduler| scheduler.to_string()),
            persistence: (settings.timeout > 0).then_some(settings.timeout),
            stats: fresh.map(|held| (&held.stats).into()),
        };
        let bound = known.is_none_or(|known| known.addresses.contains_key(&vip.address));
        report.problems.extend(conflict.map(ToString::to_string));
        report.judge(conflict.is_some(), known.is_some(), held, bound);
        report
    }

    /// Says how it fares, and what is wrong.
    fn judge(
        &mut self,
        conflict: bool,
        kernel_known: bool,
        held: Option<&ObservedService>,
        bound: bool,
    ) {
        let serving = self.backend.iter().filter(|each| each.weight > 0).count();
        let doubtful =
            self.backend.iter().any(|each| each.weight > 0 && each.health == Health::Unhealthy);
        let differs = |each: &Backend| each.kernel_weight != Some(each.weight);
        self.state = if conflict {
            VipState::Conflict
        } else if serving == 0 {
            let why = match (self.backend.is_empty(), self.left_out.is_empty()) {
                (true, true) => "no task: clients are refused",
                (true, false) => "no task is ready to serve: clients are refused",
                (false, _) => "no real server takes new connections: new clients are refused",
            };
            self.problems.push(why.to_owned());
            VipState::Refusing
        } else if kernel_known && (held.is_none() || !bound || self.backend.iter().any(differs)) {
            self.problems.push("the kernel hasn't got it as it should be yet".to_owned());
            VipState::Unapplied
        } else if doubtful {
            let why = "no task is healthy: they are used all the same (fail open)";
            self.problems.push(why.to_owned());
            VipState::Degraded
        } else if serving < self.backend.len() || !self.left_out.is_empty() {
            VipState::Degraded
        } else {
            VipState::Serving
        };
    }

    /// Connections that are established now, on all its servers.
    #[must_use]
    pub fn active(&self) -> u64 {
        self.backend.iter().filter_map(|each| each.active).map(u64::from).sum()
    }

    /// Its real servers that take new connections.
    #[must_use]
    pub fn serving(&self) -> usize {
        self.backend.iter().filter(|each| each.state == BackendState::Serving).count()
    }
}

impl Backend {
    /// Where it listens.
    #[must_use]
    pub fn at(&self) -> SocketAddr {
        SocketAddr::new(self.ip, self.port)
    }
}

impl LeftOut {
    fn of(out: &vip::LeftOut) -> Self {
        Self { app: out.app.clone(), task: out.task.clone(), reason: out.why.to_string() }
    }
}
