//! What is worth a line in the log when the agent looks other than before. Pure: what stays as it
//! is is never told twice.

use std::collections::{BTreeMap, BTreeSet};

use vip::controller::Mode;
use vip::{LabelReport, SourceId, Verdict};

use crate::agent::status::View;
use crate::sources::SourceView;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Its kind: [`JournalEntry::what`](super::JournalEntry::what).
    pub what: &'static str,
    /// Somebody should look at it.
    pub grave: bool,
    /// What there is to tell.
    pub text: String,
}

fn info(what: &'static str, text: impl Into<String>) -> Notice {
    Notice { what, grave: false, text: text.into() }
}

fn warning(what: &'static str, text: impl Into<String>) -> Notice {
    Notice { what, grave: true, text: text.into() }
}

/// What became of a label.
#[must_use]
pub fn label_notice(report: &LabelReport) -> Notice {
    match &report.verdict {
        Verdict::Obeyed => info("label", format!("{report}: obeyed now")),
        Verdict::Noted(_) => info("label", format!("obeyed, with a note: {report}")),
        Verdict::Named(_) | Verdict::Refused(_) => warning("label", format!("refused: {report}")),
    }
}

/// What is other in `after` than in `before`.
#[must_use]
pub fn view_notices(before: &View, after: &View) -> Vec<Notice> {
    let mut news = Vec::new();
    for (name, source) in &after.sources {
        let unknown = SourceView::default();
        news.extend(source_notices(name, before.sources.get(name).unwrap_or(&unknown), source));
    }
    if after.ready && !before.ready {
        news.push(info("ready", "ready: what Marathon says is in the kernel"));
    }
    news.extend(mode_notice(before, after));
    news.extend(kernel_notices(before, after));
    let (was, is) = (&before.status, &after.status);
    news.extend(set_notices(&to_set(&was.conflicts), &to_set(&is.conflicts), "no longer so"));
    let names = |view: &View| {
        let each = view.unresolved.iter();
        each.map(|(name, why)| format!("the agent {name} can't be looked up: {why}")).collect()
    };
    news.extend(set_notices(&names(before), &names(after), "no longer so"));
    let gaps = |view: &View| {
        view.gaps.iter().map(|gap| format!("{gap}; meanwhile no VIP is removed")).collect()
    };
    news.extend(set_notices(&gaps(before), &gaps(after), "no longer so"));
    news.extend(set_notices(&to_set(&before.sysctls), &to_set(&after.sysctls), "put right"));
    news
}

fn source_notices(name: &SourceId, was: &SourceView, is: &SourceView) -> Vec<Notice> {
    let mut news = Vec::new();
    match (&was.error, &is.error) {
        (was, Some(why)) if was.as_ref() != Some(why) => {
            news.push(warning(
                "source-lost",
                format!("{name} can't be read, what it said last goes on: {why}"),
            ));
        }
        (Some(_), None) => news.push(info("source-back", format!("{name} answers again"))),
        _ => {}
    }
    let first = (was.read_at.is_none() || was.from_disk) && is.read_at.is_some() && !is.from_disk;
    if first {
        news.push(info(
            "source-read",
            format!("{name} was read whole: {} apps and pods", is.workloads),
        ));
    }
    match (&was.unheard, &is.unheard) {
        _ if is.streaming && !was.streaming => {
            news.push(info("stream-back", format!("events are coming from {name}")));
        }
        (was, Some(why)) if !is.streaming && was.as_ref() != Some(why) => {
            news.push(warning(
                "stream-lost",
                format!("no events come from {name}, it is polled: {why}"),
            ));
        }
        _ => {}
    }
    news
}

fn mode_notice(before: &View, after: &View) -> Option<Notice> {
    match (&before.hold, &after.hold) {
        (was, Some(hold)) if was.as_ref() != Some(hold) => {
            let reason = match hold.reason.as_str() {
                "" => String::new(),
                reason => format!(" ({reason})"),
            };
            Some(warning("held", format!("held since {}{reason}: nothing is changed", hold.since)))
        }
        (Some(_), None) => Some(info("released", "released: goes on")),
        _ if after.status.mode == Mode::ObserveOnly && before.status.mode != Mode::ObserveOnly => {
            Some(info("observing", "observes only: nothing is changed"))
        }
        _ => None,
    }
}

