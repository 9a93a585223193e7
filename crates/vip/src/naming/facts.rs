//! What a node knows of a name, for people, commands and the state file.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::VipName;
use crate::AppId;

/// A name with its addresses on this node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameFacts {
    /// The name without its zone.
    pub name: VipName,
    /// Its addresses, at most one of each family.
    pub addresses: BTreeSet<IpAddr>,
    /// Those of the addresses that a label gave it.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub pinned: BTreeSet<IpAddr>,
    /// How it came to its first address.
    #[serde(default)]
    pub choice: Choice,
    /// The apps that claim it.
    #[serde(default)]
    pub apps: Vec<String>,
    /// The milliseconds since it has them.
    #[serde(default)]
    pub age_ms: u64,
    /// The milliseconds for which the addresses are kept for it, if no app claims it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_ms: Option<u64>,
}

/// How a name came to its address.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Choice {
    /// Its hash gives it.
    #[default]
    Hash,
    /// A label `IPVS_ADDRESS` gives it.
    Pinned,
    /// The address of its hash belongs to another name.
    Displaced {
        /// The other name.
        by: VipName,
    },
    /// It was remembered: nothing stands in the way of the address of its hash now.
    Remembered,
}

/// The states by which names are counted: how those that apps claim came to their address, and those
/// whose address is only kept for them.
pub const NAME_STATES: [&str; 5] = ["hash", "pinned", "displaced", "remembered", KEPT_STATE];

/// The state of a name that no app claims.
pub(super) const KEPT_STATE: &str = "kept";

impl Choice {
    /// Returns a word for it.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Hash => "hash",
            Self::Pinned => "pinned",
            Self::Displaced { .. } => "displaced",
            Self::Remembered => "remembered",
        }
    }
}

/// Writes it for people.
impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hash => f.write_str("by its hash"),
            Self::Pinned => f.write_str("pinned by IPVS_ADDRESS"),
            Self::Displaced { by } => write!(f, "next to the address of {by}"),
            Self::Remembered => f.write_str("remembered"),
        }
    }
}

/// The reason why a name can't have the address that its label `IPVS_ADDRESS` gives.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PinRefusal {
    /// Another app claims the name with other addresses, or without.
    #[error(
        "IPVS_ADDRESS is not obeyed: {0} claims the name too and gives it another address, or none"
    )]
    Disagree(AppId),
    /// Another name has it, or had it within the last 24 hours.
    #[error("IPVS_ADDRESS is not obeyed: {0} is the address of {1}")]
    Taken(IpAddr, VipName),
    /// A VIP without a name has it.
    #[error("IPVS_ADDRESS is not obeyed: another app claims a VIP by the address {0}")]
    Vip(IpAddr),
    /// It is not for names.
    #[error("IPVS_ADDRESS is not obeyed: {0} lies neither in names.range nor in vip.allow")]
    Outside(IpAddr),
}
