//! What is ours in nftables: the tables `ip vipd` and `ip6 vipd`.
//!
//! Their rules keep packets to VIPs from everything that isn't IPVS, and give clients on this node
//! a source that replies come back to. The rules never change while vipd runs; what comes and goes
//! are the elements of two sets, with the addresses and services they stand for.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

pub use nl_ipvs::Family;
use serde::{Deserialize, Serialize};

use crate::Vip;

/// Whether clients elsewhere get this node's address as their source towards real servers. The
/// node's own clients always do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Masquerade {
    /// They do, so replies come back through this node wherever the real server is.
    #[default]
    Always,
    /// They keep their own: real servers see it, and must send replies through this node.
    Off,
}

/// Whether a VIP's ports without a service are closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Guard {
    /// They are: no listener of this node answers on a VIP.
    #[default]
    On,
    /// They aren't: whatever listens on `0.0.0.0` answers on every VIP.
    Off,
}

/// What the operator decides about the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Modes {
    /// The source of clients elsewhere.
    pub masquerade: Masquerade,
    /// The ports without a service.
    pub guard: Guard,
}

/// The rules of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rules {
    /// The chains that translate addresses; `None` where the kernel has none.
    pub nat: Option<Masquerade>,
    /// The chain behind IPVS.
    pub guard: Guard,
}

impl Rules {
    /// Every table that vipd ever makes is one of these.
    pub const ALL: [Self; 6] = [
        Self { nat: Some(Masquerade::Always), guard: Guard::On },
        Self { nat: Some(Masquerade::Always), guard: Guard::Off },
        Self { nat: Some(Masquerade::Off), guard: Guard::On },
        Self { nat: Some(Masquerade::Off), guard: Guard::Off },
        Self { nat: None, guard: Guard::On },
        Self { nat: None, guard: Guard::Off },
    ];
}

/// What the kernel's nftables can do, found out by trying.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Able {
    /// Nothing of it.
    #[default]
    Nothing,
    /// Refuse packets, and not translate addresses.
    Filter,
    /// All of it.
    Nat,
}

/// The rules that were found in a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Standing {
    /// There is no table.
    #[default]
    Missing,
    /// There is, and somebody changed it.
    Damaged,
    /// It is one of ours.
    Whole(Rules),
}

/// One of our tables as it was read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Table {
    /// What it could hold.
    pub able: Able,
    /// What the kernel refused of the rest.
    pub lacks: Option<String>,
    /// Its rules.
    pub standing: Standing,
    /// Its set `vips`: the addresses that are guarded.
    pub vips: BTreeSet<IpAddr>,
    /// Its set `empty`: the services whose new clients are refused, since nobody can serve them.
    pub empty: BTreeSet<Vip>,
}

/// An element of a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Element {
    /// Of `vips`.
    Guarded(IpAddr),
    /// Of `empty`.
    Refused(Vip),
}

/// The family's name in nftables.
#[must_use]
pub fn family_name(family: Family) -> &'static str {
    match family {
        Family::Inet => "ip",
        Family::Inet6 => "ip6",
    }
}

/// Our tables, one for each family.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Nft {
    /// `table ip vipd`.
    pub v4: Table,
    /// `table ip6 vipd`.
    pub v6: Table,
}

impl Element {
    /// The address it is about.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        match self {
            Self::Guarded(address) => *address,
            Self::Refused(vip) => vip.address,
        }
    }

    /// The set it belongs to.
    #[must_use]
    pub fn set_name(&self) -> &'static str {
        match self {
            Self::Guarded(_) => "vips",
            Self::Refused(_) => "empty",
        }
    }

    /// The table it belongs to.
    #[must_use]
    pub fn family(&self) -> Family {
        Family::from(self.address())
    }
}

/// `3.3.0.6` or `3.3.0.6:3306/tcp`.
impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Guarded(address) => address.fmt(f),
            Self::Refused(vip) => vip.fmt(f),
        }
    }
}

impl Table {
    /// The rules it should hold; `None` where it can hold none.
    #[must_use]
    pub fn wanted_rules(&self, modes: Modes) -> Option<Rules> {
        let Modes { masquerade, guard } = modes;
        match self.able {
            Able::Nothing => None,
            Able::Filter => Some(Rules { nat: None, guard }),
            Able::Nat => Some(Rules { nat: Some(masquerade), guard }),
        }
    }

