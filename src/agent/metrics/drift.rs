//! Drift: changes that something else made to what the agent left in the kernel. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use vip::firewall::ChainPlace;
use vip::nft::{Element, Family};
use vip::{Observed, ObservedService, Op, Vip};

/// An object in the kernel that can drift.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Thing {
    Interface,
    Timeouts,
    Address(IpAddr),
    Service(Vip),
    Server(Vip, SocketAddr),
    Table(Family),
    Element(Element),
    Rule(ChainPlace, IpNet),
}

/// The objects that differed at the last read of the kernel.
#[derive(Debug, Default)]
pub(super) struct Drift {
    found: BTreeSet<Thing>,
}

/// The kinds of objects, as the metric names them.
pub(super) const KINDS: [&str; 7] =
    ["interface", "address", "service", "server", "timeouts", "nftables", "firewall"];

impl Drift {
    /// Compares a read of the kernel with what the agent left there.
    pub(super) fn compare_reading(&mut self, left: &Observed, found: &Observed) {
        self.found.clear();
        if left.link != found.link {
            self.found.insert(Thing::Interface);
        }
        if left.timeouts != found.timeouts {
            self.found.insert(Thing::Timeouts);
        }
        let addresses = differing_keys(&left.addresses, &found.addresses, |bound| {
            (bound.route, bound.is_choice)
        });
        self.found.extend(addresses.map(Thing::Address));
        for ((family, left), (_, found)) in left.nft.tables().into_iter().zip(found.nft.tables()) {
            if left.state != found.state {
                self.found.insert(Thing::Table(family));
            }
            let (left, found): (BTreeSet<_>, BTreeSet<_>) =
                (left.elements().collect(), found.elements().collect());
            self.found.extend(left.symmetric_difference(&found).copied().map(Thing::Element));
        }
        let (rules_left, rules_found) =
            (left.firewall.rules_in_place(), found.firewall.rules_in_place());
        let gone = rules_left.symmetric_difference(&rules_found).cloned();
        self.found.extend(gone.map(|(place, prefix)| Thing::Rule(place, prefix)));
        let (left, found) = (our_services(left), our_services(found));
        let services = differing_keys(&left, &found, |service| service.settings.clone());
        self.found.extend(services.map(Thing::Service));
        let nobody = BTreeMap::new();
        for vip in left.keys().chain(found.keys()) {
            let left = left.get(vip).map_or(&nobody, |service| &service.servers);
            let found = found.get(vip).map_or(&nobody, |service| &service.servers);
            let servers = differing_keys(left, found, |server| server.settings);
            self.found.extend(servers.map(|server| Thing::Server(*vip, server)));
        }
    }

    /// Returns the kind of the object that an operation repairs, once.
    pub(super) fn take_repaired(&mut self, op: &Op) -> Option<&'static str> {
        let thing = match op {
            // Counted with the service or address of these flows.
            Op::ForgetFlows { .. } => return None,
            Op::CreateLink | Op::RaiseLink | Op::DeleteLink => Thing::Interface,
            Op::SetTimeouts { .. } => Thing::Timeouts,
            Op::Bind { address, .. }
            | Op::Rebind { address }
            | Op::SetRoute { address, .. }
            | Op::Unbind { address } => Thing::Address(*address),
            Op::AddService { vip, .. }
            | Op::SetService { vip, .. }
            | Op::DeleteService { vip, .. } => Thing::Service(*vip),
            Op::AddServer { vip, server, .. }
            | Op::SetServer { vip, server, .. }
            | Op::DeleteServer { vip, server } => Thing::Server(*vip, *server),
            Op::SetTable { family, .. } | Op::DeleteTable { family } => Thing::Table(*family),
            Op::AddElement { element } | Op::DeleteElement { element } => Thing::Element(*element),
            Op::InsertRule { place, prefix, .. } | Op::DeleteRule { place, prefix } => {
                Thing::Rule(place.clone(), *prefix)
            }
        };
        self.found.remove(&thing).then_some(match thing {
            Thing::Interface => KINDS[0],
            Thing::Address(_) => KINDS[1],
            Thing::Service(_) => KINDS[2],
            Thing::Server(..) => KINDS[3],
            Thing::Timeouts => KINDS[4],
            Thing::Table(_) | Thing::Element(_) => KINDS[5],
            Thing::Rule(..) => KINDS[6],
        })
    }
}

