//! The IPVS table of this node, as `vipd status` prints it. Pure.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use vip::naming::Names;
use vip::{Line, Link, Observed, Plan, Sign};

use super::agent::AgentReport;
use super::names::ReportedLabel;
use super::plan::{labels_json, timeouts_json};
use super::vip_filter::VipFilter;
use super::vip_table::{count_states, table_lines};
use super::vips::{TaskReport, VipFacts, VipReport, VipSummary};
use crate::agent::status::Hold;

/// More VIPs than this are a row each, unless their real servers are asked for.
const MOST_WITH_SERVERS: usize = 20;

/// The most refused labels that people are shown.
const MOST_REFUSED: usize = 20;

/// Everything that `vipd status` prints.
#[derive(Debug, Serialize)]
pub struct StatusReport {
    /// The agent, if one runs on this node or is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentReport>,
    /// The hold that the next agent is to keep to, if none runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold: Option<Hold>,
    #[serde(flatten)]
    node: Option<NodeStatus>,
    /// The reason why the kernel was not read for this, if it wasn't.
    #[serde(skip_serializing_if = "Option::is_none")]
    kernel_unread: Option<String>,
    /// Every VIP of vipd's in the kernel, and every one that the agent wants.
    #[serde(serialize_with = "serialize_vips")]
    vips: Vec<VipReport>,
    /// Sentences that say what is wrong with more than one VIP.
    problems: Vec<String>,
    /// The labels that the agent refuses. None: it wasn't asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    refused_labels: Option<Vec<ReportedLabel>>,
    /// Every label. Null: no source was read.
    #[serde(skip_serializing_if = "Value::is_null")]
    labels: Value,
}

/// The node's kernel, apart from VIPs.
#[derive(Debug, Serialize)]
struct NodeStatus {
    /// `up`, `down` or `missing`.
    interface: &'static str,
    /// The IPVS timeouts in seconds.
    timeouts: Value,
    /// The nftables rules in force: `whole` or `reduced`, and why.
    data_path: String,
}

impl NodeStatus {
    fn new(observed: &Observed) -> Self {
        Self {
            timeouts: timeouts_json(&observed.timeouts),
            interface: match observed.link {
                Link::Up => "up",
                Link::Down => "down",
                Link::Missing => "missing",
            },
            data_path: observed.nft.to_string(),
        }
    }

    fn summary_text(&self) -> String {
        let [tcp, fin, udp] = ["tcp", "tcp-fin", "udp"].map(|name| &self.timeouts[name]);
        format!(
            "; interface: {}; connections are forgotten after: tcp {tcp} s, after a FIN {fin} s, \
             udp {udp} s",
            self.interface
        )
    }
}

/// How much people are shown.
#[derive(Debug, Clone, Copy, Default)]
pub struct Layout {
    /// Real servers of every VIP, however many VIPs there are.
    pub servers: bool,
    /// The columns of the terminal. None: no limit.
    pub width: Option<usize>,
}

