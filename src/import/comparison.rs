//! Which names have other addresses elsewhere, and the labels that give them these. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use serde::Serialize;
use vip::naming::{NameFacts, NameSettings, VipName};
use vip::{Family, Line, Sign};

use super::elsewhere::{Elsewhere, There};

/// The comparison of a name's addresses. The order is that of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It has another address there.
    Differs,
    /// Its address there could not be found out.
    Untold,
    /// It has no address there in a family in which it has one here.
    Unknown,
    /// It has the same address there.
    Same,
}

/// The addresses of a name here and there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ComparedName {
    /// The comparison.
    pub outcome: Outcome,
    /// The name without its zone.
    pub name: VipName,
    /// The addresses that vipd gives it.
    pub here: BTreeSet<IpAddr>,
    /// The addresses that it has there.
    pub there: BTreeSet<IpAddr>,
    /// The apps that claim it.
    pub apps: Vec<String>,
    /// The value of the label `IPVS_ADDRESS` that gives it the addresses that it has there.
    pub pin: Option<String>,
    /// Notes on it.
    pub notes: Vec<String>,
}

/// The names here beside those elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// The names that apps claim, those that differ first.
    pub names: Vec<ComparedName>,
    /// The names that only the other side has.
    pub only_there: Vec<VipName>,
    /// The number of names of the other side that no label can give.
    pub unusable: usize,
    /// What may be wrong with all of them.
    pub hint: Option<String>,
}

/// The context of a comparison beside one name.
struct Context<'a> {
    settings: &'a NameSettings,
    allow: &'a [IpNet],
    /// The names that each address belongs to there.
    owners: BTreeMap<IpAddr, Vec<&'a VipName>>,
}

impl Comparison {
    /// Compares the names that apps claim. `allow` is `vip.allow`, in which pins may lie too.
    #[must_use]
    pub fn new(
        here: &[NameFacts],
        elsewhere: &Elsewhere,
        settings: &NameSettings,
        allow: &[IpNet],
    ) -> Self {
        let mut owners: BTreeMap<IpAddr, Vec<&VipName>> = BTreeMap::new();
        for (name, there) in &elsewhere.names {
            if let There::Addresses(addresses) = there {
                addresses.iter().for_each(|each| owners.entry(*each).or_default().push(name));
            }
        }
        let context = Context { settings, allow, owners };
        let claimed = || here.iter().filter(|facts| !facts.apps.is_empty());
        let compared =
            claimed().map(|facts| context.compare(facts, elsewhere.names.get(&facts.name)));
        let mut names: Vec<_> = compared.collect();
        names.sort_by(|a, b| (a.outcome, &a.name).cmp(&(b.outcome, &b.name)));
        let known: BTreeSet<_> = claimed().map(|facts| &facts.name).collect();
        let only_there = elsewhere.names.keys().filter(|name| !known.contains(name));
        let only_there = only_there.cloned().collect();
        let hint = find_hint(&names, settings);
        Self { names, only_there, unusable: elsewhere.unusable, hint }
    }

    /// Counts the names of an outcome.
    #[must_use]
    pub fn count(&self, outcome: Outcome) -> usize {
        self.names.iter().filter(|name| name.outcome == outcome).count()
    }

    /// Tells whether every address that was found is the same.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.count(Outcome::Differs) == 0 && self.count(Outcome::Untold) == 0
    }

    /// Formats the lines for people, without the last.
    #[must_use]
    pub fn to_lines(&self) -> Vec<Line> {
        let shown = self.only_there.iter().take(caps::SHOWN_TROUBLES);
        let names = self.names.iter().map(|name| &name.name).chain(shown.clone());
        let width = names.map(|name| name.as_str().len()).max().unwrap_or_default();
        let mut lines: Vec<_> = self.names.iter().flat_map(|name| name.to_lines(width)).collect();
        let mut push = |text| lines.push(Line::new(0, Sign::Plain, text));
        for name in shown {
            push(format!("{name:width$}  only there: no app of Marathon claims it"));
        }
        if let Some(more @ 1..) = self.only_there.len().checked_sub(caps::SHOWN_TROUBLES) {
            push(format!("and {more} more only there"));
        }
        lines
    }

    /// Formats the last line.
    #[must_use]
    pub fn summary_line(&self) -> String {
        let total = self.names.len();
        let counts = [
            (Outcome::Same, "same"),
            (Outcome::Differs, "different"),
            (Outcome::Unknown, "unknown there"),
            (Outcome::Untold, "without an answer"),
        ];
        let counts = counts.map(|(outcome, word)| (self.count(outcome), word));
        let counts = counts.iter().filter(|(count, _)| *count > 0);
        let mut parts: Vec<_> = counts.map(|(count, word)| format!("{count} {word}")).collect();
        parts.insert(0, format!("{total} name{}", if total == 1 { "" } else { "s" }));
        let mut line = parts.join(", ");
        if !self.only_there.is_empty() {
            line += &format!("; {} only there", self.only_there.len());
        }
        if self.unusable > 0 {
            line += &format!("; {} there that no label can give", self.unusable);
        }
        line
    }
}

