//! `vipd status`.

use anyhow::{Result, anyhow, bail};
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use node::Kernel;
use vip::naming::Names;
use vip::{Printable, VipState};

use super::agent::{AgentAddress, if_any, is_denied};
use super::args::{Sources, ask_agent, open_kernel};
use super::end::End;
use super::global::Global;
use super::output::{self, Format};
use super::watch::{Sort, watch_vips};
use crate::admin::{HoldFiles, client::AgentClient};
use crate::config::Config;
use crate::report::near::UnknownName;
use crate::report::status::{Comparison, Layout, StatusReport};
use crate::report::vip_filter::VipFilter;
use crate::report::vips::VipFacts;

/// Show the VIPs of this node, who serves them, their load, and problems
///
/// Begins with the state of the agent, if one runs on this node: it tells the app, task and health
/// behind each real server, and the labels that it refuses. Without an agent, a source of definitions tells them, and differences
/// from the kernel are problems. More than 20 VIPs are a row each, trouble first.
///
/// Needs root's rights to read the kernel. Others are shown what the agent tells over HTTP.
///
/// Exit status: 0 no problems, 1 problems found, 2 error, or no VIP matches the text.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  vipd status
  vipd status --summary
  vipd status mysql
  vipd status /shop 10.0.0.7
  vipd status --state refusing,degraded
  vipd status --servers
  vipd status --url http://node7:9614
  vipd status --marathon http://marathon.example:8080
  vipd status --watch --sort rate
  vipd status --output json")]
pub(super) struct Status {
    /// Show only VIPs with this address, this real server's address, or this text in a name, an app's
    /// or a task's id
    #[arg(value_name = "VIP|APP|NAME|SERVER")]
    what: Vec<String>,
    /// Show only VIPs in one of these states
    #[arg(long, value_name = "STATE", value_delimiter = ',', value_parser = state_parser())]
    state: Vec<VipState>,
    /// Show how many VIPs are in each state, how many labels are refused, and problems, but no VIPs
    #[arg(long, conflicts_with_all = ["servers", "watch"])]
    summary: bool,
    /// Show the real servers of each VIP, however many VIPs there are
    #[arg(long, conflicts_with = "watch")]
    servers: bool,
    #[command(flatten)]
    agent: AgentAddress,
    #[command(flatten)]
    sources: Sources,
    /// Output format
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Format,
    /// Keep showing the running agent's VIPs until interrupted
    ///
    /// On a terminal, keys choose the order: t trouble, v address, r rate, a active connections,
    /// n app; q quits. In a pipe, a block of lines is printed each time.
    #[arg(long, conflicts_with_all = ["from", "output"])]
    watch: bool,
    /// Order of the VIPs with --watch
    #[arg(long, value_name = "BY", default_value = "trouble", requires = "watch")]
    sort: Sort,
    /// Seconds between updates with --watch
    #[arg(long, value_name = "SECONDS", default_value = "2", requires = "watch",
          value_parser = clap::value_parser!(u64).range(1..=3600))]
    interval: u64,
}

/// Parses a state by its word.
fn state_parser() -> impl TypedValueParser<Value = VipState> {
    let words = PossibleValuesParser::new(VipState::ALL.map(VipState::word));
    words.try_map(|word| {
        let state = VipState::ALL.into_iter().find(|state| state.word() == word);
        state.ok_or("no such state")
    })
}

impl Status {
    /// Returns the configuration, if there is a source to compare the table with.
    fn resolve_sources(&self, global: &Global) -> Result<Option<Config>> {
        match global.resolve_config() {
            Err(error) if !self.sources.is_named() => {
                output::print_warning(&format!("not compared with Marathon: {error:#}"));
                Ok(None)
            }
            config => Ok(Some(config?).filter(|config| !self.sources.is_empty(config))),
        }
    }

