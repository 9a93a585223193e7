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

/// Each entry where it came first, as it came last; `keys` are sorted, with the entries' places.
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
