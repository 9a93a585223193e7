//! Configuration of a simulated cluster.

use std::fmt;
use std::net::{AddrParseError, IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use ipnet::Ipv4Net;

/// The configuration for [`Sim::start`](crate::Sim::start).
#[derive(Debug, Clone)]
pub struct Config {
    /// The address of the API. Port 0 picks a free one.
    pub listen: SocketAddr,
    /// The generation of the API.
    pub generation: Generation,
    /// The agents that tasks are spread over; at least one.
    pub agents: Vec<Agent>,
    /// The `marathon-sim` executable, of which every task is a child process. None: tasks are
    /// imagined. They serve nobody, pass their checks and end as
    /// [`Handle::set_fate`](crate::Handle::set_fate) tells, and the cluster runs on tokio's clock,
    /// which a test may pause.
    pub program: Option<PathBuf>,
    /// Factor on the intervals, grace periods and delays of definitions: 0.1 makes a 10 s interval
    /// last 1 s. Timeouts keep their length, and the API reports the posted values.
    pub time_scale: f64,
    /// Delay of a task's first health check, at most its interval. Marathon waits up to 5 s.
    pub first_check: Duration,
    /// Number of members besides the one at `listen`, on free ports of its address. The first
    /// leads.
    pub standbys: usize,
    /// Time without a leader after the leader has resigned.
    pub election: Duration,
    /// Longest time that a request waits for a leader. Marathon: 11 times 250 ms.
    pub leader_wait: Duration,
    /// Time between the heartbeats of an event stream. Marathon: 10 s.
    pub heartbeat: Duration,
    /// Number of events that a listener may be behind before it misses some (until 1.7) or is
    /// closed (from 1.8). Marathon's `--event_stream_max_outstanding_messages`: 1024.
    pub event_buffer: usize,
    /// The ZooKeeper address in `/v2/info`, which the simulator doesn't use.
    pub zookeeper: String,
    /// The framework id in `/v2/info`.
    pub framework: String,
    /// Lifetime of a token from `POST /acs/api/v1/auth/login`. None: no request needs one.
    pub token_lifetime: Option<Duration>,
}

impl Config {
    /// Configures generation 1.6 on a free loopback port, one agent at 127.0.0.1, and real time.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self { program: Some(program.into()), ..Self::without_processes() }
    }

    /// Configures the same with imagined tasks.
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
            framework: "00000000-0000-4000-8000-000000000000-0000".into(),
            token_lifetime: None,
        }
    }
}

/// The generation of Marathon whose API is simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Generation {
    /// 1.1: no pods, no task `state`, service ports as `portDefinitions`.
    V1_1,
    /// 1.4: pods and instances, `container.docker.network`, nulls.
    V1_4,
    /// 1.5: `networks[]` and `container.portMappings`; absent instead of null.
    V1_5,
    /// 1.6 and later: empty arrays are always present. Reports itself as 1.8.
    V1_6,
}

impl Generation {
    /// Returns the version in `/v2/info`.
    pub fn version(self) -> &'static str {
        match self {
            Self::V1_1 => "1.1.7",
            Self::V1_4 => "1.4.13",
            Self::V1_5 => "1.5.15",
            Self::V1_6 => "1.8.222",
        }
    }

    /// Tells whether the network is in `docker.network` and `ipAddress`: before 1.5.
    pub(crate) fn is_legacy(self) -> bool {
        self <= Self::V1_4
    }

    /// Tells whether there are pods, instances and the `Marathon-Deployment-Id` header: from 1.4
    /// on.
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
#[error("unknown generation `{0}`: use 1.1, 1.4, 1.5 or 1.6 (1.6 stands for all later ones)")]
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

/// A simulated Mesos agent: an address where tasks serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    /// The `host` of its tasks: Mesos' `--hostname`, a name or an address.
    pub hostname: String,
    /// The address of host ports.
    pub address: Ipv4Addr,
    /// The IPv6 address of host ports, if any.
    pub address6: Option<Ipv6Addr>,
    /// The network namespace of its tasks (`ip netns exec`, needs root). None: the simulator's.
    pub netns: Option<String>,
    /// The addresses for tasks on a container network. With a namespace they are added to its `lo`.
    /// None: such tasks are listed with an unreachable address.
    pub subnet: Option<Ipv4Net>,
    /// The host ports that it offers.
    pub ports: RangeInclusive<u16>,
}

impl Agent {
    /// Creates an agent at `address`, with that as its name and Mesos' default ports 31000 to
    /// 32000.
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

    /// Returns the addresses that the built-in server binds for host ports. In a namespace of its
    /// own that is every address, as with Docker's proxy (one socket takes both families). Agents
    /// that share a namespace must not take each other's ports.
    pub(crate) fn listen_addresses(&self) -> Vec<IpAddr> {
        if self.netns.is_some() {
            return vec![Ipv6Addr::UNSPECIFIED.into()];
        }
        let v6 = self.address6.map(IpAddr::from);
        [Some(self.address.into()), v6].into_iter().flatten().collect()
    }
}

/// A text that does not describe an agent.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{text}` does not describe an agent: {reason}; write ADDRESS[,ADDRESS6][@NETNS] or address=…[,address6=…,name=…,netns=…,subnet=…]"
)]
pub struct AgentError {
    text: String,
    reason: InvalidAgent,
}

/// The reason why a text does not describe an agent.
#[derive(Debug, thiserror::Error)]
enum InvalidAgent {
    #[error("{key} `{value}`: {error}")]
    Address { key: &'static str, value: String, error: AddrParseError },
    #[error("subnet `{value}`: {error}")]
    Subnet { value: String, error: ipnet::AddrParseError },
    #[error("`{0}` is not a field")]
    UnknownField(String),
    #[error("the address is missing")]
    NoAddress,
}

impl FromStr for Agent {
    type Err = AgentError;

    /// Parses `10.1.0.11`, `10.1.0.11,fd00::11@node1` or
    /// `address=10.1.0.11,name=agent-1,netns=node1,subnet=9.0.1.0/24`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse_agent(text).map_err(|reason| AgentError { text: text.to_owned(), reason })
    }
}

fn parse_agent(text: &str) -> Result<Agent, InvalidAgent> {
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
            "address" => agent.address = parse_address("address", value)?,
            "address6" => agent.address6 = Some(parse_address("address6", value)?),
            "name" => name = Some(value.to_owned()),
            "netns" => agent.netns = Some(value.to_owned()),
            "subnet" => agent.subnet = Some(parse_subnet(value)?),
            _ => return Err(InvalidAgent::UnknownField(key.to_owned())),
        }
    }
    if agent.address.is_unspecified() {
        return Err(InvalidAgent::NoAddress);
    }
    agent.hostname = name.unwrap_or_else(|| agent.address.to_string());
    Ok(agent)
}

fn parse_address<T>(key: &'static str, value: &str) -> Result<T, InvalidAgent>
where
    T: FromStr<Err = AddrParseError>,
{
    value.parse().map_err(|error| InvalidAgent::Address { key, value: value.to_owned(), error })
}

fn parse_subnet(value: &str) -> Result<Ipv4Net, InvalidAgent> {
    value.parse().map_err(|error| InvalidAgent::Subnet { value: value.to_owned(), error })
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
            ("10.1.0.1,fruit=x", "`fruit` is not a field"),
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
