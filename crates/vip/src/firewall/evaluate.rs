//! Evaluation of chains: the fate of packets of VIPs.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use super::{Base, ChainPlace, ESTABLISHED, Firewall, Hook, NEW, Rule, RuleCondition, RuleVerdict};

/// The depth of nested chains that the kernel allows.
pub(super) const DEPTH: usize = 16;

/// The fate of packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fate {
    /// The packets pass.
    Passes,
    /// The packets are dropped, unless a rule with unknown conditions accepts them.
    Depends,
    /// The packets are dropped.
    Dropped,
}

/// Returns the prefixes to check the firewall for: those that VIPs must lie in, or else the bound
/// addresses.
#[must_use]
pub fn prefixes_to_check<'a>(
    allow: &[IpNet],
    bound: impl Iterator<Item = &'a IpAddr>,
) -> Vec<IpNet> {
    match allow.is_empty() {
        true => bound.map(|address| IpNet::from(*address)).collect(),
        false => allow.iter().map(IpNet::trunc).collect(),
    }
}

/// A chain that drops, or may drop, packets of VIPs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The chain.
    pub place: ChainPlace,
    /// The hook of the chain, and its policy.
    pub base: Base,
    /// The worst fate of any of the prefixes.
    pub fate: Fate,
    /// The prefixes of VIPs whose packets it drops.
    pub prefixes: Vec<IpNet>,
}

/// The number of VIPs to name.
const NAMED: usize = 3;

/// Writes `ip filter INPUT drops traffic to 3.0.0.0/8 (its policy)`.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let does = match self.fate {
            Fate::Passes => "lets pass",
            Fate::Depends => "may drop",
            Fate::Dropped => "drops",
        };
        let what = match self.base.hook {
            Hook::Input => "traffic to",
            Hook::Forward => "replies of",
            Hook::Output => "forwarded packets of",
        };
        let names = name_some(&self.prefixes);
        let by = if self.base.drops { "its policy" } else { "a rule for all" };
        write!(f, "{} {does} {what} {names} ({by})", self.place)
    }
}

/// Names the first of these prefixes and counts the rest: without a prefix in the configuration, there is
/// one for each VIP.
pub(super) fn name_some(prefixes: &[IpNet]) -> String {
    let names = prefixes.iter().take(NAMED).map(ToString::to_string);
    let names = names.collect::<Vec<_>>().join(", ");
    match prefixes.len().saturating_sub(NAMED) {
        0 => names,
        more => format!("{names} and {more} more"),
    }
}

/// The decision of a chain about a packet.
enum End {
    Accepted,
    Dropped,
    /// No decision.
    Open,
}

/// A packet of a VIP: the first of a connection, or at the forward hook a reply.
pub(super) struct Packet<'a> {
    pub(super) prefix: &'a IpNet,
    pub(super) hook: Hook,
    pub(super) own_rules: OwnRules<'a>,
}

/// The rules of ours that an evaluation counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnRules<'a> {
    /// None, as if vipd had never inserted one.
    None,
    /// All of them.
    All,
    /// Those in one chain for one prefix: a plan may delete every other.
    Only(&'a ChainPlace, &'a IpNet),
}

impl OwnRules<'_> {
    fn count(self, place: &ChainPlace, mark: &IpNet) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::Only(chain, prefix) => chain == place && prefix == mark,
        }
    }
}

impl Firewall {
    /// Determines the fate of packets of these VIPs in a base chain.
    #[must_use]
    pub fn chain_fate(&self, place: &ChainPlace, prefix: &IpNet, own_rules: OwnRules<'_>) -> Fate {
        let Some(base) = self.chains.get(place).and_then(|chain| chain.base) else {
            return Fate::Passes;
        };
        let (end, perhaps) =
            self.walk_chain(place, &Packet { prefix, hook: base.hook, own_rules }, DEPTH);
        let dropped = match end {
            End::Accepted => false,
            End::Dropped => true,
            End::Open => base.drops,
        };
        match (dropped, perhaps) {
            (false, _) => Fate::Passes,
            (true, true) => Fate::Depends,
            (true, false) => Fate::Dropped,
        }
    }

