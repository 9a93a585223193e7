//! The node's own firewall: its effect on traffic to VIPs, and the rules that let this in. Pure.
//!
//! A packet to a VIP passes these hooks, before IPVS or instead of it:
//!
//! - input: packets from clients elsewhere and from containers, to the VIP; and replies to the node's
//!   own clients, to the VIP that these have as their source.
//! - output: packets that IPVS forwards to the real server, whoever the client is.
//! - forward: replies from the real server to clients elsewhere and to containers.
//!
//! All of them have the original destination of the connection in common: a VIP. Our rules match on
//! it, and in forward they let only replies pass.

mod evaluate;
mod offloaded;
mod own_rules;
mod remedy;
mod untracked;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::nft::UnknownMode;
pub use evaluate::{Fate, Finding, OwnRules, prefixes_to_check};
pub use offloaded::Offloaded;
pub use own_rules::split_admissible;
pub use remedy::{FirewallManager, describe_remedy, find_manager, iptables_match, remedy_commands};
pub use untracked::{Untracked, UntrackedPackets};

/// The action about chains that drop traffic to VIPs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LetIn {
    /// Report them.
    #[default]
    Off,
    /// Insert a rule of ours at their head.
    Insert,
}

impl fmt::Display for LetIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "off",
            Self::Insert => "insert",
        })
    }
}

impl FromStr for LetIn {
    type Err = UnknownMode;

    fn from_str(word: &str) -> Result<Self, UnknownMode> {
        match word {
            "off" => Ok(Self::Off),
            "insert" => Ok(Self::Insert),
            _ => Err(UnknownMode::new(word, "off", "insert")),
        }
    }
}

/// The subsystem that holds a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Backend {
    /// nftables, which also holds the rules of iptables-nft.
    Nftables,
    /// The older `x_tables` of iptables-legacy.
    Legacy,
}

/// The address families that a table sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Families {
    /// IPv4: `ip`.
    V4,
    /// IPv6: `ip6`.
    V6,
    /// Both: `inet`.
    Both,
}

impl Families {
    /// Returns the name of the family in nftables.
    #[must_use]
    pub fn family_name(self) -> &'static str {
        match self {
            Self::V4 => "ip",
            Self::V6 => "ip6",
            Self::Both => "inet",
        }
    }

    /// Tells whether the table sees packets to a prefix.
    #[must_use]
    pub fn covers_prefix(self, prefix: &IpNet) -> bool {
        match self {
            Self::V4 => prefix.addr().is_ipv4(),
            Self::V6 => prefix.addr().is_ipv6(),
            Self::Both => true,
        }
    }
}

/// The place of a chain.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChainPlace {
    /// The subsystem of the table.
    pub backend: Backend,
    /// The families that the table sees.
    pub families: Families,
    /// The table.
    pub table: String,
    /// The chain.
    pub chain: String,
}

impl ChainPlace {
    /// Returns another chain of the same table.
    #[must_use]
    pub fn sibling_chain(&self, chain: &str) -> Self {
        Self { chain: chain.to_owned(), ..self.clone() }
    }

    /// Tells whether iptables knows the chain: its tools can't read rules that iptables lacks, and
    /// refuse to touch a table that has one.
    #[must_use]
    pub fn is_of_iptables(&self) -> bool {
        let tables = ["filter", "mangle", "nat", "raw", "security"];
        let chains = ["PREROUTING", "INPUT", "FORWARD", "OUTPUT"];
        self.families != Families::Both
            && tables.contains(&self.table.as_str())
            && chains.contains(&self.chain.as_str())
    }
}

/// Writes `inet filter input`, or `ip filter INPUT (iptables-legacy)`.
impl fmt::Display for ChainPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.families.family_name(), self.table, self.chain)?;
        match self.backend {
            Backend::Nftables => Ok(()),
            Backend::Legacy => f.write_str(" (iptables-legacy)"),
        }
    }
}

/// A netfilter hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hook {
    /// Packets to this node.
    Input,
    /// Packets that this node forwards.
    Forward,
    /// Packets that this node sends.
    Output,
}

