//! `vipd status`.

use anyhow::Result;
use clap::Args;
use node::Kernel;
use vip::Printable;
use vip::naming::Names;

use super::args::{Sources, ask_agent, open_kernel};
use super::end::End;
use super::global::Global;
use super::output::{self, Format};
use super::watch::{Sort, watch_vips};
use crate::admin::{HoldFiles, client::AgentClient};
use crate::config::Config;
use crate::report::status::{Comparison, StatusReport};
use crate::report::vips::VipFacts;

/// Show vipd's VIPs in the kernel, their real servers and load, and problems
///
/// Begins with the state of the agent, if one runs on this node. With a source of definitions it
/// also shows the app and task behind each real server, and differences from the definitions.
///
/// Exit status: 0 no problems, 1 problems found, 2 error.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  vipd status
  vipd status --marathon http://marathon.example:8080
  vipd status --watch --sort rate
  vipd status --output json")]
pub(super) struct Status {
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
        if self.watch {
            let agent = AgentClient::connect(&node.agent.socket)?;
            return watch_vips(&agent, self.sort, std::time::Duration::from_secs(self.interval));
        }
        let agent = AgentClient::find_listening(&node.agent.socket);
        // An agent that is stuck, or an older one, tells no names.
        let facts = agent.as_ref().and_then(|agent| agent.fetch_local_facts().ok()?);
        let names = facts.map(|facts| Names::from_facts(node.names.vips.as_ref(), &facts.names));
        let agent = agent.map(|agent| agent.fetch_status()).transpose()?;
        // The agent itself applies the differences: they are reported to those who name a source.
        let alone = agent.is_some() && !self.sources.is_named();
        // A table is shown whatever the file says. Only who names a source needs the rest of it.
        let config = if alone { None } else { self.resolve_sources(global)? };
        let mut report = if let Some(config) = config {
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
            StatusReport::new(&survey.observed, Some(comparison), None)
        } else {
            StatusReport::new(&open_kernel(&node)?.observe()?, None, names.as_ref())
        };
        if agent.is_none() {
            report.hold = HoldFiles::new(&node.agent).read()?;
        }
        report.agent = agent;
        match self.output {
            Format::Text => output::print_with(|out| {
                for line in report.to_lines() {
                    output::print_line(out, &line)?;
                }
                writeln!(out, "{}", Printable(&report.summary_line()))
            })?,
            Format::Json => output::print_json(&report)?,
        }
        Ok(if report.has_trouble() { End::Found } else { End::Fine })
    }
}
