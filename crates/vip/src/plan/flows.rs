//! Flows to forget: those that connection tracking keeps away from the real server that should get them.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use nl_ipvs::Family;

use super::op::StaleFlows;
use super::{Op, Plan};
use crate::liveness::{Cause, SilentServer};
use crate::nft::{Element, Masquerade, Modes, TableState, Translation, pairs_of};
use crate::{Desired, Member, Observed, Protocol, Vip};

impl Plan {
    /// Adds the flows of VIPs beside these addresses, if the plan restores the rules of a table whose sets
    /// somebody left: plans for these VIPs change nothing that would tell. `observed` is the whole reading.
    pub(crate) fn forget_flows_beside(
        &mut self,
        addresses: &BTreeSet<IpAddr>,
        observed: &Observed,
        modes: Modes,
    ) {
        let before = self.ops.len();
        for family in [Family::Inet, Family::Inet6] {
            let sets = |op: &Op| matches!(op, Op::SetTable { family: of, .. } if *of == family);
            let Some(nat) = translation_of(family, observed, modes) else { continue };
            if !self.ops.iter().any(sets) {
                continue;
            }
            let guarded = &observed.nft.table(family).vips;
            let services = observed.our_services().map(|(vip, _)| vip);
            let beside = services
                .filter(|vip| guarded.contains(&vip.address) && !addresses.contains(&vip.address));
            let flows = StaleFlows::Older { translated: nat == Masquerade::Always };
            self.ops.extend(beside.map(|vip| Op::ForgetFlows { vip, flows }));
        }
        if self.ops.len() > before {
            self.ops.sort_by_cached_key(Op::sort_key);
        }
    }
}

/// Returns the operations that make the kernel forget flows to VIPs that begin to be served or to be
/// guarded. A client that keeps its port may have sent before, and connection tracking would keep its
/// flow away from IPVS; or it may have sent while our rules were gone, as after `nft flush ruleset`,
/// and its source would never be translated.
pub(super) fn forget_flows(plan: &Plan, observed: &Observed, desired: &Desired) -> Vec<Op> {
    let deleted = plan.ops.iter().filter_map(|op| match op {
        Op::DeleteService { vip, .. } => Some(*vip),
        _ => None,
    });
    let deleted: BTreeSet<_> = deleted.collect();
    let mut vips: BTreeSet<_> = desired.services.keys().copied().collect();
    // Some stay although no app claims them.
    vips.extend(observed.our_services().map(|(vip, _)| vip));
    vips.retain(|vip| !deleted.contains(vip));
    let nat = |family: Family| translation_of(family, observed, desired.modes);
    // The node's own clients are always translated.
    let translates = |family: Family| nat(family).is_some();
    let (mut begins, mut changed) = (BTreeSet::new(), BTreeSet::new());
    for op in &plan.ops {
        match op {
            Op::AddService { vip, .. } => {
                begins.insert(*vip);
            }
            Op::Bind { address, .. } => {
                changed.insert(*address);
            }
            Op::AddElement { element: Element::Guarded(address) }
                if translates(Family::from(*address)) =>
            {
                changed.insert(*address);
            }
            Op::SetTable { family, .. } if translates(*family) => {
                let addresses = vips.iter().map(|vip| vip.address);
                changed.extend(addresses.filter(|address| Family::from(*address) == *family));
            }
            _ => {}
        }
    }
    let vips = vips.iter().filter(|vip| {
        (begins.contains(*vip) || changed.contains(&vip.address))
            && !plan.conflicts.iter().any(|conflict| conflict.vip == **vip)
    });
    let forget = |vip: &Vip| {
        let translated = nat(Family::from(vip.address)) == Some(Masquerade::Always);
        Op::ForgetFlows { vip: *vip, flows: StaleFlows::Older { translated } }
    };
    vips.map(forget).collect()
}