fn serialize_vips<S: Serializer>(vips: &[VipReport], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(vips.iter().cloned().map(VipStatus::from))
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
        let mut report = Self::of_vips(facts.report_kernel());
        report.add_node(observed);
        if let Some(comparison) = comparison {
            report.add_comparison(&comparison);
        }
        report
    }

    /// Reports the VIPs that an agent tells, and what the kernel has beside them.
    #[must_use]
    pub fn from_agent(
        mut vips: Vec<VipReport>,
        kernel: Result<&Observed, String>,
        names: Option<&Names>,
    ) -> Self {
        let observed = match kernel {
            Ok(observed) => observed,
            Err(why) => return Self { kernel_unread: Some(why), ..Self::of_vips(vips) },
        };
        let facts =
            VipFacts { observed: Some(observed), has_counters: true, names, ..VipFacts::default() };
        let held = facts.report_kernel().into_iter().map(|vip| (vip.full_name(), vip));
        let mut held: BTreeMap<_, _> = held.collect();
        for vip in &mut vips {
            if let Some(kernel) = held.remove(&vip.full_name()) {
                vip.add_kernel(kernel);
            }
        }
        vips.extend(held.into_values().map(|mut vip| {
            vip.summary.problems.push("the agent knows no app that claims it".to_owned());
            vip
        }));
        let mut report = Self::of_vips(vips);
        report.add_node(observed);
        report
    }

    fn of_vips(vips: Vec<VipReport>) -> Self {
        Self {
            agent: None,
            hold: None,
            node: None,
            kernel_unread: None,
            vips,
            problems: Vec::new(),
            refused_labels: None,
            labels: Value::Null,
        }
    }

    fn add_node(&mut self, observed: &Observed) {
        let node = NodeStatus::new(observed);
        if observed.link != Link::Up && !self.vips.is_empty() {
            self.problems.push(format!("the interface is {}", node.interface));
        }
        self.node = Some(node);
    }

    /// Adds a sentence that says what is wrong.
    pub fn add_problem(&mut self, problem: String) {
        self.problems.push(problem);
    }

    /// Adds the labels of which the agent tells, as far as it refuses them.
    pub fn add_labels(&mut self, labels: Vec<ReportedLabel>) {
        self.refused_labels = Some(labels.into_iter().filter(|label| !label.ok).collect());
    }

    /// Leaves out the VIPs and the refused labels that a filter doesn't match. Returns whether it matches
    /// any.
    pub fn filter_vips(&mut self, filter: &VipFilter) -> bool {
        self.vips.retain(|vip| filter.matches(vip));
        if let Some(labels) = &mut self.refused_labels {
            labels.retain(|label| filter.matches_label(label));
        }
        !self.vips.is_empty() || !self.refused().is_empty()
    }

    fn refused(&self) -> &[ReportedLabel] {
        self.refused_labels.as_deref().unwrap_or_default()
    }

    /// Returns the names of apps and VIPs, and the VIPs themselves.
    #[must_use]
    pub fn known_names(&self) -> Vec<String> {
        let names = self.vips.iter().flat_map(|vip| {
            let apps = vip.summary.apps.iter().map(ToString::to_string);
            apps.chain(vip.summary.name.clone()).chain([vip.vip.clone()])
        });
        names.chain(self.refused().iter().map(|label| label.app.clone())).collect()
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
    pub fn to_lines(&self, layout: Layout) -> Vec<Line> {
        let mut lines = self.node_lines();
        if layout.servers || self.vips.len() <= MOST_WITH_SERVERS {
            lines.extend(self.vips.iter().flat_map(vip_lines));
        } else {
            let mut vips: Vec<_> = self.vips.iter().collect();
            // The sort is stable: equal VIPs stay in the order of addresses.
            vips.sort_by_key(|vip| vip.summary.state);
            lines.extend(table_lines(&vips, kernel_rate, layout.width));
        }
        lines.extend(self.refused_lines());
        lines.extend(self.problem_lines());
        lines
    }

    /// Writes it for people, without the VIPs.
    #[must_use]
    pub fn to_summary_lines(&self) -> Vec<Line> {
        let refused = match self.refused().len() {
            0 => None,
            1 => Some("1 label is refused: `vipd status` names it".to_owned()),
            many => Some(format!("{many} labels are refused: `vipd status` names them")),
        };
        let refused = refused.map(|text| Line::new(0, Sign::Warn, text));
        self.node_lines().into_iter().chain(refused).chain(self.problem_lines()).collect()
    }

    /// Returns the counts and everything else but the VIPs, for machines.
    #[must_use]
    pub fn to_summary_json(&self) -> Value {
        let mut states = BTreeMap::<_, usize>::new();
        for vip in &self.vips {
            *states.entry(vip.summary.state.word()).or_default() += 1;
        }
        let (serving, servers) = self.count_servers();
        json!({
            "agent": self.agent,
            "hold": self.hold,
            "vips": self.vips.len(),
            "states": states,
            "servers": servers,
            "serving_servers": serving,
            "problems": self.problems,
            "refused_labels": self.refused_labels.as_ref().map(Vec::len),
            "kernel_unread": self.kernel_unread,
        })
    }

    fn node_lines(&self) -> Vec<Line> {
        let mut lines: Vec<_> = self.agent.iter().flat_map(AgentReport::to_lines).collect();
        let mut line = |text| lines.push(Line::new(0, Sign::Plain, text));
        if let Some(hold) = &self.hold {
            line(format!("no agent runs; the node is {hold}"));
        }
        if let Some(node) = &self.node {
            line(format!("data path: {}", node.data_path));
        }
        if let Some(why) = &self.kernel_unread {
            line(format!(
                "the kernel was read by the agent only ({why}): its data path, interface and \
                 timeouts, and services that no app claims, are not shown"
            ));
        }
        lines
    }

    /// Names the refused labels, the first of them if there are many.
    fn refused_lines(&self) -> impl Iterator<Item = Line> {
        let refused = self.refused();
        let shown = &refused[..refused.len().min(MOST_REFUSED)];
        let rest = refused.len() - shown.len();
        let rest = (rest > 0).then(|| {
            format!("{rest} more labels are refused: `vipd status --output json` has all of them")
        });
        let sentences = shown.iter().map(|label| format!("refused: {}", label.to_sentence()));
        sentences.chain(rest).map(|text| Line::new(0, Sign::Warn, text))
    }

    fn problem_lines(&self) -> impl Iterator<Item = Line> {
        self.problems.iter().map(|problem| Line::new(0, Sign::Warn, problem.clone()))
    }

    /// Counts the real servers that take new connections, and all.
    fn count_servers(&self) -> (usize, usize) {
        let serving = self.vips.iter().map(VipReport::serving_servers).sum();
        (serving, self.vips.iter().map(|vip| vip.backend.len()).sum())
    }

    /// Summarizes the table in a line.
    #[must_use]
    pub fn summary_line(&self) -> String {
        let states = match count_states(&self.vips) {
            states if states.is_empty() => states,
            states => format!(" ({states})"),
        };
        let (serving, servers) = self.count_servers();
        let node = self.node.as_ref().map(NodeStatus::summary_text).unwrap_or_default();
        format!(
            "VIPs: {}{states}; real servers: {servers} ({serving} serving){node}",
            self.vips.len()
        )
    }
}

