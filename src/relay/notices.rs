//! Lines of a relay's log on changes of what it knows. Pure: reports differences only.

use std::collections::BTreeMap;
use std::sync::Arc;

use marathon::WorkloadKey;

/// The most apps and pods that are named at once.
const NAMED: usize = 10;

/// The condition of a relay, as its log follows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) is_streaming: bool,
    pub(super) stream_error: Option<String>,
    pub(super) read_error: Option<String>,
    pub(super) leader: Option<Arc<str>>,
    /// Everything was read once.
    pub(super) is_complete: bool,
    /// Everything was read since the stream was opened.
    pub(super) is_caught_up: bool,
    /// Those whose records would be too long, with their lengths.
    pub(super) left_out: Arc<BTreeMap<WorkloadKey, usize>>,
}

/// One line for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Notice {
    /// An operator should look at it.
    pub(super) is_warning: bool,
    pub(super) text: String,
}

fn info(text: String) -> Notice {
    Notice { is_warning: false, text }
}

fn warning(text: String) -> Notice {
    Notice { is_warning: true, text }
}

/// Makes the notices on what differs. `name` is Marathon's, which has so many apps and pods.
pub(super) fn condition_notices(
    name: &str,
    workloads: usize,
    was: &Condition,
    is: &Condition,
) -> Vec<Notice> {
    let mut notices = Vec::new();
    match (&was.stream_error, &is.stream_error) {
        (before, Some(why)) if before.as_ref() != Some(why) => {
            notices.push(warning(format!("no events from {name}, polling it: {why}")));
        }
        _ if is.is_streaming && !was.is_streaming => {
            notices.push(info(format!("receiving events from {name}")));
        }
        _ => {}
    }
    if is.leader != was.leader
        && let (Some(before), Some(leader)) = (&was.leader, &is.leader)
    {
        notices.push(info(format!("{name} is led by {leader}, no longer by {before}")));
    }
    match (&was.read_error, &is.read_error) {
        (before, Some(why)) if before.as_ref() != Some(why) => {
            notices
                .push(warning(format!("{name} can't be read, its last data stays in use: {why}")));
        }
        (Some(_), None) => notices.push(info(format!("{name} answers again"))),
        _ => {}
    }
    let count = match workloads {
        1 => "1 app or pod".to_owned(),
        count => format!("{count} apps and pods"),
    };
    // Another relay is better until then.
    if is.is_caught_up && !was.is_caught_up {
        notices.push(info(format!(
            "read all of {name} since its events come: {count}; agents are served"
        )));
    } else if is.is_complete && !was.is_complete {
        notices.push(info(format!("read all of {name}: {count}")));
    }
    notices.extend(left_out_notices(was, is));
    notices
}

fn left_out_notices(was: &Condition, is: &Condition) -> Vec<Notice> {
    let new = is.left_out.iter().filter(|(key, _)| !was.left_out.contains_key(*key));
    let over = was.left_out.keys().filter(|key| !is.left_out.contains_key(*key));
    let new = new.map(|(key, bytes)| {
        warning(format!(
            "{key} is left out, since its record of {bytes} bytes would be too long: agents keep what \
             they know of it"
        ))
    });
    let over = over.map(|key| info(format!("{key} is no longer left out")));
    new.take(NAMED).chain(over.take(NAMED)).collect()
}

#[cfg(test)]
mod tests {
    use marathon::Kind;

    use super::*;

    #[test]
    fn each_change_of_what_a_relay_knows_has_one_line() {
        let mut lines = Vec::new();
        let mut now = Condition::default();
        let mut after = |change: &dyn Fn(&mut Condition)| {
            let before = now.clone();
            change(&mut now);
            assert_eq!(condition_notices("m", 7, &now, &now), []);
            for Notice { is_warning, text } in condition_notices("m", 7, &before, &now) {
                lines.push(format!("{}{text}", if is_warning { "! " } else { "" }));
            }
        };
        let some = |text: &str| Some(text.to_owned());
        after(&|is| is.stream_error = some("connection refused"));
        after(&|is| {
            (is.stream_error, is.is_streaming, is.leader) = (None, true, Some("m1".into()));
        });
        after(&|is| is.read_error = some("status 500"));
        after(&|is| (is.read_error, is.is_complete) = (None, true));
        after(&|is| is.is_caught_up = true);
        after(&|is| {
            (is.stream_error, is.is_streaming) = (some("reset"), false);
            is.is_caught_up = false;
        });
        after(&|is| {
            (is.stream_error, is.is_streaming, is.leader) = (None, true, Some("m2".into()));
        });
        after(&|is| is.is_caught_up = true);
        let key = WorkloadKey { kind: Kind::App, id: "/big".into() };
        after(&|is| is.left_out = Arc::new(BTreeMap::from([(key.clone(), 17_000_000)])));
        after(&|is| is.left_out = Arc::default());
        insta::assert_snapshot!(lines.join("\n"), @r"
        ! no events from m, polling it: connection refused
        receiving events from m
        ! m can't be read, its last data stays in use: status 500
        m answers again
        read all of m: 7 apps and pods
        read all of m since its events come: 7 apps and pods; agents are served
        ! no events from m, polling it: reset
        receiving events from m
        m is led by m2, no longer by m1
        read all of m since its events come: 7 apps and pods; agents are served
        ! app /big is left out, since its record of 17000000 bytes would be too long: agents keep what they know of it
        app /big is no longer left out
        ");
    }
}