fn our_services(observed: &Observed) -> BTreeMap<Vip, &ObservedService> {
    observed.our_services().collect()
}

/// Returns the keys that are in one map only, or whose values differ.
fn differing_keys<K: Ord + Copy, V, T: PartialEq>(
    left: &BTreeMap<K, V>,
    found: &BTreeMap<K, V>,
    of: impl Fn(&V) -> T,
) -> impl Iterator<Item = K> {
    let mut keys: BTreeSet<K> = left.keys().chain(found.keys()).copied().collect();
    keys.retain(|key| left.get(key).map(&of) != found.get(key).map(&of));
    keys.into_iter()
}

#[cfg(test)]
mod tests {
    use node::Kernel;
    use testkit::FakeKernel;
    use vip::{Link, LocalRoute, Plan};

    use super::*;

    /// A kernel with one VIP and one real server.
    fn kernel() -> FakeKernel {
        let mut kernel = FakeKernel::default();
        let vip = vip();
        let settings = vip::label::Options::default();
        let service = vip::DesiredService {
            options: settings,
            apps: vec!["/web".into()],
            incomplete: false,
            suspended: false,
            selection: vip::Selection {
                members: [(
                    server(),
                    vip::Member {
                        weight: 1,
                        source: "m".into(),
                        app: "/web".into(),
                        task: "web.1".into(),
                        why: vip::Why::Healthy,
                        local: None,
                        silent: None,
                    },
                )]
                .into(),
                ..vip::Selection::default()
            },
        };
        let desired = vip::Desired { services: [(vip, service)].into(), ..vip::Desired::default() };
        let plan = Plan::new(&kernel.observe().unwrap(), &desired, vip::Scope::Complete, "n");
        assert!(kernel.apply_plan(plan).is_success());
        kernel
    }

    fn vip() -> Vip {
        Vip {
            address: [3, 3, 0, 6].into(),
            port: 80.try_into().unwrap(),
            protocol: vip::Protocol::Tcp,
        }
    }

    fn server() -> SocketAddr {
        "10.0.0.1:1".parse().unwrap()
    }

    #[test]
    fn a_rule_that_somebody_took_out_is_found() {
        use vip::firewall::{Backend, Base, Chain, Families, Hook, Rule};
        let prefix: IpNet = "3.0.0.0/8".parse().unwrap();
        let place = ChainPlace {
            backend: Backend::Nftables,
            families: Families::V4,
            table: "filter".into(),
            chain: "INPUT".into(),
        };
        let observed = |rules| {
            let chain = Chain { base: Some(Base { hook: Hook::Input, drops: true }), rules };
            let chains = [(place.clone(), chain)].into();
            let firewall = vip::Firewall { chains, ..vip::Firewall::default() };
            Observed { firewall: firewall.into(), ..Observed::default() }
        };
        let left = observed(vec![Rule::letting_in(prefix, Hook::Input)]);
        let mut drift = Drift::default();
        drift.compare_reading(&left, &observed(Vec::new()));
        let insert = Op::InsertRule { place: place.clone(), hook: Hook::Input, prefix };
        assert_eq!(drift.take_repaired(&insert), Some("firewall"));
        assert_eq!(drift.take_repaired(&insert), None, "once");
    }

    #[test]
    fn what_somebody_else_changed_is_found_once_and_by_kind() {
        let mut kernel = kernel();
        let left = kernel.observe().unwrap();
        let mut drift = Drift::default();
        drift.compare_reading(&left, &left);
        assert_eq!(drift.found, [].into());

        for service in kernel.state.services.values_mut() {
            service.servers.clear();
        }
        kernel.state.addresses.clear();
        kernel.state.link = Link::Missing;
        drift.compare_reading(&left, &kernel.observe().unwrap());
        let settings = left.service(&vip()).unwrap().servers[&server()].settings;
        let add = Op::AddServer { vip: vip(), server: server(), settings };
        assert_eq!(drift.take_repaired(&add), Some("server"));
        assert_eq!(drift.take_repaired(&add), None, "once");
        assert_eq!(drift.take_repaired(&Op::CreateLink), Some("interface"));
        let bind = Op::Bind { address: vip().address, route: LocalRoute::default(), names: false };
        assert_eq!(drift.take_repaired(&bind), Some("address"));
        assert_eq!(drift.take_repaired(&Op::DeleteService { vip: vip(), servers: vec![] }), None);
    }
}
