//! `vipd hold` and `vipd release`.

use anyhow::Result;
use clap::Args;
use marathon::Timestamp;
use serde_json::json;

use super::end::End;
use super::global::Global;
use super::output::{self, Format};
use crate::admin::client::AgentClient;
use crate::agent::status;
use crate::report::names::write_age;

/// Stop the running agent from changing anything until `vipd release`
///
/// The agent keeps listening and deciding, and reports what it would do. The hold shows in
/// `vipd status`, `/readyz` and the log. It survives a restart of the agent, but not of the node.
///
/// A node that is held stays held since then; another reason replaces the one from before, which is
/// printed.
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
        let held = AgentClient::connect(&global.resolve_node_config()?.agent.socket)?
            .request_hold(&self.reason.join(" "))?;
        match self.output {
            Format::Text => {
                let since = &held.hold.since;
                output::print_note(&format!("held: the agent changes nothing since {since}"));
                if let Some(before) = &held.before {
                    output::print_note(&format!("was {before}"));
                }
            }
            Format::Json => output::print_json(&held)?,
        }
        Ok(End::Fine)
    }
}

/// Let a held agent make changes again
///
/// Prints since when it was held, and the reason.
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
        let socket = global.resolve_node_config()?.agent.socket;
        let ended = AgentClient::connect(&socket)?.request_release()?;
        match self.output {
            Format::Text => {
                output::print_note("released: the agent makes changes again");
                if let Some(ended) = &ended {
                    let age = describe_age(ended, Timestamp::now());
                    output::print_note(&format!("was {ended}{age}"));
                }
            }
            Format::Json => output::print_json(&json!({ "released": true, "hold": ended }))?,
        }
        Ok(End::Fine)
    }
}

/// Returns how long ago a hold began, in parentheses; nothing if its time is none.
fn describe_age(hold: &status::Hold, now: Timestamp) -> String {
    let since: Option<Timestamp> = hold.since.parse().ok();
    let seconds = since.and_then(|since| u64::try_from(now.duration_since(since).as_secs()).ok());
    seconds.map(|seconds| format!(" (for {})", write_age(seconds))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_age_of_a_hold_is_told_where_its_time_is_one() {
        let now: Timestamp = "2026-11-25T06:00:00Z".parse().unwrap();
        let age = |since: &str| {
            describe_age(&status::Hold { reason: String::new(), since: since.into() }, now)
        };
        assert_eq!(age("2026-11-25T03:00:00Z"), " (for 3 h)");
        assert_eq!(age("2026-11-25T07:00:00Z"), "", "the clock was set back");
        assert_eq!(age("yesterday"), "");
    }
}
