//! Operations on our nftables tables, and their description.

use std::collections::BTreeSet;
use std::net::IpAddr;

use nl_ipvs::Family;

use super::{Op, Plan, Scope};
use crate::line::{Line, Sign, push_section};
use crate::nft::{Element, Table, TableState, Translation, family_name};
use crate::{Desired, Observed, Vip};

/// Adds the operations on tables, after all others are in the plan: the addresses that are bound
/// afterwards are guarded, and the clients of the services in `nobody` are refused.
pub(super) fn change_tables(
    plan: &mut Plan,
    observed: &Observed,
    desired: &Desired,
    scope: Scope,
    nobody: &BTreeSet<Vip>,
) {
    let mut bound: BTreeSet<IpAddr> = observed.addresses.keys().copied().collect();
    for op in &plan.ops {
        match op {
            Op::Bind { address, .. } => bound.insert(*address),
            Op::Unbind { address } => bound.remove(address),
            _ => continue,
        };
    }
    let guarded = bound.into_iter().map(Element::Guarded);
    let refused = nobody.iter().copied().map(Element::Refused);
    let open = desired.open_ports().map(Element::Open);
    let translated = desired.translations().map(Element::Source);
    let wanted: BTreeSet<_> = guarded.chain(refused).chain(open).chain(translated).collect();
    let served = served_pairs(plan, observed);
    for (family, table) in observed.nft.tables() {
        let Some(rules) = table.wanted_rules(desired.modes) else { continue };
        let applies = |element: &Element| {
            element.family() == family
                && (rules.nat.is_some() || !matches!(element, Element::Source(_)))
        };
        let wanted: BTreeSet<_> = wanted.iter().copied().filter(applies).collect();
        if !wanted.is_empty() && table.state != TableState::Whole(rules) {
            plan.ops.push(Op::SetTable { family, before: table.state, rules });
        }
        let added = wanted.iter().filter(|element| !table.contains(**element));
        plan.ops.extend(added.map(|element| Op::AddElement { element: *element }));
        // In any scope clients may be let in again, but guards are removed only if all VIPs are
        // known.
        let may_go = |element: &Element| match element {
            Element::Guarded(_) => scope == Scope::Complete,
            Element::Refused(_) | Element::Open(_) => true,
            // A real server that stays although it isn't desired keeps its source, if the node has it:
            // replies to another would be lost.
            Element::Source(Translation { address, server, source }) => {
                desired.has_server(*address, *server)
                    || !served.contains(&(*address, *server))
                    || !observed.node.own.contains(source)
            }
        };
        let gone = table.elements().filter(|element| !wanted.contains(element) && may_go(element));
        plan.ops.extend(gone.map(|element| Op::DeleteElement { element }));
    }
}

/// Returns the virtual addresses with their real servers' addresses that are in the kernel before the
/// plan and stay.
fn served_pairs(plan: &Plan, observed: &Observed) -> BTreeSet<(IpAddr, IpAddr)> {
    if observed.nft.tables().iter().all(|(_, table)| table.sources.is_empty()) {
        return BTreeSet::new();
    }
    let (mut services, mut servers) = (BTreeSet::new(), BTreeSet::new());
    for op in &plan.ops {
        match op {
            Op::DeleteService { vip, .. } => drop(services.insert(*vip)),
            Op::DeleteServer { vip, server } => drop(servers.insert((*vip, *server))),
            _ => {}
        }
    }
    let stay = observed.our_services().filter(|(vip, _)| !services.contains(vip));
    let stay = stay.flat_map(|(vip, held)| held.servers.keys().map(move |server| (vip, *server)));
    let stay = stay.filter(|pair| !servers.contains(pair));
    stay.map(|(vip, server)| (vip.address, server.ip())).collect()
}

/// Returns the operations that delete the tables.
pub(super) fn delete_tables(observed: &Observed) -> impl Iterator<Item = Op> {
    let there = |table: &Table| table.state != TableState::Missing;
    let tables = observed.nft.tables().map(|(family, table)| (family, there(table)));
    let there = tables.into_iter().filter(|(_, there)| *there);
    there.map(|(family, _)| Op::DeleteTable { family })
}

/// Describes the changes of the tables that no other line implies.
pub(super) fn describe_tables(lines: &mut Vec<Line>, ops: &[Op]) {
    let does = |wanted: &dyn Fn(&Op) -> bool| ops.iter().any(wanted);
    let made = |family: Family| {
        does(&|op| {
            matches!(op, Op::SetTable { family: made, before: TableState::Missing, .. }
                if *made == family)
        })
    };
    let entries = ops.iter().filter_map(|op| {
        Some(match op {
            Op::SetTable { family, before, rules } => {
                let name = format!("table {} vipd", family_name(*family));
                match before {
                    TableState::Missing => (Sign::Add, format!("{name}  {rules}")),
                    TableState::Damaged => (
                        Sign::Change,
                        format!("{name}  changed by another program, restored: {rules}"),
                    ),
                    TableState::Whole(before) => {
                        (Sign::Change, format!("{name}  {before} -> {rules}"))
                    }
                }
            }
            Op::DeleteTable { family } => {
                (Sign::Remove, format!("table {} vipd", family_name(*family)))
            }
            Op::AddElement { element: Element::Guarded(address) } => {
                let bound = does(&|op| matches!(op, Op::Bind { address: a, .. } if a == address));
                if bound || made(Family::from(*address)) {
                    return None;
                }
                (Sign::Add, format!("{address}  guarded again"))
            }
            Op::DeleteElement { element: Element::Guarded(address) } => {
                if does(&|op| matches!(op, Op::Unbind { address: a } if a == address)) {
                    return None;
                }
                (Sign::Remove, format!("{address}  not bound, no longer guarded"))
            }
            Op::AddElement { element: Element::Open(vip) } => {
                (Sign::Add, format!("{vip}  open for the name server"))
            }
            Op::DeleteElement { element: Element::Open(vip) } => {
                (Sign::Remove, format!("{vip}  no longer open for the name server"))
            }
            Op::AddElement { element: Element::Source(translation) } => {
                let Translation { address, server, source } = translation;
                (Sign::Add, format!("{address}  clients reach {server} from {source}"))
            }
            Op::DeleteElement { element: Element::Source(translation) } => {
                let Translation { address, server, source } = translation;
                (Sign::Remove, format!("{address}  clients no longer reach {server} from {source}"))
            }
            _ => return None,
        })
    });
    push_section(lines, "nftables", entries);
}
