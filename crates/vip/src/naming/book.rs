//! The address book: which name has which address on this node.
//!
//! The rules, in this order:
//!
//! 1. A label `IPVS_ADDRESS` pins a name, unless another living name, or a VIP without a name, has the
//!    address.
//! 2. A name keeps the address that it has, until 24 hours after its last claim.
//! 3. A new name gets the address of its hash, or the next one that is free. Of names that come
//!    together the first in the alphabet chooses first.
//!
//! So an address never passes from one living name to another, and nodes that remember nothing agree
//! without talking to each other.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use nl_ipvs::Family;

use super::{
    Choice, Families, Move, NameFacts, NameSettings, NamedClaim, PinRefusal, Pins, VipName,
};
use crate::controller::{AppKey, milliseconds};
use crate::{Claim, Policy};

/// The time that the address of a name without a claim is kept for it: some clients cache addresses
/// for as long as they run.
pub const KEPT: Duration = Duration::from_secs(24 * 3600);

/// The addresses that are tried for a new name. In a range that is nearly full, further ones would
/// take long.
const TRIES: usize = 1024;

/// The names of this node with their addresses.
#[derive(Debug, Default)]
pub(crate) struct AddressBook {
    names: BTreeMap<VipName, Entry>,
    /// The names that each app claims.
    by_app: BTreeMap<AppKey, BTreeSet<VipName>>,
    /// The name that each address belongs to, or belonged to lately.
    holders: BTreeMap<IpAddr, Holder>,
    /// The first time at which an address is free again.
    next_expiry: Option<Duration>,
}

/// A name with its addresses.
#[derive(Debug, Default)]
struct Entry {
    held: BTreeMap<Family, Held>,
    /// The apps that claim it, with what each wants.
    claimants: BTreeMap<AppKey, Demand>,
    /// The time since when it has its addresses. `age` is its age then.
    since: Duration,
    age: Duration,
}

/// The address of a name in one family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Held {
    address: IpAddr,
    pinned: bool,
}

/// What an app wants of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Demand {
    families: Families,
    pins: Pins,
}

/// The name that an address belongs to.
#[derive(Debug)]
struct Holder {
    name: VipName,
    /// The time at which the address is free; `None` while the name has it.
    until: Option<Duration>,
}

/// What the book needs to know of everything else.
#[derive(Clone, Copy)]
pub(crate) struct Rules<'a> {
    pub(crate) settings: &'a NameSettings,
    pub(crate) policy: &'a Policy,
    /// Tells whether an app claims a VIP by this address.
    pub(crate) is_vip: &'a dyn Fn(IpAddr) -> bool,
    /// The same without the apps that are told of now: names come before these.
    pub(crate) was_vip: &'a dyn Fn(IpAddr) -> bool,
}

impl Rules<'_> {
    /// Tells whether a name may have an address, as far as the settings say.
    fn allows(&self, address: IpAddr) -> bool {
        let allowed = || self.policy.allow.iter().any(|prefix| prefix.contains(&address));
        self.settings.range.contains(address) || allowed()
    }
}

impl AddressBook {
    /// Takes in what these apps claim now; `None` for one that is gone. Returns whether anything
    /// changed, and the names that have another address.
    pub(crate) fn update_apps<'a>(
        &mut self,
        apps: impl Iterator<Item = (AppKey, Option<&'a [NamedClaim]>)>,
        rules: Rules<'_>,
        now: Duration,
    ) -> (bool, Vec<Move>) {
        self.expire(now);
        let mut changed = BTreeSet::new();
        for (app, claims) in apps {
            let demands = demands_of(claims.unwrap_or_default());
            let before = match demands.is_empty() {
                true => self.by_app.remove(&app),
                false => self.by_app.insert(app.clone(), demands.keys().cloned().collect()),
            };
            for name in before.unwrap_or_default() {
                if !demands.contains_key(&name)
                    && let Some(entry) = self.names.get_mut(&name)
                {
                    entry.claimants.remove(&app);
                    changed.insert(name);
                }
            }
            for (name, demand) in demands {
                let entry = self.names.entry(name.clone()).or_default();
                if entry.claimants.insert(app.clone(), demand) != Some(demand) {
                    changed.insert(name);
                }
            }
        }
        (!changed.is_empty(), self.place_names(&changed, rules, now))
    }

    /// Gives these names their addresses, and takes those of names without a claim back later.
    fn place_names(
        &mut self,
        changed: &BTreeSet<VipName>,
        rules: Rules<'_>,
        now: Duration,
    ) -> Vec<Move> {
        // First what is certain, so that a new name finds it taken.
        let mut moves = Vec::new();
        for name in changed {
            self.renew(name, now);
        }
        for name in changed {
            moves.extend(self.pin(name, rules, now));
        }
        for name in changed {
            self.choose_addresses(name, rules, now);
        }
        moves
    }

