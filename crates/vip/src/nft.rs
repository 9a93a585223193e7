//! Our nftables tables, `ip vipd` and `ip6 vipd`.
//!
//! Their rules keep packets to VIPs away from everything but IPVS, and give clients on this node a
//! source address that replies come back to. The rules never change while vipd runs; only the
//! elements of three sets and a map come and go, with the addresses and services they stand for.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::str::FromStr;

pub use nl_ipvs::Family;
use serde::{Deserialize, Serialize};

use crate::Vip;

/// Source NAT of clients elsewhere towards real servers. Clients on the node itself are always
/// translated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Masquerade {
    /// The source becomes this node's address, so that replies come back through this node wherever
    /// the real server is.
    #[default]
    Always,
    /// The source stays the client's: real servers see it, and must route replies through this
    /// node.
    Off,
}

/// Protection of a VIP's ports without a virtual service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Guard {
    /// Closed: no listener of this node answers on a VIP.
    #[default]
    On,
    /// Open: whatever listens on `0.0.0.0` answers on every VIP.
    Off,
}

/// Reports of SYNs that clients had to send again, since the real server answered none before: the
/// evidence of a silent host that a filter of echoes can't hide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum LostSyns {
    /// They are logged, for the prober to read.
    Logged,
    /// Nobody asks for them.
    #[default]
    Ignored,
}

/// The configured modes of the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Modes {
    /// Source NAT of clients elsewhere.
    pub masquerade: Masquerade,
    /// Protection of ports without a service.
    pub guard: Guard,
    /// Reports of lost SYNs, where addresses can be translated.
    pub lost_syns: LostSyns,
}

/// The rules of one of our tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rules {
    /// The chains with address translation; `None` where the kernel has none.
    pub nat: Option<Masquerade>,
    /// The chain after IPVS.
    pub guard: Guard,
    /// The rule that logs lost SYNs. Never without address translation.
    pub lost_syns: LostSyns,
}

impl Rules {
    /// Every variant that vipd creates.
    pub const ALL: [Self; 10] = {
        use Masquerade::{Always, Off};
        [
            Self::variant(Some(Always), Guard::On, LostSyns::Logged),
            Self::variant(Some(Always), Guard::Off, LostSyns::Logged),
            Self::variant(Some(Off), Guard::On, LostSyns::Logged),
            Self::variant(Some(Off), Guard::Off, LostSyns::Logged),
            Self::variant(Some(Always), Guard::On, LostSyns::Ignored),
            Self::variant(Some(Always), Guard::Off, LostSyns::Ignored),
            Self::variant(Some(Off), Guard::On, LostSyns::Ignored),
            Self::variant(Some(Off), Guard::Off, LostSyns::Ignored),
            Self::variant(None, Guard::On, LostSyns::Ignored),
            Self::variant(None, Guard::Off, LostSyns::Ignored),
        ]
    };

    const fn variant(nat: Option<Masquerade>, guard: Guard, lost_syns: LostSyns) -> Self {
        Self { nat, guard, lost_syns }
    }
}

/// The nftables features of the kernel, probed by a trial transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum NftSupport {
    /// No nftables.
    #[default]
    Nothing,
    /// Packet filtering without address translation.
    Filter,
    /// Packet filtering and address translation.
    Nat,
}

/// The state of the rules in a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum TableState {
    /// The table doesn't exist.
    #[default]
    Missing,
    /// Somebody changed the table.
    Damaged,
    /// The table has exactly these rules.
    Whole(Rules),
}

/// One of our tables as read from the kernel.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Table {
    /// The features that the kernel has for it.
    pub support: NftSupport,
    /// The kernel's error for features that it lacks.
    pub lacks: Option<String>,
    /// The kernel's error for the rule that logs lost SYNs; `None` if it has accepted it.
    pub cannot_log: Option<String>,
    /// The state of the rules.
    pub state: TableState,
    /// The elements of set `vips`: addresses that are guarded.
    pub vips: BTreeSet<IpAddr>,
    /// The elements of set `empty`: services without a usable real server, whose new clients are
    /// refused.
    pub empty: BTreeSet<Vip>,
    /// The elements of set `open`: ports of guarded addresses at which a server of this node answers.
    pub open: BTreeSet<Vip>,
    /// The elements of map `sources`, by virtual address and real server: the source to translate
    /// clients to where masquerading would choose another one.
    pub sources: BTreeMap<(IpAddr, IpAddr), IpAddr>,
}

