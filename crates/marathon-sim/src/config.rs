//! What a simulated cluster looks like.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use ipnet::Ipv4Net;

/// Everything [`Sim::start`](crate::Sim::start) needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the API listens. Port 0 picks a free one.
    pub listen: SocketAddr,
    /// Whose output shapes to speak.
    pub generation: Generation,
    /// The agents tasks are spread over. At least one.
    pub agents: Vec<Agent>,
    /// The `marathon-sim` executable: every task is a child started from it. None: tasks are only
    /// imagined. They serve nobody, pass their checks and end as they are told
    /// ([`Handle::set_fate`](crate::Handle::set_fate)), and all of the cluster's time is tokio's, which
    /// a test may have paused.
    pub program: Option<PathBuf>,
    /// Factor on the intervals, grace periods and delays definitions give: 0.1 makes a 10 s
    /// interval last 1 s. Time-outs keep their length, and the API reports what was posted.
    pub time_scale: f64,
    /// Delay of a task's first health check, at most its interval. Marathon waits up to 5 s.
    pub first_check: Duration,
    /// Members besides the one at `listen`, on free ports of its address. The first leads.
    pub standbys: usize,
    /// How long nobody leads after the leader has resigned.
    pub election: Duration,
    /// How long a request waits for a leader before it is refused. Marathon: 11 times 250 ms.
    pub leader_wait: Duration,
    /// Time between the heartbeats of an event stream. Marathon: 10 s.
    pub heartbeat: Duration,
    /// Events a listener may be behind before it misses some (until 1.7) or is closed (from 1.8).
    /// Marathon's `--event_stream_max_outstanding_messages`: 1024.
    pub event_buffer: usize,
    /// Where it says that ZooKeeper is; nobody asks there.
    pub zookeeper: String,
    /// How long a token of `POST /acs/api/v1/auth/login` lasts; none: nobody needs one.
    pub token_lifetime: Option<Duration>,
}

impl Config {
    /// Generation 1.6 on a free loopback port, one agent at 127.0.0.1, real time.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self { program: Some(program.into()), ..Self::without_processes() }
    }

    /// The same with tasks that are only imagined.
    pub fn without_processes() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            generation: Generation::V1_6,
            agents: vec![Agent::new(Ipv4Addr::LOCALHOST)],
            program: None,
            time_scale: 1.0,
            first_check: Duration::from_millis(200),
            standbys: 0,
            election: Duration::from_secs(1),
            leader_wait: Duration::from_millis(2750),
            heartbeat: Duration::from_secs(10),
            event_buffer: 1024,
            zookeeper: "zk://127.0.0.1:2181/marathon".into(),
            token_lifetime: None,
        }
    }
}

/// The Marathon whose output shapes are spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Generation {
    /// 1.1: no pods, no task `state`, service ports as `portDefinitions`.
    V1_1,
    /// 1.4: pods and instances, `container.docker.network`, nulls.
    V1_4,
    /// 1.5: `networks[]` and `container.portMappings`; absent instead of null.
    V1_5,
    /// 1.6 and later: empty arrays are always there. Speaks as 1.8 does.
    V1_6,
}

impl Generation {
    /// The version `/v2/info` reports.
    pub fn version(self) -> &'static str {
        match self {
            Self::V1_1 => "1.1.7",
            Self::V1_4 => "1.4.13",
            Self::V1_5 => "1.5.15",
            Self::V1_6 => "1.8.222",
        }
    }

    /// Before 1.5 the network is told by `docker.network` and `ipAddress`.
    pub(crate) fn is_legacy(self) -> bool {
        self <= Self::V1_4
    }

    /// Pods, instances and the `Marathon-Deployment-Id` header came with 1.4.
    pub(crate) fn has_pods(self) -> bool {
        self >= Self::V1_4
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V1_1 => "1.1",
            Self::V1_4 => "1.4",
            Self::V1_5 => "1.5",
            Self::V1_6 => "1.6",
        })
    }
}

/// A generation that is not one of 1.1, 1.4, 1.5, 1.6.
#[derive(Debug, thiserror::Error)]
#[error(
    "generation `{0}` is not known here: use 1.1, 1.4, 1.5 or 1.6 (1.6 stands for all later ones)"
)]
pub struct UnknownGeneration(String);

impl FromStr for Generation {
    type Err = UnknownGeneration;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::V1_1, Self::V1_4, Self::V1_5, Self::V1_6]
            .into_iter()
            .find(|generation| generation.to_string() == text)
            .ok_or_else(|| UnknownGeneration(text.to_owned()))
    }
}

