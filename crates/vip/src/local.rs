//! Endpoints of real servers on this node: host port or container address.
//!
//! Packets that IPVS forwards pass no DNAT rule, so a host port that exists only as such a rule
//! (Docker without its userland proxy, the port mapper of Mesos) is unreachable on its own node:
//! the container's own address is used there. If a proxy listens on the host port, the host port is
//! better: through it a container reaches even itself, however its bridge is configured. The
//! exception is UDP: a proxy replies from the source address of its route to the client, which for
//! a container on the same bridge is the bridge's address instead of the one that was asked.

use std::fmt;
use std::net::SocketAddr;

use nl_ipvs::Family;
use serde::{Deserialize, Serialize};

use crate::facts::NodeFacts;
use crate::{Claim, Condition, Observed, Protocol, Reach, Vip};

/// The endpoint to use for real servers on this node that have both a host port and a container
/// address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LocalServers {
    /// Whichever works.
    #[default]
    Auto,
    /// Always the host port.
    HostPort,
    /// Always the container's own address.
    Container,
}

/// The reason for choosing one of two endpoints of a real server on this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Local {
    /// Something listens on the host port.
    Listens,
    /// Nothing listens on this host port.
    Silent(SocketAddr),
    /// A proxy may listen on this host port; its replies to a container's datagrams would come from
    /// another address.
    Datagrams(SocketAddr),
    /// Nothing listens on the host port, but this container address is in no network of the node.
    OutOfReach(SocketAddr),
    /// The listening sockets are unknown.
    Unknown,
    /// The task is ending: its endpoint stays where the connections are.
    Stays,
    /// Configured by `local-servers`.
    Told,
}

/// Writes a clause that follows the reason for the server's weight.
impl fmt::Display for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listens => f.write_str("on this node, by its host port, where something listens"),
            Self::Silent(host) => write!(
                f,
                "on this node, by its own address, since nothing listens on its host port {host}"
            ),
            Self::Datagrams(host) => write!(
                f,
                "on this node, by its own address, since a proxy on its host port {host} might \
                 answer a container's datagrams from another one"
            ),
            Self::OutOfReach(container) => write!(
                f,
                "on this node, by its host port though nothing listens there: its own address {} \
                 is in no network of this node",
                container.ip()
            ),
            Self::Unknown => f.write_str("on this node, by its host port"),
            Self::Stays => f.write_str("on this node, unchanged while its connections end"),
            Self::Told => f.write_str("on this node, as local-servers configures"),
        }
    }
}

/// The two endpoints of a real server on this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ways {
    host: SocketAddr,
    container: SocketAddr,
}

/// Returns both endpoints; `None` if the task is on another node or has only one.
fn find_ways(reach: &Reach, family: Family, node: &NodeFacts) -> Option<Ways> {
    let host = reach.place.in_family(family).filter(|host| node.own.contains(&host.ip()))?;
    let container = reach.behind.as_ref()?.in_family(family).filter(|at| at.port() != 0)?;
    Some(Ways { host, container })
}

/// Returns the endpoint to use, the other one, and the reason; `None` if there is no choice. `held`
/// tells which addresses are real servers of the service in the kernel.
pub(crate) fn choose_way(
    reach: &Reach,
    vip: &Vip,
    condition: Condition,
    held: impl Fn(&SocketAddr) -> bool,
    node: &NodeFacts,
    mode: LocalServers,
) -> Option<(SocketAddr, SocketAddr, Local)> {
    let Ways { host, container } = find_ways(reach, Family::from(vip.address), node)?;
    let by_host = |why| Some((host, container, why));
    let by_container = |why| Some((container, host, why));
    match mode {
        LocalServers::HostPort => return by_host(Local::Told),
        LocalServers::Container => return by_container(Local::Told),
        LocalServers::Auto => {}
    }
    // The proxy may end before the task. That must not move a server that still has connections.
    if condition.is_leaving() {
        match (held(&host), held(&container)) {
            (true, false) => return by_host(Local::Stays),
            (false, true) => return by_container(Local::Stays),
            _ => {}
        }
    }
    let connected = node.is_connected(container.ip());
    match node.is_listening(vip.protocol, host) {
        Some(true) if connected && vip.protocol == Protocol::Udp => {
            by_container(Local::Datagrams(host))
        }
        None => by_host(Local::Unknown),
        Some(true) => by_host(Local::Listens),
        Some(false) if connected => by_container(Local::Silent(host)),
        Some(false) => by_host(Local::OutOfReach(container)),
    }
}

/// Tells whether the endpoint of one of the claim's tasks depends on this node's listening sockets.
pub(crate) fn has_two_ways(claim: &Claim, node: &NodeFacts) -> bool {
    let family = Family::from(claim.vip.address);
    let reaches = claim.candidates.iter().filter_map(|candidate| candidate.reach.as_ref().ok());
    reaches.into_iter().any(|reach| find_ways(reach, family, node).is_some())
}