/// The source address that clients of a virtual address get towards a real server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Translation {
    /// The virtual address.
    pub address: IpAddr,
    /// The real server's address.
    pub server: IpAddr,
    /// The source. All three are of one family.
    pub source: IpAddr,
}

/// An element of a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Element {
    /// An address in set `vips`.
    Guarded(IpAddr),
    /// A virtual service in set `empty`.
    Refused(Vip),
    /// A port in set `open`.
    Open(Vip),
    /// A source in map `sources`.
    Source(Translation),
}

/// Returns the range of a virtual address with each real server.
pub(crate) fn pairs_of(address: IpAddr) -> RangeInclusive<(IpAddr, IpAddr)> {
    let last = Ipv6Addr::from_bits(u128::MAX);
    (address, Ipv4Addr::UNSPECIFIED.into())..=(address, last.into())
}

/// Returns the family's name in nftables.
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
    /// Returns the address of the element.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        match self {
            Self::Guarded(address) => *address,
            Self::Refused(vip) | Self::Open(vip) => vip.address,
            Self::Source(translation) => translation.address,
        }
    }

    /// Returns the name of the set that holds the element.
    #[must_use]
    pub fn set_name(&self) -> &'static str {
        match self {
            Self::Guarded(_) => "vips",
            Self::Refused(_) => "empty",
            Self::Open(_) => "open",
            Self::Source(_) => "sources",
        }
    }

    /// Returns the family of the table that holds the element.
    #[must_use]
    pub fn family(&self) -> Family {
        Family::from(self.address())
    }
}

/// Writes `3.3.0.6`, `3.3.0.6:3306/tcp`, or `3.3.0.6 by 10.0.0.7 from 10.0.0.9`.
impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Guarded(address) => address.fmt(f),
            Self::Refused(vip) | Self::Open(vip) => vip.fmt(f),
            Self::Source(Translation { address, server, source }) => {
                write!(f, "{address} by {server} from {source}")
            }
        }
    }
}

impl Table {
    /// Returns the rules that the table should have; `None` if the kernel has no nftables.
    #[must_use]
    pub fn wanted_rules(&self, modes: Modes) -> Option<Rules> {
        let Modes { masquerade, guard, lost_syns } = modes;
        let lost_syns = if self.cannot_log.is_none() { lost_syns } else { LostSyns::Ignored };
        match self.support {
            NftSupport::Nothing => None,
            NftSupport::Filter => Some(Rules { nat: None, guard, lost_syns: LostSyns::Ignored }),
            NftSupport::Nat => Some(Rules { nat: Some(masquerade), guard, lost_syns }),
        }
    }

    /// Returns all elements.
    pub fn elements(&self) -> impl Iterator<Item = Element> + '_ {
        let guarded = self.vips.iter().copied().map(Element::Guarded);
        let refused = self.empty.iter().copied().map(Element::Refused);
        let open = self.open.iter().copied().map(Element::Open);
        let sources = self.sources.iter().map(|(&(address, server), &source)| {
            Element::Source(Translation { address, server, source })
        });
        guarded.chain(refused).chain(open).chain(sources)
    }

    /// Adds an element.
    pub fn insert(&mut self, element: Element) {
        match element {
            Element::Guarded(address) => self.vips.insert(address),
            Element::Refused(vip) => self.empty.insert(vip),
            Element::Open(vip) => self.open.insert(vip),
            Element::Source(Translation { address, server, source }) => {
                self.sources.insert((address, server), source) != Some(source)
            }
        };
    }

    /// Removes an element. Returns whether it was present.
    pub fn remove(&mut self, element: Element) -> bool {
        match element {
            Element::Guarded(address) => self.vips.remove(&address),
            Element::Refused(vip) => self.empty.remove(&vip),
            Element::Open(vip) => self.open.remove(&vip),
            Element::Source(Translation { address, server, source }) => {
                let held = self.sources.get(&(address, server)) == Some(&source);
                held && self.sources.remove(&(address, server)).is_some()
            }
        }
    }

    /// Tells whether an element is present.
    #[must_use]
    pub fn contains(&self, element: Element) -> bool {
        match element {
            Element::Guarded(address) => self.vips.contains(&address),
            Element::Refused(vip) => self.empty.contains(&vip),
            Element::Open(vip) => self.open.contains(&vip),
            Element::Source(Translation { address, server, source }) => {
                self.sources.get(&(address, server)) == Some(&source)
            }
        }
    }

    fn restricted_to(&self, addresses: &BTreeSet<IpAddr>) -> Self {
        let vips = addresses.iter().filter(|address| self.vips.contains(*address));
        let on_them = |vips: &BTreeSet<Vip>| {
            let vips = addresses.iter().flat_map(|address| vips.range(Vip::all_on(*address)));
            vips.copied().collect()
        };
        let of = |address: &IpAddr| self.sources.range(pairs_of(*address));
        let sources = addresses.iter().flat_map(of).map(|(key, source)| (*key, *source)).collect();
        Self {
            sources,
            support: self.support,
            lacks: self.lacks.clone(),
            cannot_log: self.cannot_log.clone(),
            state: self.state,
            vips: vips.copied().collect(),
            empty: on_them(&self.empty),
            open: on_them(&self.open),
        }
    }
}