/// A simulated Mesos agent: an address tasks are served on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    /// What tasks report as `host`: Mesos' `--hostname`, a name or an address.
    pub hostname: String,
    /// Where host ports are served.
    pub address: Ipv4Addr,
    /// Where host ports are served over IPv6, if at all.
    pub address6: Option<Ipv6Addr>,
    /// The network namespace its tasks run in (`ip netns exec`, needs root). None: the simulator's.
    pub netns: Option<String>,
    /// Addresses for tasks on a container network. With a namespace they are put on its `lo`.
    /// None: such tasks run and are listed with an address nobody can reach.
    pub subnet: Option<Ipv4Net>,
    /// Host ports it offers.
    pub ports: RangeInclusive<u16>,
}

impl Agent {
    /// An agent at `address`, named by it, offering Mesos' default ports 31000 to 32000.
    pub fn new(address: Ipv4Addr) -> Self {
        Self {
            hostname: address.to_string(),
            address,
            address6: None,
            netns: None,
            subnet: None,
            ports: 31000..=32000,
        }
    }

    /// Addresses the built-in server binds for host ports. In a namespace of its own that is every
    /// address, as docker's proxy does (one socket takes both families); agents that share a
    /// namespace must not take each other's ports.
    pub(crate) fn listen_addresses(&self) -> Vec<IpAddr> {
        if self.netns.is_some() {
            return vec![Ipv6Addr::UNSPECIFIED.into()];
        }
        let v6 = self.address6.map(IpAddr::from);
        [Some(self.address.into()), v6].into_iter().flatten().collect()
    }
}

/// A text that describes no agent.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{text}` describes no agent: {why}; write ADDRESS[,ADDRESS6][@NETNS] or address=…[,address6=…,name=…,netns=…,subnet=…]"
)]
pub struct AgentError {
    text: String,
    why: String,
}

impl FromStr for Agent {
    type Err = AgentError;

    /// Reads `10.1.0.11`, `10.1.0.11,fd00::11@node1` or
    /// `address=10.1.0.11,name=agent-1,netns=node1,subnet=9.0.1.0/24`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse_agent(text).map_err(|why| AgentError { text: text.to_owned(), why })
    }
}

fn parse_agent(text: &str) -> Result<Agent, String> {
    let (fields, at) = match text.split_once('@') {
        Some((fields, netns)) => (fields, Some(netns.to_owned())),
        None => (text, None),
    };
    let mut agent = Agent::new(Ipv4Addr::UNSPECIFIED);
    let mut name = None;
    agent.netns = at;
    for (index, field) in fields.split(',').enumerate() {
        let (key, value) = field.split_once('=').unwrap_or(match index {
            0 => ("address", field),
            _ => ("address6", field),
        });
        match key {
            "address" => agent.address = parse_value(key, value)?,
            "address6" => agent.address6 = Some(parse_value(key, value)?),
            "name" => name = Some(value.to_owned()),
            "netns" => agent.netns = Some(value.to_owned()),
            "subnet" => agent.subnet = Some(parse_value(key, value)?),
            _ => return Err(format!("`{key}` is no field")),
        }
    }
    if agent.address.is_unspecified() {
        return Err("the address is missing".to_owned());
    }
    agent.hostname = name.unwrap_or_else(|| agent.address.to_string());
    Ok(agent)
}

fn parse_value<T: FromStr<Err: fmt::Display>>(key: &str, value: &str) -> Result<T, String> {
    value.parse().map_err(|error| format!("{key} `{value}`: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_is_read_from_its_short_and_its_long_form() {
        let short: Agent = "10.1.0.11,fd00::11@node1".parse().unwrap();
        let long: Agent = "address=10.1.0.11,address6=fd00::11,netns=node1".parse().unwrap();
        assert_eq!(short, long);
        assert_eq!(short.hostname, "10.1.0.11");
        let named: Agent = "10.1.0.11,name=a,subnet=9.0.1.0/24".parse().unwrap();
        assert_eq!((named.hostname.as_str(), named.netns), ("a", None));
    }

    #[test]
    fn what_is_no_agent_is_refused_with_its_reason() {
        for (text, why) in [
            ("", "address ``"),
            ("10.1.0", "address `10.1.0`"),
            ("name=x", "the address is missing"),
            ("10.1.0.1,fruit=x", "`fruit` is no field"),
            ("10.1.0.1,subnet=9.0.0.0", "subnet `9.0.0.0`"),
        ] {
            let error = text.parse::<Agent>().unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn a_generation_is_read_as_it_is_written() {
        assert_eq!("1.4".parse::<Generation>().unwrap(), Generation::V1_4);
        assert!("2.0".parse::<Generation>().is_err());
    }
}