    /// Keeps the addresses of a claimed name for good, and those of another one for a while.
    fn renew(&mut self, name: &VipName, now: Duration) {
        let Some(entry) = self.names.get_mut(name) else { return };
        let until = entry.claimants.is_empty().then(|| now.saturating_add(KEPT));
        let pins = entry.pins();
        for (family, held) in &mut entry.held {
            held.pinned = pins.in_family(*family) == Some(held.address);
            if let Some(holder) = self.holders.get_mut(&held.address) {
                holder.until = until;
            }
        }
        if entry.held.is_empty() && entry.claimants.is_empty() {
            self.names.remove(name);
        }
        self.note_expiry(until);
    }

    /// Moves a name to the addresses that a label pins it to.
    fn pin(&mut self, name: &VipName, rules: Rules<'_>, now: Duration) -> Vec<Move> {
        let Some(entry) = self.names.get(name) else { return Vec::new() };
        let pins = entry.pins();
        let mut moves = Vec::new();
        for family in [Family::Inet, Family::Inet6] {
            let Some(pin) = pins.in_family(family) else { continue };
            if self.why_not_pinned(name, pin, rules).is_some() {
                continue;
            }
            let held = self.hold(name, family, Held { address: pin, pinned: true }, now);
            if let Some(Held { address: from, .. }) = held.filter(|held| held.address != pin) {
                moves.push(Move { name: name.clone(), from, to: pin });
            }
        }
        moves
    }

    /// Returns why a name can't have the address that a label pins it to.
    fn why_not_pinned(&self, name: &VipName, pin: IpAddr, rules: Rules<'_>) -> Option<PinRefusal> {
        match self.holders.get(&pin) {
            Some(holder) if holder.name == *name && holder.until.is_none() => None,
            Some(holder) if holder.name != *name && holder.until.is_none() => {
                Some(PinRefusal::Taken(pin, holder.name.clone()))
            }
            _ if !rules.allows(pin) => Some(PinRefusal::Outside(pin)),
            _ if (rules.is_vip)(pin) => Some(PinRefusal::Vip(pin)),
            _ => None,
        }
    }

    /// Gives a claimed name an address in each family that it lacks one in.
    fn choose_addresses(&mut self, name: &VipName, rules: Rules<'_>, now: Duration) {
        let Some(entry) = self.names.get(name) else { return };
        let wanted = entry.families();
        let lacking: Vec<_> =
            wanted.iter().filter(|family| !entry.held.contains_key(family)).collect();
        for family in lacking {
            if let Some(address) = self.find_free(name, family, rules) {
                self.hold(name, family, Held { address, pinned: false }, now);
            }
        }
    }

    /// Finds the first free address from that of a name's hash on.
    fn find_free(&self, name: &VipName, family: Family, rules: Rules<'_>) -> Option<IpAddr> {
        let range = &rules.settings.range;
        let base = range.base_address(name, family)?;
        let is_free =
            |address: &IpAddr| !self.holders.contains_key(address) && !(rules.was_vip)(*address);
        let addresses = std::iter::successors(Some(base), |address| range.address_after(*address));
        addresses.take(TRIES).find(is_free)
    }

    /// Notes the address of a name. Returns the one that it had in this family; that is kept for it
    /// for a while.
    fn hold(&mut self, name: &VipName, family: Family, held: Held, now: Duration) -> Option<Held> {
        let entry = self.names.entry(name.clone()).or_default();
        if entry.held.is_empty() {
            (entry.since, entry.age) = (now, Duration::ZERO);
        }
        let before = entry.held.insert(family, held);
        if let Some(left) = before.filter(|before| before.address != held.address) {
            let until = Some(now.saturating_add(KEPT));
            self.holders.insert(left.address, Holder { name: name.clone(), until });
            self.note_expiry(until);
        }
        // A pin takes the address that is only kept for another name.
        let holder = Holder { name: name.clone(), until: None };
        let evicted = self.holders.insert(held.address, holder);
        if let Some(other) = evicted.filter(|other| other.name != *name) {
            self.forget_address(&other.name, held.address);
        }
        before
    }

    /// Makes a name forget an address that it no longer has.
    fn forget_address(&mut self, name: &VipName, address: IpAddr) {
        let Some(entry) = self.names.get_mut(name) else { return };
        entry.held.retain(|_, held| held.address != address);
        if entry.held.is_empty() && entry.claimants.is_empty() {
            self.names.remove(name);
        }
    }

    fn note_expiry(&mut self, until: Option<Duration>) {
        self.next_expiry = self.next_expiry.into_iter().chain(until).min();
    }

