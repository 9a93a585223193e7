//! `vipd status`.

use std::io::Write;

use anyhow::Result;
use clap::Args;
use node::Kernel;

use super::args::{Global, Sources, ask_agent, open_kernel};
use super::end::End;
use super::output::{self, Format};
use super::watch::{Sort, watch};
use crate::admin::client::Agent;
use crate::report::status::{Comparison, StatusReport};
use crate::report::vips::VipFacts;

/// Show each VIP of ours in the kernel, its real servers and their load, and what is wrong
///
/// Where an agent runs it begins with how that one fares. With a source of definitions it also
/// names the app and task behind each real server, and tells what differs from what they want.
///
/// Exit status: 0 nothing is wrong, 1 something is, 2 trouble.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  vipd status
  vipd status --marathon http://marathon.example:8080
  vipd status --watch --sort rate
  vipd status --output json")]
pub(super) struct Status {
    #[command(flatten)]
    sources: Sources,
    /// How to print
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Format,
    /// Go on showing what the running agent knows, until interrupted
    ///
    /// On a terminal keys choose what comes first, t trouble, v address, r rate, a active
    /// connections, n app, and q ends it. In a pipe each look is a block of lines.
    #[arg(long, conflicts_with_all = ["from", "output"])]
    watch: bool,
    /// What comes first with --watch
    #[arg(long, value_name = "BY", default_value = "trouble", requires = "watch")]
    sort: Sort,
    /// Seconds between two looks of --watch
    #[arg(long, value_name = "SECONDS", default_value = "2", requires = "watch",
          value_parser = clap::value_parser!(u64).range(1..=3600))]
    interval: u64,
}

impl Status {
    pub(super) fn run(&self, global: &Global) -> Result<End> {
        let config = global.config()?;
        if self.watch {
            let agent = Agent::get(&config.agent.socket)?;
            return watch(&agent, self.sort, std::time::Duration::from_secs(self.interval));
        }
        let agent = Agent::find(&config.agent.socket);
        let agent = agent.map(|agent| agent.status()).transpose()?;
        // The agent itself applies the differences: they are reported to those who name a source.
        let alone = agent.is_some() && !self.sources.is_named();
        let mut report = if alone || self.sources.is_empty(&config) {
            StatusReport::new(&open_kernel(&config)?.observe()?, None)
        } else {
            let wishes = self.sources.read(&config)?;
            let versions = wishes.task_versions().clone();
            let beside = ask_agent(&config)?;
            let survey = wishes.survey_kernel(&config, &mut open_kernel(&config)?, beside)?;
            survey.missing.iter().for_each(|missing| output::note(missing));
            let plan = &survey.plan;
            let facts = VipFacts {
                desired: Some(&survey.desired),
                conflicts: &plan.conflicts,
                versions: Some(&versions),
                ..VipFacts::default()
            };
            let comparison = Comparison { facts, plan, findings: &survey.findings };
            StatusReport::new(&survey.observed, Some(comparison))
        };
        report.agent = agent;
        match self.output {
            Format::Text => {
                let mut out = anstream::stdout().lock();
                for line in report.to_lines() {
                    output::line(&mut out, &line)?;
                }
                writeln!(out, "{}", report.summary())?;
            }
            Format::Json => output::json(&report)?,
        }
        Ok(if report.has_trouble() { End::Found } else { End::Fine })
    }
}
