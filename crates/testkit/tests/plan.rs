//! What holds of every plan, whatever is there and whatever is wanted.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use nl_ipvs::{DestinationSettings, Family, ServiceKey, ServiceSettings};
use node::Kernel;
use proptest::collection::btree_map;
use proptest::prelude::*;
use testkit::{FakeKernel, generate};
use vip::nft::{Element, NftSupport, TableState};
use vip::ownership::{Owner, owner_of};
use vip::plan::OpResult;
use vip::{
    Bound, Desired, Firewall, Link, LocalRoute, Nft, Observed, ObservedService, Op, Plan, Scope,
    Vip,
};

const NODE: &str = "node1";

fn plan(observed: &Observed, desired: &Desired) -> Plan {
    Plan::new(observed, desired, Scope::Complete, NODE)
}

fn observe(kernel: &mut FakeKernel) -> Observed {
    kernel.observe().expect("the fake kernel can always be read")
}

/// Observes, plans and applies; the plan that was applied.
fn converge(kernel: &mut FakeKernel, desired: &Desired) -> Plan {
    let plan = plan(&observe(kernel), desired);
    kernel.apply_plan(plan).plan
}

/// A service as far as it was set.
type Table = BTreeMap<ServiceKey, (ServiceSettings, BTreeMap<SocketAddr, DestinationSettings>)>;

fn set(service: &ObservedService) -> (ServiceSettings, BTreeMap<SocketAddr, DestinationSettings>) {
    let servers = service.servers.iter().map(|(at, server)| (*at, server.settings));
    (service.settings.clone(), servers.collect())
}

fn table(observed: &Observed) -> Table {
    observed.services.iter().map(|(key, service)| (*key, set(service))).collect()
}

/// Somebody else's services, with their real servers.
fn foreign(observed: &Observed) -> Table {
    let mut table = table(observed);
    let is_foreign = |key: &ServiceKey| {
        owner_of(key, &observed.services[key].settings, observed) == Owner::Foreign
    };
    table.retain(|key, _| is_foreign(key));
    table
}

/// Everything that a plan may change: whole tables, addresses, the interface, nftables and the
/// firewall.
fn whole(
    observed: &Observed,
) -> (Table, BTreeMap<std::net::IpAddr, Bound>, Link, Nft, Arc<Firewall>) {
    let (nft, firewall) = (observed.nft.clone(), Arc::clone(&observed.firewall));
    (table(observed), observed.addresses.clone(), observed.link, nft, firewall)
}

/// What the tables of nftables hold: guarded is what is bound, and refused are the clients of
/// exactly those of our services that nobody can serve.
fn guards(state: &Observed, desired: &Desired) -> Result<(), TestCaseError> {
    let serves =
        |service: &ObservedService| service.servers.values().any(|s| s.settings.weight > 0);
    let nobody: BTreeSet<Vip> =
        state.our_services().filter(|(_, held)| !serves(held)).map(|(vip, _)| vip).collect();
    for (family, table) in state.nft.tables() {
        let Some(rules) = table.wanted_rules(desired.modes) else {
            prop_assert_eq!(table.elements().count(), 0);
            continue;
        };
        let of = |address: &std::net::IpAddr| Family::from(*address) == family;
        let bound: BTreeSet<_> = state.addresses.keys().copied().filter(of).collect();
        let nobody: BTreeSet<_> = nobody.iter().copied().filter(|vip| of(&vip.address)).collect();
        if !bound.is_empty() || !nobody.is_empty() {
            prop_assert_eq!(table.state, TableState::Whole(rules));
        }
        prop_assert_eq!(&table.vips, &bound);
        prop_assert_eq!(&table.empty, &nobody);
    }
    Ok(())
}

/// With a VIP no chain of the firewall drops what is let in; without the wish there is no rule.
fn lets_in(state: &Observed, desired: &Desired) -> Result<(), TestCaseError> {
    if !desired.services.is_empty() {
        prop_assert_eq!(state.firewall.find_drops(&desired.let_in), []);
    }
    for (_, prefix) in state.firewall.marked_rules() {
        prop_assert!(desired.let_in.contains(&prefix), "{} is let in", prefix);
    }
    Ok(())
}