    /// Frees the addresses whose time is over, and the first to be free of too many.
    fn expire(&mut self, now: Duration) {
        if self.next_expiry.is_none_or(|at| at > now) && self.holders.len() <= caps::NAME_ADDRESSES
        {
            return;
        }
        let mut kept: Vec<_> =
            self.holders.iter().filter_map(|(at, holder)| Some((holder.until?, *at))).collect();
        kept.sort_unstable();
        let surplus = self.holders.len().saturating_sub(caps::NAME_ADDRESSES);
        let over = kept.iter().enumerate();
        let over = over.take_while(|(index, (until, _))| *until <= now || *index < surplus).count();
        for (_, address) in &kept[..over] {
            if let Some(holder) = self.holders.remove(address) {
                self.forget_address(&holder.name, *address);
            }
        }
        self.next_expiry = kept.get(over).map(|(until, _)| *until);
    }

    /// Returns the claims of an app to the addresses of its names, and those to names without one.
    pub(crate) fn place_claims(&self, named: &[NamedClaim]) -> (Vec<Claim>, Vec<Claim>) {
        let mut unplaced = Vec::new();
        let mut claims = Vec::new();
        for claim in named {
            let held = self.names.get(&claim.name).into_iter().flat_map(|entry| &entry.held);
            // Without a task nothing is known of families: then the name keeps those that it has.
            let held = held.filter(|(family, _)| claim.families.is_or_lacks(**family));
            let placed: Vec<_> = held.map(|(_, held)| claim.at_address(held.address)).collect();
            if placed.is_empty() {
                unplaced.push(claim.unplaced().clone());
            }
            claims.extend(placed);
        }
        (claims, unplaced)
    }

    /// Returns the name that has an address, or had it lately.
    pub(crate) fn name_at(&self, address: IpAddr) -> Option<&VipName> {
        self.holders.get(&address).map(|holder| &holder.name)
    }

    /// Returns every address with the name that has it, or had it lately.
    pub(crate) fn all_holders(&self) -> impl Iterator<Item = (IpAddr, VipName)> {
        self.holders.iter().map(|(address, holder)| (*address, holder.name.clone()))
    }

    /// Returns the names with their addresses, and whether an app claims them.
    pub(crate) fn all_names(
        &self,
    ) -> impl Iterator<Item = (&VipName, bool, impl Iterator<Item = IpAddr>)> {
        self.names.iter().map(|(name, entry)| {
            let addresses = entry.held.values().map(|held| held.address);
            (name, !entry.claimants.is_empty(), addresses)
        })
    }