    /// Finds the chains that drop, or may drop, packets of these VIPs.
    #[must_use]
    pub fn find_drops(&self, prefixes: &[IpNet]) -> Vec<Finding> {
        let judge = |(place, base): (&ChainPlace, Base)| {
            let seen = prefixes.iter().filter(|prefix| place.families.covers_prefix(prefix));
            let fates = seen.map(|prefix| (self.chain_fate(place, prefix, OwnRules::All), *prefix));
            let bad: Vec<_> = fates.filter(|(fate, _)| *fate != Fate::Passes).collect();
            let fate = bad.iter().map(|(fate, _)| *fate).max()?;
            let prefixes = bad.into_iter().map(|(_, prefix)| prefix).collect();
            Some(Finding { place: place.clone(), base, fate, prefixes })
        };
        self.base_chains().filter_map(judge).collect()
    }

    /// Returns the decision of a chain, and whether it may have accepted the packet before.
    fn walk_chain(&self, place: &ChainPlace, packet: &Packet<'_>, depth: usize) -> (End, bool) {
        let Some(chain) = self.chains.get(place).filter(|_| depth > 0) else {
            return (End::Open, true);
        };
        let mut perhaps = false;
        for rule in chain.rules.iter().filter(|rule| packet.meets(place, rule)) {
            let applies = packet.meets_all(&rule.conditions);
            if applies == Some(false) {
                continue;
            }
            let sure = applies == Some(true);
            let end = match &rule.verdict {
                RuleVerdict::Accept => End::Accepted,
                RuleVerdict::Drop => End::Dropped,
                RuleVerdict::Return if sure => return (End::Open, perhaps),
                RuleVerdict::None | RuleVerdict::Return => continue,
                RuleVerdict::Other => {
                    perhaps = true;
                    continue;
                }
                RuleVerdict::Jump(chain) | RuleVerdict::Goto(chain) => {
                    let (end, there) =
                        self.walk_chain(&place.sibling_chain(chain), packet, depth - 1);
                    perhaps |= there;
                    end
                }
            };
            let leaves = matches!(rule.verdict, RuleVerdict::Goto(_));
            match end {
                End::Accepted | End::Dropped if sure => return (end, perhaps),
                End::Accepted => perhaps = true,
                End::Open if sure && leaves => return (End::Open, perhaps),
                // A rule that drops packets under conditions of its own does so on purpose.
                End::Dropped | End::Open => {}
            }
        }
        (End::Open, perhaps)
    }
}

impl Packet<'_> {
    /// Tells whether a rule of a chain counts: every rule of others, and of ours those that are evaluated.
    pub(super) fn meets(&self, place: &ChainPlace, rule: &Rule) -> bool {
        rule.mark.is_none_or(|mark| self.own_rules.count(place, &mark))
    }

    /// Tells whether all conditions hold; `None` if unknown.
    pub(super) fn meets_all(&self, conditions: &[RuleCondition]) -> Option<bool> {
        let mut sure = true;
        for condition in conditions {
            match self.meets_one(*condition) {
                Some(true) => {}
                Some(false) => return Some(false),
                None => sure = false,
            }
        }
        sure.then_some(true)
    }

    fn meets_one(&self, condition: RuleCondition) -> Option<bool> {
        let state = if self.hook == Hook::Forward { ESTABLISHED } else { NEW };
        match condition {
            RuleCondition::IsV4(v4) => Some(self.prefix.addr().is_ipv4() == v4),
            RuleCondition::MadeTo(net) => self.lies_in(&net),
            // At other hooks the destination is a real server or a client.
            RuleCondition::To(net) if self.hook == Hook::Input => self.lies_in(&net),
            RuleCondition::State(bits) => Some(bits & state != 0),
            RuleCondition::Answers(answers) => Some(answers == (self.hook == Hook::Forward)),
            RuleCondition::To(_) | RuleCondition::Other => None,
        }
    }

    fn lies_in(&self, net: &IpNet) -> Option<bool> {
        match (net.contains(self.prefix), self.prefix.contains(net)) {
            (true, _) => Some(true),
            (false, true) => None,
            (false, false) => Some(false),
        }
    }
}