    /// All its elements.
    pub fn elements(&self) -> impl Iterator<Item = Element> + '_ {
        let guarded = self.vips.iter().copied().map(Element::Guarded);
        guarded.chain(self.empty.iter().copied().map(Element::Refused))
    }

    /// Puts an element in.
    pub fn insert(&mut self, element: Element) {
        match element {
            Element::Guarded(address) => self.vips.insert(address),
            Element::Refused(vip) => self.empty.insert(vip),
        };
    }

    /// Takes an element out; whether it was there.
    pub fn remove(&mut self, element: Element) -> bool {
        match element {
            Element::Guarded(address) => self.vips.remove(&address),
            Element::Refused(vip) => self.empty.remove(&vip),
        }
    }

    /// Whether it holds an element.
    #[must_use]
    pub fn contains(&self, element: Element) -> bool {
        match element {
            Element::Guarded(address) => self.vips.contains(&address),
            Element::Refused(vip) => self.empty.contains(&vip),
        }
    }

    fn restricted_to(&self, addresses: &BTreeSet<IpAddr>) -> Self {
        let vips = addresses.iter().filter(|address| self.vips.contains(*address));
        let empty =
            addresses.iter().flat_map(|address| self.empty.range(Vip::all_on(*address)).copied());
        Self {
            able: self.able,
            lacks: self.lacks.clone(),
            standing: self.standing,
            vips: vips.copied().collect(),
            empty: empty.collect(),
        }
    }
}

impl Nft {
    /// The table of a family.
    #[must_use]
    pub fn table(&self, family: Family) -> &Table {
        match family {
            Family::Inet => &self.v4,
            Family::Inet6 => &self.v6,
        }
    }

    /// The same, to be changed.
    pub fn table_mut(&mut self, family: Family) -> &mut Table {
        match family {
            Family::Inet => &mut self.v4,
            Family::Inet6 => &mut self.v6,
        }
    }

    /// Both tables.
    pub fn tables(&self) -> [(Family, &Table); 2] {
        [(Family::Inet, &self.v4), (Family::Inet6, &self.v6)]
    }

    /// All elements of both.
    pub fn elements(&self) -> impl Iterator<Item = Element> + '_ {
        self.v4.elements().chain(self.v6.elements())
    }

    /// The same with the elements of some addresses only.
    pub(crate) fn restricted_to(&self, addresses: &BTreeSet<IpAddr>) -> Self {
        Self { v4: self.v4.restricted_to(addresses), v6: self.v6.restricted_to(addresses) }
    }

    /// What the kernel can't do, and why: one entry for a family, or one for both.
    pub fn describe_lacks(&self) -> Vec<String> {
        let lack = |table: &Table| {
            let what = match table.able {
                Able::Nat => return None,
                Able::Filter => "no address translation",
                Able::Nothing => "no nftables",
            };
            let why = table.lacks.as_deref().unwrap_or("not tried yet");
            Some((what, why.to_owned()))
        };
        match (lack(&self.v4), lack(&self.v6)) {
            (Some(both), v6) if v6.as_ref() == Some(&both) => {
                vec![format!("{} ({})", both.0, both.1)]
            }
            (v4, v6) => [("IPv4", v4), ("IPv6", v6)]
                .into_iter()
                .filter_map(|(family, lack)| lack.map(|(what, why)| (family, what, why)))
                .map(|(family, what, why)| format!("{what} for {family} ({why})"))
                .collect(),
        }
    }
}

/// `whole (masquerade always, guard on)`, or `reduced` and why.
impl fmt::Display for Nft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lacks = self.describe_lacks();
        match lacks.is_empty() {
            true => f.write_str("whole")?,
            false => write!(f, "reduced: {}", lacks.join("; "))?,
        }
        let standing = self.tables().into_iter().find_map(|(_, table)| match table.standing {
            Standing::Whole(rules) => Some(rules),
            _ => None,
        });
        match standing {
            Some(rules) => write!(f, " ({rules})"),
            None => Ok(()),
        }
    }
}

/// A word that names no mode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{word:?} is neither {first:?} nor {second:?}")]
pub struct UnknownMode {
    word: String,
    first: &'static str,
    second: &'static str,
}

impl UnknownMode {
    pub(crate) fn new(word: &str, first: &'static str, second: &'static str) -> Self {
        Self { word: word.to_owned(), first, second }
    }
}

impl FromStr for Masquerade {
    type Err = UnknownMode;

    fn from_str(word: &str) -> Result<Self, UnknownMode> {
        match word {
            "always" => Ok(Self::Always),
            "off" => Ok(Self::Off),
            _ => Err(UnknownMode::new(word, "always", "off")),
        }
    }
}

impl FromStr for Guard {
    type Err = UnknownMode;

    fn from_str(word: &str) -> Result<Self, UnknownMode> {
        match word {
            "on" => Ok(Self::On),
            "off" => Ok(Self::Off),
            _ => Err(UnknownMode::new(word, "on", "off")),
        }
    }
}

impl fmt::Display for Masquerade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Always => "always",
            Self::Off => "off",
        })
    }
}

impl fmt::Display for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::On => "on",
            Self::Off => "off",
        })
    }
}

/// `masquerade always, guard on`.
impl fmt::Display for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.nat {
            Some(masquerade) => write!(f, "masquerade {masquerade}, guard {}", self.guard),
            None => write!(f, "no address translation, guard {}", self.guard),
        }
    }
}
