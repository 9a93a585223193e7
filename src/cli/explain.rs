//! `vipd explain`.

use anyhow::{Context, Result};
use clap::Args;

use super::args::{Sources, open_kernel};
use super::end::End;
use super::global::Global;
use super::output::{self, Format};
use crate::admin::client::AgentClient;
use crate::report::explanation::Explanation;
use crate::report::vips::VipFacts;
use crate::sources::survey::Beside;

/// Explain why each task of an app or VIP is, or isn't, a real server right now
///
/// Asks the agent that runs on this node, which knows most. Without an agent, or with --from or
/// --marathon, it reads the sources once.
///
/// Exit status: 0 explained, 2 error, or nothing by that name.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  vipd explain /mysql
  vipd explain /mysql --marathon http://marathon.example:8080
  vipd explain mysql.marathon.l4lb.thisdcos.directory:3306
  vipd explain 3.3.0.6:3306 --marathon http://marathon.example:8080
  vipd explain 3.3.0.6 --from apps.json --output json")]
pub(super) struct Explain {
    /// Id of an app or pod, or a VIP as ADDRESS[:PORT[/PROTOCOL]] or NAME[:PORT]
    #[arg(value_name = "APP|VIP")]
    what: String,
    #[command(flatten)]
    sources: Sources,
    /// Output format
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

impl Explain {
    pub(super) fn run(&self, global: &Global) -> Result<End> {
        let agent = match self.sources.is_named() {
            true => None,
            false => AgentClient::find_listening(&global.resolve_node_config()?.agent.socket),
        };
        let (explanation, pending) = match agent {
            Some(agent) => (agent.fetch_explanation(&self.what)?, "yet"),
            None => (self.explain_once(global)?, "until the next apply"),
        };
        let nothing =
            || format!("there is no app with VIP labels, and no VIP, named {:?}", self.what);
        let explanation = explanation.with_context(nothing)?;
        match self.output {
            Format::Text => output::print_lines(&explanation.to_lines(pending))?,
            Format::Json => output::print_json(&explanation)?,
        }
        Ok(End::Fine)
    }

    /// Reads the sources and the kernel once.
    fn explain_once(&self, global: &Global) -> Result<Option<Explanation>> {
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
            drains: None,
            names: None,
        };
        Ok(Explanation::find(&self.what, &facts))
    }
}