impl Context<'_> {
    fn compare(&self, facts: &NameFacts, there: Option<&There>) -> ComparedName {
        let mut compared = ComparedName {
            outcome: Outcome::Unknown,
            name: facts.name.clone(),
            here: facts.addresses.clone(),
            there: BTreeSet::new(),
            apps: facts.apps.clone(),
            pin: None,
            notes: Vec::new(),
        };
        match there {
            None => {}
            Some(There::Untold(why)) => {
                compared.outcome = Outcome::Untold;
                compared.notes.push(why.clone());
            }
            Some(There::Addresses(addresses)) => {
                compared.there.clone_from(addresses);
                self.compare_addresses(facts, &mut compared);
            }
        }
        compared
    }

    fn compare_addresses(&self, facts: &NameFacts, compared: &mut ComparedName) {
        let mut outcomes = BTreeSet::new();
        let mut pins = Vec::new();
        let mut can_pin = true;
        for here in &facts.addresses {
            let family = Family::from(*here);
            let mut there = compared.there.iter().filter(|each| Family::from(**each) == family);
            let outcome = match there.clone().next() {
                None => Outcome::Unknown,
                Some(_) if there.any(|each| each == here) => Outcome::Same,
                Some(first) => {
                    let obstacle = self.find_obstacle(&facts.name, *first);
                    can_pin &= obstacle.is_none();
                    compared.notes.extend(obstacle);
                    pins.push(*first);
                    Outcome::Differs
                }
            };
            // The label gives both addresses: what it gives now must stay.
            if outcome != Outcome::Differs && facts.pinned.contains(here) {
                pins.push(*here);
            }
            outcomes.insert(outcome);
        }
        compared.outcome = outcomes.first().copied().unwrap_or(Outcome::Unknown);
        if compared.outcome == Outcome::Differs && can_pin {
            pins.sort_unstable();
            let pins: Vec<_> = pins.iter().map(ToString::to_string).collect();
            compared.pin = Some(pins.join(","));
        }
    }

    /// Returns why a name can't be pinned to an address.
    fn find_obstacle(&self, name: &VipName, address: IpAddr) -> Option<String> {
        let is_allowed = || self.allow.iter().any(|prefix| prefix.contains(&address));
        if !self.settings.range.contains(address) && !is_allowed() {
            return Some(format!(
                "{address} lies neither in names.range nor in vip.allow, so no label can give it: set \
                 names.range to the range of that cluster"
            ));
        }
        let owners = self.owners.get(&address)?;
        let other = owners.iter().find(|owner| **owner != name)?;
        Some(format!(
            "{address} is there the address of {other} too: only one of them can have it here"
        ))
    }
}

/// Returns what is probably wrong if most names differ, or none is known.
fn find_hint(names: &[ComparedName], settings: &NameSettings) -> Option<String> {
    let count = |outcome| names.iter().filter(|name| name.outcome == outcome).count();
    let (same, differs) = (count(Outcome::Same), count(Outcome::Differs));
    if names.len() > 1 && count(Outcome::Unknown) == names.len() {
        return Some(
            "none of the names is known there: is it the same cluster, and are the framework's name \
             and names.zones the same there?"
                .to_owned(),
        );
    }
    let ranges: Vec<_> = settings.range.prefixes().map(|prefix| prefix.to_string()).collect();
    (differs > 2 && differs > same).then(|| {
        format!(
            "most names differ, and collisions are rare: is names.range, {} here, the range of that \
             cluster?",
            ranges.join(" and ")
        )
    })
}

