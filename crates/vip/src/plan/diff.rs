//! Construction of plans, by comparing the observed and the desired state.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use nl_ipvs::{Family, ServiceKey, ServiceSettings};

use super::flows::{
    forget_all_unanswered, forget_flows, forget_former_sources, forget_masqueraded,
    forget_unanswered,
};
use super::op::timeout_changes;
use super::rules::{change_rules, delete_rules};
use super::shuffle::shuffle_servers;
use super::tables::{change_tables, delete_tables};
use super::{Baseline, Conflict, Op, Plan, Scope};
use crate::liveness::SilentServer;
use crate::merge_join::merge_join;
use crate::nft::NftSupport;
use crate::ownership::{MARK, Owner, owner_of};
use crate::{Desired, DesiredService, Link, LocalRoute, Member, Observed, ObservedService, Vip};

impl Plan {
    /// Builds the plan from `observed` to `desired`. `node` is this node's name: it shuffles the
    /// order in which real servers are added, so that not every node starts with the same one.
    #[must_use]
    pub fn new(observed: &Observed, desired: &Desired, scope: Scope, node: &str) -> Self {
        let mut plan = Plan { baseline: Baseline::new(observed, desired), ..Plan::default() };
        let foreign = foreign_by_address(observed);
        let mut nobody = BTreeSet::new();
        for (vip, wanted) in &desired.services {
            if let Some(conflict) = find_conflict(vip, observed, &foreign) {
                plan.conflicts.push(conflict);
            } else if !change_service(&mut plan.ops, (vip, wanted), desired, observed, scope, node)
            {
                nobody.insert(*vip);
            }
        }
        let unwanted =
            observed.our_services().filter(|(vip, _)| !desired.services.contains_key(vip));
        let mut kept = BTreeSet::new();
        for (vip, held) in unwanted {
            if scope == Scope::Complete && !desired.keeps(&vip, held) {
                plan.ops.push(delete_service((vip, held)));
                continue;
            }
            kept.insert(vip.address);
            if !change_kept(&mut plan.ops, (vip, held), desired, scope) {
                nobody.insert(vip);
            }
        }
        change_addresses(&mut plan, observed, desired, &kept, scope);
        plan.ops.extend(change_timeouts(observed, desired));
        change_tables(&mut plan, observed, desired, scope, &nobody);
        plan.ops.extend(forget_flows(&plan, observed, desired));
        plan.ops.extend(forget_former_sources(&plan, observed, desired));
        plan.ops.extend(forget_masqueraded(&plan, observed, desired));
        plan.ops.extend(forget_all_unanswered(&plan, desired));
        change_rules(&mut plan, observed, desired);
        // Sorted in place: operations are large, and there may be many.
        plan.ops.sort_by_cached_key(Op::sort_key);
        plan
    }

