//! The zone as the zone file changes: only the lines that differ are read.

use std::collections::BTreeSet;
use std::sync::{PoisonError, RwLock};

use crate::zone::{OwnZones, Record, Zone};
use crate::zone_file::{Line, ZoneFileError, split_file};

/// The length of the pieces in which texts are compared.
const PIECE: usize = 4096;

/// The most names that are changed one by one. With more the zone is built anew.
const MAX_CHANGES: usize = 1000;

/// A zone file that was read, for comparison with the next one.
#[derive(Debug)]
pub struct LoadedFile {
    own: OwnZones,
    text: String,
}

/// The names in which two files differ.
struct Difference {
    removed: Vec<Record>,
    added: Vec<Record>,
    /// The count in the last line of the new file.
    count: usize,
}

impl LoadedFile {
    /// Begins without a file.
    #[must_use]
    pub fn new(own: OwnZones) -> Self {
        Self { own, text: String::new() }
    }

    /// Makes `zone` that of a changed file. Whoever reads the zone waits while a few names are
    /// changed; a zone that changes much is built beside it and exchanged. Returns the number of names.
    ///
    /// # Errors
    /// When the file can't be used. The zone then stays as it is.
    pub fn replace_zone(
        &mut self,
        text: String,
        zone: &RwLock<Zone>,
    ) -> Result<usize, ZoneFileError> {
        let difference = find_difference(&self.text, &text);
        if !difference.is_some_and(|difference| difference.apply_to(zone)) {
            let mut other = Zone::build(&text, &self.own)?;
            // The old one is dropped after the lock.
            std::mem::swap(&mut *zone.write().unwrap_or_else(PoisonError::into_inner), &mut other);
        }
        self.text = text;
        Ok(zone.read().unwrap_or_else(PoisonError::into_inner).count_records())
    }
}

impl Difference {
    /// Changes the names, or returns false if only a new zone or an error can come of them.
    fn apply_to(self, zone: &RwLock<Zone>) -> bool {
        let Self { removed, added, count } = self;
        let mut zone = zone.write().unwrap_or_else(PoisonError::into_inner);
        let gone: BTreeSet<_> = removed.iter().map(Record::key).collect();
        let come: BTreeSet<_> = added.iter().map(Record::key).collect();
        let records = zone.count_records() + added.len() - removed.len();
        let fits = records == count
            && come.len() == added.len()
            && come.iter().all(|key| gone.contains(key) || !zone.contains_record(*key));
        if fits {
            removed.iter().for_each(|record| zone.remove_record(record));
            added.into_iter().for_each(|record| {
                zone.add_record(record);
            });
        }
        fits
    }
}

/// Finds the names that differ. `None` unless both files are whole and differ in a few names only.
fn find_difference(old: &str, new: &str) -> Option<Difference> {
    let ((old, _), (new, count)) = (split_file(old)?, split_file(new)?);
    let start = common_start(old.as_bytes(), new.as_bytes());
    let (old, new) = (&old[start..], &new[start..]);
    let end = common_end(old.as_bytes(), new.as_bytes());
    let removed = parse_records(&old[..old.len() - end])?;
    let added = parse_records(&new[..new.len() - end])?;
    Some(Difference { removed, added, count })
}

/// Parses lines of names. `None` if there are others, or many.
fn parse_records(lines: &str) -> Option<Vec<Record>> {
    let mut records = Vec::new();
    for line in lines.lines() {
        if records.len() == MAX_CHANGES {
            return None;
        }
        records.push(Record::from_line(Line::parse(line).ok()?).ok()??);
    }
    Some(records)
}

/// Returns the length of the lines at the beginning that are the same.
fn common_start(old: &[u8], new: &[u8]) -> usize {
    let pieces = old.chunks(PIECE).zip(new.chunks(PIECE)).take_while(|(old, new)| old == new);
    let same: usize = pieces.map(|(piece, _)| piece.len()).sum();
    let rest = old[same..].iter().zip(&new[same..]).take_while(|(old, new)| old == new);
    let same = same + rest.count();
    old[..same].iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1)
}

