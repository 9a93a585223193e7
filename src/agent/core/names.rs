//! The names of VIPs: what the name server answers, and what a later run should know.

use std::net::IpAddr;

use dns::{Addresses, ZoneFile};
use vip::naming::NameFacts;

use super::{AgentCore, Effect};
use crate::agent::name_files::{NamesUpdate, SavedNames};
use crate::clock::Moment;

impl AgentCore {
    /// Restores the names that an earlier run knew. Must be called before any source is restored.
    pub(crate) fn restore_names(&mut self, saved: SavedNames, now: Moment) {
        let names: Vec<NameFacts> = saved.names_at(now.wall);
        self.controller.restore_names(&names, now.since_start);
    }

    /// Asks for the files of the names to be written, if something in them changed.
    pub(super) fn update_names(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        if self.controller.take_names_changed() && self.zones.is_some() {
            effects.push(Effect::UpdateNames(Box::new(self.names_update(now))));
        }
    }

    /// Returns the names as they are now.
    pub(crate) fn names_update(&self, now: Moment) -> NamesUpdate {
        let names = self.controller.served_names();
        let zone = names.map(|names| ZoneFile {
            zones: self.zones.clone().unwrap_or_default(),
            names: names
                .into_iter()
                .map(|(name, addresses)| (name.into(), zone_addresses(&addresses)))
                .collect(),
            partial: !self.controller.status().awaited.is_empty(),
            ..ZoneFile::default()
        });
        let facts = self.controller.name_facts(now.since_start);
        // While nothing is known, what was saved before is better.
        let saved = zone.is_some().then(|| SavedNames::new(facts, now.wall));
        NamesUpdate { zone, saved }
    }
}

fn zone_addresses(addresses: &[IpAddr]) -> Addresses {
    let mut found = Addresses::default();
    for address in addresses {
        match address {
            IpAddr::V4(v4) => found.v4 = Some(*v4),
            IpAddr::V6(v6) => found.v6 = Some(*v6),
        }
    }
    found
}