    /// Builds the plan that takes the real servers of silent hosts, and those that refuse clients, out of
    /// use. Nothing else that is wanted of these services, which are ours, is part of it.
    pub(crate) fn taking_out<'a>(
        services: impl Iterator<Item = (Vip, &'a DesiredService, &'a ObservedService)>,
    ) -> Self {
        let mut plan = Plan::default();
        for (vip, wanted, held) in services {
            plan.baseline.add_service(vip, held, Some(wanted));
            for (&server, held) in held.servers.iter().filter(|(_, held)| held.settings.weight > 0)
            {
                let member = wanted.selection.members.get(&server);
                let is_out =
                    |member: &&Member| matches!(member.silent, Some(SilentServer::OutOfUse(_)));
                match member.filter(is_out) {
                    Some(member) => {
                        let (before, settings) = (held.settings.into(), member.settings());
                        plan.ops.push(Op::SetServer { vip, server, before, settings });
                        plan.ops.extend(forget_unanswered(vip, server, member));
                    }
                    None if wanted.selection.silenced.contains(&server) => {
                        plan.ops.push(Op::DeleteServer { vip, server });
                    }
                    None => {}
                }
            }
        }
        plan.ops.sort_by_cached_key(Op::sort_key);
        plan
    }

    /// Builds the plan that removes exactly what is ours: the services that carry our mark, and our
    /// interface with its addresses.
    #[must_use]
    pub fn cleanup(observed: &Observed) -> Self {
        let mut ops: Vec<_> = observed.our_services().map(delete_service).collect();
        let others = others_addresses(observed);
        let (kept, unbound): (Vec<&IpAddr>, Vec<&IpAddr>) =
            observed.addresses.keys().partition(|address| others.contains(*address));
        if observed.link != Link::Missing && kept.is_empty() {
            ops.push(Op::DeleteLink);
        } else {
            ops.extend(unbound.into_iter().map(|address| Op::Unbind { address: *address }));
        }
        ops.extend(delete_tables(observed));
        ops.extend(delete_rules(&observed.firewall));
        Plan { ops, conflicts: Vec::new(), baseline: Baseline::new(observed, &Desired::default()) }
    }

    /// Builds the plan that marks services as ours and changes nothing else about them.
    #[must_use]
    pub fn adopt(observed: &Observed, vips: &[Vip]) -> Self {
        let unmarked = vips.iter().filter_map(|vip| {
            let before = Box::new(observed.service(vip)?.settings.clone());
            let settings = ServiceSettings::clone(&before).with_flags(MARK);
            (settings != *before).then_some(Op::SetService { vip: *vip, before, settings })
        });
        Plan {
            ops: unmarked.collect(),
            conflicts: Vec::new(),
            baseline: Baseline::new(observed, &Desired::default()),
        }
    }
}

/// Returns the addresses of services that don't carry our mark: another program needs them,
/// whatever interface they are on.
fn others_addresses(observed: &Observed) -> BTreeSet<IpAddr> {
    let unmarked = observed.unmarked_services().filter_map(|(key, _)| match *key {
        ServiceKey::Address { address, .. } => Some(address),
        ServiceKey::Fwmark { .. } => None,
    });
    unmarked.collect()
}

fn delete_service((vip, service): (Vip, &ObservedService)) -> Op {
    Op::DeleteService { vip, servers: service.servers.keys().copied().collect() }
}

/// Returns foreign services by address.
fn foreign_by_address(observed: &Observed) -> BTreeMap<IpAddr, ServiceKey> {
    observed
        .services
        .iter()
        .filter(|(key, service)| owner_of(key, &service.settings, observed) == Owner::Foreign)
        .filter_map(|(key, _)| match *key {
            ServiceKey::Address { address, .. } => Some((address, *key)),
            ServiceKey::Fwmark { .. } => None,
        })
        .rev()
        .collect()
}

/// Finds a service that conflicts with a VIP: a foreign one on the VIP itself, else any on its
/// address.
fn find_conflict(
    vip: &Vip,
    observed: &Observed,
    foreign: &BTreeMap<IpAddr, ServiceKey>,
) -> Option<Conflict> {
    let key = ServiceKey::from(*vip);
    let on_it = observed.services.get(&key).map(|held| owner_of(&key, &held.settings, observed));
    match on_it {
        Some(Owner::Foreign) => Some(Conflict { vip: *vip, with: key }),
        Some(Owner::LostMark | Owner::Ours) => None,
        None if observed.is_our_address(vip.address) => None,
        None => foreign.get(&vip.address).map(|with| Conflict { vip: *vip, with: *with }),
    }
}

/// Adds the operations for one virtual service. Returns whether a real server takes new connections
/// afterwards.
fn change_service(
    ops: &mut Vec<Op>,
    (vip, wanted): (&Vip, &DesiredService),
    desired: &Desired,
    observed: &Observed,
    scope: Scope,
    node: &str,
) -> bool {
    let vip = *vip;
    let settings = wanted.settings();
    let nothing = BTreeMap::new();
    let held = observed.service(&vip);
    match held {
        None => ops.push(Op::AddService { vip, settings }),
        Some(held) if held.settings != settings => {
            ops.push(Op::SetService { vip, before: held.settings.clone().into(), settings });
        }
        Some(_) => {}
    }
    let held = held.map_or(&nothing, |held| &held.servers);
    let selection = &wanted.selection;
    let all_known = scope != Scope::Partial && !wanted.incomplete;
    let goes = |server: &SocketAddr| {
        selection.is_over(server)
            || all_known && !desired.is_uncertain(server)
            || wanted.incomplete && desired.is_taken(server)
    };
    let (mut added, mut serves) = (Vec::new(), false);
    for (&server, member, held) in merge_join(&selection.members, held) {
        let Some(member) = member else {
            match held {
                Some(_) if goes(&server) => ops.push(Op::DeleteServer { vip, server }),
                _ => serves |= held.is_some_and(|held| held.settings.weight > 0),
            }
            continue;
        };
        serves |= member.weight > 0;
        let settings = member.settings();
        match held {
            None => added.push((server, settings)),
            Some(held) if held.settings != settings => {
                ops.push(Op::SetServer { vip, server, before: held.settings.into(), settings });
            }
            Some(_) => {}
        }
    }
    shuffle_servers(&mut added, &vip, node);
    let add = |(server, settings)| Op::AddServer { vip, server, settings };
    ops.extend(added.into_iter().map(add));
    serves
}