/// Returns the length of the lines at the end that are the same.
fn common_end(old: &[u8], new: &[u8]) -> usize {
    let pieces = old.rchunks(PIECE).zip(new.rchunks(PIECE)).take_while(|(old, new)| old == new);
    let same: usize = pieces.map(|(piece, _)| piece.len()).sum();
    let before = old[..old.len() - same].iter().rev().zip(new[..new.len() - same].iter().rev());
    let same = same + before.take_while(|(old, new)| old == new).count();
    let begins_line = |text: &[u8]| {
        let start = text.len() - same;
        start == 0 || text[start - 1] == b'\n'
    };
    if begins_line(old) && begins_line(new) {
        return same;
    }
    // A line of which only the end is the same differs.
    let same_text = &old[old.len() - same..];
    let line_end = same_text.iter().position(|byte| *byte == b'\n');
    line_end.map_or(0, |line_end| same - line_end - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zone_file::{Addresses, ZoneFile};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn render(names: &BTreeMap<String, Addresses>) -> String {
        ZoneFile { zones: vec!["z".into()], names: names.clone(), ..ZoneFile::default() }.render()
    }

    fn addresses(number: u8) -> Addresses {
        Addresses { v4: (number > 0).then(|| [11, 0, 0, number].into()), v6: None }
    }

    #[test]
    fn few_names_that_differ_are_changed_without_the_others() {
        let mut names: BTreeMap<_, _> =
            (0..2000).map(|n| (format!("app{n}.marathon"), addresses(1))).collect();
        let before = render(&names);
        names.insert("app1000.marathon".into(), addresses(2));
        names.remove("app1001.marathon");
        let difference = find_difference(&before, &render(&names));
        let counts = difference.map(|one| (one.removed.len(), one.added.len(), one.count));
        assert_eq!(counts, Some((2, 1, 1999)));
        names.remove("app9.marathon");
        assert!(find_difference(&before, &render(&names)).is_none(), "everything in between");
    }

    #[test]
    fn a_file_that_cannot_be_used_changes_nothing() -> Result<(), ZoneFileError> {
        let zone = RwLock::new(Zone::default());
        let mut loaded = LoadedFile::new(OwnZones::default());
        let names = BTreeMap::from([("a.m".into(), addresses(1)), ("c.m".into(), addresses(1))]);
        let text = render(&names);
        loaded.replace_zone(text.clone(), &zone)?;
        let built = format!("{zone:?}");
        for bad in [
            text.replace("name c.m", "name a.m"),
            text.replace("name c.m", "name A.m"),
            text.replace("name c.m 11.0.0.1\n", ""),
            text.replace("name c.m", "name b.m 1.2.3.4\nname c.m"),
            text.replace("name c.m", "nam"),
            text.replace("end 2\n", ""),
            text.replace("end 2", "end 3"),
            text.replace("end 2", "end all"),
            text.replace("c.m 11.0.0.1\nend 2", "c.m 11.0.0.2\nend all"),
            text.replace("11.0.0.1", "11.0.0"),
            String::new(),
        ] {
            assert!(loaded.replace_zone(bad.clone(), &zone).is_err(), "{bad}");
            assert_eq!(format!("{zone:?}"), built, "{bad}");
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn a_changed_zone_is_the_one_that_is_built_anew(
            files in prop::collection::vec(
                prop::collection::btree_map("[ab]{1,2}(\\.[ab]{1,2}){0,2}", 0u8..3, 0..12),
                1..6,
            ),
        ) {
            let zone = RwLock::new(Zone::default());
            let mut loaded = LoadedFile::new(OwnZones::default());
            for names in files {
                let names = names.into_iter().map(|(name, number)| (name, addresses(number)));
                let names = names.collect();
                let text = render(&names);
                let count = names.len();
                prop_assert_eq!(loaded.replace_zone(text.clone(), &zone), Ok(count));
                let built = Zone::build(&text, &OwnZones::default());
                let zone = zone.read().unwrap_or_else(PoisonError::into_inner);
                prop_assert_eq!(Ok(zone.list_nodes()), built.map(|built| built.list_nodes()));
            }
        }
    }
}
