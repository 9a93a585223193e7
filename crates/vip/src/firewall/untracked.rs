//! Rules that hide packets of VIPs from conntrack, and so from most of vipd's own rules.

use std::collections::BTreeMap;
use std::fmt;

use ipnet::IpNet;

use super::evaluate::{DEPTH, Packet, name_some};
use super::{Chain, ChainPlace, Firewall, Hook, OwnRules, RuleVerdict};

/// A chain that leaves packets untracked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Untracked {
    /// The chain.
    pub place: ChainPlace,
    /// The hook of the chain.
    pub hook: Hook,
    /// The packets.
    pub packets: UntrackedPackets,
}

/// The packets that a chain leaves untracked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UntrackedPackets {
    /// Those to these prefixes of VIPs.
    ToVips(Vec<IpNet>),
    /// Perhaps some of those, by conditions that vipd doesn't understand.
    PerhapsToVips(Vec<IpNet>),
    /// Those to these addresses of the node, and so the replies of real servers.
    ToNode(Vec<IpNet>),
}

/// Writes `inet raw prerouting leaves packets to 3.0.0.0/8 untracked`.
impl fmt::Display for Untracked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (does, prefixes, why) = match &self.packets {
            UntrackedPackets::ToVips(prefixes) => ("leaves packets to", prefixes, ""),
            UntrackedPackets::PerhapsToVips(prefixes) => {
                ("may leave packets to", prefixes, ", by a rule with conditions of its own")
            }
            UntrackedPackets::ToNode(prefixes) => ("leaves replies to", prefixes, ""),
        };
        write!(f, "{} {does} {} untracked{why}", self.place, name_some(prefixes))
    }
}

/// Whether a chain leaves a packet untracked.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Leaves {
    Tracked,
    Perhaps,
    Untracked,
}

/// The knowledge of a packet after a chain.
struct Walked {
    leaves: Leaves,
    /// Whether no later rule of the base chain sees it.
    is_decided: bool,
}

impl Firewall {
    /// Finds the chains that leave packets to these VIPs untracked, or replies to these addresses of the
    /// node.
    #[must_use]
    pub fn find_untracked(&self, vips: &[IpNet], own: &[IpNet]) -> Vec<Untracked> {
        let bases = self.raw.iter().filter_map(|(place, chain)| Some((place, chain.base?.hook)));
        let judge = |(place, hook): (&ChainPlace, Hook)| {
            let left = |prefixes: &[IpNet], wanted: Leaves| {
                let seen = prefixes.iter().filter(|prefix| place.families.covers_prefix(prefix));
                let left =
                    seen.filter(|prefix| walk(&self.raw, place, prefix, DEPTH).leaves == wanted);
                Some(left.copied().collect::<Vec<_>>()).filter(|left| !left.is_empty())
            };
            let own = if hook == Hook::Input { own } else { &[] };
            let packets = left(vips, Leaves::Untracked)
                .map(UntrackedPackets::ToVips)
                .or_else(|| left(own, Leaves::Untracked).map(UntrackedPackets::ToNode))
                .or_else(|| left(vips, Leaves::Perhaps).map(UntrackedPackets::PerhapsToVips))?;
            Some(Untracked { place: place.clone(), hook, packets })
        };
        bases.filter_map(judge).collect()
    }
}

/// Follows the first packet of a connection to a prefix through a chain.
fn walk(
    chains: &BTreeMap<ChainPlace, Chain>,
    place: &ChainPlace,
    prefix: &IpNet,
    depth: usize,
) -> Walked {
    // Its destination is the prefix, at either hook.
    let packet = Packet { prefix, hook: Hook::Input, own_rules: OwnRules::All };
    let mut leaves = Leaves::Tracked;
    let rules = chains.get(place).filter(|_| depth > 0).map(|chain| &chain.rules);
    for rule in rules.into_iter().flatten() {
        let applies = packet.meets_all(&rule.conditions);
        if applies == Some(false) {
            continue;
        }
        let is_sure = applies == Some(true);
        let most = if is_sure { Leaves::Untracked } else { Leaves::Perhaps };
        let mut is_decided = matches!(rule.verdict, RuleVerdict::Accept | RuleVerdict::Drop);
        if rule.untracks {
            leaves = leaves.max(most);
        }
        if let RuleVerdict::Jump(chain) | RuleVerdict::Goto(chain) = &rule.verdict {
            let there = walk(chains, &place.sibling_chain(chain), prefix, depth - 1);
            leaves = leaves.max(there.leaves.min(most));
            is_decided = there.is_decided;
        }
        let returns = matches!(rule.verdict, RuleVerdict::Return | RuleVerdict::Goto(_));
        if is_sure && (is_decided || returns) {
            return Walked { leaves, is_decided };
        }
    }
    Walked { leaves, is_decided: false }
}
