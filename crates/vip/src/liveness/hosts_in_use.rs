//! Which hosts to watch: those that this node sends connections to.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::{ClientSources, WatchList, Watched};
use crate::special_address::SpecialAddress;
use crate::{ClusterFacts, DesiredService, NodeFacts, Observed, Protocol, Vip};

/// The time for which a host is in use after it got its first real server, or had a connection.
const USE: Duration = Duration::from_secs(120);

/// The number of witnesses of each of the other kinds, so that there is room for nodes.
const FEW: usize = 2;

/// The hosts of real servers, with the time at which each was in use last.
#[derive(Debug, Default)]
pub struct HostsInUse {
    used_at: BTreeMap<IpAddr, Duration>,
    /// The hosts with established connections.
    connected: BTreeSet<IpAddr>,
    /// The time of the last reading: nothing is known of connections since.
    read_at: Option<Duration>,
}

impl HostsInUse {
    /// Takes in a reading: hosts with connections are in use.
    pub fn note_reading(&mut self, observed: &Observed, now: Duration) {
        self.read_at = Some(now);
        self.connected.clear();
        for (_, service) in observed.our_services() {
            for (server, found) in &service.servers {
                if found.active > 0 {
                    self.connected.insert(server.ip());
                }
                if found.active + found.inactive > 0
                    && let Some(used_at) = self.used_at.get_mut(&server.ip())
                {
                    *used_at = now;
                }
            }
        }
    }

    /// Returns the list for these services. Addresses of this node are not in it, nor containers that
    /// are known to run here.
    pub fn make_list<'a>(
        &mut self,
        services: impl Iterator<Item = (&'a Vip, &'a DesiredService)>,
        node: &NodeFacts,
        cluster: &ClusterFacts,
        clients: ClientSources,
        now: Duration,
    ) -> WatchList {
        let mut servers: BTreeMap<IpAddr, Vec<SocketAddr>> = BTreeMap::new();
        for (vip, service) in services {
            let selection = &service.selection;
            let elsewhere = selection.members.iter().filter(|(_, member)| member.local.is_none());
            // Those of silent hosts come back when these are heard again.
            let all = elsewhere.map(|(server, _)| server).chain(&selection.silenced);
            for server in all.filter(|server| may_be_asked(server.ip(), node)) {
                let connect_to = servers.entry(server.ip()).or_default();
                let is_new = connect_to.len() < Watched::PORTS && !connect_to.contains(server);
                if vip.protocol == Protocol::Tcp && is_new {
                    connect_to.push(*server);
                }
            }
        }
        self.used_at.retain(|host, _| servers.contains_key(host));
        let known_at = self.read_at.unwrap_or(now);
        let hosts = servers.into_iter().map(|(host, connect_to)| Watched {
            host,
            in_use: known_at.saturating_sub(*self.used_at.entry(host).or_insert(now)) < USE,
            // Any other address may be that of a container on this node, also of one that drains.
            is_elsewhere: cluster.nodes.contains(&host),
            connect_to,
            has_clients: self.connected.contains(&host),
        });
        let hosts: Vec<_> = hosts.collect();
        let witnesses = choose_witnesses(node, cluster, &hosts);
        WatchList { hosts, witnesses, clients }
    }
}

/// Chooses hosts whose answers prove that this node is connected: gateways, the servers of the
/// cluster, and nodes on the whole ring of addresses that begins at a place of this node's own, so that each
/// is asked by a few only and they don't share a rack. Hosts that are probed anyway are none.
fn choose_witnesses(node: &NodeFacts, cluster: &ClusterFacts, hosts: &[Watched]) -> Vec<IpAddr> {
    let own = place_on_ring(node, cluster);
    let probed: BTreeSet<_> =
        hosts.iter().filter(|host| host.in_use).map(|host| host.host).collect();
    let ring = cluster.nodes.range(own..).chain(cluster.nodes.range(..own));
    let ring: Vec<_> = ring.filter(|address| !probed.contains(address)).collect();
    let step = (ring.len() / caps::WITNESSES).max(1);
    // The rest fills up what the first round leaves.
    let nodes = (0..step).flat_map(|first| ring.iter().copied().skip(first).step_by(step));
    let may_be_asked = |address: &&IpAddr| may_be_asked(**address, node);
    let gateways = node.uplinks.iter().filter(may_be_asked).take(FEW);
    let masters = cluster.masters.iter().filter(may_be_asked).take(FEW);
    let mut chosen = Vec::new();
    for address in gateways.chain(masters).chain(nodes.filter(may_be_asked)) {
        if chosen.len() < caps::WITNESSES && !chosen.contains(address) {
            chosen.push(*address);
        }
    }
    chosen
}

