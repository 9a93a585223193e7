//! The VIPs that `/v1/vips`, `vipd status`, `vipd explain` and the status page show. Pure.
//!
//! All of them have the same [`VipSummary`] and [`TaskReport`], which are filled in here: a new field
//! of a VIP or of a real server is added in this file, and then it is in every JSON. To show it to
//! people, edit `status.rs` and `explanation.rs` next to this file, and the status page.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use vip::naming::Names;
use vip::plan::Conflict;
use vip::{
    Desired, Health, KernelMatch, LeftOut, Member, Observed, ObservedServer, SourceId, Stats,
    TaskCounts, Vip, VipState, Why,
};

use crate::agent::status::Table;
use crate::clock::Timestamp;

/// A VIP in the shape of DC/OS's `/v1/vips` (`vip`, `protocol`, `backend` with `ip` and `port`),
/// with more fields. An IPv6 address is in brackets; DC/OS had none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Vip"))]
pub struct VipReport {
    /// Address and port.
    pub vip: String,
    /// `tcp` or `udp`.
    pub protocol: String,
    /// Real servers, by address.
    pub backend: Vec<TaskReport>,
    /// Tasks that are not real servers, except ended ones.
    pub left_out: Vec<TaskReport>,
    /// Everything else.
    #[serde(flatten)]
    pub summary: VipSummary,
}

/// The fields of a VIP that every report has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct VipSummary {
    /// The name, as `mysql.marathon`; of an address without a name null.
    pub name: Option<String>,
    /// The name with its DNS zone.
    pub dns: Option<String>,
    /// The apps and pods that claim it.
    pub apps: Vec<Arc<str>>,
    /// The state.
    #[cfg_attr(test, schemars(schema_with = "super::schemas::vip_state"))]
    pub state: VipState,
    /// The time since which it has been in this state, as far as the running agent knows.
    #[serde(default)]
    pub since: Option<String>,
    /// Sentences that say what is wrong with it.
    pub problems: Vec<String>,
    /// A virtual service of another owner that keeps vipd from creating this one.
    pub conflict: Option<String>,
    /// The IPVS scheduler.
    pub scheduler: Option<String>,
    /// The persistence timeout in seconds.
    pub persistence: Option<u32>,
    /// The kernel's counters. None: it is not in the kernel, or its counters were not read for this.
    pub stats: Option<Traffic>,
}

/// A task behind a VIP. One that is a real server has an address and a weight.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Task"))]
pub struct TaskReport {
    /// The Marathon of the app, where several are configured.
    pub source: Option<String>,
    /// The app or pod. None: the real server is in the kernel, and no app wants it.
    pub app: Option<Arc<str>>,
    /// The task id. Empty: Marathon no longer lists the task.
    pub task: Option<Arc<str>>,
    /// The version of the app definition that the task runs.
    pub version: Option<String>,
    /// The state.
    pub state: TaskState,
    /// `healthy`, `unhealthy`, `unchecked`, `unreachable` or `unknown`.
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub health: Option<Health>,
    /// The reason for its weight, or for being no real server.
    pub reason: Option<String>,
    /// The reason, followed by the one for its address where the node had a choice.
    pub why: Option<String>,
    /// Address and port of the real server.
    pub server: Option<SocketAddr>,
    /// The address of the real server.
    pub ip: Option<IpAddr>,
    /// The port of the real server.
    pub port: Option<u16>,
    /// The weight it should have; in `vipd status`, the weight it has.
    pub weight: Option<u32>,
    /// The weight it has in the kernel. None: it is not in the kernel.
    pub kernel_weight: Option<u32>,
    /// The forwarding method in the kernel.
    pub forwarding: Option<String>,
    /// The longest time that it may still drain, in seconds.
    pub drains_for: Option<u64>,
    /// Connections in an established state.
    pub active: Option<u32>,
    /// All other connections, including those in `TIME_WAIT`.
    pub inactive: Option<u32>,
    /// The kernel's counters.
    pub stats: Option<Traffic>,
}

/// The state of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum TaskState {
    /// A real server that takes new connections.
    Serving,
    /// A real server that keeps its connections until they end.
    Draining,
    /// A real server with weight 0.
    Idle,
    /// No real server.
    LeftOut,
    /// No real server, because the task has ended.
    Ended,
}

/// Counters since the kernel created the service or server, and rates averaged by the kernel over
/// some seconds. In is from clients, out is to clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
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

