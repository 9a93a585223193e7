//! `vipd explain`.

use anyhow::Result;
use clap::Args;

use super::agent::{AgentAddress, if_any};
use super::args::{Sources, open_kernel};
use super::end::End;
use super::global::Global;
use super::output::{self, Format};
use crate::report::explanation::Explanation;
use crate::report::vips::VipFacts;
use crate::sources::survey::Beside;

/// Explain why each task of an app, group or VIP is, or isn't, a real server right now
///
/// Asks the agent that runs on this node, which knows most. Without an agent, or with --from or
/// --marathon, it reads the sources once. By a task's id or a real server's address only that task is
/// explained.
///
/// Exit status: 0 explained, 2 error, or nothing by that name.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  vipd explain /mysql
  vipd explain /shop
  vipd explain mysql.6a2c7b40-5d5f-11ee-8c99-0242ac120002
  vipd explain 10.0.0.7:31001
  vipd explain /mysql --marathon http://marathon.example:8080
  vipd explain /mysql --url http://node7:9614
  vipd explain mysql.marathon.l4lb.thisdcos.directory:3306
  vipd explain 3.3.0.6:3306 --marathon http://marathon.example:8080
  vipd explain 3.3.0.6 --from apps.json --output json")]
pub(super) struct Explain {
    /// Id of an app or pod, path of a group, id of a task, a VIP as ADDRESS[:PORT[/PROTOCOL]] or
    /// NAME[:PORT], or a real server as ADDRESS[:PORT]
    #[arg(value_name = "APP|VIP|TASK|SERVER")]
    what: String,
    #[command(flatten)]
    agent: AgentAddress,
    #[command(flatten)]
    sources: Sources,
    /// Output format
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

impl Explain {
    pub(super) fn run(&self, global: &Global) -> Result<End> {
        let agent = match self.sources.is_named() && !self.agent.is_named() {
            true => None,
            false => if_any(self.agent.find(&global.resolve_node_config()?))?,
        };
        let (explanation, pending) = match agent {
            Some(agent) => (agent.fetch_explanation(&self.what)?, "yet"),
            None => (self.explain_once(global)?, "until the next apply"),
        };
        match self.output {
            Format::Text => output::print_lines(&explanation.to_lines(pending))?,
            Format::Json => output::print_json(&explanation)?,
        }
        Ok(End::Fine)
    }

    /// Reads the sources and the kernel once.
    fn explain_once(&self, global: &Global) -> Result<Explanation> {
        let config = global.resolve_config()?;
        let wishes = self.sources.read_all(&config)?;
        let versions = wishes.task_versions().clone();
        // It is called where no agent answers.
        let survey = wishes.survey_kernel(&config, &mut open_kernel(&config)?, Beside::Alone)?;
        let facts = VipFacts {
            desired: Some(&survey.desired),
            observed: Some(&survey.observed),
            has_counters: true,
            conflicts: &survey.plan.conflicts,
            versions: Some(&versions),
            states: None,
            drains: None,
            names: None,
        };
        Ok(Explanation::find(&self.what, &facts)?)
    }
}