/// Returns where the ring begins: at the node's own place there, else at one by its addresses. A bridge
/// may have the same address on every node.
fn place_on_ring(node: &NodeFacts, cluster: &ClusterFacts) -> IpAddr {
    let nodes = &cluster.nodes;
    let own = node.own.iter().find(|own| nodes.contains(*own)).copied();
    let by_hash = || {
        // Each container that comes and goes brings a link-local address of its bridge port.
        let is_lasting =
            |own: &&IpAddr| !matches!(own, IpAddr::V6(ip) if ip.is_unicast_link_local());
        let lasting: Vec<_> = node.own.iter().filter(is_lasting).collect();
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(&lasting);
        let place = hash.checked_rem(nodes.len() as u64)?;
        nodes.iter().nth(usize::try_from(place).ok()?).copied()
    };
    own.or_else(by_hash).unwrap_or(IpAddr::from([0; 4]))
}

/// Tells whether an address is that of another host.
pub(super) fn may_be_asked(address: IpAddr, node: &NodeFacts) -> bool {
    may_be_reached(address) && !node.own.contains(&address)
}

fn may_be_reached(address: IpAddr) -> bool {
    SpecialAddress::from_address(address).is_none()
}

#[cfg(test)]
mod tests {
    use super::super::tests::values::{at, vip};
    use super::*;
    use crate::{AppId, AppKind, Local, Member, ObservedServer, ObservedService, SourceId, Why};

    fn service(servers: &[(&str, bool)]) -> DesiredService {
        let mut service = DesiredService::default();
        for (server, is_local) in servers {
            let member = Member {
                weight: 1,
                source: SourceId::default(),
                app: AppId { kind: AppKind::App, id: "/a".into() },
                task: "a.1".into(),
                why: Why::Healthy,
                silent: None,
                local: is_local.then(|| Local::Silent(at("10.0.0.1:31000")).into()),
            };
            service.selection.members.insert(at(server), member);
        }
        service
    }

    fn set(addresses: &[&str]) -> BTreeSet<IpAddr> {
        addresses.iter().map(|address| address.parse().unwrap()).collect()
    }

    fn facts() -> (NodeFacts, ClusterFacts) {
        let node = NodeFacts {
            own: set(&["127.0.0.1", "10.0.0.3"]),
            gateways: set(&["10.0.0.254", "172.17.0.2", "fe80::1"]),
            uplinks: set(&["10.0.0.254", "fe80::1"]),
            ..NodeFacts::default()
        };
        let nodes: Vec<String> = (1..20).map(|last| format!("10.0.0.{last}")).collect();
        let nodes: Vec<&str> = nodes.iter().map(String::as_str).collect();
        let cluster = ClusterFacts {
            nodes: set(&nodes),
            masters: set(&["10.0.9.1", "10.0.9.2", "10.0.9.3"]),
            tasks: set(&["9.0.0.7"]),
        };
        (node, cluster)
    }

    #[test]
    fn hosts_of_real_servers_are_watched_but_those_of_this_node() {
        let (node, cluster) = facts();
        let mut silent = service(&[("10.0.0.6:53", false)]);
        silent.selection.silenced.insert(at("10.0.0.9:53"));
        let services = [
            (vip("udp 3.3.0.3:53"), silent),
            (vip("udp 3.3.0.1:53"), service(&[("10.0.0.4:53", false), ("10.0.0.6:53", false)])),
            (
                vip("tcp 3.3.0.2:80"),
                service(&[
                    ("10.0.0.4:80", false),
                    ("10.0.0.4:81", false),
                    ("10.0.0.4:82", false),
                    ("10.0.0.3:80", false),
                    ("127.0.0.1:80", false),
                    ("172.17.0.2:80", true),
                    ("9.0.0.7:80", false),
                    ("172.17.0.9:80", false),
                ]),
            ),
        ];
        let mut hosts = HostsInUse::default();
        let services = services.iter().map(|(vip, service)| (vip, service));
        let list =
            hosts.make_list(services, &node, &cluster, ClientSources::default(), Duration::ZERO);
        let watched: Vec<_> = list
            .hosts
            .iter()
            .map(|host| (host.host.to_string(), host.is_elsewhere, host.connect_to.clone()))
            .collect();
        let expected = [
            ("9.0.0.7".into(), false, vec![at("9.0.0.7:80")]),
            ("10.0.0.4".into(), true, vec![at("10.0.0.4:80"), at("10.0.0.4:81")]),
            ("10.0.0.6".into(), true, vec![]),
            ("10.0.0.9".into(), true, vec![]),
            // A container on this node that drains: nothing tells any more that it is local.
            ("172.17.0.9".into(), false, vec![at("172.17.0.9:80")]),
        ];
        assert_eq!(watched, expected);
        let witnesses: Vec<_> = list.witnesses.iter().map(IpAddr::to_string).collect();
        let expected = [
            "10.0.0.254",
            "10.0.9.1",
            "10.0.9.2",
            "10.0.0.7",
            "10.0.0.10",
            "10.0.0.12",
            "10.0.0.14",
            "10.0.0.16",
        ];
        assert_eq!(witnesses, expected);
    }

