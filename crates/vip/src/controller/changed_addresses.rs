//! Differences between two readings of the kernel. An address without a difference needs no plan:
//! what was planned for it last has been done, or is still to be done.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use nl_ipvs::ServiceKey;

use crate::merge_join::merge_join;
use crate::nft::{Element, Table};
use crate::{NodeFacts, Observed, ObservedService};

/// Returns the addresses for which two readings lead to different plans; `None` if they differ in
/// something that concerns every address. Listening sockets are ignored.
pub(super) fn changed_addresses(before: &Observed, after: &Observed) -> Option<BTreeSet<IpAddr>> {
    if (before.link, before.timeouts) != (after.link, after.timeouts)
        || table_states(before) != table_states(after)
        || !same_node(&before.node, &after.node)
    {
        return None;
    }
    let services =
        changed_keys(&before.services, &after.services, same_service).filter_map(|key| {
            match *key {
                ServiceKey::Address { address, .. } => Some(address),
                // A firewall mark has no address.
                ServiceKey::Fwmark { .. } => None,
            }
        });
    let bound = changed_keys(&before.addresses, &after.addresses, |was, is| was == is).copied();
    let elements = |of: &Observed| of.nft.elements().collect::<BTreeSet<Element>>();
    let (was, is) = (elements(before), elements(after));
    let elements = was.symmetric_difference(&is).map(Element::address);
    Some(services.chain(bound).chain(elements).collect())
}

/// Tells whether two readings of the node's own firewall lead to the same plans. If no prefix is to
/// be let in, only our leftover rules matter.
pub(super) fn same_firewall(before: &Observed, after: &Observed, lets_in: bool) -> bool {
    let (before, after) = (&before.firewall, &after.firewall);
    Arc::ptr_eq(before, after)
        || match lets_in {
            true => before.chains == after.chains,
            false => before.marked_rules() == after.marked_rules(),
        }
}

/// Returns the keys that only one map has, or that have different values.
fn changed_keys<'a, K: Ord, V>(
    before: &'a BTreeMap<K, V>,
    after: &'a BTreeMap<K, V>,
    same: impl Fn(&V, &V) -> bool + 'a,
) -> impl Iterator<Item = &'a K> {
    let differs = move |was: Option<&V>, is| was.zip(is).is_none_or(|(was, is)| !same(was, is));
    merge_join(before, after).filter(move |(_, was, is)| differs(*was, *is)).map(|(key, ..)| key)
}

fn same_service(was: &ObservedService, is: &ObservedService) -> bool {
    was.settings == is.settings
        && (was.servers.is_same(&is.servers)
            || was.servers.len() == is.servers.len()
                && was.servers.iter().zip(&is.servers).all(|((server, was), (other, is))| {
                    (server, was.settings) == (other, is.settings)
                }))
}

fn same_node(was: &NodeFacts, is: &NodeFacts) -> bool {
    let NodeFacts {
        own,
        routes,
        resolvers,
        connected,
        gateways,
        uplinks: _,
        groups,
        names_sources,
        mtus: _,
        listening: _,
        unread: _,
        former_interfaces: _,
    } = was;
    (own, routes, resolvers, connected) == (&is.own, &is.routes, &is.resolvers, &is.connected)
        && (gateways, groups, names_sources) == (&is.gateways, &is.groups, &is.names_sources)
}

/// Returns the state of our tables without their elements.
fn table_states(observed: &Observed) -> [impl PartialEq + '_; 2] {
    let of = |table: &'_ Table| (table.state, table.support, table.lacks.clone());
    [of(&observed.nft.v4), of(&observed.nft.v6)]
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use nl_ipvs::{DestinationSettings, Stats};

    use super::*;
    use crate::label::Options;
    use crate::{Bound, Link, ObservedServer};

    fn service() -> (ServiceKey, ObservedService) {
        let settings = Options::default().service_settings();
        let settings_of = DestinationSettings::masquerade(1);
        let server = ObservedServer { settings: settings_of, active: 0, inactive: 0, stats: None };
        let at: SocketAddr = ([10, 0, 0, 1], 80).into();
        let servers = [(at, server)].into_iter().collect();
        let service = ObservedService { settings, servers, stats: Stats::default() };
        (ServiceKey::tcp(([3, 3, 0, 1], 80).into()), service)
    }

    fn observed() -> Observed {
        let addresses = [([3, 3, 0, 1].into(), Bound::default())].into();
        Observed { services: [service()].into(), addresses, ..Observed::default() }
    }

    /// The addresses that differ once this was changed.
    fn after(change: impl Fn(&mut Observed)) -> Option<Vec<String>> {
        let mut other = observed();
        change(&mut other);
        let found = changed_addresses(&observed(), &other);
        assert_eq!(found, changed_addresses(&other, &observed()), "either way round");
        found.map(|found| found.iter().map(ToString::to_string).collect())
    }

    fn edit(observed: &mut Observed, change: impl Fn(&mut ObservedService)) {
        observed.services.values_mut().for_each(change);
    }

    #[test]
    fn connections_counters_and_listeners_are_no_difference() {
        let same = after(|observed| {
            edit(observed, |service| {
                service.stats.connections = 7;
                service.servers.values_mut().for_each(|server| server.active = 7);
            });
            observed.node.listening = Some(Default::default());
        });
        assert_eq!(same, Some(vec![]));
    }

    #[test]
    fn an_address_differs_in_services_servers_bindings_and_elements() {
        let address = Some(vec!["3.3.0.1".to_owned()]);
        assert_eq!(after(|o| edit(o, |service| service.settings.timeout = 9)), address);
        assert_eq!(after(|o| edit(o, |service| service.servers.clear())), address);
        let weight = |service: &mut ObservedService| {
            service.servers.values_mut().for_each(|server| server.settings.weight = 0);
        };
        assert_eq!(after(|o| edit(o, weight)), address);
        assert_eq!(after(|o| o.addresses.clear()), address);
        assert_eq!(after(|o| o.services.clear()), address);
        assert_eq!(after(|o| o.nft.v4.insert(Element::Guarded([3, 3, 0, 1].into()))), address);
    }

    #[test]
    fn what_all_depend_on_makes_all_differ() {
        assert_eq!(after(|o| o.link = Link::Up), None);
        assert_eq!(after(|o| o.timeouts.tcp = 1), None);
        assert_eq!(after(|o| o.node.own = [[10, 0, 0, 1].into()].into()), None);
        assert_eq!(after(|o| o.nft.v6.lacks = Some("no module".into())), None);
    }
}
