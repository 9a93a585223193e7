//! The node's own firewall: what it does with traffic to VIPs, and what lets that in. Pure.
//!
//! A packet to a VIP passes these hooks, each of them before IPVS or instead of it:
//!
//! - input: what comes from clients elsewhere and from containers, to the VIP; what answers the
//!   node's own clients, to the VIP that they have as their source.
//! - output: what IPVS sends on, to the real server, whoever the client is.
//! - forward: what answers clients elsewhere and containers, from the real server.
//!
//! Common to all of them is where the connection was made to: a VIP. That is what a rule that lets
//! them in looks at, and in forward it lets nothing in but answers.

mod evaluate;
mod own_rules;
mod remedy;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::nft::UnknownMode;
pub use evaluate::{Fate, Finding, prefixes_to_check};
pub use own_rules::split_admissible;
pub use remedy::{Guardian, describe_remedy, find_guardian, iptables_match, remedy_commands};

/// What vipd does about chains that drop traffic to VIPs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LetIn {
    /// It tells of them.
    #[default]
    Off,
    /// It adds a rule of its own at their head.
    Insert,
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

/// Who keeps a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Keeper {
    /// nftables; rules of iptables-nft are there too.
    Nftables,
    /// The kernel's older tables, of iptables-legacy.
    Legacy,
}

/// The packets that a table sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sees {
    /// IPv4: `ip`.
    V4,
    /// IPv6: `ip6`.
    V6,
    /// Both: `inet`.
    Both,
}

impl Sees {
    /// Its name in nftables.
    #[must_use]
    pub fn family_name(self) -> &'static str {
        match self {
            Self::V4 => "ip",
            Self::V6 => "ip6",
            Self::Both => "inet",
        }
    }

    /// Whether packets to a prefix are among them.
    #[must_use]
    pub fn covers_prefix(self, prefix: &IpNet) -> bool {
        match self {
            Self::V4 => prefix.addr().is_ipv4(),
            Self::V6 => prefix.addr().is_ipv6(),
            Self::Both => true,
        }
    }
}

/// Where a chain is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Whose table it is in.
    pub keeper: Keeper,
    /// What its table sees.
    pub sees: Sees,
    /// The table.
    pub table: String,
    /// The chain.
    pub chain: String,
}

impl Place {
    /// Another chain of the same table.
    #[must_use]
    pub fn sibling_chain(&self, chain: &str) -> Self {
        Self { chain: chain.to_owned(), ..self.clone() }
    }

    /// Whether it is a chain that iptables has: its tools can't read rules that iptables lacks, and
    /// refuse to touch a table with one.
    #[must_use]
    pub fn is_of_iptables(&self) -> bool {
        let tables = ["filter", "mangle", "nat", "raw", "security"];
        let chains = ["INPUT", "FORWARD", "OUTPUT"];
        self.sees != Sees::Both
            && tables.contains(&self.table.as_str())
            && chains.contains(&self.chain.as_str())
    }
}

/// `inet filter input`, or `ip filter INPUT (iptables-legacy)`.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.sees.family_name(), self.table, self.chain)?;
        match self.keeper {
            Keeper::Nftables => Ok(()),
            Keeper::Legacy => f.write_str(" (iptables-legacy)"),
        }
    }
}

/// Where packets meet a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hook {
    /// Those for this node.
    Input,
    /// Those of others, for others.
    Forward,
    /// Those that this node sends.
    Output,
}

/// What makes a chain see packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Base {
    /// Which packets.
    pub hook: Hook,
    /// Whether it drops what no rule decides about.
    pub drops: bool,
}

/// A chain.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Chain {
    /// `None`: packets come from other chains only.
    pub base: Option<Base>,
    /// In order.
    pub rules: Vec<Rule>,
}

/// A rule, as far as it is understood.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rule {
    /// All of them must hold.
    pub conditions: Vec<Condition>,
    /// What happens then.
    pub verdict: Verdict,
    /// The prefix in its comment, if it is vipd's.
    pub mark: Option<IpNet>,
}

/// Something that a packet must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// Of IPv4 (true), or of IPv6.
    IsV4(bool),
    /// Of a connection that was made to one of these.
    MadeTo(IpNet),
    /// On its way to one of these.
    To(IpNet),
    /// Of a connection in one of these states: bits as `NF_CT_STATE_BIT` of the kernel's
    /// `nf_conntrack_common.h` has them.
    State(u32),
    /// In the direction of answers (true), or of questions.
    Answers(bool),
    /// Something that isn't understood.
    Other,
}

/// The state of a connection's first packet, and of those after the first answer.
pub const NEW: u32 = 8;
/// See [`NEW`].
pub const ESTABLISHED: u32 = 2;

/// What a rule decides.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Verdict {
    /// Nothing.
    #[default]
    None,
    /// The packet goes on.
    Accept,
    /// It doesn't: dropped, or rejected.
    Drop,
    /// Another chain decides, and comes back if it doesn't.
    Jump(String),
    /// Another chain decides in the place of the rest of this one.
    Goto(String),
    /// The rest of this chain is skipped.
    Return,
    /// Something that isn't understood.
    Other,
}

/// The chains that packets to and from VIPs may meet.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Firewall {
    /// Those at the hooks, and those that they lead to; vipd's own tables aren't among them.
    pub chains: BTreeMap<Place, Chain>,
    /// What could not be read, a sentence each.
    pub unread: BTreeSet<String>,
}

/// What vipd's rules have in their comments before the prefix.
pub const MARK: &str = "vipd:";

impl Rule {
    /// The rule that vipd makes to let packets of these VIPs pass a hook.
    #[must_use]
    pub fn letting_in(prefix: IpNet, hook: Hook) -> Self {
        let mut conditions = vec![Condition::MadeTo(prefix)];
        if hook == Hook::Forward {
            conditions.insert(0, Condition::Answers(true));
        }
        Self { conditions, verdict: Verdict::Accept, mark: Some(prefix) }
    }

    /// What vipd writes into its comment.
    #[must_use]
    pub fn comment_for(prefix: &IpNet) -> String {
        format!("{MARK}{prefix}")
    }

    /// The prefix that a comment of vipd's names.
    #[must_use]
    pub fn mark_in(comment: &str) -> Option<IpNet> {
        comment.strip_prefix(MARK)?.parse().ok()
    }
}

impl Firewall {
    /// The chains at the hooks.
    pub fn base_chains(&self) -> impl Iterator<Item = (&Place, Base)> {
        self.chains.iter().filter_map(|(place, chain)| Some((place, chain.base?)))
    }

    /// Where there are rules of vipd's, whatever they look like.
    #[must_use]
    pub fn marked_rules(&self) -> BTreeSet<(Place, IpNet)> {
        let all = self.chains.iter().flat_map(|(place, chain)| {
            let marks = chain.rules.iter().filter_map(|rule| rule.mark);
            marks.map(|mark| (place.clone(), mark))
        });
        all.collect()
    }
}
