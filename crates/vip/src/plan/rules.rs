//! Operations on our rules in the node's own firewall, and their description.

use std::collections::BTreeSet;

use super::{Op, Plan};
use crate::firewall::{ChainPlace, Firewall, split_admissible};
use crate::line::{Line, Sign, push_section};
use crate::{Desired, Observed};

/// Adds operations that insert our rules where the firewall drops traffic to VIPs, and delete those
/// that are no longer needed.
pub(super) fn change_rules(plan: &mut Plan, observed: &Observed, desired: &Desired) {
    let firewall = &observed.firewall;
    let (prefixes, _) = split_admissible(&desired.let_in, &observed.node.own);
    let wanted = match prefixes.is_empty() {
        true => BTreeSet::new(),
        false => firewall.wanted_rules(&prefixes),
    };
    let marked = firewall.marked_rules();
    // Without a VIP no rule is needed.
    if !desired.services.is_empty() {
        let held = firewall.rules_in_place();
        let missing = wanted.difference(&held).filter_map(|(place, prefix)| {
            let hook = firewall.chains.get(place)?.base?.hook;
            Some(Op::InsertRule { place: place.clone(), hook, prefix: *prefix })
        });
        plan.ops.extend(missing);
    }
    plan.ops.extend(marked.difference(&wanted).cloned().map(delete_rule));
}

/// Returns the operations that delete all our rules.
pub(super) fn delete_rules(firewall: &Firewall) -> impl Iterator<Item = Op> {
    firewall.marked_rules().into_iter().map(delete_rule)
}

fn delete_rule((place, prefix): (ChainPlace, ipnet::IpNet)) -> Op {
    Op::DeleteRule { place, prefix }
}

pub(super) fn describe_rules(lines: &mut Vec<Line>, ops: &[Op]) {
    let entries = ops.iter().filter_map(|op| {
        Some(match op {
            Op::InsertRule { place, prefix, .. } => {
                (Sign::Add, format!("{place}  let {prefix} in, before all other rules"))
            }
            Op::DeleteRule { place, prefix } => {
                (Sign::Remove, format!("{place}  vipd's rule that lets {prefix} in"))
            }
            _ => return None,
        })
    });
    push_section(lines, "firewall of this node", entries);
}