fn kernel_notices(before: &View, after: &View) -> Vec<Notice> {
    let (was, is) = (&before.status, &after.status);
    let mut news = Vec::new();
    let why = |unread: &Option<vip::controller::Retry>| unread.as_ref().map(|it| it.why.clone());
    match (why(&was.unread), why(&is.unread)) {
        (was, Some(why)) if was.as_ref() != Some(&why) => {
            news.push(warning("trouble", format!("the kernel can't be read: {why}")));
        }
        (Some(_), None) => news.push(info("trouble-over", "the kernel can be read again")),
        _ => {}
    }
    let whys = |view: &View| -> BTreeMap<_, _> {
        view.status.failing.iter().map(|(address, retry)| (*address, retry.why.clone())).collect()
    };
    let (was, is) = (whys(before), whys(after));
    for (address, why) in &is {
        if was.get(address) != Some(why) {
            news.push(warning("trouble", format!("{address} fails and is tried again: {why}")));
        }
    }
    let over = was.keys().filter(|address| !is.contains_key(*address));
    news.extend(over.map(|address| info("trouble-over", format!("{address} fails no longer"))));
    news
}

fn to_set(lines: &[String]) -> BTreeSet<String> {
    lines.iter().cloned().collect()
}

/// Sentences that have come, and those that no longer hold.
fn set_notices(was: &BTreeSet<String>, is: &BTreeSet<String>, over: &str) -> Vec<Notice> {
    let come = is.difference(was).map(|text| warning("trouble", text));
    come.chain(was.difference(is).map(|text| info("trouble-over", format!("{over}: {text}"))))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::status::Hold;
    use crate::sources::hosts::LookupError;
    use std::time::Duration;
    use vip::controller::{Retry, Status};

    fn view() -> View {
        View {
            status: Status::default(),
            sources: [("m".into(), SourceView::default())].into(),
            ready: false,
            unresolved: BTreeMap::new(),
            gaps: Vec::new(),
            sysctls: Vec::new(),
            firewall: Vec::new(),
            data_path: None,
            hold: None,
            started: marathon::Timestamp::UNIX_EPOCH,
        }
    }

    /// Changes a view, and tells of that, as often as it is looked at: once.
    fn tell(view: &mut View, change: impl FnOnce(&mut View)) -> Vec<String> {
        let before = view.clone();
        change(view);
        assert_eq!(view_notices(view, view), []);
        let news = view_notices(&before, view);
        news.into_iter()
            .map(|it| format!("{}{}", if it.grave { "! " } else { "" }, it.text))
            .collect()
    }

    #[test]
    fn each_thing_is_told_when_it_begins_and_when_it_ends() {
        let mut view = view();
        let mut lines = Vec::new();
        let mut after = |change: &dyn Fn(&mut View)| lines.extend(tell(&mut view, change));
        fn m(view: &mut View) -> &mut SourceView {
            view.sources.get_mut("m").unwrap()
        }
        after(&|v| m(v).unheard = Some("connection refused".into()));
        after(&|v| {
            m(v).streaming = true;
            m(v).unheard = None;
        });
        after(&|v| {
            m(v).read_at = Some(marathon::Timestamp::UNIX_EPOCH);
            m(v).workloads = 2;
        });
        after(&|v| v.ready = true);
        after(&|v| m(v).error = Some("502 Bad Gateway".into()));
        after(&|v| m(v).error = None);
        after(&|v| {
            m(v).streaming = false;
            m(v).unheard = Some("Marathon closed it".into());
        });
        let hold = Hold { reason: "ask anna".into(), since: "2026-11-25T03:00:00Z".into() };
        after(&|v| v.hold = Some(hold.clone()));
        after(&|v| v.hold = None);
        let fails = |failures, why: &str| Retry { failures, at: Duration::ZERO, why: why.into() };
        let address: std::net::IpAddr = [3, 3, 0, 6].into();
        after(&|v| drop(v.status.failing.insert(address, fails(1, "add-service: no such file"))));
        after(&|v| drop(v.status.failing.insert(address, fails(2, "add-service: no such file"))));
        after(&|v| v.status.failing.clear());
        after(&|v| v.sysctls = vec!["net.ipv4.ip_forward is 0".into()]);
        after(&|v| v.sysctls.clear());
        after(&|v| v.gaps = vec!["/web: a task's ports aren't known".into()]);
        let why = LookupError::Resolver("no such host".into());
        after(&|v| drop(v.unresolved.insert("agent1".into(), why.clone())));
        insta::assert_snapshot!(lines.join("\n"), @r"
        ! no events come from m, it is polled: connection refused
        events are coming from m
        m was read whole: 2 apps and pods
        ready: what Marathon says is in the kernel
        ! m can't be read, what it said last goes on: 502 Bad Gateway
        m answers again
        ! no events come from m, it is polled: Marathon closed it
        ! held since 2026-11-25T03:00:00Z (ask anna): nothing is changed
        released: goes on
        ! 3.3.0.6 fails and is tried again: add-service: no such file
        3.3.0.6 fails no longer
        ! net.ipv4.ip_forward is 0
        put right: net.ipv4.ip_forward is 0
        ! /web: a task's ports aren't known; meanwhile no VIP is removed
        ! the agent agent1 can't be looked up: no such host
        ");
    }
}
