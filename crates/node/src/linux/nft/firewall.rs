//! The node's own firewall in nftables: reading it, and changing the rules that accept VIPs.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use nl_pipeline::errno;
use vip::firewall::{Chain, ChainPlace, Families, Firewall, Hook, Rule, RuleVerdict};
use vip::plan::OpError;

use super::layout::{self, TABLE};
use super::read::dump_objects;
use super::transaction::commit_messages;
use super::{elements, expression, foreign, message};
use crate::KernelError;
use crate::linux::answer::{Answer, failed_op};
use crate::linux::netlink::Pipeline;
use crate::linux::raw_attributes::Raw;

/// The most chains that are read. On a node with more, the rest counts as not understood.
const MOST: usize = 256;

/// Reads the base chains that packets of VIPs pass, those before conntrack, and the chains that these
/// lead to.
pub(super) fn read_firewall(socket: &mut Pipeline) -> Result<Firewall, KernelError> {
    let (mut chains, mut raw) = (BTreeMap::new(), BTreeMap::new());
    for entry in dump_objects(socket, &Raw::query(message::get_all_chains()), "list all chains")? {
        let found = entry.ok().and_then(|answer| foreign::parse_base_chain(answer.bytes()));
        let Some(found) = found.filter(|found| !is_ours(&found.place)) else { continue };
        for (base, into) in [(found.base(), &mut chains), (found.raw_base(), &mut raw)] {
            if base.is_some() {
                into.insert(found.place.clone(), Chain { base, ..Chain::default() });
            }
        }
    }
    follow_jumps(socket, &mut chains)?;
    follow_jumps(socket, &mut raw)?;
    Ok(Firewall { chains, raw, ..Firewall::default() })
}

/// Reads the rules of chains, and adds the chains that they lead to.
fn follow_jumps(
    socket: &mut Pipeline,
    chains: &mut BTreeMap<ChainPlace, Chain>,
) -> Result<(), KernelError> {
    let mut waiting: Vec<ChainPlace> = chains.keys().cloned().collect();
    while let Some(place) = waiting.pop() {
        let rules =
            read_rules(socket, &place)?.into_iter().map(|(_, rule)| rule).collect::<Vec<_>>();
        for rule in &rules {
            let (RuleVerdict::Jump(to) | RuleVerdict::Goto(to)) = &rule.verdict else { continue };
            let to = place.sibling_chain(to);
            if chains.len() < MOST && !chains.contains_key(&to) {
                chains.insert(to.clone(), Chain::default());
                waiting.push(to);
            }
        }
        chains.entry(place).or_default().rules = rules;
    }
    Ok(())
}

fn is_ours(place: &ChainPlace) -> bool {
    place.table == TABLE && place.families != Families::Both
}

/// Reads the rules of a chain with their handles.
fn read_rules(socket: &mut Pipeline, place: &ChainPlace) -> Result<Vec<(u64, Rule)>, KernelError> {
    let answers = dump_objects(socket, &Raw::query(message::get_rules_of(place)), "list rules")?;
    let mut states = |set: &str| read_states(socket, place, set).ok().flatten();
    let read = |answer: &Raw| foreign::parse_rule(answer.bytes(), &mut states);
    Ok(answers.iter().flatten().filter_map(read).collect())
}

/// Reads the connection states in a set.
fn read_states(
    socket: &mut Pipeline,
    place: &ChainPlace,
    set: &str,
) -> Result<Option<u32>, KernelError> {
    let mut bits = Some(0);
    for entry in
        dump_objects(socket, &Raw::query(message::get_elements_of(place, set)), "list states")?
    {
        let keys = entry.and_then(|answer| elements::element_keys(answer.bytes()));
        for key in keys.unwrap_or_default() {
            let state = key.first_chunk().map(|state| u32::from_ne_bytes(*state));
            bits = bits.zip(state).map(|(bits, state)| bits | state);
        }
    }
    Ok(bits)
}

/// Inserts a rule at the head of a chain that accepts the VIPs of a prefix, in place of other
/// rules with the same mark.
pub(super) fn insert_nft_rule(
    socket: &mut Pipeline,
    place: &ChainPlace,
    hook: Hook,
    prefix: &IpNet,
) -> Answer {
    let old = marked_handles(socket, place, prefix)?;
    let matched = expression::connections_to(prefix, hook);
    let extension = expression::connections_to_for_iptables(prefix, hook);
    // The chain may have an iptables name in a kernel without iptables: then use expressions.
    let ways = match place.is_of_iptables() {
        true => vec![extension, matched],
        false => vec![matched],
    };
    let mut answer = Ok(());
    for way in ways {
        let rule: layout::Rule = way.into_iter().chain([expression::accept()]).collect();
        let mut messages = message::delete_rules(place, &old);
        messages.push(message::insert_rule(place, &rule, &Rule::comment_for(prefix)));
        answer = commit_messages(socket, messages);
        if answer.is_ok() {
            break;
        }
    }
    answer
}

/// Deletes the rules with the mark of a prefix; `ENOENT` if there are none.
pub(super) fn delete_nft_rule(socket: &mut Pipeline, place: &ChainPlace, prefix: &IpNet) -> Answer {
    let old = marked_handles(socket, place, prefix)?;
    match old.is_empty() {
        true => Err(OpError::new(errno::ENOENT, "the rule is gone".to_owned())),
        false => commit_messages(socket, message::delete_rules(place, &old)),
    }
}

fn marked_handles(
    socket: &mut Pipeline,
    place: &ChainPlace,
    prefix: &IpNet,
) -> Result<BTreeSet<u64>, OpError> {
    let rules = read_rules(socket, place);
    let rules = rules.map_err(|error| failed_op(&error))?;
    let marked = rules.into_iter().filter(|(_, rule)| rule.mark == Some(*prefix));
    Ok(marked.map(|(handle, _)| handle).collect())
}