#[expect(clippy::cast_precision_loss, reason = "of a second")]
fn kernel_rate(vip: &VipReport) -> f64 {
    vip.summary.stats.map_or(0.0, |stats| stats.connections_per_second as f64)
}

/// Writes a VIP with its real servers and what is wrong with it.
fn vip_lines(vip: &VipReport) -> Vec<Line> {
    let line = |depth, sign, text| Line::new(depth, sign, text);
    let heading = line(0, vip.summary.state.sign(), heading_text(vip));
    let servers = vip.backend.iter().map(|task| line(1, Sign::Plain, server_text(task)));
    let left_out = vip.left_out.iter().map(|task| format!("left out: {}", task.to_sentence()));
    let left_out = left_out.map(|text| line(1, Sign::Plain, text));
    let problems = vip.summary.problems.iter().map(|text| line(1, Sign::Warn, text.clone()));
    let suspension = vip.summary.describe_suspension();
    let suspension = suspension.map(|text| line(1, Sign::Plain, text.to_owned()));
    std::iter::once(heading)
        .chain(suspension)
        .chain(servers)
        .chain(left_out)
        .chain(problems)
        .collect()
}

fn heading_text(vip: &VipReport) -> String {
    let summary = &vip.summary;
    let stats = summary.stats.unwrap_or_default();
    let scheduler = summary.scheduler.as_deref().unwrap_or("no scheduler");
    let persistence = summary.persistence.map(|s| format!(" persistent {s} s")).unwrap_or_default();
    format!(
        "{}  {}  {scheduler}{persistence}  {} connection{}, {}/s, {} B/s in, {} B/s out  {}",
        vip.title(),
        summary.state.word(),
        stats.connections,
        if stats.connections == 1 { "" } else { "s" },
        stats.connections_per_second,
        stats.bytes_in_per_second,
        stats.bytes_out_per_second,
        summary.apps.join(", ")
    )
    .trim_end()
    .to_owned()
}

fn server_text(task: &TaskReport) -> String {
    let behind = match (&task.app, &task.task, &task.why) {
        (Some(_), Some(id), Some(why)) => format!("  {} {id} ({why})", task.app_text()),
        _ => String::new(),
    };
    let held = match &task.forwarding {
        Some(forwarding) => format!("{forwarding} weight {}", task.weight.unwrap_or_default()),
        None => format!("weight {}, not in the kernel yet", task.weight.unwrap_or_default()),
    };
    format!(
        "{}  {held}  {} active, {} inactive, {}/s{behind}",
        task.server.map(|server| server.to_string()).unwrap_or_default(),
        task.active.unwrap_or_default(),
        task.inactive.unwrap_or_default(),
        task.stats.map_or(0, |stats| stats.connections_per_second)
    )
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
