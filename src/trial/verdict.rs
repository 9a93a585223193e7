//! Where a trial failed. Pure.

use std::net::SocketAddr;

use serde::Serialize;
use vip::VipState;

use super::facts::{Lookup, Outcome, Trial};

/// The place where a trial failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// The name has no address, or another one.
    Resolver,
    /// The VIP is no VIP: its label is refused, or there is none.
    Policy,
    /// vipd, or the kernel's table, refuses clients.
    Refusal,
    /// A firewall.
    Firewall,
    /// A route.
    Route,
    /// A real server.
    Server,
}

impl Place {
    /// Returns the word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Resolver => "resolver",
            Self::Policy => "policy",
            Self::Refusal => "refusal",
            Self::Firewall => "firewall",
            Self::Route => "route",
            Self::Server => "server",
        }
    }
}

/// Something that fails, with its place and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The place.
    pub place: Place,
    /// A sentence.
    pub text: String,
}

impl Trial {
    /// Says what fails and where, in the order in which a client meets it. None: nothing fails.
    #[must_use]
    pub fn judge(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut find = |place, text: String| findings.push(Finding { place, text });
        if let Some(text) = self.lookup.as_ref().and_then(|lookup| self.judge_lookup(lookup)) {
            find(Place::Resolver, text);
        }
        for refused in &self.refused {
            find(Place::Policy, refused.clone());
        }
        if self.vip.is_none() && self.no_agent.is_none() && self.refused.is_empty() {
            find(Place::Policy, "no app claims it: see `vipd status`".to_owned());
        }
        if let Some((place, text)) = self.judge_vip() {
            find(place, text);
        }
        for (server, outcome) in self.servers_in_use() {
            if let Some((place, text)) = judge_server(server, outcome) {
                find(place, text);
            }
        }
        findings
    }

    /// Returns the real servers that should take new connections, and what came of each.
    fn servers_in_use(&self) -> impl Iterator<Item = (SocketAddr, &Outcome)> {
        let is_in_use = |address| {
            let tasks = self.vip.iter().flat_map(|vip| &vip.backend);
            tasks.into_iter().any(|task| task.server == Some(address) && task.weight > Some(0))
        };
        let servers = self.servers.iter().filter(move |(address, _)| is_in_use(*address));
        servers.map(|(address, timed)| (*address, &timed.result))
    }

    fn judge_lookup(&self, lookup: &Lookup) -> Option<String> {
        let expected = self.vip.as_ref().and_then(|vip| vip.vip.parse::<SocketAddr>().ok());
        let name = &lookup.name;
        let server = lookup.name_server.as_ref().map(|(at, answer)| (at, &answer.result));
        match (&lookup.resolver.result, server) {
            (Ok(found), _) => {
                let expected = expected?.ip();
                let found: Vec<_> = found.iter().map(ToString::to_string).collect();
                (!found.contains(&expected.to_string())).then(|| {
                    format!(
                        "{name} is {} to the resolver, and {expected} to the agent: another server \
                         answers for it, or an old answer is cached",
                        found.join(", ")
                    )
                })
            }
            (Err(why), Some((at, Ok(_)))) => Some(format!(
                "{why}; vipd's name server at {at} knows it: the resolver doesn't ask it, and \
                 `vipd doctor` says why"
            )),
            (Err(why), Some((at, Err(also)))) => Some(format!(
                "{why}; nor does vipd's name server at {at} know it ({also}): see `vipd names`"
            )),
            (Err(why), None) => Some(why.clone()),
        }
    }