/// The facts that reports are built from: those of one survey, or of a running agent.
#[derive(Debug, Clone, Copy, Default)]
pub struct VipFacts<'a> {
    /// The VIPs that the sources want. None: no source was read.
    pub desired: Option<&'a Desired>,
    /// The names of virtual addresses. None: those of `desired`.
    pub names: Option<&'a Names>,
    /// The kernel. None: it could not be read.
    pub observed: Option<&'a Observed>,
    /// `observed` has current counters.
    pub has_counters: bool,
    /// VIPs that virtual services of other owners stand in the way of.
    pub conflicts: &'a [Conflict],
    /// Versions of app definitions by task id.
    pub versions: Option<&'a BTreeMap<Arc<str>, String>>,
    /// The state of each VIP once its latest decision is in the kernel, and since when.
    pub states: Option<&'a BTreeMap<Vip, (VipState, Timestamp)>>,
    /// The longest time that each draining real server still has.
    pub drains: Option<&'a BTreeMap<(Vip, SocketAddr), Duration>>,
}

/// The side that a report is about: it lists the real servers of that side, with its weights and
/// settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Wanted,
    Kernel,
}

impl<'a> VipFacts<'a> {
    /// Takes the facts of a running agent. Without a `kernel` that was just read, the one that the
    /// agent remembers stands in for it, without counters.
    #[must_use]
    pub fn from_agent(table: &'a Table, kernel: Option<&'a Observed>) -> Self {
        Self {
            desired: Some(&table.desired),
            names: None,
            observed: kernel.or(table.observed.as_deref()),
            has_counters: kernel.is_some(),
            conflicts: &table.conflicts,
            versions: Some(&table.versions),
            states: Some(&table.states),
            drains: Some(&table.drains),
        }
    }

    /// Reports every VIP that is wanted.
    #[must_use]
    pub fn report_wanted(&self) -> Vec<VipReport> {
        let services = self.desired.iter().flat_map(|desired| &desired.services);
        services.map(|(vip, _)| self.build_report(vip, Side::Wanted).without_ended()).collect()
    }

    /// Reports every VIP of vipd's that is in the kernel.
    #[must_use]
    pub fn report_kernel(&self) -> Vec<VipReport> {
        let services = self.observed.iter().flat_map(|observed| observed.our_services());
        services.map(|(vip, _)| self.build_report(&vip, Side::Kernel).without_ended()).collect()
    }

    /// Reports a wanted VIP with all of its tasks, including ended ones.
    pub(super) fn report_all_tasks(&self, vip: &Vip) -> VipReport {
        self.build_report(vip, Side::Wanted)
    }

    fn build_report(&self, vip: &Vip, side: Side) -> VipReport {
        let wanted = self.desired.and_then(|desired| desired.services.get(vip));
        // Whoever owns it. The real servers of a foreign service aren't read, so it has none here.
        let held = self.observed.and_then(|observed| observed.service(vip));
        let members = wanted.map(|wanted| &wanted.selection.members);
        let servers = held.map(|held| &*held.servers);
        let addresses: Vec<&SocketAddr> = match side {
            Side::Wanted => members.into_iter().flat_map(BTreeMap::keys).collect(),
            Side::Kernel => servers.into_iter().flat_map(BTreeMap::keys).collect(),
        };
        let backend = addresses.into_iter().map(|address| {
            let member = members.and_then(|members| members.get(address));
            let server = servers.and_then(|servers| servers.get(address));
            self.report_server(vip, *address, (member, server), side)
        });
        let left_out = wanted.iter().flat_map(|wanted| &wanted.selection.left_out);
        let settings = match side {
            Side::Wanted => wanted.map(vip::DesiredService::settings),
            Side::Kernel => held.map(|held| held.settings.clone()),
        };
        let scheduler = settings.as_ref().and_then(|settings| settings.scheduler.as_ref());
        let persistence = settings.as_ref().map(|settings| settings.timeout);
        let conflict = self.conflicts.iter().find(|conflict| conflict.vip == *vip);
        let counted = held.filter(|_| self.has_counters);
        let names = self.names.or(self.desired.map(|desired| &desired.names));
        let mut report = VipReport {
            vip: vip.socket_addr().to_string(),
            protocol: vip.protocol.to_string(),
            backend: backend.collect(),
            left_out: left_out.map(|out| self.report_left_out(out)).collect(),
            summary: VipSummary {
                name: names.and_then(|names| names.name_at(vip.address)).map(ToString::to_string),
                dns: names.and_then(|names| names.dns_name_at(vip.address)),
                apps: wanted.map(|wanted| wanted.apps.clone()).unwrap_or_default(),
                state: VipState::Serving,
                since: None,
                problems: Vec::new(),
                conflict: conflict.map(ToString::to_string),
                scheduler: scheduler.map(ToString::to_string),
                persistence: persistence.filter(|seconds| *seconds > 0),
                stats: counted.map(|held| (&held.stats).into()),
            },
        };
        let kernel = self.observed.map(|observed| KernelMatch::compare(vip, wanted, observed));
        let is_suspended = wanted.is_some_and(|wanted| wanted.suspended);
        report.evaluate(side, kernel.unwrap_or_default(), is_suspended);
        if wanted.is_some_and(|wanted| wanted.apps.is_empty()) {
            let refused = self.desired.and_then(|desired| desired.refused_label(vip));
            report.summary.problems.extend(refused.map(ToString::to_string));
        }
        let known = self.states.and_then(|states| states.get(vip));
        let known = known.filter(|(state, _)| *state == report.summary.state);
        report.summary.since = known.map(|(_, since)| format!("{since:.0}"));
        report
    }