    pub(super) fn run(&self, global: &Global) -> Result<End> {
        let node = global.resolve_node_config()?;
        let filter = VipFilter::new(&self.what, &self.state);
        if self.watch {
            let agent = self.agent.find(&node)?;
            let interval = std::time::Duration::from_secs(self.interval);
            return watch_vips(&agent, &filter, self.sort, interval);
        }
        let agent = if_any(self.agent.find(&node))?;
        let mut report = match agent {
            // The agent itself applies the differences: they are reported to those who name a source.
            Some(agent) if self.agent.is_named() || !self.sources.is_named() => {
                self.report_agent(&agent, &node)?
            }
            agent => {
                let mut report = self.report_sources(global, &node)?;
                report.agent = agent.map(|agent| agent.fetch_status()).transpose()?;
                report
            }
        };
        if report.agent.is_none() {
            report.hold = HoldFiles::new(&node.agent).read()?;
        }
        let known = report.known_names();
        if !report.filter_vips(&filter) && !self.what.is_empty() {
            bail!(UnknownName::of(&self.what.join(" "), known));
        }
        self.print(&report)?;
        Ok(if report.has_trouble() { End::Found } else { End::Fine })
    }

    /// Reports what the agent tells, and what else the kernel has where this process may read it.
    fn report_agent(&self, agent: &AgentClient, node: &Config) -> Result<StatusReport> {
        let status = agent.fetch_status()?;
        // An agent that is stuck, or an older one, tells no names and no VIPs.
        let facts = agent.fetch_local_facts().ok().flatten();
        let names = facts.map(|facts| Names::from_facts(node.names.vips.as_ref(), &facts.names));
        // Who may not use the socket may not read the kernel, and a URL may be another node's.
        let kernel = match agent.is_on_socket() {
            true => open_kernel(node).and_then(|mut kernel| Ok(kernel.observe()?)),
            false => Err(anyhow!("asked over HTTP")),
        };
        let mut report = match (agent.fetch_vips(), &kernel) {
            (Ok(vips), kernel) => {
                let kernel = kernel.as_ref().map_err(|error| format!("{error:#}"));
                StatusReport::from_agent(vips, kernel, names.as_ref())
            }
            (Err(error), Ok(observed)) => {
                output::print_warning(&format!("only the kernel tells of VIPs: {error:#}"));
                StatusReport::new(observed, None, names.as_ref())
            }
            (Err(error), Err(_)) => return Err(error),
        };
        if let Err(error) = kernel
            && agent.is_on_socket()
            && !is_denied(&error)
        {
            report.add_problem(format!("the kernel can't be read: {error:#}"));
        }
        match agent.fetch_labels() {
            Ok(labels) => report.add_labels(labels),
            Err(error) => {
                output::print_warning(&format!("refused labels aren't known: {error:#}"));
            }
        }
        report.agent = Some(status);
        Ok(report)
    }

    /// Reports the kernel, and compares it with the sources if there are any.
    fn report_sources(&self, global: &Global, node: &Config) -> Result<StatusReport> {
        // A table is shown whatever the file says. Only who names a source needs the rest of it.
        let Some(config) = self.resolve_sources(global)? else {
            return Ok(StatusReport::new(&open_kernel(node)?.observe()?, None, None));
        };
        let wishes = self.sources.read_all(&config)?;
        let versions = wishes.task_versions().clone();
        let beside = ask_agent(&config)?;
        let survey = wishes.survey_kernel(&config, &mut open_kernel(&config)?, beside)?;
        survey.missing.iter().for_each(|missing| output::print_note(missing));
        let plan = &survey.plan;
        let facts = VipFacts {
            desired: Some(&survey.desired),
            conflicts: &plan.conflicts,
            versions: Some(&versions),
            ..VipFacts::default()
        };
        let comparison = Comparison { facts, plan, findings: &survey.findings };
        Ok(StatusReport::new(&survey.observed, Some(comparison), None))
    }

    fn print(&self, report: &StatusReport) -> Result<()> {
        let width = output::terminal_width();
        let layout = Layout { servers: self.servers, width };
        match (self.output, self.summary) {
            (Format::Text, _) => output::print_with(|out| {
                let lines = match self.summary {
                    true => report.to_summary_lines(),
                    false => report.to_lines(layout),
                };
                lines.iter().try_for_each(|line| output::print_line(out, line))?;
                writeln!(out, "{}", Printable(&report.summary_line()))
            }),
            (Format::Json, true) => output::print_json(&report.to_summary_json()),
            (Format::Json, false) => output::print_json(report),
        }
    }
}