/// Others' rules, in their order.
fn rules_of_others(state: &Observed) -> Vec<Vec<vip::firewall::Rule>> {
    let chains = state.firewall.chains.values();
    let others = |chain: &vip::firewall::Chain| {
        chain.rules.iter().filter(|rule| rule.mark.is_none()).cloned().collect()
    };
    chains.map(others).collect()
}

/// Whether the kernel holds what is wanted, but for conflicts, and nothing more of ours.
fn holds(state: &Observed, desired: &Desired, plan: &Plan) -> Result<(), TestCaseError> {
    let conflicts: BTreeSet<Vip> = plan.conflicts.iter().map(|conflict| conflict.vip).collect();
    for (vip, wanted) in &desired.services {
        if conflicts.contains(vip) {
            continue;
        }
        let held = state.service(vip).map(set);
        prop_assert_eq!(held, Some((wanted.settings(), wanted.servers().collect())), "{}", vip);
        let translates = state.nft.table(Family::from(vip.address)).support == NftSupport::Nat;
        let source = desired.sources.get(&vip.address).copied();
        let source = source.filter(|_| !translates);
        prop_assert_eq!(
            state.addresses.get(&vip.address),
            Some(&Bound { route: LocalRoute { source, mtu: None }, ..Bound::default() }),
            "{}",
            vip
        );
        prop_assert_eq!(state.link, Link::Up);
    }
    for (vip, _) in state.our_services() {
        prop_assert!(desired.services.contains_key(&vip), "{} is nobody's", vip);
    }
    for address in state.addresses.keys() {
        let claimed = desired.services.keys().any(|vip| vip.address == *address);
        let mut others = state.unmarked_services().filter_map(|(key, _)| Vip::from_key(key));
        let used = others.any(|vip| vip.address == *address);
        prop_assert!(claimed || used, "{} is nobody's", address);
    }
    lets_in(state, desired)?;
    guards(state, desired)
}

