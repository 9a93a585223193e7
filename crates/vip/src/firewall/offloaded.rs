//! Rules that give connections to a flowtable, by which later packets bypass IPVS.

use std::fmt;

use ipnet::IpNet;

use super::evaluate::{DEPTH, Packet, name_some};
use super::{
    Base, ChainPlace, Fate, Finding, Firewall, FirewallManager, Hook, OwnRules, RuleVerdict,
    describe_remedy, find_manager,
};

/// A chain that gives connections to VIPs to a flowtable.
///
/// The flowtable takes the replies at the interface by which they come in, and restores the destination
/// of those whose source was translated. IPVS, which would restore their source, never sees them: it marks
/// no connection as one whose destination is translated (`IPS_DST_NAT`, which `flow_offload_alloc` of
/// `net/netfilter/nf_flow_table_core.c` asks for).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offloaded {
    /// The base chain.
    pub place: ChainPlace,
    /// Whether it does so for certain. If not, the rule has conditions that vipd doesn't understand.
    pub is_certain: bool,
    /// The prefixes of VIPs.
    pub prefixes: Vec<IpNet>,
}

/// Writes `inet filter forward may give replies of 3.0.0.0/8 to a flowtable`.
impl fmt::Display for Offloaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let does = if self.is_certain { "gives" } else { "may give" };
        let names = name_some(&self.prefixes);
        write!(f, "{} {does} replies of {names} to a flowtable", self.place)
    }
}

impl Offloaded {
    /// Describes what to do about it, for people.
    #[must_use]
    pub fn describe_remedy(&self, firewall: &Firewall) -> String {
        // Its rules can't be put before those of firewalld for good.
        if find_manager(firewall, &self.place) == FirewallManager::Firewalld {
            return "set `NftablesFlowtable=off` in /etc/firewalld/firewalld.conf, and run \
                    `firewall-cmd --reload`"
                .to_owned();
        }
        let base = Base { hook: Hook::Forward, drops: false };
        let (place, prefixes) = (self.place.clone(), self.prefixes.clone());
        describe_remedy(firewall, &Finding { place, base, fate: Fate::Passes, prefixes })
    }
}

/// Whether a chain gives the connection of a packet to a flowtable, and whether no later rule of the base
/// chain sees the packet.
struct Walked {
    /// `Some(true)`: for certain.
    gives: Option<bool>,
    is_decided: bool,
}

impl Firewall {
    /// Finds the chains that give connections to these VIPs to a flowtable. Only replies are forwarded.
    #[must_use]
    pub fn find_offloaded(&self, vips: &[IpNet]) -> Vec<Offloaded> {
        let judge = |(place, base): (&ChainPlace, Base)| {
            let seen = vips.iter().filter(|prefix| place.families.covers_prefix(prefix));
            let given = seen.filter_map(|prefix| {
                Some((*prefix, self.gives_to_flowtable(place, prefix, OwnRules::All)?))
            });
            let given: Vec<_> = given.collect();
            let found = Offloaded {
                place: place.clone(),
                is_certain: given.iter().any(|(_, is_certain)| *is_certain),
                prefixes: given.into_iter().map(|(prefix, _)| prefix).collect(),
            };
            (base.hook == Hook::Forward && !found.prefixes.is_empty()).then_some(found)
        };
        self.base_chains().filter_map(judge).collect()
    }

    /// Tells whether a chain of the forward hook gives replies of a prefix to a flowtable, and if so,
    /// whether for certain.
    pub(super) fn gives_to_flowtable(
        &self,
        place: &ChainPlace,
        prefix: &IpNet,
        own_rules: OwnRules<'_>,
    ) -> Option<bool> {
        let packet = Packet { prefix, hook: Hook::Forward, own_rules };
        self.find_flowtable(place, &packet, DEPTH).gives
    }

    /// Follows a reply of a VIP through a chain.
    fn find_flowtable(&self, place: &ChainPlace, packet: &Packet<'_>, depth: usize) -> Walked {
        let mut gives = None;
        let rules = self.chains.get(place).filter(|_| depth > 0).map(|chain| &chain.rules);
        for rule in rules.into_iter().flatten().filter(|rule| packet.meets(place, rule)) {
            let applies = packet.meets_all(&rule.conditions);
            if applies == Some(false) {
                continue;
            }
            let is_sure = applies == Some(true);
            let mut is_decided = matches!(rule.verdict, RuleVerdict::Accept | RuleVerdict::Drop);
            if rule.offloads {
                gives = gives.max(Some(is_sure));
            }
            if let RuleVerdict::Jump(chain) | RuleVerdict::Goto(chain) = &rule.verdict {
                let there = self.find_flowtable(&place.sibling_chain(chain), packet, depth - 1);
                gives = gives.max(there.gives.map(|is_certain| is_certain && is_sure));
                is_decided = there.is_decided;
            }
            let returns = matches!(rule.verdict, RuleVerdict::Return | RuleVerdict::Goto(_));
            if is_sure && (is_decided || returns) {
                return Walked { gives, is_decided };
            }
        }
        Walked { gives, is_decided: false }
    }
}