/// The attachment of a base chain to a hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Base {
    /// The hook.
    pub hook: Hook,
    /// Whether the policy drops packets that no rule decides about.
    pub drops: bool,
}

/// A chain.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Chain {
    /// The hook of a base chain; `None` for a chain that only other chains lead to.
    pub base: Option<Base>,
    /// The rules in order.
    pub rules: Vec<Rule>,
}

/// A rule, as far as vipd understands it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rule {
    /// The conditions, all of which must hold.
    pub conditions: Vec<RuleCondition>,
    /// The verdict if they hold.
    pub verdict: RuleVerdict,
    /// The prefix in its comment, if the rule is ours.
    pub mark: Option<IpNet>,
    /// Whether it has conntrack leave the packet alone, before its verdict.
    pub untracks: bool,
    /// Whether it has later packets of the connection bypass the rules, by a flowtable, before its verdict.
    pub offloads: bool,
}

/// A condition on a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleCondition {
    /// The packet is IPv4 (true) or IPv6.
    IsV4(bool),
    /// The original destination of the connection is in this prefix.
    MadeTo(IpNet),
    /// The packet's destination is in this prefix.
    To(IpNet),
    /// The connection is in one of these states: bits as in `NF_CT_STATE_BIT` of the kernel's
    /// `nf_conntrack_common.h`.
    State(u32),
    /// The packet is a reply (true), or travels in the original direction.
    Answers(bool),
    /// Anything that vipd doesn't understand.
    Other,
}

/// The conntrack state of a connection's first packet.
pub const NEW: u32 = 8;
/// The conntrack state of packets after the first reply.
pub const ESTABLISHED: u32 = 2;

/// The verdict of a rule.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum RuleVerdict {
    /// No verdict.
    #[default]
    None,
    /// Accept the packet.
    Accept,
    /// Drop or reject the packet.
    Drop,
    /// Continue in another chain, and return from there without a decision.
    Jump(String),
    /// Continue in another chain instead of the rest of this one.
    Goto(String),
    /// Skip the rest of this chain.
    Return,
    /// Anything that vipd doesn't understand.
    Other,
}

/// The chains that packets to and from VIPs may traverse.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Firewall {
    /// The base chains and those that they lead to, without our own tables.
    pub chains: BTreeMap<ChainPlace, Chain>,
    /// The base chains before conntrack, and those that they lead to. In them, [`Hook::Input`] stands for
    /// prerouting.
    pub raw: BTreeMap<ChainPlace, Chain>,
    /// Sentences about what could not be read.
    pub unread: BTreeSet<String>,
}

/// The beginning of the comment of our rules, before the prefix.
pub const MARK: &str = "vipd:";

impl Rule {
    /// Builds the rule that lets packets of these VIPs pass a hook.
    #[must_use]
    pub fn letting_in(prefix: IpNet, hook: Hook) -> Self {
        let mut conditions = vec![RuleCondition::MadeTo(prefix)];
        if hook == Hook::Forward {
            conditions.insert(0, RuleCondition::Answers(true));
        }
        Self { conditions, verdict: RuleVerdict::Accept, mark: Some(prefix), ..Self::default() }
    }

    /// Returns the comment of our rule for a prefix.
    #[must_use]
    pub fn comment_for(prefix: &IpNet) -> String {
        format!("{MARK}{prefix}")
    }

    /// Returns the prefix that the comment of one of our rules names.
    #[must_use]
    pub fn mark_in(comment: &str) -> Option<IpNet> {
        comment.strip_prefix(MARK)?.parse().ok()
    }
}

impl Firewall {
    /// Returns the chains at the hooks.
    pub fn base_chains(&self) -> impl Iterator<Item = (&ChainPlace, Base)> {
        self.chains.iter().filter_map(|(place, chain)| Some((place, chain.base?)))
    }

    /// Returns the chain and prefix of every rule of ours, even if it was changed.
    #[must_use]
    pub fn marked_rules(&self) -> BTreeSet<(ChainPlace, IpNet)> {
        let all = self.chains.iter().flat_map(|(place, chain)| {
            let marks = chain.rules.iter().filter_map(|rule| rule.mark);
            marks.map(|mark| (place.clone(), mark))
        });
        all.collect()
    }
}