impl ComparedName {
    fn to_lines(&self, width: usize) -> Vec<Line> {
        let list = |addresses: &BTreeSet<IpAddr>| {
            addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        let (name, here, there) = (&self.name, list(&self.here), list(&self.there));
        let (sign, text) = match self.outcome {
            Outcome::Same => (Sign::Plain, format!("{here}  same")),
            Outcome::Differs => (Sign::Change, format!("{here} here, {there} there")),
            Outcome::Unknown if there.is_empty() => (Sign::Plain, format!("{here}  unknown there")),
            Outcome::Unknown => (Sign::Plain, format!("{here} here, only {there} there")),
            Outcome::Untold => (Sign::Warn, format!("{here} here, no answer there")),
        };
        let apps = self.apps.join(" ");
        let mut lines = vec![Line::new(0, sign, format!("{name:width$}  {text}  {apps}"))];
        lines.extend(self.notes.iter().map(|note| Line::new(1, sign, note.clone())));
        lines.extend(self.pin.iter().map(|pin| {
            let each = if self.apps.len() > 1 { "each of these apps" } else { "the app" };
            let text = format!(
                "to keep the address from there, add the label IPVS_ADDRESS={pin} to the port of {each}"
            );
            Line::new(1, sign, text)
        }));
        lines
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use vip::naming::Choice;

    use super::*;

    fn addresses(texts: &[&str]) -> BTreeSet<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn facts(name: &str, here: &[&str], apps: &[&str]) -> NameFacts {
        NameFacts {
            name: name.parse().unwrap(),
            addresses: addresses(here),
            pinned: BTreeSet::new(),
            choice: Choice::Hash,
            apps: apps.iter().map(|app| (*app).to_owned()).collect(),
            age_ms: 0,
            kept_ms: None,
        }
    }

    fn elsewhere(names: &[(&str, &[&str])]) -> Elsewhere {
        let names = names
            .iter()
            .map(|(name, there)| (name.parse().unwrap(), There::Addresses(addresses(there))));
        Elsewhere { names: names.collect(), ..Elsewhere::default() }
    }

    fn compare(here: &[NameFacts], elsewhere: &Elsewhere) -> Comparison {
        Comparison::new(here, elsewhere, &NameSettings::default(), &[])
    }

    fn show(comparison: &Comparison) -> String {
        let lines = comparison.to_lines().iter().map(ToString::to_string).collect::<Vec<_>>();
        let hint = comparison.hint.iter().cloned();
        lines
            .into_iter()
            .chain([comparison.summary_line()])
            .chain(hint)
            .collect::<Vec<_>>()
            .join("\n")
    }

    #[test]
    fn each_name_is_shown_with_what_to_do() {
        let here = [
            facts("a.marathon", &["11.0.0.1"], &["/a"]),
            facts("b.marathon", &["11.0.0.2"], &["/b/blue", "/b/green"]),
            facts("c.marathon", &["11.0.0.3"], &["/c"]),
            facts("d.marathon", &["11.0.0.4"], &["/d"]),
            facts("e.marathon", &["11.0.0.5", "fd01:c::5"], &["/e"]),
            facts("kept.marathon", &["11.0.0.6"], &[]),
            facts("spelled.marathon", &["11.0.0.7"], &["/spelled"]),
        ];
        let mut there = elsewhere(&[
            ("a.marathon", &["11.0.0.2"]),
            ("b.marathon", &["11.0.0.1"]),
            ("d.marathon", &["12.0.0.4"]),
            ("e.marathon", &["11.0.0.5", "fd01:c::6"]),
            ("broker.kafka", &["11.9.9.9"]),
            ("spelled.marathon", &["11.0.0.7", "11.0.0.8"]),
        ]);
        there.names.insert(
            "c.marathon".parse().unwrap(),
            There::Untold("it answers with SERVFAIL".into()),
        );
        there.unusable = 1;
        let comparison = compare(&here, &there);
        assert!(!comparison.is_clean());
        assert_eq!(comparison.only_there, ["broker.kafka".parse().unwrap()]);
        insta::assert_snapshot!(show(&comparison), @"
        ~ a.marathon        11.0.0.1 here, 11.0.0.2 there  /a
            ~ to keep the address from there, add the label IPVS_ADDRESS=11.0.0.2 to the port of the app
        ~ b.marathon        11.0.0.2 here, 11.0.0.1 there  /b/blue /b/green
            ~ to keep the address from there, add the label IPVS_ADDRESS=11.0.0.1 to the port of each of these apps
        ~ d.marathon        11.0.0.4 here, 12.0.0.4 there  /d
            ~ 12.0.0.4 lies neither in names.range nor in vip.allow, so no label can give it: set names.range to the range of that cluster
        ~ e.marathon        11.0.0.5 fd01:c::5 here, 11.0.0.5 fd01:c::6 there  /e
            ~ to keep the address from there, add the label IPVS_ADDRESS=fd01:c::6 to the port of the app
        ! c.marathon        11.0.0.3 here, no answer there  /c
            ! it answers with SERVFAIL
          spelled.marathon  11.0.0.7  same  /spelled
          broker.kafka      only there: no app of Marathon claims it
        6 names, 1 same, 4 different, 1 without an answer; 1 only there; 1 there that no label can give
        most names differ, and collisions are rare: is names.range, 11.0.0.0/8 and fd01:c::/64 here, the range of that cluster?
        ");
    }

    #[test]
    fn a_name_of_two_on_one_address_is_not_pinned() {
        let here = [facts("a.m", &["11.0.0.1"], &["/a"]), facts("b.m", &["11.0.0.2"], &["/b"])];
        let there = elsewhere(&[("a.m", &["11.0.0.9"]), ("b.m", &["11.0.0.9"])]);
        let comparison = compare(&here, &there);
        assert_eq!(comparison.count(Outcome::Differs), 2);
        assert!(comparison.names.iter().all(|name| name.pin.is_none()));
        let note = "11.0.0.9 is there the address of b.m too: only one of them can have it here";
        assert_eq!(comparison.names[0].notes, [note]);
    }

    #[test]
    fn a_pin_that_is_there_stays_in_the_label() {
        let mut both = facts("a.m", &["11.0.0.1", "fd01:c::1"], &["/a"]);
        both.pinned = addresses(&["fd01:c::1"]);
        let there = elsewhere(&[("a.m", &["11.0.0.9"])]);
        assert_eq!(compare(&[both], &there).names[0].pin.as_deref(), Some("11.0.0.9,fd01:c::1"));
    }

    #[test]
    fn a_prefix_of_vip_allow_is_good_for_pins() {
        let here = [facts("a.m", &["11.0.0.1"], &["/a"])];
        let there = elsewhere(&[("a.m", &["10.0.0.9"])]);
        let pin = |allow: &[IpNet]| {
            let compared = Comparison::new(&here, &there, &NameSettings::default(), allow);
            compared.names[0].pin.clone()
        };
        assert_eq!(pin(&[]), None);
        assert_eq!(pin(&["10.0.0.0/8".parse().unwrap()]).as_deref(), Some("10.0.0.9"));
    }

    #[test]
    fn names_of_another_cluster_are_told() {
        let here = [facts("a.m", &["11.0.0.1"], &["/a"]), facts("b.m", &["11.0.0.2"], &["/b"])];
        let hint = compare(&here, &Elsewhere::default()).hint.unwrap();
        assert!(hint.starts_with("none of the names is known there"), "{hint}");
    }

    prop_compose! {
        fn some_addresses()(picked in prop::collection::btree_set(0..12_u8, 0..3)) -> BTreeSet<IpAddr> {
            picked.into_iter().map(|number| match number {
                0..8 => IpAddr::from([11, 0, 0, number]),
                8..10 => IpAddr::from([12, 0, 0, number]),
                _ => IpAddr::from([0xfd01, 0xc, 0, 0, 0, 0, 0, u16::from(number)]),
            }).collect()
        }
    }

    fn one_of_each(addresses: BTreeSet<IpAddr>) -> BTreeSet<IpAddr> {
        let mut seen = BTreeSet::new();
        addresses.into_iter().filter(|each| seen.insert(each.is_ipv4())).collect()
    }

    proptest! {
        /// Nothing is lost, and every pin is an address from there that may be given, of a name that
        /// shares it with no other.
        #[test]
        fn every_name_is_there_once_and_pins_can_be_obeyed(
            here in prop::collection::btree_map("[a-d]\\.m", some_addresses(), 0..5),
            there in prop::collection::btree_map("[a-e]\\.m", some_addresses(), 0..6),
        ) {
            let facts: Vec<_> = here.into_iter().map(|(name, addresses)| NameFacts {
                addresses: one_of_each(addresses), ..facts(&name, &[], &["/a"])
            }).collect();
            let names = there.iter().map(|(name, addresses)| {
                (name.parse().unwrap(), There::Addresses(addresses.clone()))
            });
            let elsewhere = Elsewhere { names: names.collect(), ..Elsewhere::default() };
            let comparison = compare(&facts, &elsewhere);
            let mut all: Vec<_> = comparison.names.iter().map(|name| name.name.clone()).collect();
            all.sort();
            prop_assert_eq!(all, facts.iter().map(|facts| facts.name.clone()).collect::<Vec<_>>());
            let total = comparison.names.len() + comparison.only_there.len();
            let distinct: BTreeSet<_> = facts.iter().map(|facts| facts.name.as_str().to_owned())
                .chain(there.keys().cloned()).collect();
            prop_assert_eq!(total, distinct.len());
            for name in &comparison.names {
                prop_assert!(name.pin.is_none() || name.outcome == Outcome::Differs);
                for pin in name.pin.iter().flat_map(|pin| pin.split(',')) {
                    let address: IpAddr = pin.parse().unwrap();
                    prop_assert!(NameSettings::default().range.contains(address));
                    prop_assert!(name.there.contains(&address));
                    prop_assert!(!name.here.contains(&address));
                    prop_assert_eq!(there.values().filter(|of| of.contains(&address)).count(), 1);
                }
                if name.outcome == Outcome::Same {
                    prop_assert!(name.here.is_subset(&name.there));
                }
            }
        }
    }
}
