//! The address book: which name has which address on this node.
//!
//! The rules, in this order:
//!
//! 1. A label `IPVS_ADDRESS` pins a name if all apps that claim it agree, unless the address belongs to
//!    another name or to a VIP without a name of another app.
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

use super::facts::KEPT_STATE;
use super::{
    Choice, Families, Move, NameFacts, NameSettings, NamedClaim, PinRefusal, Pins, VipName,
};
use crate::controller::{AppKey, milliseconds};
use crate::{Claim, Policy};

/// The time that the address of a name without a claim is kept for it: some clients cache addresses
/// for as long as they run.
pub const KEPT: Duration = Duration::from_secs(24 * 3600);

/// The addresses in a row that are tried for a new name, and the hashes from which that is done. The
/// first is the name's own; with others nobody can surround the address of a name that is to come.
const TRIES: usize = 64;
const HASHES: usize = 16;

/// The names of this node with their addresses.
#[derive(Debug, Default)]
pub(crate) struct AddressBook {
    names: BTreeMap<VipName, Entry>,
    /// The names that each app claims.
    by_app: BTreeMap<AppKey, BTreeSet<VipName>>,
    /// The name that each address belongs to, or belonged to lately.
    holders: BTreeMap<IpAddr, Holder>,
    /// The names that lack an address, or don't have the one that a label pins them to.
    unsettled: BTreeSet<VipName>,
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
    /// Whether every source was read completely: before, no new pin is obeyed, since the VIPs of others
    /// may not be known yet.
    pub(crate) is_complete: bool,
    /// Tells whether an app that the function doesn't exempt claims a VIP by this address.
    pub(crate) is_vip: &'a IsVip<'a>,
    /// Tells whether an app claimed a VIP by this address before those that are told of now: names
    /// come before these.
    pub(crate) was_vip: &'a dyn Fn(IpAddr) -> bool,
}

/// See [`Rules::is_vip`].
pub(crate) type IsVip<'a> = dyn Fn(IpAddr, &dyn Fn(&AppKey) -> bool) -> bool + 'a;

/// What changed in the book.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Something did.
    pub(crate) any: bool,
    /// Names that have another address than before.
    pub(crate) moves: Vec<Move>,
    /// Names that have an address for the first time.
    pub(crate) placed: BTreeSet<VipName>,
}

impl Rules<'_> {
    /// Tells whether a name may have an address, as far as the settings say.
    fn allows(&self, address: IpAddr) -> bool {
        let allowed = || self.policy.allow.iter().any(|prefix| prefix.contains(&address));
        self.settings.range.contains(address) || allowed()
    }
}

impl AddressBook {
    /// Takes in what these apps claim now; `None` for one that is gone.
    pub(crate) fn update_apps<'a>(
        &mut self,
        apps: impl Iterator<Item = (AppKey, Option<&'a [NamedClaim]>)>,
        rules: Rules<'_>,
        now: Duration,
    ) -> Changes {
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
        let any = !changed.is_empty();
        changed.append(&mut self.unsettled);
        Changes { any, ..self.place_names(&changed, rules, now) }
    }

    /// Tries again what was refused before. Returns what changed by that.
    pub(crate) fn retry(&mut self, rules: Rules<'_>, now: Duration) -> Changes {
        let names = std::mem::take(&mut self.unsettled);
        self.place_names(&names, rules, now)
    }

    /// Gives these names their addresses, and takes those of names without a claim back later.
    fn place_names(
        &mut self,
        changed: &BTreeSet<VipName>,
        rules: Rules<'_>,
        now: Duration,
    ) -> Changes {
        // First what is certain, so that a new name finds it taken.
        let mut changes = Changes::default();
        for name in changed {
            self.renew(name, rules, now);
        }
        for name in changed {
            self.pin(name, rules, now, &mut changes);
        }
        let lack = changed.iter().any(|name| self.lacking(name, rules).next().is_some());
        let pinned = if lack { self.pinned_addresses(rules) } else { BTreeMap::new() };
        // Those with a pin that isn't obeyed yet come last: they leave what they choose now.
        let with_pins: BTreeSet<&VipName> = pinned.values().collect();
        let has_pin = |name: &&VipName| with_pins.contains(*name);
        let (last, first): (Vec<_>, Vec<_>) = changed.iter().partition(has_pin);
        for name in first.into_iter().chain(last) {
            self.choose_addresses(name, &pinned, rules, now, &mut changes);
        }
        for name in changed {
            if self.is_unsettled(name, rules) {
                self.unsettled.insert(name.clone());
            }
        }
        changes
    }

    /// Tells whether a name lacks an address, or the one that a label gives it.
    fn is_unsettled(&self, name: &VipName, rules: Rules<'_>) -> bool {
        let Some(entry) = self.names.get(name).filter(|entry| !entry.claimants.is_empty()) else {
            return false;
        };
        let lacks = self.lacking(name, rules).next().is_some();
        let pins = entry.pins().unwrap_or_default();
        let is_held = |family: &Family| match pins.in_family(*family) {
            Some(pin) => entry.held.get(family).is_some_and(|held| held.address == pin),
            None => true,
        };
        lacks || ![Family::Inet, Family::Inet6].iter().all(is_held)
    }

