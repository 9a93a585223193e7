//! The IPVS table of this node, as `vipd status` prints it. Pure.

use serde::Serialize;
use serde_json::Value;
use vip::naming::Names;
use vip::{Line, Link, Observed, Plan, Sign};

use super::agent::AgentReport;
use super::plan::{labels_json, timeouts_json};
use super::vips::{TaskReport, VipFacts, VipReport, VipSummary};
use crate::agent::status::Hold;

/// Everything that `vipd status` prints.
#[derive(Debug, Serialize)]
pub struct StatusReport {
    /// The agent that runs on this node, if one does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentReport>,
    /// The hold that the next agent is to keep to, if none runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold: Option<Hold>,
    /// `up`, `down` or `missing`.
    interface: &'static str,
    /// The IPVS timeouts in seconds.
    timeouts: Value,
    /// The nftables rules in force: `whole` or `reduced`, and why.
    data_path: String,
    /// Every VIP of vipd's in the kernel.
    vips: Vec<VipStatus>,
    /// Sentences that say what is wrong with more than one VIP.
    problems: Vec<String>,
    /// Every label. Null: no source was read.
    #[serde(skip_serializing_if = "Value::is_null")]
    labels: Value,
}

/// A [`VipReport`] with the kernel's counters beside the other fields.
#[derive(Debug, Serialize)]
struct VipStatus {
    /// Address, port and protocol.
    vip: String,
    connections: u64,
    connections_per_second: u64,
    bytes_in_per_second: u64,
    bytes_out_per_second: u64,
    servers: Vec<ServerStatus>,
    /// A sentence for each task that is not a real server.
    left_out: Vec<String>,
    #[serde(flatten)]
    summary: VipSummary,
}

/// A real server with the kernel's counters beside the other fields.
#[derive(Debug, Serialize)]
struct ServerStatus {
    connections: u64,
    connections_per_second: u64,
    #[serde(flatten)]
    task: TaskReport,
}

/// The facts of a source that was read for the report.
#[derive(Debug, Clone, Copy)]
pub struct Comparison<'a> {
    /// The facts about VIPs.
    pub facts: VipFacts<'a>,
    /// The plan that makes the kernel what is wanted.
    pub plan: &'a Plan,
    /// Parts of the sources that could not be read.
    pub findings: &'a [String],
}

impl StatusReport {
    /// Reports the kernel, compared with what the sources want if these were read. `names` are those
    /// that an agent tells.
    #[must_use]
    pub fn new(
        observed: &Observed,
        comparison: Option<Comparison<'_>>,
        names: Option<&Names>,
    ) -> Self {
        let facts = comparison.map(|comparison| comparison.facts).unwrap_or_default();
        let facts = VipFacts { observed: Some(observed), has_counters: true, names, ..facts };
        let mut report = Self {
            agent: None,
            hold: None,
            timeouts: timeouts_json(&observed.timeouts),
            interface: match observed.link {
                Link::Up => "up",
                Link::Down => "down",
                Link::Missing => "missing",
            },
            data_path: observed.nft.to_string(),
            vips: facts.report_kernel().into_iter().map(VipStatus::from).collect(),
            problems: Vec::new(),
            labels: Value::Null,
        };
        if observed.link != Link::Up && !report.vips.is_empty() {
            report.problems.push(format!("the interface is {}", report.interface));
        }
        if let Some(comparison) = comparison {
            report.add_comparison(&comparison);
        }
        report
    }

    fn add_comparison(&mut self, comparison: &Comparison<'_>) {
        let Comparison { facts, plan, findings } = comparison;
        let labels = facts.desired.map(|desired| desired.reports.as_slice()).unwrap_or_default();
        self.labels = labels_json(labels);
        self.problems.extend(plan.conflicts.iter().map(ToString::to_string));
        let refused = labels.iter().filter(|report| !report.verdict.is_ok());
        self.problems.extend(refused.map(ToString::to_string));
        self.problems.extend(findings.iter().cloned());
        if !plan.is_empty() {
            let summary = plan.summary();
            self.problems.push(format!("the kernel differs: {summary} (see `vipd diff`)"));
        }
    }