/// Returns whose source the wanted rules of a table translate; `None` if they translate nothing.
fn translation_of(family: Family, observed: &Observed, modes: Modes) -> Option<Masquerade> {
    observed.nft.table(family).wanted_rules(modes)?.nat
}

/// Returns the operations that make the kernel forget connections that silent hosts have not answered,
/// once their real servers are out of use.
pub(super) fn forget_all_unanswered(plan: &Plan, desired: &Desired) -> Vec<Op> {
    let forget = |op: &Op| match op {
        Op::SetServer { vip, server, settings, .. } if settings.weight == 0 => {
            let service = desired.services.get(vip)?;
            forget_unanswered(*vip, *server, service.selection.members.get(server)?)
        }
        _ => None,
    };
    plan.ops.iter().filter_map(forget).collect()
}

/// Returns the operation that makes the kernel forget connections that a real server on a silent host has
/// not answered. Whatever tracks connections here counts: our rules, or those of others.
pub(super) fn forget_unanswered(vip: Vip, server: SocketAddr, member: &Member) -> Option<Op> {
    let is_silent = matches!(member.silent, Some(SilentServer::OutOfUse(Cause::Host(_))));
    let flows = StaleFlows::Unanswered { by: server };
    is_silent.then_some(Op::ForgetFlows { vip, flows })
}

/// Returns the operations that make the kernel forget flows whose source is no longer translated to.
/// They would last as long as their clients send, without a reply once this node has lost that
/// address: the kernel forgets those that it masqueraded, but no others. A TCP connection stays while
/// the node has the address.
pub(super) fn forget_former_sources(
    plan: &Plan,
    observed: &Observed,
    desired: &Desired,
) -> Vec<Op> {
    let mut former = BTreeSet::new();
    for op in &plan.ops {
        if let Op::DeleteElement { element: Element::Source(translation) } = op {
            let mut others = desired.translated.range(pairs_of(translation.address));
            if !others.any(|(_, source)| *source == translation.source) {
                former.insert((translation.address, translation.source));
            }
        }
    }
    let forget = |(address, source): (IpAddr, IpAddr)| {
        let vips = desired.services.range(Vip::all_on(address)).map(|(vip, _)| *vip);
        let is_lost = !observed.node.own.contains(&source);
        let vips = vips.filter(move |vip| is_lost || vip.protocol == Protocol::Udp);
        let flows = StaleFlows::Translated { to: source };
        vips.map(move |vip| Op::ForgetFlows { vip, flows })
    };
    former.into_iter().flat_map(forget).collect()
}

/// Returns the operations that make the kernel forget flows that masquerading gave another source than
/// the one that is named for their real server from now on. They would keep it as long as their clients
/// send, and the real server may know no way back to it.
pub(super) fn forget_masqueraded(plan: &Plan, observed: &Observed, desired: &Desired) -> Vec<Op> {
    let named = plan.ops.iter().filter_map(|op| match op {
        Op::AddElement { element: Element::Source(translation) } => Some(*translation),
        _ => None,
    });
    let forget = |Translation { address, server, source }: Translation| {
        let table = observed.nft.table(Family::from(address));
        let was_named = table.sources.contains_key(&(address, server));
        // Flows that nobody translated are forgotten with the rules that come.
        let masqueraded = match table.state {
            TableState::Missing => false,
            TableState::Damaged => true,
            TableState::Whole(rules) => rules.nat.is_some(),
        };
        let vips = desired.services.range(Vip::all_on(address)).map(|(vip, _)| *vip);
        // Only a real server of before has flows.
        let is_served = move |vip: &Vip| {
            let held = observed.service(vip).into_iter().flat_map(|held| held.servers.keys());
            masqueraded && !was_named && held.into_iter().any(|held| held.ip() == server)
        };
        let flows = StaleFlows::Masqueraded { by: server, wanted: source };
        vips.filter(is_served).map(move |vip| Op::ForgetFlows { vip, flows })
    };
    named.flat_map(forget).collect()
}
