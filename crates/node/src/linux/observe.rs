//! One reading of the node: everything that a plan is made from.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use nl_ipvs::{Dump, Ipvs};
use vip::ownership::{MARK, Owner, owner_of};
use vip::{Firewall, Link, Observed, ObservedService, Protocol, Stats, Vip};

use super::nft::Nft;
use super::path_mtu::PathMtus;
use super::servers::{ReadingCounts, ServerReading};
use super::settings::Settings;
use super::socket::RouteSocket;
use super::{address, facts, iptables_legacy, link, route};
use crate::resolvers::Resolvers;
use crate::{KernelError, error_chain, listening};

/// The sockets that listen on the node, as read once.
pub(super) type Listening = Arc<BTreeSet<(Protocol, SocketAddr)>>;

pub(super) fn observe_node(
    ipvs: &mut Ipvs,
    socket: &mut RouteSocket,
    nft: &mut Nft,
    settings: &Settings,
    (readings, known): (&mut ReadingCounts, Option<&Observed>),
    (listening, learnt): (&mut Option<Listening>, &mut PathMtus),
) -> Result<Observed, KernelError> {
    let link = link::find_interface(socket, &settings.interface)?;
    let ours = link.map(|link| link.index);
    let interfaces = link::list_interfaces(socket)?;
    let addresses = address::list_addresses(socket)?;
    let routes = route::list_routes(socket)?;
    let resolvers = Resolvers::read(known.map(|known| &known.node.resolvers));
    let listed = require_complete(ipvs.services(), || "list virtual services".into())?;
    let ours_and_marked = (ours, &marked_addresses(&listed));
    let mut observed = Observed {
        services: BTreeMap::new(),
        link: match link {
            None => Link::Missing,
            Some(link) if link.up => Link::Up,
            Some(_) => Link::Down,
        },
        addresses: ours
            .map(|ours| facts::bound_addresses(ours, &addresses, &routes))
            .unwrap_or_default(),
        timeouts: ipvs
            .timeouts()
            .map_err(|error| KernelError::Ipvs { doing: "read its timeouts".into(), error })?,
        nft: nft.observe_tables()?,
        firewall: read_firewall(nft),
        node: facts::node_facts(ours_and_marked, &interfaces, &addresses, &routes, resolvers),
    };
    learnt.add_learnt(socket, &mut observed.addresses)?;
    match listening::read_listening(listening.as_deref()) {
        Ok(sockets) => *listening = Some(sockets),
        // Without any, every container with a host port would seem to listen there.
        Err(error) if listening.is_none() => return Err(error),
        // Those of the last reading count on.
        Err(error) => {
            let why = format!("the listening sockets can't be read: {}", error_chain(&error));
            observed.node.unread.insert(why);
        }
    }
    observed.node.listening.clone_from(listening);
    let without_servers =
        |service: nl_ipvs::Service| (service.key, ObservedService::new(service, []));
    observed.services = listed.into_iter().map(without_servers).collect();
    read_servers(ipvs, readings.begin_reading(known, settings.counters), &mut observed)?;
    Ok(observed)
}

fn marked_addresses(services: &[nl_ipvs::Service]) -> BTreeSet<IpAddr> {
    let marked = services.iter().filter(|service| service.settings.flags.contains(MARK));
    marked.filter_map(|service| Some(Vip::from_key(&service.key)?.address)).collect()
}

/// Reads the node's own firewall. A failure doesn't fail the reading: VIPs are more important, and
/// the firewall tells what couldn't be read.
fn read_firewall(nft: &mut Nft) -> Arc<Firewall> {
    let mut firewall = nft.observe_firewall();
    iptables_legacy::read_legacy_rules(&mut firewall);
    firewall
}

/// Reads the counters of the services that carry our mark.
pub(super) fn read_traffic(ipvs: &mut Ipvs) -> Result<BTreeMap<Vip, Stats>, KernelError> {
    let listed = require_complete(ipvs.services(), || "list virtual services".into())?;
    let ours = listed.into_iter().filter(|service| service.settings.flags.contains(MARK));
    Ok(ours.filter_map(|service| Some((Vip::from_key(&service.key)?, service.stats))).collect())
}

/// Reads the real servers of services that are ours or may be.
fn read_servers(
    ipvs: &mut Ipvs,
    mut reading: ServerReading<'_>,
    observed: &mut Observed,
) -> Result<(), KernelError> {
    let services = observed.services.iter();
    let ours =
        services.filter(|(key, held)| owner_of(key, &held.settings, observed) != Owner::Foreign);
    for (key, stats) in ours.map(|(key, held)| (*key, held.stats)).collect::<Vec<_>>() {
        let servers = reading.read_servers(ipvs, &key, stats).map_err(|error| {
            KernelError::Ipvs { doing: format!("list the real servers of {key}"), error }
        })?;
        if let Some(service) = observed.services.get_mut(&key) {
            service.servers = servers;
        }
    }
    Ok(())
}

/// Returns the entries of a dump if all of them could be parsed. Nothing may be concluded from a
/// part.
fn require_complete<T>(
    dump: Result<Dump<T>, nl_ipvs::Error>,
    doing: impl Fn() -> String,
) -> Result<Vec<T>, KernelError> {
    let failed = |error| KernelError::Ipvs { doing: doing(), error };
    dump.map_err(failed)?.complete().map_err(|error| failed(error.into()))
}
