//! `vipd hold` and `vipd release`.

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::end::End;
use super::global::Global;
use super::output::{self, Format};
use crate::admin::client::AgentClient;

/// Stop the running agent from changing anything until `vipd release`
///
/// The agent keeps listening and deciding, and reports what it would do. The hold shows in
/// `vipd status`, `/readyz` and the log. It survives a restart of the agent, but not of the node.
///
/// Exit status: 0 held, 2 error, or no agent runs.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  vipd hold
  vipd hold looking at 3.3.0.6, ask anna
  vipd hold 'who knows (ask anna)'")]
pub(super) struct Hold {
    /// Reason, shown to whoever finds the hold; several words need no quotes
    reason: Vec<String>,
    /// Output format
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

impl Hold {
    pub(super) fn run(&self, global: &Global) -> Result<End> {
        let hold = AgentClient::connect(&global.resolve_node_config()?.agent.socket)?
            .request_hold(&self.reason.join(" "))?;
        match self.output {
            Format::Text => {
                let since = &hold.since;
                output::print_note(&format!("held: the agent changes nothing since {since}"));
            }
            Format::Json => output::print_json(&hold)?,
        }
        Ok(End::Fine)
    }
}

/// Let a held agent make changes again
///
/// Exit status: 0 released, 2 error, or no agent runs.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  vipd release")]
pub(super) struct Release {
    /// Output format
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

impl Release {
    pub(super) fn run(&self, global: &Global) -> Result<End> {
        AgentClient::connect(&global.resolve_node_config()?.agent.socket)?.request_release()?;
        match self.output {
            Format::Text => output::print_note("released: the agent makes changes again"),
            Format::Json => output::print_json(&json!({ "released": true }))?,
        }
        Ok(End::Fine)
    }
}
