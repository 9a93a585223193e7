use std::io::Write;
use std::thread::sleep;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use vip::plan::OpKind;
use vip::{Line, Sign};

use super::args::Global;
use super::end::End;
use super::output::{self, Format};
use crate::admin::client::Agent;
use crate::agent::journal::JournalEntry;

/// An agent that is being started again is asked as often.
const AGAIN: Duration = Duration::from_millis(500);

/// Show what the running agent has changed lately, and why
///
/// The agent remembers the last thousand changes since its start, and what else was news. Each is
/// a line with its time, in UTC.
///
/// Exit status: 0 shown, 2 trouble.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  vipd events
  vipd events --follow
  vipd events --follow --after 0 --output json | jq -r .line")]
pub(super) struct Events {
    /// Go on with the changes to come, until interrupted
    #[arg(long, short)]
    follow: bool,
    /// Only changes with a higher number
    #[arg(long, value_name = "NUMBER", default_value = "0")]
    after: u64,
    /// How to print; JSON is an object a line
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

impl Events {
    pub(super) fn run(&self, global: &Global) -> Result<End> {
        let socket = global.config()?.agent.socket;
        let agent = Agent::get(&socket)?;
        let show = |change: JournalEntry| self.show(&change);
        if !self.follow {
            agent.changes(self.after)?.into_iter().try_for_each(show)?;
            return Ok(End::Fine);
        }
        let mut last = self.after;
        loop {
            match agent.follow(last, show) {
                Ok(number) => last = number,
                // It may be on its way out, and then back.
                Err(_) if Agent::find(&socket).is_none() => {
                    output::note("the agent is gone; waiting for it to come back");
                    while Agent::find(&socket).is_none() {
                        sleep(AGAIN);
                    }
                    output::note("the agent is back, and counts from 1");
                    last = 0;
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn show(&self, change: &JournalEntry) -> Result<()> {
        match self.output {
            Format::Text => {
                let mut out = anstream::stdout().lock();
                output::line(&mut out, &line(change))?;
                out.flush()?;
            }
            Format::Json => {
                let mut out = std::io::stdout().lock();
                serde_json::to_writer(&mut out, change)?;
                writeln!(out)?;
                out.flush()?;
            }
        }
        Ok(())
    }
}

fn line(change: &JournalEntry) -> Line {
    let sign =
        OpKind::from_name(&change.what).map_or_else(|| notice_sign(&change.what), OpKind::sign);
    Line { depth: 0, sign, text: format!("{:.0}  {}", change.at, change.line) }
}

/// The sign of what isn't an operation: a warning where something is wrong.
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
            line(&change).to_string(),
            "- 2026-11-23T04:00:00Z  3.3.0.6:3306/tcp -10.0.0.7:31001 /mysql task killed"
        );
        let lost = JournalEntry::new("source-lost", "main can't be read".to_owned(), at);
        assert_eq!(line(&lost).sign, Sign::Warn);
        for (what, sign) in [
            ("insert-rule", Sign::Add),
            ("delete-rule", Sign::Remove),
            ("set-table", Sign::Change),
            ("set-timeouts", Sign::Change),
        ] {
            assert_eq!(line(&JournalEntry::new(what, String::new(), at)).sign, sign, "{what}");
        }
    }
}
