//! `vipd accept`.

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::end::End;
use super::global::Global;
use super::output::{self, Format};
use crate::admin::client::AgentClient;

/// Let the running agent believe answers of Marathon that it doubts
///
/// An answer that lacks more than half of the VIPs or real servers, without an announcement, is
/// doubted: what it lacks stays in the table, for 2 minutes up to `[agent] doubt`. This removes it
/// at once. `vipd status` shows how much that is.
///
/// Exit status: 0 accepted, or nothing is doubted; 2 error, or no agent runs.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  vipd accept
  vipd accept http://marathon.example:8080")]
pub(super) struct Accept {
    /// Name of the Marathon, as in `vipd status`; without it all of them
    source: Option<String>,
    /// Output format
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

impl Accept {
    pub(super) fn run(&self, global: &Global) -> Result<End> {
        let agent = AgentClient::connect(&global.resolve_node_config()?.agent.socket)?;
        let accepted = agent.request_accept(self.source.as_deref())?;
        match self.output {
            Format::Json => output::print_json(&json!({ "accepted": accepted }))?,
            Format::Text if accepted.is_empty() => {
                output::print_note("nothing is doubted: there is nothing to accept");
            }
            Format::Text => {
                let sources = accepted.join(", ");
                output::print_note(&format!("accepted: what {sources} no longer lists is removed"));
            }
        }
        Ok(End::Fine)
    }
}