    /// Returns whether anything is wrong.
    #[must_use]
    pub fn has_trouble(&self) -> bool {
        self.agent.as_ref().is_some_and(AgentReport::has_trouble)
            || self.hold.is_some()
            || !self.problems.is_empty()
            || self.vips.iter().any(|vip| vip.summary.state.is_broken())
    }

    /// Writes it for people.
    #[must_use]
    pub fn to_lines(&self) -> Vec<Line> {
        let mut lines: Vec<_> = self.agent.iter().flat_map(AgentReport::to_lines).collect();
        let mut line = |depth, sign, text| lines.push(Line { depth, sign, text });
        if let Some(hold) = &self.hold {
            line(0, Sign::Plain, format!("no agent runs; the node is {hold}"));
        }
        line(0, Sign::Plain, format!("data path: {}", self.data_path));
        for vip in &self.vips {
            line(0, Sign::Plain, vip.heading_line());
            for server in &vip.servers {
                line(1, Sign::Plain, server.to_text());
            }
            for left_out in &vip.left_out {
                line(1, Sign::Plain, format!("left out: {left_out}"));
            }
            for problem in &vip.summary.problems {
                line(1, Sign::Warn, problem.clone());
            }
        }
        for problem in &self.problems {
            line(0, Sign::Warn, problem.clone());
        }
        lines
    }

    /// Summarizes the table in a line.
    #[must_use]
    pub fn summary_line(&self) -> String {
        let servers: usize = self.vips.iter().map(|vip| vip.servers.len()).sum();
        let interface = self.interface;
        let vips = self.vips.len();
        let [tcp, fin, udp] = ["tcp", "tcp-fin", "udp"].map(|name| &self.timeouts[name]);
        format!(
            "VIPs: {vips}; real servers: {servers}; interface: {interface}; connections are \
             forgotten after: tcp {tcp} s, after a FIN {fin} s, udp {udp} s"
        )
    }
}

impl From<VipReport> for VipStatus {
    fn from(report: VipReport) -> Self {
        let stats = report.summary.stats.unwrap_or_default();
        Self {
            vip: report.full_name(),
            connections: stats.connections,
            connections_per_second: stats.connections_per_second,
            bytes_in_per_second: stats.bytes_in_per_second,
            bytes_out_per_second: stats.bytes_out_per_second,
            left_out: report.left_out.iter().map(TaskReport::to_sentence).collect(),
            servers: report.backend.into_iter().map(ServerStatus::from).collect(),
            summary: report.summary,
        }
    }
}

impl VipStatus {
    fn heading_line(&self) -> String {
        let name = self.summary.name.iter().map(|name| format!("{name} ")).collect::<String>();
        let summary = &self.summary;
        let scheduler = summary.scheduler.as_deref().unwrap_or("no scheduler");
        let persistence =
            summary.persistence.map(|s| format!(" persistent {s} s")).unwrap_or_default();
        format!(
            "{name}{}  {scheduler}{persistence}  {} connection{}, {}/s, {} B/s in, {} B/s out  {}",
            self.vip,
            self.connections,
            if self.connections == 1 { "" } else { "s" },
            self.connections_per_second,
            self.bytes_in_per_second,
            self.bytes_out_per_second,
            summary.apps.join(", ")
        )
        .trim_end()
        .to_owned()
    }
}

impl From<TaskReport> for ServerStatus {
    fn from(task: TaskReport) -> Self {
        let stats = task.stats.unwrap_or_default();
        Self {
            connections: stats.connections,
            connections_per_second: stats.connections_per_second,
            task,
        }
    }
}

impl ServerStatus {
    fn to_text(&self) -> String {
        let task = &self.task;
        let behind = match (&task.app, &task.task, &task.why) {
            (Some(_), Some(id), Some(why)) => format!("  {} {id} ({why})", task.app_text()),
            _ => String::new(),
        };
        format!(
            "{}  {} weight {}  {} active, {} inactive, {}/s{behind}",
            task.server.map(|server| server.to_string()).unwrap_or_default(),
            task.forwarding.as_deref().unwrap_or_default(),
            task.weight.unwrap_or_default(),
            task.active.unwrap_or_default(),
            task.inactive.unwrap_or_default(),
            self.connections_per_second
        )
    }
}
