use std::collections::BTreeMap;

use nl_ipvs::{Dump, Ipvs};
use vip::ownership::{Owner, owner};
use vip::{Link, Observed, ObservedService};

use super::socket::RouteSocket;
use super::{address, facts, link, route};
use crate::{KernelError, resolvers};

pub(super) fn observe(
    ipvs: &mut Ipvs,
    socket: &mut RouteSocket,
    interface: &str,
) -> Result<Observed, KernelError> {
    let link = link::find(socket, interface)?;
    let ours = link.map(|link| link.index);
    let names = link::names(socket)?;
    let addresses = address::all(socket)?;
    let routes = route::all(socket)?;
    let resolvers = resolvers::read().map_err(|(path, error)| KernelError::File { path, error })?;
    let mut observed = Observed {
        services: BTreeMap::new(),
        link: match link {
            None => Link::Missing,
            Some(link) if link.up => Link::Up,
            Some(_) => Link::Down,
        },
        addresses: ours.map(|ours| facts::bound(ours, &addresses, &routes)).unwrap_or_default(),
        node: facts::node(ours, &names, &addresses, &routes, resolvers),
    };
    observed.services = services(ipvs, &observed)?;
    Ok(observed)
}

/// All services; the real servers only of those that are ours or may be.
fn services(
    ipvs: &mut Ipvs,
    observed: &Observed,
) -> Result<BTreeMap<nl_ipvs::ServiceKey, ObservedService>, KernelError> {
    let listed = whole(ipvs.services(), || "list virtual services".into())?;
    let mut services = BTreeMap::new();
    for service in listed {
        let key = service.key;
        let servers = match owner(&key, &service.settings, observed) {
            Owner::Ours | Owner::LostMark => {
                whole(ipvs.destinations(&key), || format!("list the real servers of {key}"))?
            }
            Owner::Foreign => Vec::new(),
        };
        services.insert(key, ObservedService::new(service, servers));
    }
    Ok(services)
}

/// What a dump held, if all of it could be read: from a part nothing may be concluded.
fn whole<T>(
    dump: Result<Dump<T>, nl_ipvs::Error>,
    doing: impl Fn() -> String,
) -> Result<Vec<T>, KernelError> {
    let failed = |error| KernelError::Ipvs { doing: doing(), error };
    let dump = dump.map_err(failed)?;
    match dump.unreadable.into_iter().next() {
        Some(error) => Err(failed(error.into())),
        None => Ok(dump.entries),
    }
}