    /// Keeps the addresses of a claimed name for good, and those of another one for a while. A name
    /// that returns has lost an address that a VIP without a name took meanwhile.
    fn renew(&mut self, name: &VipName, rules: Rules<'_>, now: Duration) {
        let Some(entry) = self.names.get_mut(name) else { return };
        let until = entry.claimants.is_empty().then(|| now.saturating_add(KEPT));
        let pins = entry.pins().unwrap_or_default();
        let holders = &mut self.holders;
        entry.held.retain(|family, held| {
            held.pinned = pins.in_family(*family) == Some(held.address);
            let Some(holder) = holders.get_mut(&held.address) else { return false };
            if until.is_none() && holder.until.is_some() && (rules.was_vip)(held.address) {
                holders.remove(&held.address);
                return false;
            }
            // One that is kept is kept no longer by being told of again.
            holder.until = until.map(|until| holder.until.unwrap_or(until));
            true
        });
        if entry.held.is_empty() && entry.claimants.is_empty() {
            self.names.remove(name);
        }
        self.note_expiry(until);
    }

    /// Moves a name to the addresses that its labels pin it to.
    fn pin(&mut self, name: &VipName, rules: Rules<'_>, now: Duration, changes: &mut Changes) {
        let Some(Ok(pins)) = self.names.get(name).map(Entry::pins) else { return };
        for family in [Family::Inet, Family::Inet6] {
            let Some(pin) = pins.in_family(family) else { continue };
            if !rules.is_complete || self.why_not_pinned(name, pin, rules).is_some() {
                continue;
            }
            match self.hold(name, family, Held { address: pin, pinned: true }, now) {
                Some(Held { address, .. }) if address == pin => {}
                Some(Held { address: from, .. }) => {
                    changes.moves.push(Move { name: name.clone(), from, to: pin });
                }
                None => {
                    changes.placed.insert(name.clone());
                }
            }
        }
    }

    /// Returns why a name can't have the address that a label pins it to.
    fn why_not_pinned(&self, name: &VipName, pin: IpAddr, rules: Rules<'_>) -> Option<PinRefusal> {
        let is_claimant = |app: &AppKey| {
            self.names.get(name).is_some_and(|entry| entry.claimants.contains_key(app))
        };
        match self.holders.get(&pin) {
            Some(holder) if holder.name != *name => {
                Some(PinRefusal::Taken(pin, holder.name.clone()))
            }
            Some(holder) if holder.until.is_none() => None,
            _ if !rules.allows(pin) => Some(PinRefusal::Outside(pin)),
            _ if (rules.is_vip)(pin, &is_claimant) => Some(PinRefusal::Vip(pin)),
            _ => None,
        }
    }

    /// Returns the families in which a claimed name lacks an address.
    fn lacking(&self, name: &VipName, rules: Rules<'_>) -> impl Iterator<Item = Family> {
        let entry = self.names.get(name).into_iter();
        entry.flat_map(move |entry| {
            entry.wanted(rules).filter(|family| !entry.held.contains_key(family))
        })
    }

    /// Returns the addresses that labels pin claimed names to, obeyed or not.
    fn pinned_addresses(&self, rules: Rules<'_>) -> BTreeMap<IpAddr, VipName> {
        let mut pinned = BTreeMap::new();
        for (name, entry) in &self.names {
            let Ok(pins) = entry.pins() else { continue };
            let addresses =
                [Family::Inet, Family::Inet6].into_iter().filter_map(|each| pins.in_family(each));
            for address in addresses.filter(|address| rules.allows(*address)) {
                pinned.entry(address).or_insert_with(|| name.clone());
            }
        }
        pinned
    }

    /// Gives a claimed name an address in each family that it lacks one in. It gets none that a label
    /// pins another name to: that has to wait until every source was read.
    fn choose_addresses(
        &mut self,
        name: &VipName,
        pinned: &BTreeMap<IpAddr, VipName>,
        rules: Rules<'_>,
        now: Duration,
        changes: &mut Changes,
    ) {
        let lacking: Vec<_> = self.lacking(name, rules).collect();
        for family in lacking {
            if let Some(address) = self.find_free(name, family, pinned, rules) {
                let pinned = pinned.get(&address) == Some(name);
                self.hold(name, family, Held { address, pinned }, now);
                changes.placed.insert(name.clone());
            }
        }
    }