/// Tells whether a fresh reading of the listening sockets could change the endpoint of one of the
/// claim's tasks: a task that is newer than the last reading.
pub(crate) fn wants_a_look(claim: &Claim, observed: &Observed) -> bool {
    let family = Family::from(claim.vip.address);
    let held = observed.service(&claim.vip);
    let held = |at: &SocketAddr| held.is_some_and(|service| service.servers.contains_key(at));
    claim.candidates.iter().any(|candidate| {
        let ways = candidate.reach.as_ref().ok().and_then(|r| find_ways(r, family, &observed.node));
        !matches!(candidate.condition, Condition::Starting | Condition::Terminal { .. })
            && ways.is_some_and(|ways| {
                let listens = observed.node.is_listening(claim.vip.protocol, ways.host);
                listens == Some(false) && !held(&ways.host) && !held(&ways.container)
            })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "10.0.0.1:31001";
    const CONTAINER: &str = "172.17.0.2:80";

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn reach(host: &str) -> Reach {
        Reach { place: at(host).into(), behind: Some(at(CONTAINER).into()) }
    }

    fn node(listening: Option<&[&str]>, networks: &[&str]) -> NodeFacts {
        NodeFacts {
            own: ["10.0.0.1".parse().unwrap()].into(),
            connected: networks.iter().map(|net| net.parse().unwrap()).collect(),
            listening: listening.map(|all| {
                let on = |on| [Protocol::Tcp, Protocol::Udp].map(|protocol| (protocol, at(on)));
                std::sync::Arc::new(all.iter().copied().flat_map(on).collect())
            }),
            ..NodeFacts::default()
        }
    }

    fn chosen(node: &NodeFacts, condition: Condition, held: &[&str]) -> Option<String> {
        chosen_for(Protocol::Tcp, node, condition, held)
    }

    fn chosen_for(
        protocol: Protocol,
        node: &NodeFacts,
        condition: Condition,
        held: &[&str],
    ) -> Option<String> {
        let address = "3.3.0.6".parse().unwrap();
        let vip = Vip { address, port: std::num::NonZeroU16::MIN, protocol };
        let held = |server: &SocketAddr| held.iter().any(|each| at(each) == *server);
        let mode = LocalServers::Auto;
        let (way, _, why) = choose_way(&reach(HOST), &vip, condition, held, node, mode)?;
        Some(format!("{way} {why:?}"))
    }

    const BRIDGE: &[&str] = &["172.17.0.0/16"];

    #[test]
    fn a_proxy_is_preferred_and_without_one_the_containers_own_address() {
        let healthy = |node: &NodeFacts| chosen(node, Condition::Healthy, &[]).unwrap();
        for listener in [HOST, "0.0.0.0:31001", "[::]:31001"] {
            let node = node(Some(&[listener]), BRIDGE);
            assert_eq!(healthy(&node), "10.0.0.1:31001 Listens", "{listener}");
        }
        for others in ["10.0.0.1:31002", "127.0.0.1:31001"] {
            let node = node(Some(&[others]), BRIDGE);
            assert!(healthy(&node).starts_with("172.17.0.2:80 Silent"), "{others}");
        }
        assert!(healthy(&node(Some(&[]), &[])).starts_with("10.0.0.1:31001 OutOfReach"));
        assert_eq!(healthy(&node(None, BRIDGE)), "10.0.0.1:31001 Unknown");
    }

    #[test]
    fn datagrams_go_past_a_proxy_to_the_container() {
        let healthy =
            |node: &NodeFacts| chosen_for(Protocol::Udp, node, Condition::Healthy, &[]).unwrap();
        let proxied = healthy(&node(Some(&[HOST]), BRIDGE));
        assert!(proxied.starts_with("172.17.0.2:80 Datagrams"), "{proxied}");
        assert_eq!(healthy(&node(Some(&[HOST]), &[])), "10.0.0.1:31001 Listens");
        assert!(healthy(&node(Some(&[]), BRIDGE)).starts_with("172.17.0.2:80 Silent"));
    }

    #[test]
    fn what_ends_stays_where_its_connections_are() {
        let silent = node(Some(&[]), BRIDGE);
        assert_eq!(chosen(&silent, Condition::Killing, &[HOST]).unwrap(), "10.0.0.1:31001 Stays");
        let proxied = node(Some(&[HOST]), BRIDGE);
        let kept = chosen(&proxied, Condition::Unreachable, &[CONTAINER]).unwrap();
        assert_eq!(kept, "172.17.0.2:80 Stays");
    }

    #[test]
    fn there_is_no_choice_on_another_node_or_without_an_own_address() {
        let mut elsewhere = node(Some(&[]), BRIDGE);
        elsewhere.own.clear();
        assert_eq!(chosen(&elsewhere, Condition::Healthy, &[]), None);
        let mut bare = reach(HOST);
        bare.behind = None;
        assert_eq!(find_ways(&bare, Family::Inet, &node(Some(&[]), BRIDGE)), None);
        assert_eq!(find_ways(&reach(HOST), Family::Inet6, &node(Some(&[]), BRIDGE)), None);
    }
}
