//! Our own rules in the node's firewall: those that are needed, and those that are in place.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use super::{ChainPlace, Fate, Firewall, Hook, OwnRules, Rule};

impl Rule {
    /// Tells whether two rules do the same, in whatever order their conditions stand.
    fn does_what(&self, other: &Self) -> bool {
        let within = |one: &Self, all: &Self| {
            one.conditions.iter().all(|condition| all.conditions.contains(condition))
        };
        self.verdict == other.verdict && within(self, other) && within(other, self)
    }
}

impl Firewall {
    /// Returns our rules that are unchanged and effective: each once in its chain, and before
    /// whatever drops the packets.
    #[must_use]
    pub fn rules_in_place(&self) -> BTreeSet<(ChainPlace, IpNet)> {
        let mut held = BTreeSet::new();
        for (place, prefix) in self.marked_rules() {
            let Some(chain) = self.chains.get(&place) else { continue };
            let Some(base) = chain.base else { continue };
            let mut ours = chain.rules.iter().filter(|rule| rule.mark == Some(prefix));
            let wanted = Rule::letting_in(prefix, base.hook);
            let as_made = ours.next().is_some_and(|rule| rule.does_what(&wanted));
            let only = OwnRules::Only(&place, &prefix);
            let blocks = || self.blocks(&place, base.hook, &prefix, only);
            if as_made && ours.next().is_none() && !blocks() {
                held.insert((place, prefix));
            }
        }
        held
    }

    /// Tells whether a chain may drop packets of a prefix, or have them bypass IPVS.
    fn blocks(&self, place: &ChainPlace, hook: Hook, prefix: &IpNet, own: OwnRules<'_>) -> bool {
        let bypasses =
            || hook == Hook::Forward && self.gives_to_flowtable(place, prefix, own).is_some();
        self.chain_fate(place, prefix, own) != Fate::Passes || bypasses()
    }

    /// Returns the rules that are needed to let these prefixes in: in every chain that may drop
    /// their packets, or have them bypass IPVS.
    #[must_use]
    pub fn wanted_rules(&self, prefixes: &[IpNet]) -> BTreeSet<(ChainPlace, IpNet)> {
        let mut wanted = BTreeSet::new();
        for (place, base) in self.base_chains() {
            for prefix in prefixes.iter().filter(|prefix| place.families.covers_prefix(prefix)) {
                if self.blocks(place, base.hook, prefix, OwnRules::None) {
                    wanted.insert((place.clone(), *prefix));
                }
            }
        }
        wanted
    }
}

/// Splits the prefixes into those that may be let in and those that may not: a prefix with an
/// address of the node itself would open the whole node.
#[must_use]
pub fn split_admissible(prefixes: &[IpNet], own: &BTreeSet<IpAddr>) -> (Vec<IpNet>, Vec<IpNet>) {
    let opens = |prefix: &IpNet| own.iter().any(|address| prefix.contains(address));
    let prefixes = prefixes.iter().map(IpNet::trunc);
    let (open, fine): (Vec<_>, Vec<_>) = prefixes.partition(opens);
    (fine, open)
}
