//! Liveness and readiness of a running agent. Pure.
//!
//! Liveness is about vipd itself: an agent that isn't alive should be restarted. A VIP that the kernel
//! refuses doesn't count: it would be refused again, and the label of one app would restart every
//! agent of the cluster. Readiness is about the node's VIPs: a node is ready once all claims are in
//! the kernel, and stays ready when Marathon goes away, since the kernel goes on forwarding. Problems
//! from then on are notes, but for a sysctl without which fail-over doesn't work.

use std::time::Duration;

use serde::Serialize;
use vip::SourceId;
use vip::controller::Mode;

use super::View;
use crate::clock::Timestamp;
use crate::sources::SourceView;

/// The age of the last heartbeat at which the loop counts as stuck. It beats every few seconds.
const STUCK: Duration = Duration::from_secs(15);

/// The loop's last heartbeat, and the time now. Both are since the agent's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beat {
    /// The time now.
    pub now: Duration,
    /// The time of the last heartbeat.
    pub last: Duration,
}

impl Beat {
    /// Returns whether the loop is stuck.
    #[must_use]
    pub fn is_stuck(&self) -> bool {
        self.now.saturating_sub(self.last) > STUCK
    }
}

/// The liveness of the agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Liveness {
    /// Sentences on what doesn't work; empty if it is alive.
    pub reasons: Vec<String>,
}

/// The readiness of the node.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Readiness {
    /// Sentences that say why it isn't ready; empty if it is.
    pub reasons: Vec<String>,
    /// Sentences on problems that don't affect readiness.
    pub notes: Vec<String>,
    /// The mode of the nftables rules: `whole`, or `reduced` with the reason.
    pub data_path: Option<String>,
}

impl Liveness {
    /// Checks the agent.
    #[must_use]
    pub fn from_view(view: &View, beat: Beat, sync_period: Duration) -> Self {
        let mut reasons = Vec::new();
        let for_long = |since: Duration| {
            let age = beat.now.saturating_sub(since);
            (age > 2 * sync_period).then(|| format_age(age))
        };
        let since = beat.now.saturating_sub(beat.last);
        if beat.is_stuck() {
            reasons.push(format!("the event loop has been stuck for {}", format_age(since)));
        }
        let status = &view.status;
        if let Some(age) = status.asked_since.and_then(for_long) {
            reasons.push(format!("the kernel hasn't answered for {age}"));
        }
        if let Some(unread) = &status.unread
            && unread.failures > 1
            && let Some(age) = for_long(status.read_at.unwrap_or_default())
        {
            reasons.push(format!("the kernel has been unreadable for {age}: {}", unread.why));
        }
        if status.mode == Mode::Acting
            && let Some(age) = status.overdue_since.and_then(for_long)
        {
            reasons.push(format!("a change has been pending for {age}"));
        }
        Self { reasons }
    }

    /// Returns whether the agent is alive.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.reasons.is_empty()
    }
}

impl Readiness {
    /// Checks the node.
    #[must_use]
    pub fn from_view(view: &View, now: Timestamp) -> Self {
        let mut reasons = Vec::new();
        if !view.ready {
            let awaited = view.status.awaited.join(", ");
            reasons.push(match awaited.is_empty() {
                true => "the VIPs are not all in the kernel yet".to_owned(),
                false => format!("{awaited} has not been read completely since vipd started"),
            });
        }
        let vital = view.sysctls.iter().filter(|wrong| wrong.is_vital);
        reasons.extend(vital.map(|wrong| wrong.what.clone()));
        let data_path = view.data_path.as_ref().map(|data_path| data_path.text.clone());
        Self { reasons, notes: collect_notes(view, now), data_path }
    }

    /// Returns whether the node is ready.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.reasons.is_empty()
    }
}

fn collect_notes(view: &View, now: Timestamp) -> Vec<String> {
    let mut notes = Vec::new();
    let pending = view.status.pending;
    match (view.status.mode, &view.hold) {
        (Mode::Acting, _) => {}
        (Mode::ObserveOnly, _) => {
            notes.push(format!("observe-only mode: {pending} operations are pending"));
        }
        (Mode::Held, hold) => {
            let (since, reason) = match hold {
                Some(hold) if hold.reason.is_empty() => (hold.since.as_str(), String::new()),
                Some(hold) => (hold.since.as_str(), format!(" ({})", hold.reason)),
                None => ("some time ago", String::new()),
            };
            notes.push(format!(
                "held since {since}{reason}: {pending} operations are pending; \
                 `vipd release` resumes"
            ));
        }
    }
    notes.extend(view.refused_reload.iter().map(ToString::to_string));
    notes
        .extend(view.sources.iter().filter_map(|(name, source)| source_trouble(name, source, now)));
    notes.extend(view.sources.iter().filter_map(|(name, source)| doubt_note(name, source)));
    notes.extend(view.describe_twins());
    let unread = view.status.unread.iter();
    notes.extend(unread.map(|retry| format!("the kernel can't be read: {}", retry.why)));
    notes.extend(view.status.failing.iter().map(|(address, retry)| {
        format!("{address} failed {} times in a row: {}", retry.failures, retry.why)
    }));
    notes.extend(view.status.conflicts.iter().cloned());
    notes.extend(
        view.unresolved
            .iter()
            .map(|(name, why)| format!("the host name {name} can't be resolved: {why}")),
    );
    notes.extend(view.gaps.iter().map(|gap| format!("{gap}; meanwhile no VIP is removed")));
    let sysctls = view.sysctls.iter().filter(|wrong| !wrong.is_vital);
    notes.extend(sysctls.map(|wrong| wrong.what.clone()));
    notes.extend(view.unread_facts.iter().cloned());
    notes.extend(view.firewall.iter().cloned());
    notes.extend(view.describe_resolver());
    notes.extend(view.probing.describe());
    notes
}

