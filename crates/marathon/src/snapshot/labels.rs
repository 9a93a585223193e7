//! Labels of apps, pods and ports.

use serde::de::{IgnoredAny, MapAccess};
use serde::{Deserialize, Serialize};

use crate::lenient::{FromJson, Key, Log, ValueSeed};

/// The labels of an app, a pod or a port: pairs in the order of the document, with duplicates.
///
/// JSON doesn't define the meaning of duplicate keys. Marathon keeps the last one; a file still has
/// all of them, and its reader wants to know.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Labels {
    pairs: Vec<(String, String)>,
    #[serde(skip)]
    is_capped: bool,
}

impl Labels {
    /// Iterates over the pairs of key and value, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Returns the value of a key; of duplicate keys the last one, as in Marathon.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.pairs.iter().rev().find(|(k, _)| k == key).map(|(_, value)| value.as_str())
    }

    pub(super) fn shrink_to_fit(&mut self) {
        self.pairs.shrink_to_fit();
    }

    /// Returns the number of pairs, with duplicates.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Tells whether there were more labels than [`caps::LABELS`], of which the others were not read.
    #[must_use]
    pub fn is_capped(&self) -> bool {
        self.is_capped
    }

    /// Tells whether there is no label.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Labels {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        let pairs = pairs.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
        Self { pairs, is_capped: false }
    }
}

impl FromJson for Labels {
    const EXPECTED: &'static str = "an object of labels";

    fn from_object<'de, A: MapAccess<'de>>(
        mut object: A,
        log: &mut Log,
    ) -> Result<Option<Self>, A::Error> {
        let mut pairs = Vec::new();
        let mut unread = 0;
        while let Some(Key(key)) = object.next_key()? {
            if pairs.len() == caps::LABELS {
                object.next_value::<IgnoredAny>()?;
                unread += 1;
                continue;
            }
            let key = caps::cut_text(&key, caps::TEXT);
            log.count_text(&key);
            let value = log.at_member(&key, |log| object.next_value_seed(ValueSeed::new(log)))?;
            if let Value(Some(value)) = value
                && log.make_room::<(String, String)>()
            {
                pairs.push((key.into_owned(), value));
            }
        }
        if unread > 0 {
            let read = caps::LABELS;
            log.add_finding(format!("only the first {read} labels are read: {unread} are not"));
        }
        Ok(Some(Self { pairs, is_capped: unread > 0 }))
    }
}

/// The value of one label; None if it isn't a string.
#[derive(Default)]
struct Value(Option<String>);

impl FromJson for Value {
    const EXPECTED: &'static str = "a string";
    // Labels hold metadata of packages and configurations of proxies. A VIP that long is refused.
    const CUT_IS_LOSS: bool = false;

    fn from_null() -> Option<Self> {
        None
    }

    fn from_text(found: &str) -> Option<Self> {
        Some(Self(Some(found.to_owned())))
    }
}