proptest! {
    #[test]
    fn a_plan_gives_what_is_wanted_and_a_second_one_is_empty(
        state in generate::any_observed(), desired in generate::any_desired(),
    ) {
        let mut kernel = FakeKernel::new(state);
        let first = converge(&mut kernel, &desired);
        holds(&kernel.state, &desired, &first)?;
        let second = plan(&observe(&mut kernel), &desired);
        prop_assert!(second.is_empty(), "{:?}", second.ops);
        prop_assert_eq!(second.conflicts, first.conflicts);
    }

    #[test]
    fn a_plan_does_to_the_model_what_it_does_to_the_kernel(
        state in generate::any_observed(), desired in generate::any_desired(),
    ) {
        let mut kernel = FakeKernel::new(state);
        let before = kernel.state.clone();
        let plan = plan(&observe(&mut kernel), &desired);
        let outcome = kernel.apply_plan(plan);
        prop_assert!(outcome.results().all(|(_, result)| *result == OpResult::Done));
        prop_assert_eq!(whole(&kernel.state), whole(&outcome.plan.applied_to(&before)));
    }

    #[test]
    fn somebody_elses_services_are_never_touched(
        state in generate::any_observed(), desired in generate::any_desired(),
    ) {
        let mut kernel = FakeKernel::new(state);
        let before = foreign(&kernel.state);
        let rules = rules_of_others(&kernel.state);
        for plan in [converge(&mut kernel, &desired), Plan::cleanup(&observe(&mut kernel))] {
            let plan = kernel.apply_plan(plan).plan;
            // That its clients are refused no longer doesn't touch a service.
            let letting_in = |op: &&Op| !matches!(op, Op::DeleteElement { .. });
            for vip in plan.ops.iter().filter(letting_in).filter_map(Op::vip) {
                prop_assert!(!before.contains_key(&vip.into()), "{}", vip);
            }
        }
        prop_assert_eq!(rules_of_others(&kernel.state), rules);
        prop_assert_eq!(kernel.state.firewall.marked_rules(), [].into());
        let after = table(&kernel.state);
        for (key, service) in &before {
            prop_assert_eq!(after.get(key), Some(service), "{}", key);
        }
    }

    #[test]
    fn adding_a_vip_touches_that_vip_only(
        state in generate::any_observed(),
        mut desired in generate::any_desired(),
        (vip, service) in generate::any_vip().prop_flat_map(generate::any_desired_service),
    ) {
        desired.services.remove(&vip);
        let mut kernel = FakeKernel::new(state);
        converge(&mut kernel, &desired);
        desired.services.insert(vip, service);
        for op in plan(&observe(&mut kernel), &desired).ops {
            prop_assert!(op.vip().is_none_or(|touched| touched == vip), "{:?}", op);
            prop_assert!(op.address().is_none_or(|touched| touched == vip.address), "{:?}", op);
        }
    }

    #[test]
    fn a_part_of_the_truth_removes_nothing(
        state in generate::any_observed(), desired in generate::any_desired(),
    ) {
        let plan = Plan::new(&state, &desired, Scope::Partial, NODE);
        for op in &plan.ops {
            let removes = matches!(
                op,
                Op::DeleteServer { .. }
                    | Op::DeleteService { .. }
                    | Op::Unbind { .. }
                    | Op::DeleteLink
                    | Op::DeleteElement { element: Element::Guarded(_) }
                    | Op::DeleteTable { .. }
            );
            prop_assert!(!removes, "{:?}", op);
        }
    }

    #[test]
    fn cleanup_leaves_nothing_of_ours(state in generate::any_observed()) {
        let mut kernel = FakeKernel::new(state);
        let plan = Plan::cleanup(&observe(&mut kernel));
        prop_assert!(kernel.apply_plan(plan).is_success());
        prop_assert_eq!(kernel.state.our_services().count(), 0);
        // An address stays where somebody else's service is on it.
        for address in kernel.state.addresses.keys() {
            let mut others = kernel.state.unmarked_services().filter_map(|(key, _)| Vip::from_key(key));
            prop_assert!(others.any(|vip| vip.address == *address), "{}", address);
        }
        if kernel.state.addresses.is_empty() {
            prop_assert_eq!(kernel.state.link, Link::Missing);
        }
        for (_, table) in kernel.state.nft.tables() {
            prop_assert_eq!(table.state, TableState::Missing);
        }
    }

    #[test]
    fn after_any_part_of_a_plan_the_next_one_ends_where_the_whole_would_have(
        state in generate::any_observed(), desired in generate::any_desired(),
    ) {
        let mut straight = FakeKernel::new(state.clone());
        let ops = converge(&mut straight, &desired).ops.len();
        for part in 0..ops {
            let mut kernel = FakeKernel::new(state.clone());
            kernel.die_after(part);
            converge(&mut kernel, &desired);
            prop_assert_eq!(kernel.log.len(), part);
            kernel.clear_faults();
            converge(&mut kernel, &desired);
            prop_assert_eq!(whole(&kernel.state), whole(&straight.state), "after {} operations", part);
        }
    }

    #[test]
    fn failures_cost_no_server_that_was_not_replaced_and_are_made_good(
        state in generate::any_observed(),
        desired in generate::any_desired(),
        faults in btree_map(0..20_usize, prop_oneof![Just(2), Just(3), Just(12), Just(17), Just(22)], 1..6),
        answers_lost in any::<bool>(),
    ) {
        let mut kernel = FakeKernel::new(state);
        for (nth, errno) in faults {
            kernel.refuse_nth(nth, errno);
        }
        if answers_lost {
            kernel.lose_answers();
        }
        converge(&mut kernel, &desired);
        let failed: BTreeSet<Vip> = kernel
            .log
            .iter()
            .filter(|(op, answer)| {
                let failed = matches!(OpResult::from_answer(op, answer.clone()), OpResult::Failed(_));
                let builds = matches!(op, Op::AddServer { .. } | Op::SetServer { .. });
                builds && (failed || answers_lost)
            })
            .filter_map(|(op, _)| op.vip())
            .collect();
        // Where a replacement failed, a server goes only if another one takes new connections.
        for (op, answer) in &kernel.log {
            let Op::DeleteServer { vip, .. } = op else { continue };
            let serves = kernel.state.service(vip).is_some_and(|service| {
                service.servers.values().any(|server| server.settings.weight > 0)
            });
            prop_assert!(!failed.contains(vip) || serves || answer.is_err(), "{:?}", op);
        }
        kernel.clear_faults();
        let last = converge(&mut kernel, &desired);
        // Not always the table of a run without faults: a marked service beside an unmarked one
        // tells that their address is ours, and may have gone before the other was dealt with.
        holds(&kernel.state, &desired, &last)?;
    }
}