    fn report_server(
        &self,
        vip: &Vip,
        address: SocketAddr,
        (member, held): (Option<&Member>, Option<&ObservedServer>),
        side: Side,
    ) -> TaskReport {
        let kernel_weight = held.map(|held| held.settings.weight);
        let weight = match side {
            Side::Wanted => member.map(|member| member.weight),
            Side::Kernel => kernel_weight,
        };
        let drain = self.drains.and_then(|drains| drains.get(&(*vip, address)));
        let is_draining = drain.is_some()
            || member.is_some_and(|member| matches!(member.why, Why::Draining | Why::Killing));
        let counted = held.filter(|_| self.has_counters);
        TaskReport {
            source: member.and_then(|member| self.source_shown(&member.source)),
            app: member.map(|member| member.app.id.clone()),
            task: member.map(|member| member.task.clone()),
            version: member.and_then(|member| self.version_of(&member.task)),
            state: match weight {
                Some(1..) => TaskState::Serving,
                _ if is_draining => TaskState::Draining,
                _ => TaskState::Idle,
            },
            health: member.map(|member| member.why.health()),
            reason: member.map(|member| member.why.to_string()),
            why: member.map(Member::reason),
            server: Some(address),
            ip: Some(address.ip()),
            port: Some(address.port()),
            weight,
            kernel_weight,
            forwarding: held.map(|held| held.settings.forward.to_string()),
            drains_for: drain.map(Duration::as_secs),
            active: counted.map(|held| held.active),
            inactive: counted.map(|held| held.inactive),
            stats: counted.map(|held| (&held.stats_or_zero()).into()),
        }
    }

    fn report_left_out(&self, out: &LeftOut) -> TaskReport {
        TaskReport {
            source: self.source_shown(&out.source),
            app: Some(out.app.id.clone()),
            task: Some(out.task.clone()),
            version: self.version_of(&out.task),
            state: match out.why {
                Why::Terminal(_) => TaskState::Ended,
                _ => TaskState::LeftOut,
            },
            health: Some(out.why.health()),
            reason: Some(out.why.to_string()),
            why: Some(out.why.to_string()),
            server: None,
            ip: None,
            port: None,
            weight: None,
            kernel_weight: None,
            forwarding: None,
            drains_for: None,
            active: None,
            inactive: None,
            stats: None,
        }
    }

    fn source_shown(&self, source: &SourceId) -> Option<String> {
        self.desired?.several_sources.then(|| source.to_string())
    }

    fn version_of(&self, task: &str) -> Option<String> {
        self.versions?.get(task).cloned()
    }
}

fn describe_refusal(side: Side, tasks: TaskCounts) -> &'static str {
    let has_servers = tasks.weightless > 0;
    match (side, has_servers, tasks.left_out > 0) {
        (Side::Wanted, false, false) => "no task: clients are refused",
        (Side::Wanted, false, true) => "no task is ready to serve: clients are refused",
        (Side::Wanted, true, _) => "no real server takes new connections: new clients are refused",
        (Side::Kernel, false, _) => "no real server: clients are refused",
        (Side::Kernel, true, _) => "every real server has weight 0: new clients are refused",
    }
}

