//! Notices: lines for the log on changes of the agent's state. Pure. Reports differences only.

use std::collections::{BTreeMap, BTreeSet};

use vip::controller::Mode;
use vip::{LabelReport, SourceId, Verdict};

use crate::agent::status::{Probing, View};
use crate::sources::SourceView;

/// A notice: one line for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// The kind, as in [`JournalEntry::what`](super::JournalEntry::what).
    pub what: &'static str,
    /// An operator should look at it.
    pub is_warning: bool,
    /// The text.
    pub text: String,
}

fn info(what: &'static str, text: impl Into<String>) -> Notice {
    Notice { what, is_warning: false, text: text.into() }
}

fn warning(what: &'static str, text: impl Into<String>) -> Notice {
    Notice { what, is_warning: true, text: text.into() }
}

/// Makes the notice on a label's verdict.
#[must_use]
pub fn label_notice(report: &LabelReport) -> Notice {
    match &report.verdict {
        Verdict::Obeyed => info("label", format!("{report}: obeyed now")),
        Verdict::Noted(_) => info("label", format!("obeyed, with a note: {report}")),
        Verdict::Refused(_) => warning("label", format!("refused: {report}")),
    }
}

/// Makes the notices on what differs between two views.
#[must_use]
pub fn view_notices(before: &View, after: &View) -> Vec<Notice> {
    let mut notices = Vec::new();
    for (name, source) in &after.sources {
        let unknown = SourceView::default();
        notices.extend(source_notices(name, before.sources.get(name).unwrap_or(&unknown), source));
    }
    if after.ready && !before.ready {
        notices.push(info("ready", "ready: all VIPs are in the kernel"));
    }
    notices.extend(mode_notice(before, after));
    notices.extend(kernel_notices(before, after));
    let (was, is) = (&before.status, &after.status);
    notices.extend(set_notices(&to_set(&was.conflicts), &to_set(&is.conflicts), "resolved"));
    let names = |view: &View| {
        let each = view.unresolved.iter();
        each.map(|(name, why)| format!("the host name {name} can't be resolved: {why}")).collect()
    };
    notices.extend(set_notices(&names(before), &names(after), "resolved"));
    let twins = |view: &View| to_set(&view.describe_twins());
    notices.extend(set_notices(&twins(before), &twins(after), "resolved"));
    let gaps = |view: &View| {
        view.gaps.iter().map(|gap| format!("{gap}; meanwhile no VIP is removed")).collect()
    };
    notices.extend(set_notices(&gaps(before), &gaps(after), "resolved"));
    let sysctls = |view: &View| view.sysctls.iter().map(|wrong| wrong.what.clone()).collect();
    notices.extend(set_notices(&sysctls(before), &sysctls(after), "corrected"));
    notices.extend(resolver_notice(before, after));
    notices.extend(probing_notices(&before.probing, &after.probing));
    notices
}

fn source_notices(name: &SourceId, was: &SourceView, is: &SourceView) -> Vec<Notice> {
    let mut notices = Vec::new();
    match (&was.error, &is.error) {
        (was, Some(why)) if was.as_ref() != Some(why) => {
            notices.push(warning(
                "source-lost",
                format!("{name} can't be read, its last data stays in use: {why}"),
            ));
        }
        (Some(_), None) => notices.push(info("source-back", format!("{name} answers again"))),
        _ => {}
    }
    let first = (was.read_at.is_none() || was.from_disk) && is.read_at.is_some() && !is.from_disk;
    if first {
        notices.push(info(
            "source-read",
            format!("read all of {name}: {}", count_workloads(is.workloads)),
        ));
    }
    match (&was.unread_parts, &is.unread_parts) {
        (was, Some(parts)) if was.as_ref() != Some(parts) => {
            notices.push(warning("trouble", format!("{name}: {parts}")));
        }
        (Some(_), None) => {
            notices.push(info("trouble-over", format!("{name}: all of its answer can be read")));
        }
        _ => {}
    }
    match (&was.doubt, &is.doubt) {
        (None, Some(doubt)) => notices.push(warning(
            "source-doubted",
            format!(
                "{name} no longer lists {doubt}: this is doubted, so they stay for now; if they are \
                 meant to go, `vipd accept` removes them"
            ),
        )),
        (Some(_), None) => {
            notices.push(info("source-believed", format!("{name} is no longer doubted")));
        }
        _ => {}
    }
    match (&was.unheard, &is.unheard) {
        _ if is.streaming && !was.streaming => {
            let through = is.relay.as_ref().map(|relay| format!(" through relay {relay}"));
            let through = through.unwrap_or_default();
            notices.push(info("stream-back", format!("receiving events from {name}{through}")));
        }
        (was, Some(why)) if !is.streaming && was.as_ref() != Some(why) => {
            notices
                .push(warning("stream-lost", format!("no events from {name}, polling it: {why}")));
        }
        _ => {}
    }
    notices
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
        (Some(_), None) => Some(info("released", "released: changes resume")),
        _ if after.status.mode == Mode::ObserveOnly && before.status.mode != Mode::ObserveOnly => {
            Some(info("observing", "observe-only mode: nothing is changed"))
        }
        _ => None,
    }
}

