//! `vipd events`.

use std::io::Write;
use std::thread::sleep;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use vip::plan::OpKind;
use vip::{Line, Sign};

use super::agent::AgentAddress;
use super::end::End;
use super::global::Global;
use super::output::{self, Format};
use crate::agent::journal::JournalEntry;

/// The pause between attempts to reach an agent that is restarting.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// Show the running agent's latest changes and their reasons
///
/// The agent remembers its last thousand changes and notices since its start. Each is a line with
/// its time in UTC.
///
/// Exit status: 0 shown, 2 error.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  vipd events
  vipd events --follow
  vipd events --follow --after 0 --output json | jq -r .line")]
pub(super) struct Events {
    /// Keep showing new changes until interrupted
    #[arg(long, short)]
    follow: bool,
    /// Show only changes with a higher number
    #[arg(long, value_name = "NUMBER", default_value = "0")]
    after: u64,
    /// Output format; JSON is one object per line
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Format,
    #[command(flatten)]
    agent: AgentAddress,
}

impl Events {
    pub(super) fn run(&self, global: &Global) -> Result<End> {
        let config = global.resolve_node_config()?;
        let agent = self.agent.find(&config)?;
        let show = |change: JournalEntry| self.print_change(&change);
        if !self.follow {
            agent.fetch_changes(self.after)?.into_iter().try_for_each(show)?;
            return Ok(End::Fine);
        }
        let mut last = self.after;
        loop {
            match agent.follow_changes(last, show) {
                Ok(number) => last = number,
                // It may be restarting.
                Err(_) if !agent.is_reachable() => {
                    output::print_note("the agent has stopped; waiting for it to start");
                    while !agent.is_reachable() {
                        sleep(RETRY_PAUSE);
                    }
                    output::print_note("the agent has started, and numbers its changes from 1");
                    last = 0;
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn print_change(&self, change: &JournalEntry) -> Result<()> {
        match self.output {
            Format::Text => {
                let mut out = anstream::stdout().lock();
                output::print_line(&mut out, &format_change(change))?;
                out.flush()?;
            }
            Format::Json => {
                let mut out = std::io::stdout().lock();
                writeln!(out, "{}", vip::escape_json(&serde_json::to_string(change)?))?;
                out.flush()?;
            }
        }
        Ok(())
    }
}

/// Formats a change as a line with its time and sign.
fn format_change(change: &JournalEntry) -> Line {
    let sign =
        OpKind::from_name(&change.what).map_or_else(|| notice_sign(&change.what), OpKind::sign);
    Line { depth: 0, sign, text: format!("{:.0}  {}", change.at, change.line) }
}

/// Returns the sign of a notice: a warning if something is wrong.
fn notice_sign(what: &str) -> Sign {
    match what {
        "label" | "held" | "trouble" => Sign::Warn,
        _ if what.ends_with("-lost") || what.ends_with("-stale") => Sign::Warn,
        _ => Sign::Plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_a_line_with_its_time_and_a_sign() {
        let at = "2026-11-23T04:00:00.123Z".parse().unwrap();
        let text = "3.3.0.6:3306/tcp -10.0.0.7:31001 /mysql task killed";
        let change = JournalEntry::new("delete-server", text.to_owned(), at);
        assert_eq!(
            format_change(&change).to_string(),
            "- 2026-11-23T04:00:00Z  3.3.0.6:3306/tcp -10.0.0.7:31001 /mysql task killed"
        );
        let lost = JournalEntry::new("source-lost", "main can't be read".to_owned(), at);
        assert_eq!(format_change(&lost).sign, Sign::Warn);
        for (what, sign) in [
            ("insert-rule", Sign::Add),
            ("delete-rule", Sign::Remove),
            ("set-table", Sign::Change),
            ("set-timeouts", Sign::Change),
        ] {
            assert_eq!(
                format_change(&JournalEntry::new(what, String::new(), at)).sign,
                sign,
                "{what}"
            );
        }
    }
}