    #[test]
    fn a_host_that_is_probed_takes_no_place_of_a_witness() {
        let (node, cluster) = facts();
        let tcp = vip("tcp 3.3.0.2:80");
        let servers: Vec<_> = (4..12).map(|last| (format!("10.0.0.{last}:80"), false)).collect();
        let servers: Vec<_> = servers.iter().map(|(at, local)| (at.as_str(), *local)).collect();
        let desired = service(&servers);
        let services = [(&tcp, &desired)].into_iter();
        let list = HostsInUse::default().make_list(
            services,
            &node,
            &cluster,
            ClientSources::default(),
            Duration::ZERO,
        );
        assert_eq!(list.witnesses.len(), caps::WITNESSES);
        assert!(list.hosts.iter().all(|host| !list.witnesses.contains(&host.host)));
    }

    #[test]
    fn nodes_ask_different_witnesses_though_their_bridges_have_one_address() {
        let nodes: Vec<_> = (1..=40).map(|last| IpAddr::from([192, 168, 0, last])).collect();
        let witnesses = |own: [u8; 4]| {
            let own = [IpAddr::from(own), [172, 17, 0, 1].into()].into();
            let node = NodeFacts { own, ..NodeFacts::default() };
            let nodes = nodes.iter().copied().collect();
            let cluster = ClusterFacts { nodes, ..ClusterFacts::default() };
            let list = HostsInUse::default().make_list(
                [].into_iter(),
                &node,
                &cluster,
                ClientSources::default(),
                USE,
            );
            assert_eq!(list.witnesses.len(), caps::WITNESSES);
            list.witnesses
        };
        assert_ne!(witnesses([192, 168, 0, 3]), witnesses([192, 168, 0, 4]));
        // Some run no task.
        let idle: BTreeSet<_> = (1..=9).map(|last| witnesses([192, 168, 1, last])).collect();
        assert!(idle.len() > 1, "{idle:?}");
    }

    #[test]
    fn a_host_is_in_use_for_two_minutes_after_its_last_connection() {
        let (node, cluster) = facts();
        let tcp = vip("tcp 3.3.0.2:80");
        let desired = service(&[("10.0.0.4:80", false)]);
        let mut hosts = HostsInUse::default();
        let is_in_use = |hosts: &mut HostsInUse, now| {
            let services = [(&tcp, &desired)].into_iter();
            hosts
                .make_list(
                    services,
                    &node,
                    &cluster,
                    ClientSources::default(),
                    Duration::from_secs(now),
                )
                .hosts[0]
                .in_use
        };
        assert!(is_in_use(&mut hosts, 1000) && is_in_use(&mut hosts, 1119));
        assert!(!is_in_use(&mut hosts, 1120));
        let mut observed = Observed::default();
        let mut note = |hosts: &mut HostsInUse, (active, inactive), now| {
            let server = ObservedServer {
                settings: nl_ipvs::DestinationSettings::masquerade(1),
                active,
                inactive,
                stats: None,
            };
            let settings = desired.settings();
            let servers = [(at("10.0.0.4:80"), server)].into_iter().collect();
            let service = ObservedService { settings, servers, stats: Default::default() };
            observed.services.insert(tcp.into(), service);
            observed.addresses.insert(tcp.address, crate::Bound::default());
            hosts.note_reading(&observed, Duration::from_secs(now));
        };
        note(&mut hosts, (0, 0), 1130);
        assert!(!is_in_use(&mut hosts, 1130));
        note(&mut hosts, (0, 1), 1160);
        assert!(is_in_use(&mut hosts, 1160));
        // Readings may be far apart: until the next one nothing tells that it is in use no longer.
        assert!(is_in_use(&mut hosts, 1400));
        note(&mut hosts, (0, 0), 1279);
        assert!(is_in_use(&mut hosts, 1400));
        note(&mut hosts, (0, 0), 1280);
        assert!(!is_in_use(&mut hosts, 1280));
        let has_clients = |hosts: &mut HostsInUse| {
            let services = [(&tcp, &desired)].into_iter();
            let clients = ClientSources::default();
            hosts.make_list(services, &node, &cluster, clients, USE).hosts[0].has_clients
        };
        for (found, expected) in [((0, 1), false), ((1, 0), true), ((0, 0), false)] {
            note(&mut hosts, found, 1300);
            assert_eq!(has_clients(&mut hosts), expected);
        }
    }
}