    fn judge_vip(&self) -> Option<(Place, String)> {
        let outcome = &self.at_vip.as_ref()?.result;
        let state = self.vip.as_ref().map(|vip| vip.summary.state);
        let servers: Vec<_> = self.servers_in_use().map(|(_, outcome)| outcome).collect();
        let answers = servers.iter().any(|outcome| outcome.is_fine());
        let refuses = servers.iter().any(|outcome| **outcome == Outcome::Refused);
        Some(match outcome {
            Outcome::Connected | Outcome::Unproven => return None,
            Outcome::Refused => match state {
                Some(VipState::Conflict) => (
                    Place::Refusal,
                    "a virtual service of another program stands in the way: see `vipd status`"
                        .to_owned(),
                ),
                Some(VipState::Suspended) => (
                    Place::Refusal,
                    "its apps are scaled to 0 instances, or gone".to_owned(),
                ),
                Some(VipState::Unapplied) => (
                    Place::Refusal,
                    "the kernel doesn't hold it as wanted yet: see `vipd status`".to_owned(),
                ),
                // The real servers' own findings say it.
                Some(_) if refuses => return None,
                Some(_) if servers.is_empty() => (
                    Place::Refusal,
                    "no real server takes new connections, so vipd refuses clients: see `vipd explain`"
                        .to_owned(),
                ),
                Some(_) => (
                    Place::Refusal,
                    "it refuses although no real server does: see `vipd diff`".to_owned(),
                ),
                None => (
                    Place::Refusal,
                    "it is refused: no service is at this port, or its real server refuses"
                        .to_owned(),
                ),
            },
            Outcome::NoRoute => (
                Place::Route,
                "there is no route to it: its address isn't bound here, or this namespace has no \
                 default route"
                    .to_owned(),
            ),
            Outcome::Forbidden => (
                Place::Firewall,
                "this node's firewall drops what is sent to it: see `vipd doctor`".to_owned(),
            ),
            Outcome::Unreachable if answers => (
                Place::Firewall,
                "it is rejected although real servers answer: a firewall on the way; see `vipd doctor`"
                    .to_owned(),
            ),
            Outcome::Silent if answers => (
                Place::Firewall,
                "its packets are lost although real servers answer: the node's firewall, forwarding, or \
                 the way back; see `vipd doctor`"
                    .to_owned(),
            ),
            // As its real servers, whose findings say it.
            Outcome::Unreachable | Outcome::Silent if !servers.is_empty() => return None,
            Outcome::Unreachable => (Place::Route, "its host can't be reached".to_owned()),
            Outcome::Silent => (
                Place::Firewall,
                "it doesn't answer: a firewall drops the packets, or nothing forwards them".to_owned(),
            ),
            Outcome::Failed(why) => (Place::Route, format!("it can't be tried: {why}")),
        })
    }
}

