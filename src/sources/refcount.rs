//! Reference-counted sets: a member stays as long as one contributor has it.

use std::collections::{BTreeMap, BTreeSet};

/// A set whose members count their contributors.
#[derive(Debug)]
pub(crate) struct RefCountedSet<T> {
    counts: BTreeMap<T, usize>,
}

impl<T> Default for RefCountedSet<T> {
    fn default() -> Self {
        Self { counts: BTreeMap::new() }
    }
}

impl<T: Ord + Clone> RefCountedSet<T> {
    /// Replaces one contribution with another. Returns whether the set changed.
    pub(crate) fn exchange(&mut self, old: &BTreeSet<T>, new: &BTreeSet<T>) -> bool {
        // The usual case: one pass finds it out, and the two below compare more.
        if old == new {
            return false;
        }
        let mut changed = false;
        for member in new.difference(old) {
            let count = self.counts.entry(member.clone()).or_default();
            changed |= *count == 0;
            *count += 1;
        }
        for member in old.difference(new) {
            let Some(count) = self.counts.get_mut(member) else { continue };
            *count -= 1;
            if *count == 0 {
                self.counts.remove(member);
                changed = true;
            }
        }
        changed
    }

    /// The members.
    pub(crate) fn members(&self) -> impl Iterator<Item = &T> {
        self.counts.keys()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_stays_until_its_last_contributor_goes() {
        let mut set = RefCountedSet::default();
        let (none, one) = (BTreeSet::new(), BTreeSet::from([1]));
        assert!(set.exchange(&none, &one));
        assert!(!set.exchange(&none, &one));
        assert!(!set.exchange(&one, &none));
        assert_eq!(set.members().collect::<Vec<_>>(), [&1]);
        assert!(set.exchange(&one, &none));
        assert_eq!(set.members().count(), 0);
    }
}
