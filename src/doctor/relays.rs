//! Checks of the relays through which a Marathon is read.

use relay::{MarathonStatus, UNHEARD_MS};

use super::diagnosis::Check;

/// Answer of one relay.
#[derive(Debug)]
pub struct RelayAnswer {
    /// The URL, without secrets.
    pub url: String,
    /// What it says of itself, or why it doesn't.
    pub status: Result<RelayFacts, String>,
}

/// What a relay says of itself.
#[derive(Debug, Clone, Default)]
pub struct RelayFacts {
    /// Its version of vipd.
    pub version: String,
    /// It has read Marathon as a whole.
    pub complete: bool,
    /// The number of agents that follow it.
    pub clients: u64,
    /// What it knows of Marathon.
    pub marathon: MarathonStatus,
}

/// Checks the relays of one Marathon. `version` is this vipd's.
#[must_use]
pub fn check_relays(relays: &[RelayAnswer], version: &str) -> Vec<Check> {
    let one_works = relays.iter().any(|relay| trouble_of(&relay.status).is_none());
    relays.iter().map(|relay| check_relay(relay, version, one_works)).collect()
}

fn check_relay(relay: &RelayAnswer, version: &str, one_works: bool) -> Check {
    let RelayAnswer { url, status } = relay;
    if let Some((why, remedy)) = trouble_of(status) {
        let text = format!("relay {url}: {why}");
        return match one_works {
            true => Check::warning(text, format!("{remedy}; another relay works")),
            false => Check::error(
                text,
                format!("{remedy}; without any relay agents read Marathon themselves, by turns"),
            ),
        };
    }
    let Ok(RelayFacts { version: its, clients, marathon, .. }) = status else {
        return Check::ok(format!("relay {url} answers"));
    };
    let heard = marathon.silent_ms.unwrap_or_default() / 1000;
    let agents = if *clients == 1 { "agent follows" } else { "agents follow" };
    let text = format!(
        "relay {url} is vipd {its}: {clients} {agents} it, Marathon was heard {heard} s ago"
    );
    match its == version {
        true => Check::ok(text),
        false => {
            let order = "upgrade agents first, then the relays one by one";
            Check::note(text, format!("this vipd is {version}: {order}"))
        }
    }
}

/// Returns why a relay is of no use, and the remedy.
fn trouble_of(status: &Result<RelayFacts, String>) -> Option<(String, &'static str)> {
    let facts = match status {
        Ok(facts) => facts,
        // The reason of a relay that wants a token names the key.
        Err(why) => {
            return Some((
                why.clone(),
                "check relay and relay-token-file of the [[marathon]], and whether vipd-relay runs there",
            ));
        }
    };
    let MarathonStatus { silent_ms, stream_error, read_error, behind, .. } = &facts.marathon;
    let its_log = "see the log of vipd-relay on its host";
    if !facts.complete {
        let why = read_error.as_deref().unwrap_or("no whole answer yet");
        return Some((format!("it has not read Marathon yet: {why}"), its_log));
    }
    match (stream_error, silent_ms) {
        (Some(why), _) => Some((format!("it hears no events of Marathon: {why}"), its_log)),
        (None, Some(silent)) if *silent < UNHEARD_MS => {
            let gap = "it has missed something of Marathon, and has not read it since";
            let unread = read_error.as_ref().map(|why| format!("it can't read Marathon: {why}"));
            unread.or_else(|| behind.then(|| gap.to_owned())).map(|why| (why, its_log))
        }
        (None, Some(silent)) => {
            let silent = silent / 1000;
            Some((format!("it has heard nothing of Marathon for {silent} s"), its_log))
        }
        (None, None) => Some(("it has never heard of Marathon".to_owned(), its_log)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::diagnosis::Level;
    use super::*;

    fn answer(facts: RelayFacts) -> RelayAnswer {
        RelayAnswer { url: "http://r1:9615".into(), status: Ok(facts) }
    }

    fn working() -> RelayFacts {
        let marathon = MarathonStatus { silent_ms: Some(4000), ..MarathonStatus::default() };
        RelayFacts { version: "1.2.3".into(), complete: true, clients: 7, marathon }
    }

    fn levels(relays: &[RelayAnswer]) -> Vec<Level> {
        check_relays(relays, "1.2.3").iter().map(|check| check.level).collect()
    }

    #[test]
    fn one_relay_that_works_makes_the_others_warnings() {
        let dead = || RelayAnswer { url: "http://r2:9615".into(), status: Err("refused".into()) };
        assert_eq!(levels(&[answer(working()), dead()]), [Level::Ok, Level::Warning]);
        assert_eq!(levels(&[dead(), dead()]), [Level::Error, Level::Error]);
    }

    #[test]
    fn a_relay_that_knows_nothing_or_old_things_does_not_work() {
        let status = |marathon| RelayFacts { marathon, ..working() };
        for (facts, word) in [
            (RelayFacts { complete: false, ..working() }, "has not read Marathon yet"),
            (status(MarathonStatus::default()), "never heard"),
            (
                status(MarathonStatus { silent_ms: Some(60_000), ..MarathonStatus::default() }),
                "for 60 s",
            ),
            (
                status(MarathonStatus {
                    stream_error: Some("status 503".into()),
                    ..working().marathon
                }),
                "no events of Marathon: status 503",
            ),
            (
                status(MarathonStatus {
                    read_error: Some("status 502".into()),
                    ..working().marathon
                }),
                "can't read Marathon: status 502",
            ),
            (status(MarathonStatus { behind: true, ..working().marathon }), "missed something"),
        ] {
            let checks = check_relays(&[answer(facts)], "1.2.3");
            assert_eq!(checks[0].level, Level::Error);
            assert!(checks[0].text.contains(word), "{}", checks[0].text);
        }
    }

    #[test]
    fn another_version_is_noted() {
        let checks = check_relays(&[answer(working())], "1.3.0");
        // An agent refuses the stream of a relay whose records are newer than it.
        assert_eq!(checks[0].level, Level::Ok);
        assert!(checks[0].remedy.as_ref().unwrap().contains("agents first"), "{checks:?}");
        assert!(checks[0].text.contains("7 agents follow it, Marathon was heard 4 s ago"));
    }
}