fn resolver_notice(before: &View, after: &View) -> Option<Notice> {
    match (before.describe_resolver(), after.describe_resolver()) {
        (was, Some(trouble)) if was.as_ref() != Some(&trouble) => Some(warning("trouble", trouble)),
        (Some(_), None) => Some(info("trouble-over", "systemd-resolved no longer fails")),
        _ => None,
    }
}

fn probing_notices(was: &Probing, is: &Probing) -> Vec<Notice> {
    let mut notices = Vec::new();
    for (host, silent) in &is.silent {
        let before = was.silent.get(host).map(|before| before.verdict.silence);
        if before != Some(silent.verdict.silence) {
            notices.push(warning("host-silent", silent.to_string()));
        }
    }
    let over = was.silent.keys().filter(|host| !is.silent.contains_key(host));
    notices.extend(over.map(|host| match (is.unprobed.contains(host), &is.status.obstacle) {
        (false, _) => info("host-back", format!("host {host} answers again")),
        (true, None) => info(
            "host-unprobed",
            format!("host {host} is in use again unheard: it has no real server left to ask"),
        ),
        (true, Some(_)) => info("host-unprobed", format!("host {host} is no longer probed")),
    }));
    for (server, verdict) in &is.refusing {
        if !was.refusing.contains_key(server) {
            notices.push(warning("server-refusing", is.describe_refusing(verdict)));
        }
    }
    let again = was.refusing.keys().filter(|server| !is.refusing.contains_key(server));
    notices.extend(again.map(|server| {
        info("server-back", format!("real server {server}, which refused clients, is tried again"))
    }));
    match (&was.status.obstacle, &is.status.obstacle) {
        (was, Some(why)) if was.as_ref() != Some(why) => {
            notices.push(warning("trouble", format!("hosts can't be probed: {why}")));
        }
        (Some(_), None) => notices.push(info("trouble-over", "hosts can be probed")),
        _ => {}
    }
    match (&was.deaf, &is.deaf) {
        (was, Some(why)) if was.as_ref() != Some(why) => {
            notices
                .push(warning("trouble", format!("lost SYNs of clients are not heard of: {why}")));
        }
        (Some(_), None) => {
            notices.push(info("trouble-over", "lost SYNs of clients are heard of again"));
        }
        _ => {}
    }
    match (was.status.blind_since, is.status.blind_since) {
        (None, Some(_)) => notices.push(warning(
            "trouble",
            "no other host answers this node's probes: hosts that are silent stay in use",
        )),
        (Some(_), None) => {
            notices.push(info("trouble-over", "another host answers this node's probes"));
        }
        _ => {}
    }
    notices
}

fn kernel_notices(before: &View, after: &View) -> Vec<Notice> {
    let (was, is) = (&before.status, &after.status);
    let mut notices = Vec::new();
    let why = |unread: &Option<vip::controller::Retry>| unread.as_ref().map(|it| it.why.clone());
    match (why(&was.unread), why(&is.unread)) {
        (was, Some(why)) if was.as_ref() != Some(&why) => {
            notices.push(warning("trouble", format!("the kernel can't be read: {why}")));
        }
        (Some(_), None) => notices.push(info("trouble-over", "the kernel can be read again")),
        _ => {}
    }
    let whys = |view: &View| -> BTreeMap<_, _> {
        view.status.failing.iter().map(|(address, retry)| (*address, retry.why.clone())).collect()
    };
    let (was, is) = (whys(before), whys(after));
    for (address, why) in &is {
        if was.get(address) != Some(why) {
            notices.push(warning("trouble", format!("{address} failed and is retried: {why}")));
        }
    }
    let over = was.keys().filter(|address| !is.contains_key(*address));
    notices.extend(over.map(|address| info("trouble-over", format!("{address} no longer fails"))));
    notices
}

/// Formats the number of apps and pods.
fn count_workloads(count: usize) -> String {
    match count {
        1 => "1 app or pod".to_owned(),
        _ => format!("{count} apps and pods"),
    }
}

