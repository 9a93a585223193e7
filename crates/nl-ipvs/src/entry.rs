use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;

/// Why one entry of the kernel's answer could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EntryError {
    /// Something is not there, or not in a form this crate knows.
    #[error(
        "{0} is missing or unreadable in the kernel's answer: is the kernel newer than this program?"
    )]
    Missing(&'static str),
    /// A value has no meaning this crate knows.
    #[error(
        "{attribute} is {value} in the kernel's answer, which has no known meaning: is the kernel newer than this program?"
    )]
    Unknown {
        /// The kernel's name of the attribute.
        attribute: &'static str,
        /// Its value.
        value: u64,
    },
    /// The lengths of its attributes don't add up.
    #[error("an entry of the kernel's answer is malformed: {0}")]
    Malformed(String),
}

/// What a dump held.
///
/// The kernel dumps by position and promises no snapshot: with a writer at work an entry can be
/// missed. Entries that came twice are here once, as they came last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dump<T> {
    /// What could be read, in the kernel's order (newest first).
    pub entries: Vec<T>,
    /// What could not be read. The entries are incomplete unless this is empty.
    pub unreadable: Vec<EntryError>,
}

impl<T> Dump<T> {
    /// Sorts out what could be read. `key` tells entries apart.
    pub fn collect<K: Hash + Eq>(
        results: impl IntoIterator<Item = Result<T, EntryError>>,
        key: impl Fn(&T) -> K,
    ) -> Self {
        let mut dump = Self { entries: Vec::new(), unreadable: Vec::new() };
        let mut positions = HashMap::new();
        for result in results {
            match result {
                Ok(entry) => match positions.entry(key(&entry)) {
                    Entry::Occupied(seen) => dump.entries[*seen.get()] = entry,
                    Entry::Vacant(new) => {
                        new.insert(dump.entries.len());
                        dump.entries.push(entry);
                    }
                },
                Err(error) => dump.unreadable.push(error),
            }
        }
        dump
    }
}
