//! The names of VIPs and tasks: what the name server answers, and what a later run should know of
//! VIPs.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use dns::{Addresses, ZoneFile};
use vip::naming::{NameFacts, TaskRecord};

use super::{AgentCore, Effect};
use crate::agent::name_files::{NamesUpdate, SavedNames};
use crate::clock::Moment;

impl AgentCore {
    /// Restores the addresses that served in an earlier run. Must be called before any source is
    /// restored.
    pub(crate) fn restore_served(&mut self, served: BTreeSet<IpAddr>) {
        self.controller.restore_served(served);
    }

    /// Restores the names that an earlier run knew. Must be called before any source is restored.
    pub(crate) fn restore_names(&mut self, saved: SavedNames, now: Moment) {
        let names: Vec<NameFacts> = saved.names_at(now.wall);
        self.controller.restore_names(&names, now.since_start);
    }

    /// Asks for the files of the names to be written, if something in them changed.
    pub(super) fn update_names(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        let names_changed = self.controller.take_names_changed();
        let tasks_changed = std::mem::take(&mut self.cluster.answers_changed);
        let mut update = NamesUpdate::default();
        if self.zones.is_some() && (names_changed || tasks_changed) {
            update = self.names_update(names_changed, now);
        }
        if self.controller.take_served_changed() {
            update.served = Some(self.controller.served().clone());
        }
        if !update.is_empty() {
            effects.push(Effect::UpdateNames(Box::new(update)));
        }
    }

    /// Returns the names as they are now; with `saves`, for a later run, too. While nothing is known,
    /// what was saved before is better.
    pub(crate) fn names_update(&self, saves: bool, now: Moment) -> NamesUpdate {
        let zone = self.zone_file();
        let saved = zone.as_ref().filter(|_| saves).map(|_| SavedNames {
            saved_at: now.wall,
            names: self.controller.name_facts(now.since_start),
        });
        NamesUpdate { zone, saved, served: None }
    }

    /// Returns what the name server answers; `None` while nothing is known, and if names are not
    /// served.
    fn zone_file(&self) -> Option<ZoneFile> {
        let zones = self.zones.clone()?;
        let names: BTreeMap<String, Addresses> = self
            .controller
            .served_names()?
            .into_iter()
            .map(|(name, addresses)| (name.into(), zone_addresses(&addresses)))
            .collect();
        // A file that is too large would not be read at all: the names of VIPs go first.
        let of_vips: usize = names.keys().map(|name| name.len() + LINE_LEN).sum();
        let room = caps::TASK_NAMES.min(caps::ZONE_FILE.saturating_sub(of_vips + ZONES_LEN));
        Some(ZoneFile {
            zones,
            names,
            partial: !self.controller.status().awaited.is_empty() || self.cluster.lacks_framework(),
            host_zones: self.task_zones.clone(),
            hosts: task_addresses(self.cluster.task_names.members(), room),
        })
    }
}

/// Room for the lines of the zone file that are no names.
const ZONES_LEN: usize = 64 << 10;

/// The longest line of a name in the zone file, without the name.
const LINE_LEN: usize = 2 * ADDRESS_LEN + 16;

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

/// The longest text of an address, with the space before it.
const ADDRESS_LEN: usize = 40;

/// Collects the addresses of each name, none where none is known, as far as the caps allow: the zone
/// file must never become one that isn't read.
fn task_addresses<'a>(
    records: impl Iterator<Item = &'a TaskRecord>,
    mut room: usize,
) -> BTreeMap<String, BTreeSet<IpAddr>> {
    let mut hosts: BTreeMap<String, BTreeSet<IpAddr>> = BTreeMap::new();
    // They come sorted.
    let mut last: Option<(&str, BTreeSet<IpAddr>)> = None;
    for (name, address) in records {
        let is_new = last.as_ref().is_none_or(|(known, _)| *known != &**name);
        let cost = ADDRESS_LEN + if is_new { "host \n".len() + name.len() } else { 0 };
        let Some(left) = room.checked_sub(cost) else { break };
        if is_new {
            hosts.extend(last.take().map(|(name, addresses)| (name.to_owned(), addresses)));
        }
        let (_, addresses) = last.get_or_insert_with(|| (name, BTreeSet::new()));
        if addresses.len() < caps::TASK_ADDRESSES {
            addresses.extend(*address);
            room = left;
        }
    }
    hosts.extend(last.map(|(name, addresses)| (name.to_owned(), addresses)));
    hosts
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn however_many_tasks_there_are_the_zone_file_is_read() {
        let name = |number: u16| -> Arc<str> {
            format!("{number:063}.{0}.agentip.dcos.thisdcos.directory", "f".repeat(63)).into()
        };
        let v6 = |number: u16| IpAddr::from([0xfd00, 1, 2, 3, 4, 5, 0xffff, number]);
        let records: BTreeSet<TaskRecord> =
            (0..60_000).map(|number| (name(number), Some(v6(number)))).collect();
        let hosts = task_addresses(records.iter(), caps::TASK_NAMES);
        assert!(hosts.len() > 30_000 && hosts.len() < 60_000, "{}", hosts.len());
        let text = ZoneFile { hosts, ..ZoneFile::default() }.render();
        assert!(text.len() <= caps::TASK_NAMES + 100, "{}", text.len());
        assert!(ZoneFile::parse(&text).is_ok());

        let app = name(1);
        let mut many: BTreeSet<TaskRecord> =
            (0..5000).map(|number| (app.clone(), Some(v6(number)))).collect();
        many.extend([(name(2), Some(v6(1))), (name(3), None), (name(4), None)]);
        many.insert((name(4), Some(v6(4))));
        let hosts = task_addresses(many.iter(), caps::TASK_NAMES);
        let counts: Vec<_> = hosts.values().map(BTreeSet::len).collect();
        assert_eq!(counts, [caps::TASK_ADDRESSES, 1, 0, 1]);
    }
}
