//! The node's own firewall in nftables: reading it, and the rules that let VIPs in.

use std::collections::BTreeSet;

use ipnet::IpNet;
use nl_ipvs::errno;
use nl_ipvs::pipeline::Pipeline;
use vip::firewall::{Chain, Firewall, Hook, Place, Rule, Sees, Verdict};
use vip::plan::OpError;

use super::layout::{self, TABLE};
use super::read::dump;
use super::transaction::change;
use super::{elements, expression, foreign, message};
use crate::KernelError;
use crate::linux::answer::Answer;
use crate::linux::raw_attributes::Raw;

/// As many chains are read. On a node with more, the others are taken for what isn't understood.
const MOST: usize = 256;

/// Reads the chains that packets of VIPs meet, and those that they lead to.
pub(super) fn read(socket: &mut Pipeline) -> Result<Firewall, KernelError> {
    let mut firewall = Firewall::default();
    for entry in dump(socket, &Raw::query(message::get_all_chains()), "list all chains")? {
        let base = entry.ok().and_then(|answer| foreign::base(answer.bytes()));
        if let Some((place, base)) = base.filter(|(place, _)| !is_ours(place)) {
            firewall.chains.insert(place, Chain { base: Some(base), ..Chain::default() });
        }
    }
    let mut waiting: Vec<Place> = firewall.chains.keys().cloned().collect();
    while let Some(place) = waiting.pop() {
        let rules = rules(socket, &place)?.into_iter().map(|(_, rule)| rule).collect::<Vec<_>>();
        for rule in &rules {
            let (Verdict::Jump(to) | Verdict::Goto(to)) = &rule.verdict else { continue };
            let to = place.beside(to);
            if firewall.chains.len() < MOST && !firewall.chains.contains_key(&to) {
                firewall.chains.insert(to.clone(), Chain::default());
                waiting.push(to);
            }
        }
        firewall.chains.entry(place).or_default().rules = rules;
    }
    Ok(firewall)
}

fn is_ours(place: &Place) -> bool {
    place.table == TABLE && place.sees != Sees::Both
}

/// The rules of a chain, with their numbers.
fn rules(socket: &mut Pipeline, place: &Place) -> Result<Vec<(u64, Rule)>, KernelError> {
    let answers = dump(socket, &Raw::query(message::get_rules_of(place)), "list rules")?;
    let mut states = |set: &str| states(socket, place, set).ok().flatten();
    let read = |answer: &Raw| foreign::rule(answer.bytes(), &mut states);
    Ok(answers.iter().flatten().filter_map(read).collect())
}

/// The states of connections that a set holds.
fn states(socket: &mut Pipeline, place: &Place, set: &str) -> Result<Option<u32>, KernelError> {
    let mut bits = Some(0);
    for entry in dump(socket, &Raw::query(message::get_elements_of(place, set)), "list states")? {
        let keys = entry.and_then(|answer| elements::keys(answer.bytes()));
        for key in keys.unwrap_or_default() {
            let state = key.first_chunk().map(|state| u32::from_ne_bytes(*state));
            bits = bits.zip(state).map(|(bits, state)| bits | state);
        }
    }
    Ok(bits)
}

/// Lets the VIPs of a prefix in: one rule at the head, in the place of others of the same mark.
pub(super) fn insert(socket: &mut Pipeline, place: &Place, hook: Hook, prefix: &IpNet) -> Answer {
    let old = marked(socket, place, prefix)?;
    let matched = expression::made_to(prefix, hook);
    let extension = expression::made_to_for_iptables(prefix, hook);
    // The kernel of an nft that took these names need not know iptables.
    let ways = match place.is_of_iptables() {
        true => vec![extension, matched],
        false => vec![matched],
    };
    let mut answer = Ok(());
    for way in ways {
        let rule: layout::Rule = way.into_iter().chain([expression::accept()]).collect();
        let mut messages = message::delete_rules(place, &old);
        messages.push(message::insert_rule(place, &rule, &Rule::comment(prefix)));
        answer = change(socket, messages);
        if answer.is_ok() {
            break;
        }
    }
    answer
}

/// Takes the rules of a mark out again; `ENOENT` if there is none.
pub(super) fn delete(socket: &mut Pipeline, place: &Place, prefix: &IpNet) -> Answer {
    let old = marked(socket, place, prefix)?;
    match old.is_empty() {
        true => Err(OpError::new(errno::ENOENT, "it is gone".to_owned())),
        false => change(socket, message::delete_rules(place, &old)),
    }
}

fn marked(socket: &mut Pipeline, place: &Place, prefix: &IpNet) -> Result<BTreeSet<u64>, OpError> {
    let rules = rules(socket, place);
    let rules = rules.map_err(|error| OpError::new(0, error.to_string()))?;
    let marked = rules.into_iter().filter(|(_, rule)| rule.mark == Some(*prefix));
    Ok(marked.map(|(handle, _)| handle).collect())
}
