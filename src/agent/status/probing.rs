//! The probing of hosts, as others may see it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use vip::liveness::{HostVerdict, ProbeStatus, ServerVerdict, Silence};

/// The fate of real servers if verdicts change nothing.
const OBSERVED: &str = "not touched, since probe.mode is observe";

/// The probing of hosts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Probing {
    /// Counts and states.
    pub status: ProbeStatus,
    /// The reason why clients' lost SYNs are not heard of, where they could be.
    pub deaf: Option<String>,
    /// The hosts that are silent.
    pub silent: BTreeMap<IpAddr, SilentHost>,
    /// The hosts that were silent until the latest news, and whose silence ended only because they are no
    /// longer probed.
    pub unprobed: BTreeSet<IpAddr>,
    /// The real servers that refuse clients while their source isn't heard.
    pub refusing: BTreeMap<SocketAddr, ServerVerdict>,
    /// Whether real servers are taken out of use because of such verdicts.
    pub acts: bool,
}

/// A silent host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SilentHost {
    /// The verdict.
    pub verdict: HostVerdict,
    /// The number of real servers on it when the verdict came, those that drain included.
    pub servers: usize,
    /// Whether real servers are taken out of use because of it.
    pub acts: bool,
}

impl Probing {
    /// Describes what an operator should know.
    pub fn describe(&self) -> impl Iterator<Item = String> {
        let obstacle = self.status.obstacle.iter().map(|why| {
            format!(
                "hosts can't be probed: {why}; that one lost its power is noticed when Marathon does"
            )
        });
        let blind = self.status.blind_since.iter().map(|_| {
            "no other host answers this node's probes: hosts that are silent stay in use".to_owned()
        });
        let deaf = self.deaf.iter().map(|why| {
            format!("lost SYNs of clients are not heard of, so a host whose echoes are filtered is judged once, when it is watched for the first time: {why}")
        });
        let silent = self.silent.values().take(caps::SHOWN_TROUBLES);
        let refusing = self.refusing.values().take(caps::SHOWN_TROUBLES);
        let refusing = refusing.map(|verdict| self.describe_refusing(verdict));
        obstacle.chain(blind).chain(deaf).chain(silent.map(ToString::to_string)).chain(refusing)
    }

    /// Describes a real server that refuses clients, and what that means for it.
    pub fn describe_refusing(&self, verdict: &ServerVerdict) -> String {
        let server = verdict.server;
        let action = match self.acts {
            true => "out of use, where others are usable",
            false => OBSERVED,
        };
        format!("real server {server} {verdict}: {action}")
    }
}

/// Writes the verdict and what it means for real servers.
impl fmt::Display for SilentHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { verdict, servers, acts } = self;
        write!(f, "{verdict}: {servers} real server{} ", if *servers == 1 { "" } else { "s" })?;
        f.write_str(match (acts, verdict.silence) {
            (false, _) => OBSERVED,
            (true, Some(Silence::Dead)) => "removed, where others are usable",
            (true, _) => "out of use, where others are usable",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use vip::liveness::Evidence;

    use super::*;

    #[test]
    fn a_silent_host_is_told_with_what_follows() {
        let evidence = Evidence {
            silent_for: Duration::from_millis(780),
            echoes: 3,
            connects: 1,
            others_answering: 41,
        };
        let host = |silence, servers, acts| {
            let verdict = HostVerdict { host: [10, 0, 0, 7].into(), silence, evidence };
            SilentHost { verdict, servers, acts }.to_string()
        };
        assert_eq!(
            host(Some(Silence::Suspected), 12, true),
            "host 10.0.0.7 silent for 0.78 s (3 echoes, 1 connect; 41 other hosts answer): 12 real \
             servers out of use, where others are usable"
        );
    }

    #[test]
    fn a_real_server_that_refuses_clients_is_told_with_what_follows() {
        let (server, within) = ("10.0.0.7:31000".parse().unwrap(), Duration::from_secs(12));
        let verdict = ServerVerdict { server, is_refusing: true, refusals: 5, within };
        let told = |acts| {
            let refusing = [(server, verdict.clone())].into();
            Probing { refusing, acts, ..Probing::default() }.describe().collect::<Vec<_>>()
        };
        let text = "real server 10.0.0.7:31000 refused clients 5 times within 12 s, while its source \
                    is not heard: ";
        assert_eq!(told(true), [format!("{text}out of use, where others are usable")]);
        assert_eq!(told(false), [format!("{text}not touched, since probe.mode is observe")]);
    }

    #[test]
    fn what_keeps_from_probing_is_told() {
        let status = ProbeStatus {
            obstacle: Some("CAP_NET_RAW is missing".into()),
            blind_since: Some(Duration::ZERO),
            ..ProbeStatus::default()
        };
        let deaf = Some("another program has the group".into());
        let probing = Probing { status, deaf, ..Probing::default() };
        let told: Vec<_> = probing.describe().collect();
        assert!(told[0].contains("CAP_NET_RAW is missing; "), "{told:?}");
        assert!(told[1].starts_with("no other host answers"), "{told:?}");
        assert!(told[2].ends_with("first time: another program has the group"), "{told:?}");
    }
}
