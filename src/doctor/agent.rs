//! Checks of the agent on this node, and of the lock.

use std::time::Duration;

use anyhow::Result;
use marathon::Timestamp;

use super::diagnosis::{Check, Level};
use crate::report::agent::AgentReport;

/// State of the lock that admits one writer of the IPVS table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockState {
    /// No process holds it.
    Free,
    /// A process holds it: its PID, if known.
    Held(Option<u32>),
}

/// Checks the agent. `answer` is its report, or why it gave none; `None` if none listens on the
/// socket.
#[must_use]
pub fn check_agent(
    lock: LockState,
    answer: Option<&Result<AgentReport>>,
    now: Timestamp,
) -> Vec<Check> {
    match answer {
        None => vec![check_lock(lock)],
        Some(Err(why)) => vec![Check::error(
            format!("the agent gives no report: {why:#}"),
            "see its log; `systemctl restart vipd` is safe, since the kernel keeps forwarding",
        )],
        Some(Ok(report)) => check_running_agent(report, now),
    }
}

fn check_lock(lock: LockState) -> Check {
    match lock {
        LockState::Free => Check::warning(
            "no agent runs on this node: changes in Marathon wait for the next `vipd apply`",
            "start `vipd run`: `systemctl enable --now vipd`",
        ),
        LockState::Held(pid) => {
            let who = pid.map_or_else(|| "a process".to_owned(), |pid| format!("process {pid}"));
            Check::warning(
                format!("{who} holds the lock, but no agent listens on the socket"),
                "if it is `vipd apply`, wait for it; if it is an agent, pass its socket with --socket",
            )
        }
    }
}

fn check_running_agent(report: &AgentReport, now: Timestamp) -> Vec<Check> {
    const SEE: &str = "see `vipd status`";
    let up = Duration::try_from(now.duration_since(report.started)).unwrap_or_default();
    let since = format!("an agent has been running for {}", format_age(up));
    let mut checks = vec![match report.mode.as_str() {
        "acting" => Check::ok(format!("{since} and is acting")),
        "held" => {
            Check::warning(format!("{since} but is held: it changes nothing"), "`vipd release`")
        }
        mode => Check::warning(
            format!("{since} but is {mode}: it changes nothing"),
            "restart it without --observe",
        ),
    }];
    checks.extend(report.unhealthy.iter().map(|why| Check::error(why.clone(), SEE)));
    checks.extend(report.not_ready.iter().map(|why| Check::warning(why.clone(), SEE)));
    for (name, source) in &report.sources {
        let age = source.age_seconds.map(Duration::from_secs);
        let age = age.map_or_else(
            || "never fully read".to_owned(),
            |age| format!("fully read {} ago", format_age(age)),
        );
        let text = format!("{name}: {age}");
        checks.push(match (&source.error, source.streaming) {
            (None, true) => Check::ok(format!("{text}, receiving events")),
            (None, false) => Check::ok(format!("{text}, polled")),
            (Some(why), _) => Check::error(format!("{text}; it can't be read now: {why}"), SEE),
        });
    }
    if report.has_trouble() && checks.iter().all(|check| check.level == Level::Ok) {
        let count = report.notes.len();
        checks.push(Check::warning(format!("the agent reports {count} notes"), SEE));
    }
    checks
}

/// Formats an age in its largest useful unit: `40 s`, `12 min`, `3 h`, `5 days`.
fn format_age(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_without_an_agent_names_who_holds_it() {
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(check_agent(LockState::Free, None, now)[0].level, Level::Warning);
        let held = &check_agent(LockState::Held(Some(7)), None, now)[0];
        assert!(held.text.starts_with("process 7 holds the lock"), "{held:?}");
        let silent = &check_agent(LockState::Free, Some(&Err(anyhow::anyhow!("nothing"))), now)[0];
        assert_eq!(silent.level, Level::Error);
    }

    #[test]
    fn an_age_is_written_in_its_largest_useful_unit() {
        let text = |seconds| format_age(Duration::from_secs(seconds));
        assert_eq!(
            [text(119), text(120), text(7200), text(200_000)].join(", "),
            "119 s, 2 min, 2 h, 2 days"
        );
    }
}
