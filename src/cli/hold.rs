use anyhow::Result;
use clap::Args;

use super::args::Global;
use super::end::End;
use super::output;
use crate::admin::client::Agent;

/// Have the running agent change nothing until `vipd release`
///
/// It goes on listening and deciding, and says what it would do. The hold stands in `vipd status`
/// and `/readyz`, and outlives a restart of the agent, though not of the node.
///
/// Exit status: 0 held, 2 trouble.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  vipd hold
  vipd hold 'looking at 3.3.0.6, ask anna'")]
pub(super) struct Hold {
    /// Why, for whoever finds it
    #[arg(default_value = "", hide_default_value = true)]
    reason: String,
}

impl Hold {
    pub(super) fn run(&self, global: &Global) -> Result<End> {
        let hold = Agent::get(&global.config()?.agent.socket)?.hold(&self.reason)?;
        output::note(&format!("the agent changes nothing since {}", hold.since));
        Ok(End::Fine)
    }
}

/// Have a held agent go on
///
/// Exit status: 0 released, 2 trouble.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  vipd release")]
pub(super) struct Release {}

impl Release {
    #[expect(clippy::unused_self, reason = "as every command")]
    pub(super) fn run(&self, global: &Global) -> Result<End> {
        Agent::get(&global.config()?.agent.socket)?.release()?;
        output::note("the agent goes on");
        Ok(End::Fine)
    }
}