impl Nft {
    /// Returns the table of a family.
    #[must_use]
    pub fn table(&self, family: Family) -> &Table {
        match family {
            Family::Inet => &self.v4,
            Family::Inet6 => &self.v6,
        }
    }

    /// Returns the table of a family for changing it.
    pub fn table_mut(&mut self, family: Family) -> &mut Table {
        match family {
            Family::Inet => &mut self.v4,
            Family::Inet6 => &mut self.v6,
        }
    }

    /// Returns both tables.
    pub fn tables(&self) -> [(Family, &Table); 2] {
        [(Family::Inet, &self.v4), (Family::Inet6, &self.v6)]
    }

    /// Returns all elements of both tables.
    pub fn elements(&self) -> impl Iterator<Item = Element> + '_ {
        self.v4.elements().chain(self.v6.elements())
    }

    /// Copies the tables with the elements of these addresses only.
    pub(crate) fn restricted_to(&self, addresses: &BTreeSet<IpAddr>) -> Self {
        Self { v4: self.v4.restricted_to(addresses), v6: self.v6.restricted_to(addresses) }
    }

    /// Returns the kernel's error for the rule that logs lost SYNs, if it has address translation but
    /// not that.
    #[must_use]
    pub fn cannot_log(&self) -> Option<&str> {
        let whole = self.tables().into_iter().filter(|(_, table)| table.support == NftSupport::Nat);
        whole.into_iter().find_map(|(_, table)| table.cannot_log.as_deref())
    }

    /// Lists the features that the kernel lacks, with the reason: one entry for each family, or one
    /// for both.
    pub fn describe_lacks(&self) -> Vec<String> {
        let lack = |table: &Table| {
            let what = match table.support {
                NftSupport::Nat => return None,
                NftSupport::Filter => "no address translation",
                NftSupport::Nothing => "no nftables",
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

/// Writes `whole (masquerade always, guard on)`, or `reduced` and the reason.
impl fmt::Display for Nft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lacks = self.describe_lacks();
        match lacks.is_empty() {
            true => f.write_str("whole")?,
            false => write!(f, "reduced: {}", lacks.join("; "))?,
        }
        let state = self.tables().into_iter().find_map(|(_, table)| match table.state {
            TableState::Whole(rules) => Some(rules),
            _ => None,
        });
        match state {
            Some(rules) => write!(f, " ({rules})"),
            None => Ok(()),
        }
    }
}

/// The error for a word that names no mode.
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

/// Writes `masquerade always, guard on, lost SYNs logged`.
impl fmt::Display for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.nat {
            Some(masquerade) => write!(f, "masquerade {masquerade}, guard {}", self.guard)?,
            None => write!(f, "no address translation, guard {}", self.guard)?,
        }
        match self.lost_syns {
            LostSyns::Logged => f.write_str(", lost SYNs logged"),
            LostSyns::Ignored => Ok(()),
        }
    }
}
