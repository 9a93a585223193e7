//! Merge join of two sorted maps.

use std::cmp::Ordering;
use std::collections::BTreeMap;

/// Iterates over the keys of both maps in order, each once, with the value of each map that has it.
/// Much faster than looking up each key in the other map.
pub(crate) fn merge_join<'a, K: Ord, A, B>(
    one: &'a BTreeMap<K, A>,
    other: &'a BTreeMap<K, B>,
) -> impl Iterator<Item = (&'a K, Option<&'a A>, Option<&'a B>)> {
    let (mut one, mut other) = (one.iter().peekable(), other.iter().peekable());
    std::iter::from_fn(move || {
        let order = match (one.peek(), other.peek()) {
            (Some((a, _)), Some((b, _))) => a.cmp(b),
            (Some(_), None) => Ordering::Less,
            (None, _) => Ordering::Greater,
        };
        let a = if order.is_le() { one.next() } else { None };
        let b = if order.is_ge() { other.next() } else { None };
        let key = a.map(|(key, _)| key).or(b.map(|(key, _)| key))?;
        Some((key, a.map(|(_, a)| a), b.map(|(_, b)| b)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn it_is_what_looking_every_key_up_finds(
            one: BTreeMap<u8, u8>,
            other: BTreeMap<u8, bool>,
        ) {
            let keys: BTreeSet<_> = one.keys().chain(other.keys()).collect();
            let found: Vec<_> = merge_join(&one, &other).collect();
            let looked_up: Vec<_> =
                keys.into_iter().map(|key| (key, one.get(key), other.get(key))).collect();
            prop_assert_eq!(found, looked_up);
        }
    }
}