/// Describes the trouble with a source, if there is any. The status page expects its name first.
fn source_trouble(name: &SourceId, source: &SourceView, now: Timestamp) -> Option<String> {
    let age = source.age(now);
    let known = match (age, source.from_disk) {
        (None, _) => "it has no data".to_owned(),
        (Some(age), false) => format!("its data is {} old", format_age(age)),
        (Some(age), true) => {
            format!("its data is from the state file, {} old", format_age(age))
        }
    };
    let stale = match source.is_stale(now) {
        true => "; ALARM: too old to rely on, since Mesos gives the ports of dead tasks to others",
        false => "",
    };
    match &source.error {
        Some(error) => Some(format!("{name} can't be read; {known}{stale}: {error}")),
        None if source.from_disk && source.doubt.is_none() || !stale.is_empty() => {
            Some(format!("{name} hasn't answered yet; {known}{stale}"))
        }
        None => None,
    }
}

/// Describes the doubt about a source, if there is one. The status page expects its name first.
fn doubt_note(name: &SourceId, source: &SourceView) -> Option<String> {
    let doubt = source.doubt.as_ref()?;
    let since = doubt.since;
    Some(format!(
        "{name} no longer lists {doubt}, which is doubted since {since:.0}: they stay for now; if \
         they are meant to go, `vipd accept` removes them"
    ))
}

/// Formats a time as `40 s`, `12 min` or `3 h`.
fn format_age(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}

#[cfg(test)]
mod tests {
    use crate::agent::status::Probing;
    use vip::controller::{Retry, Status};
    use vip::plan::Losses;

    use super::super::{Hold, RefusedReload, WrongSysctl};
    use super::*;
    use crate::sources::SourceDoubt;

    const PERIOD: Duration = Duration::from_secs(30);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn now() -> Timestamp {
        "2026-11-23T04:00:00Z".parse().unwrap()
    }

    fn view() -> View {
        let source = SourceView { read_at: Some(now()), streaming: true, ..SourceView::default() };
        View {
            status: Status::default(),
            sources: [("main".into(), source)].into(),
            ready: true,
            unresolved: [].into(),
            gaps: Vec::new(),
            sysctls: Vec::new(),
            unread_facts: [].into(),
            firewall: Vec::new(),
            data_path: None,
            resolver: None,
            probing: Probing::default(),
            hold: None,
            refused_reload: None,
            started: now(),
        }
    }

    fn alive(view: &View) -> Vec<String> {
        Liveness::from_view(view, Beat { now: at(1000), last: at(998) }, PERIOD).reasons
    }

    #[test]
    fn an_agent_at_work_is_alive_and_ready_and_there_is_nothing_to_say() {
        assert_eq!(alive(&view()), [""; 0]);
        let ready = Readiness::from_view(&view(), now());
        assert_eq!((ready.reasons, ready.notes), (vec![], vec![]));
    }

    #[test]
    fn a_loop_that_stands_still_is_not_alive() {
        let dead = Liveness::from_view(&view(), Beat { now: at(1000), last: at(980) }, PERIOD);
        assert_eq!(dead.reasons, ["the event loop has been stuck for 20 s"]);
    }

    #[test]
    fn a_change_that_does_not_get_into_the_kernel_is_told() {
        let mut view = view();
        view.status.overdue_since = Some(at(941));
        assert_eq!(alive(&view), [""; 0]);
        view.status.overdue_since = Some(at(900));
        assert_eq!(alive(&view), ["a change has been pending for 100 s"]);
        view.status.mode = Mode::Held;
        assert_eq!(alive(&view), [""; 0]);
    }

    #[test]
    fn an_agent_lives_on_with_a_vip_that_the_kernel_refuses() {
        let mut view = view();
        view.status.unapplied_since = Some(at(10));
        let retry = Retry { failures: 7, at: at(1001), why: "no such scheduler".into() };
        view.status.failing.insert([3, 3, 0, 6].into(), retry);
        assert_eq!(alive(&view), [""; 0]);
        let notes = Readiness::from_view(&view, now()).notes;
        assert_eq!(notes, ["3.3.0.6 failed 7 times in a row: no such scheduler"]);
    }

