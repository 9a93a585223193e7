//! The agent of this node, and who holds the lock.

use std::time::Duration;

use marathon::Timestamp;

use super::Check;
use crate::report::agent::AgentReport;

/// Who may write the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lock {
    /// Nobody has it.
    Free,
    /// Somebody has it: the process, if its number is known.
    Held(Option<u32>),
}

/// Checks the agent. `answer`: what it says of itself, or why it doesn't; `None`: none listens.
#[must_use]
pub fn agent(
    lock: Lock,
    answer: Option<&Result<AgentReport, String>>,
    now: Timestamp,
) -> Vec<Check> {
    match answer {
        None => vec![alone(lock)],
        Some(Err(why)) => vec![Check::error(
            format!("an agent listens and doesn't answer: {why}"),
            "see its log; `systemctl restart vipd` loses nothing, the kernel goes on forwarding",
        )],
        Some(Ok(report)) => running(report, now),
    }
}

fn alone(lock: Lock) -> Check {
    match lock {
        Lock::Free => Check::warning(
            "no agent runs on this node: changes of Marathon wait for the next `vipd apply`",
            "start `vipd run`, as `systemctl enable --now vipd` does",
        ),
        Lock::Held(pid) => {
            let who = pid.map_or_else(|| "a process".to_owned(), |pid| format!("process {pid}"));
            Check::warning(
                format!("{who} holds the lock, and no agent listens on the socket"),
                "wait for it if it is `vipd apply`; if it is an agent, name its socket with --socket",
            )
        }
    }
}

fn running(report: &AgentReport, now: Timestamp) -> Vec<Check> {
    const SEE: &str = "see `vipd status`";
    let up = Duration::try_from(now.duration_since(report.started)).unwrap_or_default();
    let since = format!("an agent runs for {}", for_people(up));
    let mut checks = vec![match report.mode.as_str() {
        "acting" => Check::ok(format!("{since}, and acts")),
        "held" => {
            Check::warning(format!("{since}, and is held: it changes nothing"), "`vipd release`")
        }
        mode => Check::warning(
            format!("{since}, and is {mode}: it changes nothing"),
            "start it without --observe",
        ),
    }];
    checks.extend(report.unhealthy.iter().map(|why| Check::error(why.clone(), SEE)));
    checks.extend(report.not_ready.iter().map(|why| Check::warning(why.clone(), SEE)));
    for (name, source) in &report.sources {
        let age = source.age_seconds.map(Duration::from_secs);
        let age = age.map_or_else(
            || "never read whole".to_owned(),
            |age| format!("read whole {} ago", for_people(age)),
        );
        let text = format!("{name}: {age}");
        checks.push(match (&source.error, source.streaming) {
            (None, true) => Check::ok(format!("{text}, events are coming")),
            (None, false) => Check::ok(format!("{text}, and polled")),
            (Some(why), _) => Check::error(format!("{text}; it can't be read now: {why}"), SEE),
        });
    }
    if report.has_trouble() && checks.iter().all(|check| check.level == super::Level::Ok) {
        let count = report.notes.len();
        checks.push(Check::warning(format!("it has {count} things to tell"), SEE));
    }
    checks
}

/// `40 s`, `12 min`, `3 h`, `5 days`.
fn for_people(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn a_lock_without_an_agent_names_who_holds_it() {
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(agent(Lock::Free, None, now)[0].level, Level::Warning);
        let held = &agent(Lock::Held(Some(7)), None, now)[0];
        assert!(held.text.starts_with("process 7 holds the lock"), "{held:?}");
        let silent = &agent(Lock::Free, Some(&Err("nothing".into())), now)[0];
        assert_eq!(silent.level, Level::Error);
    }

    #[test]
    fn times_are_told_in_the_unit_that_people_would_take() {
        let text = |seconds| for_people(Duration::from_secs(seconds));
        assert_eq!(
            [text(119), text(120), text(7200), text(200_000)].join(", "),
            "119 s, 2 min, 2 h, 2 days"
        );
    }
}
