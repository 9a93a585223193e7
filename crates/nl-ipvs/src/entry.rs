//! Dumps, and the errors of their entries.

/// A failure to parse one entry of the kernel's answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EntryError {
    /// An attribute is missing, or in a form that this crate doesn't know.
    #[error(
        "{0} is missing or unreadable in the kernel's answer: is the kernel newer than this program?"
    )]
    Missing(&'static str),
    /// An attribute has a value that this crate doesn't know.
    #[error(
        "{attribute} is {value} in the kernel's answer, which has no known meaning: is the kernel newer than this program?"
    )]
    Unknown {
        /// The kernel's name of the attribute.
        attribute: &'static str,
        /// The value.
        value: u64,
    },
    /// The lengths of the entry's attributes don't add up.
    #[error("an entry of the kernel's answer is malformed: {0}")]
    Malformed(String),
}

impl From<nl_pipeline::MalformedAttribute> for EntryError {
    fn from(malformed: nl_pipeline::MalformedAttribute) -> Self {
        Self::Malformed(malformed.to_string())
    }
}

/// The result of a dump.
///
/// The kernel dumps by position and promises no snapshot: with a writer at work an entry can be
/// missed. Before Linux 7.1, services are counted over all network namespaces, so a writer in another
/// one, or the end of another one, is enough. Entries that came twice are here once, as they came last.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Dump<T> {
    /// The entries that could be parsed, in the kernel's order. Real servers of one service come newest
    /// first. Services come by the bucket of a hash table, before Linux 7.1 those with a firewall mark last.
    pub entries: Vec<T>,
    /// The errors of those that couldn't. The entries are incomplete unless this is empty.
    pub unreadable: Vec<EntryError>,
}

impl<T> Dump<T> {
    /// Returns the entries if all of them could be parsed.
    ///
    /// # Errors
    /// The first error of those that couldn't.
    pub fn complete(self) -> Result<Vec<T>, EntryError> {
        match self.unreadable.into_iter().next() {
            Some(error) => Err(error),
            None => Ok(self.entries),
        }
    }

    /// Separates entries from errors. Of entries with the same `key` only the last is kept.
    pub fn collect<K: Ord>(
        results: impl IntoIterator<Item = Result<T, EntryError>>,
        key: impl Fn(&T) -> K,
    ) -> Self {
        let mut dump = Self { entries: Vec::new(), unreadable: Vec::new() };
        let results = results.into_iter();
        dump.entries.reserve(results.size_hint().0);
        for result in results {
            match result {
                Ok(entry) => dump.entries.push(entry),
                Err(error) => dump.unreadable.push(error),
            }
        }
        let mut keys: Vec<(K, usize)> = dump.entries.iter().map(&key).zip(0..).collect();
        keys.sort_unstable();
        if keys.windows(2).any(|two| two[0].0 == two[1].0) {
            dump.entries = keep_last_of_each(dump.entries, &keys);
        }
        dump
    }
}

/// Keeps the last of the entries with one key, at the position of the first. `keys` are sorted and
/// have the entries' positions.
fn keep_last_of_each<T, K: Ord>(entries: Vec<T>, keys: &[(K, usize)]) -> Vec<T> {
    let mut entries: Vec<Option<T>> = entries.into_iter().map(Some).collect();
    for same in keys.chunk_by(|one, next| one.0 == next.0) {
        let (first, last) = (same[0].1, same[same.len() - 1].1);
        let came_last = entries[last].take();
        same.iter().for_each(|(_, place)| entries[*place] = None);
        entries[first] = came_last;
    }
    entries.into_iter().flatten().collect()
}