    /// Finds the first free address from that of a name's hash on.
    fn find_free(
        &self,
        name: &VipName,
        family: Family,
        pinned: &BTreeMap<IpAddr, VipName>,
        rules: Rules<'_>,
    ) -> Option<IpAddr> {
        let range = &rules.settings.range;
        let is_free = |address: &IpAddr| {
            !self.holders.contains_key(address)
                && pinned.get(address).is_none_or(|other| other == name)
                && !(rules.was_vip)(*address)
        };
        let mut starts =
            (0..HASHES).filter_map(|round| range.address_of_round(name, family, round));
        starts.find_map(|start| {
            let next = |address: &IpAddr| range.address_after(*address);
            std::iter::successors(Some(start), next).take(TRIES).find(is_free)
        })
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
        self.holders.insert(held.address, Holder { name: name.clone(), until: None });
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
    pub(crate) fn place_claims(&self, named: &[NamedClaim]) -> (Vec<Claim>, Vec<NamedClaim>) {
        let mut unplaced = Vec::new();
        let mut claims = Vec::new();
        for claim in named {
            let held = self.names.get(&claim.name).into_iter().flat_map(|entry| &entry.held);
            // Without a task nothing is known of families: then the name keeps those that it has.
            let held = held.filter(|(family, _)| claim.families.is_or_lacks(**family));
            let placed: Vec<_> = held.map(|(_, held)| claim.at_address(held.address)).collect();
            if placed.is_empty() {
                unplaced.push(claim.clone());
            }
            claims.extend(placed);
        }
        (claims, unplaced)
    }

    /// Returns the name that has an address, or had it lately and nobody else has it now.
    pub(crate) fn name_at(
        &self,
        address: IpAddr,
        is_vip: impl Fn(IpAddr) -> bool,
    ) -> Option<&VipName> {
        let holder = self.holders.get(&address)?;
        (holder.until.is_none() || !is_vip(address)).then_some(&holder.name)
    }

    /// Returns every address that a name has, or had lately.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.holders.keys().copied()
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
            choice: self.first_choice(name, entry, settings),
            apps: entry.claimants.keys().map(|(_, app)| app.id.to_string()).collect(),
            age_ms: milliseconds(now.saturating_sub(entry.since).saturating_add(entry.age)),
            kept_ms: until.map(|until| milliseconds(until.saturating_sub(now))),
        }
    }

    /// Counts the names in each of [`NAME_STATES`](super::NAME_STATES).
    pub(crate) fn count_states(&self, settings: &NameSettings) -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::from(super::NAME_STATES.map(|state| (state, 0)));
        for (name, entry) in self.names.iter().filter(|(_, entry)| !entry.held.is_empty()) {
            let state = match entry.claimants.is_empty() {
                true => KEPT_STATE,
                false => self.first_choice(name, entry, settings).word(),
            };
            *counts.entry(state).or_default() += 1;
        }
        counts
    }

    /// Returns how a name came to its first address.
    fn first_choice(&self, name: &VipName, entry: &Entry, settings: &NameSettings) -> Choice {
        let first = entry.held.get(&Family::Inet).or_else(|| entry.held.get(&Family::Inet6));
        first.map_or(Choice::Hash, |held| self.choice_of(name, *held, settings))
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
        let Changes { mut moves, .. } = self.place_names(&[name.clone()].into(), rules, now);
        for (family, held) in before {
            let entry = self.names.get(name);
            let to = entry.and_then(|entry| entry.held.get(&family)).map(|held| held.address);
            moves.extend(to.filter(|to| *to != held.address).map(|to| Move {
                name: name.clone(),
                from: held.address,
                to,
            }));
            // Its clients may remember the old address.
            let until = Some(now.saturating_add(KEPT));
            self.note_expiry(until);
            let kept = || Holder { name: name.clone(), until };
            self.holders.entry(held.address).or_insert_with(kept);
        }
        Some(moves)
    }

    /// Describes what the owner of a name should know about its address.
    pub(crate) fn note(&self, name: &VipName, rules: Rules<'_>) -> Option<String> {
        let entry = self.names.get(name)?;
        let refused = match entry.pins() {
            Err(refusal) => Some(refusal),
            Ok(pins) => [Family::Inet, Family::Inet6]
                .into_iter()
                .find_map(|family| self.why_not_pinned(name, pins.in_family(family)?, rules)),
        };
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
    /// Returns the families in which a claimed name wants an address. Without a task nothing is known
    /// of them: then it is one that the range has.
    fn wanted(&self, rules: Rules<'_>) -> impl Iterator<Item = Family> {
        let range = &rules.settings.range;
        let demands = self.claimants.values().map(|demand| demand.families);
        let wanted = match demands.fold(Families::default(), Families::union) {
            _ if self.claimants.is_empty() => Families::default(),
            Families { v4: false, v6: false } if self.held.is_empty() => {
                let v4 = range.has_family(Family::Inet);
                Families { v4, v6: !v4 }
            }
            wanted => wanted,
        };
        wanted.iter().filter(|family| range.has_family(*family))
    }

    /// Returns the addresses that all apps which claim the name give it.
    fn pins(&self) -> Result<Pins, PinRefusal> {
        let mut demands = self.claimants.iter();
        let Some((_, first)) = demands.next() else { return Ok(Pins::default()) };
        match demands.find(|(_, demand)| demand.pins != first.pins) {
            Some(((_, app), _)) => Err(PinRefusal::Disagree(app.clone())),
            None => Ok(first.pins),
        }
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