/// Adds the operations for a service that stays although no app claims it. Returns whether a real
/// server takes new connections afterwards.
fn change_kept(
    ops: &mut Vec<Op>,
    (vip, held): (Vip, &ObservedService),
    desired: &Desired,
    scope: Scope,
) -> bool {
    let mut serves = false;
    for (&server, held) in &held.servers {
        match scope != Scope::Partial && desired.is_taken(&server) {
            true => ops.push(Op::DeleteServer { vip, server }),
            false => serves |= held.settings.weight > 0,
        }
    }
    serves
}

/// Returns the operation that sets the connection timeouts. They apply to the whole IPVS table, so
/// without a VIP they are left alone.
fn change_timeouts(observed: &Observed, desired: &Desired) -> Option<Op> {
    let (before, timeouts) = (observed.timeouts, desired.timeouts);
    let differ = !timeout_changes(&before, &timeouts).is_empty();
    (differ && !desired.services.is_empty()).then_some(Op::SetTimeouts { before, timeouts })
}

/// Changes the addresses. `kept` have services that stay although no app claims them.
fn change_addresses(
    plan: &mut Plan,
    observed: &Observed,
    desired: &Desired,
    kept: &BTreeSet<IpAddr>,
    scope: Scope,
) {
    let in_conflict: BTreeSet<Vip> = plan.conflicts.iter().map(|conflict| conflict.vip).collect();
    let wanted: BTreeSet<IpAddr> = desired
        .services
        .keys()
        .filter(|vip| !in_conflict.contains(vip))
        .map(|vip| vip.address)
        .chain(desired.listeners.iter().map(SocketAddr::ip))
        .collect();
    match observed.link {
        Link::Missing if !wanted.is_empty() => plan.ops.push(Op::CreateLink),
        Link::Down if !wanted.is_empty() => plan.ops.push(Op::RaiseLink),
        _ => {}
    }
    for &address in &wanted {
        let support = observed.nft.table(Family::from(address)).support;
        let source = desired.sources.get(&address).copied();
        // With address translation no source is needed, and routes stay as the kernel made them.
        let source = source.filter(|_| support != NftSupport::Nat);
        let route = LocalRoute { source, mtu: desired.mtus.get(&address).copied() };
        let names = desired.listeners.iter().any(|at| at.ip() == address);
        match observed.addresses.get(&address) {
            None => plan.ops.push(Op::Bind { address, route, names }),
            Some(bound) => {
                plan.ops.extend((bound.is_choice && !names).then_some(Op::Rebind { address }));
                let (before, differs) = (bound.route, bound.route != route);
                plan.ops.extend(differs.then_some(Op::SetRoute { address, before, route }));
            }
        }
    }
    if scope == Scope::Complete {
        // An address with a conflict stays unchanged, bound or not.
        let claimed: BTreeSet<_> = desired.services.keys().map(|vip| vip.address).collect();
        let others = others_addresses(observed);
        let stays = |address: &IpAddr| {
            wanted.contains(address)
                || claimed.contains(address)
                || others.contains(address)
                || kept.contains(address)
        };
        let gone = observed.addresses.keys().filter(|address| !stays(address));
        plan.ops.extend(gone.map(|address| Op::Unbind { address: *address }));
    }
}