fn to_set(lines: &[String]) -> BTreeSet<String> {
    lines.iter().cloned().collect()
}

/// Makes notices on sentences that are new, and on those that no longer hold.
fn set_notices(was: &BTreeSet<String>, is: &BTreeSet<String>, over: &str) -> Vec<Notice> {
    let come = is.difference(was).map(|text| warning("trouble", text));
    come.chain(was.difference(is).map(|text| info("trouble-over", format!("{over}: {text}"))))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::status::{Hold, WrongSysctl};
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
            unread_facts: [].into(),
            firewall: Vec::new(),
            data_path: None,
            resolver: None,
            probing: Probing::default(),
            hold: None,
            refused_reload: None,
            started: marathon::Timestamp::UNIX_EPOCH,
        }
    }

    /// Changes a view, and tells of that, as often as it is looked at: once.
    fn tell(view: &mut View, change: impl FnOnce(&mut View)) -> Vec<String> {
        let before = view.clone();
        change(view);
        assert_eq!(view_notices(view, view), []);
        let notices = view_notices(&before, view);
        notices
            .into_iter()
            .map(|it| format!("{}{}", if it.is_warning { "! " } else { "" }, it.text))
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
        after(&|v| {
            m(v).streaming = true;
            m(v).unheard = None;
            m(v).relay = Some("http://r1:9615".into());
        });
        let hold = Hold { reason: "ask anna".into(), since: "2026-11-25T03:00:00Z".into() };
        after(&|v| v.hold = Some(hold.clone()));
        after(&|v| v.hold = None);
        let fails = |failures, why: &str| Retry { failures, at: Duration::ZERO, why: why.into() };
        let address: std::net::IpAddr = [3, 3, 0, 6].into();
        after(&|v| drop(v.status.failing.insert(address, fails(1, "add-service: no such file"))));
        after(&|v| drop(v.status.failing.insert(address, fails(2, "add-service: no such file"))));
        after(&|v| v.status.failing.clear());
        let what = "net.ipv4.ip_forward is 0".into();
        let wrong = WrongSysctl { what, is_vital: false };
        after(&|v| v.sysctls = vec![wrong.clone()]);
        after(&|v| v.sysctls.clear());
        after(&|v| v.resolver = Some("there is no D-Bus".into()));
        after(&|v| v.resolver = None);
        after(&|v| v.gaps = vec!["/web: a task's ports aren't known".into()]);
        let why = LookupError::Resolver("no such host".into());
        after(&|v| drop(v.unresolved.insert("agent1".into(), why.clone())));
        insta::assert_snapshot!(lines.join("\n"), @r"
        ! no events from m, polling it: connection refused
        receiving events from m
        read all of m: 2 apps and pods
        ready: all VIPs are in the kernel
        ! m can't be read, its last data stays in use: 502 Bad Gateway
        m answers again
        ! no events from m, polling it: Marathon closed it
        receiving events from m through relay http://r1:9615
        ! held since 2026-11-25T03:00:00Z (ask anna): nothing is changed
        released: changes resume
        ! 3.3.0.6 failed and is retried: add-service: no such file
        3.3.0.6 no longer fails
        ! net.ipv4.ip_forward is 0
        corrected: net.ipv4.ip_forward is 0
        ! names don't resolve through systemd-resolved: there is no D-Bus
        systemd-resolved no longer fails
        ! /web: a task's ports aren't known; meanwhile no VIP is removed
        ! the host name agent1 can't be resolved: no such host
        ");
    }

    #[test]
    fn only_a_host_that_was_heard_answers_again() {
        let host = "10.0.0.2".parse().unwrap();
        let verdict = vip::liveness::HostVerdict::left_behind(host);
        let silent = crate::agent::status::SilentHost { verdict, servers: 1, acts: true };
        let was = Probing { silent: [(host, silent)].into(), ..Probing::default() };
        let unprobed = Probing { unprobed: [host].into(), ..Probing::default() };
        let mut obstructed = unprobed.clone();
        obstructed.status.obstacle = Some("no right".into());
        let told = [Probing::default(), unprobed, obstructed].map(|is| {
            let mut notices = probing_notices(&was, &is).into_iter();
            notices.next().map(|notice| format!("{}: {}", notice.what, notice.text)).unwrap()
        });
        insta::assert_snapshot!(told.join("\n"), @r"
        host-back: host 10.0.0.2 answers again
        host-unprobed: host 10.0.0.2 is in use again unheard: it has no real server left to ask
        host-unprobed: host 10.0.0.2 is no longer probed
        ");
    }
}