    /// Tells whether no name is known.
    pub(crate) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Tells whether one of these apps claims a name.
    pub(crate) fn knows_any<'a>(&self, mut apps: impl Iterator<Item = &'a AppKey>) -> bool {
        apps.any(|app| self.by_app.contains_key(app))
    }

    /// Returns the apps that claim a name.
    pub(crate) fn claimants(&self, name: &VipName) -> impl Iterator<Item = &AppKey> {
        self.names.get(name).into_iter().flat_map(|entry| entry.claimants.keys())
    }

    /// Lists every name that has an address.
    pub(crate) fn facts(&self, settings: &NameSettings, now: Duration) -> Vec<NameFacts> {
        let with_address = self.names.iter().filter(|(_, entry)| !entry.held.is_empty());
        with_address.map(|(name, entry)| self.facts_of(name, entry, settings, now)).collect()
    }

    fn facts_of(
        &self,
        name: &VipName,
        entry: &Entry,
        settings: &NameSettings,
        now: Duration,
    ) -> NameFacts {
        let held = |family| entry.held.get(&family).copied();
        let until = entry.held.values().find_map(|held| self.holders.get(&held.address)?.until);
        NameFacts {
            name: name.clone(),
            addresses: entry.held.values().map(|held| held.address).collect(),
            pinned: entry
                .held
                .values()
                .filter(|held| held.pinned)
                .map(|held| held.address)
                .collect(),
            choice: held(Family::Inet)
                .or_else(|| held(Family::Inet6))
                .map_or(Choice::Hash, |held| self.choice_of(name, held, settings)),
            apps: entry.claimants.keys().map(|(_, app)| app.id.to_string()).collect(),
            age_ms: milliseconds(now.saturating_sub(entry.since).saturating_add(entry.age)),
            kept_ms: until.map(|until| milliseconds(until.saturating_sub(now))),
        }
    }

    /// Returns how a name came to an address.
    fn choice_of(&self, name: &VipName, held: Held, settings: &NameSettings) -> Choice {
        let base = settings.range.base_address(name, Family::from(held.address));
        match base {
            _ if held.pinned => Choice::Pinned,
            Some(base) if base == held.address => Choice::Hash,
            Some(base) => match self.holders.get(&base) {
                Some(other) if other.name != *name => Choice::Displaced { by: other.name.clone() },
                _ => Choice::Remembered,
            },
            None => Choice::Remembered,
        }
    }

    /// Restores what an earlier run, or another process, knew. Names and addresses that don't fit the
    /// settings, or each other, are dropped. Must be called before any app is told of.
    pub(crate) fn restore(&mut self, known: &[NameFacts], rules: Rules<'_>, now: Duration) {
        for facts in known {
            let until = facts.kept_ms.unwrap_or(milliseconds(KEPT)).min(milliseconds(KEPT));
            let until = now.saturating_add(Duration::from_millis(until));
            for address in facts.addresses.iter().filter(|address| rules.allows(**address)) {
                if self.holders.contains_key(address) || self.holders.len() >= caps::NAME_ADDRESSES
                {
                    continue;
                }
                let entry = self.names.entry(facts.name.clone()).or_default();
                let family = Family::from(*address);
                if entry.held.contains_key(&family) {
                    continue;
                }
                let pinned = facts.pinned.contains(address);
                entry.held.insert(family, Held { address: *address, pinned });
                (entry.since, entry.age) = (now, Duration::from_millis(facts.age_ms));
                let holder = Holder { name: facts.name.clone(), until: Some(until) };
                self.holders.insert(*address, holder);
                self.note_expiry(Some(until));
            }
        }
    }

    /// Forgets the address of a name, so that the rules choose again. Returns whether it had one.
    pub(crate) fn reassign(
        &mut self,
        name: &VipName,
        rules: Rules<'_>,
        now: Duration,
    ) -> Option<Vec<Move>> {
        let entry = self.names.get_mut(name).filter(|entry| !entry.held.is_empty())?;
        let before = std::mem::take(&mut entry.held);
        for held in before.values() {
            self.holders.remove(&held.address);
        }
        let mut moves = self.place_names(&[name.clone()].into(), rules, now);
        let entry = self.names.get(name);
        for (family, held) in before {
            let to = entry.and_then(|entry| entry.held.get(&family)).map(|held| held.address);
            moves.extend(to.filter(|to| *to != held.address).map(|to| Move {
                name: name.clone(),
                from: held.address,
                to,
            }));
        }
        Some(moves)
    }

    /// Describes what the owner of a name should know about its address.
    pub(crate) fn note(&self, name: &VipName, rules: Rules<'_>) -> Option<String> {
        let entry = self.names.get(name)?;
        let refused = [Family::Inet, Family::Inet6]
            .into_iter()
            .find_map(|family| self.why_not_pinned(name, entry.pins().in_family(family)?, rules));
        if let Some(refusal) = refused {
            return Some(refusal.to_string());
        }
        entry.held.values().find_map(|held| match self.choice_of(name, *held, rules.settings) {
            Choice::Displaced { by } => Some(format!(
                "the hash of {name} gives the address of {by}, so it has {} on this node; nodes \
                 that heard of the names in another order may differ: pin one of them with the label \
                 IPVS_ADDRESS, or choose another name",
                held.address
            )),
            Choice::Remembered => Some(format!(
                "{name} keeps the address {} that this node remembers; its hash gives another one: \
                 `vipd names --reassign {name}` moves it",
                held.address
            )),
            Choice::Hash | Choice::Pinned => None,
        })
    }
}

impl Entry {
    /// Returns the families in which the name has addresses or wants some.
    fn families(&self) -> Families {
        if self.claimants.is_empty() {
            return Families::default();
        }
        let wanted = self.claimants.values().map(|demand| demand.families);
        match wanted.fold(Families::default(), Families::union) {
            Families { v4: false, v6: false } if self.held.is_empty() => Families::V4,
            wanted => wanted,
        }
    }

    /// Returns the addresses that the first app which pins the name gives it.
    fn pins(&self) -> Pins {
        let mut pins = Pins::default();
        for demand in self.claimants.values() {
            pins.v4 = pins.v4.or(demand.pins.v4);
            pins.v6 = pins.v6.or(demand.pins.v6);
        }
        pins
    }
}

/// Sums up what an app wants of each name.
fn demands_of(claims: &[NamedClaim]) -> BTreeMap<VipName, Demand> {
    let mut demands: BTreeMap<VipName, Demand> = BTreeMap::new();
    for claim in claims {
        let demand = demands.entry(claim.name.clone()).or_default();
        demand.families = demand.families.union(claim.families);
        let pins = claim.pins();
        demand.pins.v4 = demand.pins.v4.or(pins.v4);
        demand.pins.v6 = demand.pins.v6.or(pins.v6);
    }
    demands
}