impl VipReport {
    /// Sets the state, and says what is wrong.
    fn evaluate(&mut self, side: Side, kernel: KernelMatch, is_suspended: bool) {
        let mut tasks = TaskCounts {
            left_out: self.left_out.iter().filter(|task| task.is_waiting()).count(),
            ..TaskCounts::default()
        };
        for task in &self.backend {
            tasks.count_server(task.takes_connections(), task.health == Some(Health::Unhealthy));
        }
        let state = tasks.find_state(kernel, self.summary.conflict.is_some(), is_suspended);
        let problem = match state {
            VipState::Refusing => Some(describe_refusal(side, tasks)),
            VipState::Unapplied if kernel.differs => {
                Some("the kernel does not hold it as wanted yet")
            }
            VipState::Degraded if tasks.fail_open > 0 => {
                Some("no task is healthy: unhealthy ones are used (fail open)")
            }
            _ => None,
        };
        let unbound = kernel.is_unbound.then_some("its address is not bound on this node");
        let problems = problem.into_iter().chain(unbound).map(ToOwned::to_owned);
        self.summary.state = state;
        self.summary.problems = self.summary.conflict.iter().cloned().chain(problems).collect();
    }

    /// Adds the real servers that only the kernel has, from the report of the same VIP there, and takes
    /// the weights that the kernel has.
    pub(super) fn add_kernel(&mut self, kernel: Self) {
        for held in kernel.backend {
            if !self.backend.iter().any(|task| task.server == held.server) {
                self.backend.push(held);
            }
        }
        for task in &mut self.backend {
            task.weight = task.kernel_weight.or(task.weight);
        }
    }

    fn without_ended(mut self) -> Self {
        self.left_out.retain(|task| task.state != TaskState::Ended);
        self
    }

    /// Returns address, port and protocol: `3.3.0.6:3306/tcp`.
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.vip, self.protocol)
    }

    /// Returns its name, if it has one, and its address, port and protocol.
    #[must_use]
    pub fn title(&self) -> String {
        let name = self.summary.name.iter().map(|name| format!("{name} ")).collect::<String>();
        name + self.full_name().as_str()
    }

    /// Tells whether a text is its address and port, or its name and port, with or without a zone.
    #[must_use]
    pub fn is_called(&self, text: &str) -> bool {
        let name =
            text.rsplit_once(':').filter(|(_, port)| self.vip.ends_with(&format!(":{port}")));
        let name = name.map(|(name, _)| name);
        let names = [self.summary.name.as_deref(), self.summary.dns.as_deref()];
        text == self.vip || name.is_some_and(|name| names.contains(&Some(name)))
    }

    /// Counts the established connections of all real servers.
    #[must_use]
    pub fn active_connections(&self) -> u64 {
        self.backend.iter().filter_map(|task| task.active).map(u64::from).sum()
    }

    /// Counts the real servers that take new connections.
    #[must_use]
    pub fn serving_servers(&self) -> usize {
        self.backend.iter().filter(|task| task.takes_connections()).count()
    }
}

impl VipSummary {
    /// Says why it refuses clients, if that is meant.
    pub(super) fn describe_suspension(&self) -> Option<&'static str> {
        let is_claimed = !self.apps.is_empty();
        (self.state == VipState::Suspended).then_some(match is_claimed {
            true => "suspended: scaled to 0 instances, so clients are refused",
            false => "no app claims it any more: it goes when its connections have ended",
        })
    }
}

impl TaskReport {
    /// Says of a task that is not a real server what it lacks: `web.1 of /web: not running yet`.
    pub(super) fn to_sentence(&self) -> String {
        let task = self.task.as_deref().unwrap_or_default();
        format!("{task} of {}: {}", self.app_text(), self.reason.as_deref().unwrap_or_default())
    }

    /// Names the app, and its Marathon where there are several: `/mysql of eu`.
    pub(super) fn app_text(&self) -> String {
        let app = self.app.as_deref().unwrap_or_default();
        match &self.source {
            Some(source) => format!("{app} of {source}"),
            None => app.to_owned(),
        }
    }

    /// Returns the ids of its app and of itself, as far as they are known.
    pub(super) fn ids(&self) -> impl Iterator<Item = &str> {
        [&self.app, &self.task].into_iter().flatten().map(|id| &**id)
    }

    fn is_waiting(&self) -> bool {
        self.state == TaskState::LeftOut
    }

    fn takes_connections(&self) -> bool {
        self.state == TaskState::Serving
    }
}