    #[test]
    fn a_kernel_that_does_not_answer_or_cannot_be_read_is_told() {
        let mut view = view();
        view.status.asked_since = Some(at(900));
        assert_eq!(alive(&view), ["the kernel hasn't answered for 100 s"]);
        view.status.asked_since = None;
        view.status.read_at = Some(at(10));
        view.status.unread = Some(Retry { failures: 9, at: at(1001), why: "no ip_vs".into() });
        assert_eq!(alive(&view), ["the kernel has been unreadable for 16 min: no ip_vs"]);
        let ready = Readiness::from_view(&view, now());
        assert!(ready.is_ok());
        assert_eq!(ready.notes, ["the kernel can't be read: no ip_vs"]);
    }

    #[test]
    fn a_node_is_not_ready_before_all_was_read_and_stays_ready_without_marathon() {
        let mut view = view();
        view.ready = false;
        view.status.awaited = vec!["main".into()];
        let ready = Readiness::from_view(&view, now());
        assert_eq!(ready.reasons, ["main has not been read completely since vipd started"]);
        view.ready = true;
        let source = view.sources.get_mut("main").unwrap();
        source.streaming = false;
        source.error = Some("connection refused".into());
        let later = |minutes: i64| now() + Duration::from_secs(minutes.unsigned_abs() * 60);
        let ready = Readiness::from_view(&view, later(14));
        assert!(ready.is_ok());
        assert_eq!(ready.notes, ["main can't be read; its data is 14 min old: connection refused"]);
        let ready = Readiness::from_view(&view, later(16));
        assert!(ready.is_ok() && ready.notes[0].contains("ALARM"), "{:?}", ready.notes);
    }

    #[test]
    fn a_node_where_fail_over_does_not_work_is_not_ready() {
        let mut view = view();
        let wrong = |name: &str, is_vital| WrongSysctl { what: format!("{name} is 0"), is_vital };
        view.sysctls = vec![wrong("ip_forward", false), wrong("expire_nodest_conn", true)];
        let ready = Readiness::from_view(&view, now());
        assert_eq!(ready.reasons, ["expire_nodest_conn is 0"]);
        assert_eq!(ready.notes, ["ip_forward is 0"]);
    }

    #[test]
    fn a_doubt_is_noted_and_the_node_stays_ready() {
        let mut view = view();
        let losses = Losses { services: 2, of_services: 3, servers: 5, of_servers: 9 };
        view.sources.get_mut("main").unwrap().doubt = Some(SourceDoubt { since: now(), losses });
        let ready = Readiness::from_view(&view, now());
        assert!(ready.is_ok());
        let note = &ready.notes[0];
        assert!(
            note.starts_with("main no longer lists 2 of 3 VIPs and 5 of 9 real servers, which"),
            "{note}"
        );
        assert!(note.contains("vipd accept"), "{note}");
    }

    #[test]
    fn a_resolver_that_cannot_be_told_is_noted_and_the_node_stays_ready() {
        let mut view = view();
        view.resolver = Some("systemd-resolved doesn't run".into());
        let ready = Readiness::from_view(&view, now());
        assert!(ready.is_ok());
        let note = "names don't resolve through systemd-resolved: systemd-resolved doesn't run";
        assert_eq!(ready.notes, [note]);
    }

    #[test]
    fn what_of_the_node_cannot_be_read_is_noted_and_the_node_stays_ready() {
        let mut view = view();
        let why = "the node's resolvers can't be read: no".to_owned();
        view.unread_facts.insert(why.clone());
        let ready = Readiness::from_view(&view, now());
        assert!(ready.is_ok());
        assert_eq!(ready.notes, [why]);
    }

    #[test]
    fn a_reload_that_was_refused_is_noted_and_the_node_stays_ready() {
        let mut view = view();
        let why = "line 3, column 1: unknown field `interfase`".to_owned();
        view.refused_reload = Some(RefusedReload { since: now(), why: why.clone() });
        let ready = Readiness::from_view(&view, now());
        assert!(ready.is_ok());
        let note = &ready.notes[0];
        assert!(note.starts_with("the reload at 2026-11-23T04:00:00Z was refused"), "{note}");
        assert!(note.contains(&why), "{note}");
    }

    #[test]
    fn a_held_agent_says_since_when_and_why() {
        let mut view = view();
        view.status.mode = Mode::Held;
        view.status.pending = 3;
        view.hold = Some(Hold { reason: "looking".into(), since: "03:12".into() });
        let note = &Readiness::from_view(&view, now()).notes[0];
        assert!(note.starts_with("held since 03:12 (looking): 3 operations"), "{note}");
    }
}