fn judge_server(server: SocketAddr, outcome: &Outcome) -> Option<(Place, String)> {
    Some(match outcome {
        Outcome::Connected | Outcome::Unproven => return None,
        Outcome::Refused => (
            Place::Server,
            format!(
                "{server} refuses connections: nothing listens there, or its host's firewall rejects"
            ),
        ),
        Outcome::Silent => (
            Place::Server,
            format!(
                "{server} doesn't answer: its host is down, or a firewall on the way drops packets"
            ),
        ),
        Outcome::NoRoute => (Place::Route, format!("there is no route to {server}")),
        Outcome::Unreachable => (Place::Route, format!("the host of {server} can't be reached")),
        Outcome::Forbidden => {
            (Place::Firewall, format!("this node's firewall drops what is sent to {server}"))
        }
        Outcome::Failed(why) => (Place::Server, format!("{server} can't be tried: {why}")),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::report::vips::VipReport;
    use crate::trial::facts::Timed;

    use Outcome::{Connected, Forbidden, NoRoute, Refused, Silent, Unproven, Unreachable};

    const SERVERS: [&str; 2] = ["10.0.0.1:31001", "10.0.0.2:31002"];

    fn timed<T>(result: T) -> Timed<T> {
        Timed { result, took: Duration::from_millis(1) }
    }

    /// A VIP in this state whose real servers have these weights.
    fn vip(state: &str, weights: [u32; 2]) -> VipReport {
        let tasks = SERVERS.iter().zip(weights).map(|(server, weight)| {
            let state = if weight > 0 { "serving" } else { "idle" };
            json!({ "state": state, "server": server, "weight": weight })
        });
        serde_json::from_value(json!({
            "vip": "3.3.0.6:3306", "protocol": "tcp", "apps": ["/mysql"], "state": state,
            "problems": [], "backend": tasks.collect::<Vec<_>>(), "left_out": [],
        }))
        .unwrap()
    }

    fn trial(state: &str, at_vip: Outcome, servers: [Outcome; 2]) -> Trial {
        let servers = SERVERS.iter().zip(servers);
        Trial {
            what: "3.3.0.6:3306".to_owned(),
            lookup: None,
            address: Some("3.3.0.6:3306".parse().unwrap()),
            protocol: vip::Protocol::Tcp,
            vip: Some(vip(state, [1, 1])),
            no_agent: None,
            refused: Vec::new(),
            at_vip: Some(timed(at_vip)),
            servers: servers.map(|(at, outcome)| (at.parse().unwrap(), timed(outcome))).collect(),
            notes: Vec::new(),
        }
    }

    fn places(trial: &Trial) -> Vec<Place> {
        trial.judge().into_iter().map(|finding| finding.place).collect()
    }

    #[test]
    fn what_works_has_no_findings() {
        assert_eq!(places(&trial("serving", Connected, [Connected, Connected])), []);
        assert_eq!(places(&trial("serving", Unproven, [Unproven, Unproven])), []);
    }

    #[test]
    fn the_place_follows_from_the_vip_and_its_servers_together() {
        let both = |outcome: Outcome| [outcome.clone(), outcome];
        for (state, at_vip, servers, expected) in [
            ("serving", Connected, [Connected, Refused], &[Place::Server][..]),
            ("serving", Refused, [Connected, Refused], &[Place::Server]),
            ("serving", Refused, both(Connected), &[Place::Refusal]),
            ("unapplied", Refused, both(Connected), &[Place::Refusal]),
            ("conflict", Refused, both(Connected), &[Place::Refusal]),
            ("serving", Silent, both(Connected), &[Place::Firewall]),
            ("serving", Silent, both(Silent), &[Place::Server, Place::Server]),
            ("serving", Silent, both(Unreachable), &[Place::Route, Place::Route]),
            ("serving", Unreachable, both(Connected), &[Place::Firewall]),
            ("serving", NoRoute, both(Connected), &[Place::Route]),
            ("serving", Forbidden, both(Connected), &[Place::Firewall]),
        ] {
            let trial = trial(state, at_vip.clone(), servers.clone());
            assert_eq!(places(&trial), expected, "{state} {at_vip:?} {servers:?}");
        }
    }

    #[test]
    fn servers_out_of_use_are_no_fault_and_without_others_vipd_refuses() {
        let mut refusing = trial("refusing", Refused, [Refused, Silent]);
        refusing.vip = Some(vip("refusing", [0, 0]));
        let findings = refusing.judge();
        assert_eq!(places(&refusing), [Place::Refusal], "{findings:?}");
        assert!(findings[0].text.contains("no real server takes new connections"));
    }

    #[test]
    fn a_vip_that_is_none_is_a_matter_of_policy() {
        let mut unknown = trial("serving", NoRoute, [Connected, Connected]);
        (unknown.vip, unknown.servers) = (None, Vec::new());
        assert_eq!(places(&unknown), [Place::Policy, Place::Route]);
        unknown.refused = vec!["/mysql VIP_0 is refused".to_owned()];
        assert_eq!(unknown.judge()[0].text, "/mysql VIP_0 is refused");
        unknown.refused.clear();
        unknown.no_agent = Some("nobody answers".to_owned());
        assert_eq!(places(&unknown), [Place::Route], "nobody says that it is none");
    }

    #[test]
    fn a_resolver_fails_by_what_the_name_server_says() {
        let address: std::net::IpAddr = "3.3.0.6".parse().unwrap();
        let other: std::net::IpAddr = "9.9.9.9".parse().unwrap();
        let at: SocketAddr = "198.51.100.1:53".parse().unwrap();
        let missing = || Err::<Vec<std::net::IpAddr>, _>("no such name".to_owned());
        for (resolver, name_server, expected) in [
            (Ok(vec![address]), None, None),
            (Ok(vec![other]), None, Some("is 9.9.9.9 to the resolver, and 3.3.0.6 to the agent")),
            (missing(), Some(Ok(vec![address])), Some("the resolver doesn't ask it")),
            (missing(), Some(missing()), Some("nor does vipd's name server")),
            (missing(), None, Some("no such name")),
        ] {
            let mut trial = trial("serving", Connected, [Connected, Connected]);
            trial.lookup = Some(Lookup {
                name: "mysql.marathon".to_owned(),
                resolver: timed(resolver),
                name_server: name_server.map(|answer| (at, timed(answer))),
            });
            let findings = trial.judge();
            assert_eq!(findings.len(), usize::from(expected.is_some()), "{findings:?}");
            if let Some(expected) = expected {
                assert_eq!(findings[0].place, Place::Resolver);
                assert!(findings[0].text.contains(expected), "{findings:?}");
            }
        }
    }
}
