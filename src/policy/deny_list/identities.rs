//! The denied identities.
//!
//! A table that grows hashes its entries again. If `Hash` of the application panicked there, entries
//! would be lost, and their peers admitted. So each entry keeps its hash, and the application's code runs
//! before the table changes.

use std::hash::{BuildHasher, Hash, RandomState};

use hashbrown::HashTable;

pub(super) struct Identities<I> {
    hasher: RandomState,
    /// With their hashes.
    table: HashTable<(u64, I)>,
}

impl<I> Identities<I> {
    pub(super) fn len(&self) -> usize {
        self.table.len()
    }
}

impl<I: Eq + Hash> Identities<I> {
    /// Adds an identity. Returns whether it is new.
    pub(super) fn insert(&mut self, identity: I) -> bool {
        let hash = self.hasher.hash_one(&identity);
        let is_new = self.find(hash, &identity).is_none();
        if is_new {
            self.table
                .insert_unique(hash, (hash, identity), |(hash, _)| *hash);
        }
        is_new
    }

    /// Removes an identity. Returns whether it was there.
    pub(super) fn remove(&mut self, identity: &I) -> bool {
        let hash = self.hasher.hash_one(identity);
        let found = self.table.find_entry(hash, |(_, it)| it == identity);
        found.map(|entry| drop(entry.remove())).is_ok()
    }

    pub(super) fn contains(&self, identity: &I) -> bool {
        self.len() > 0
            && self
                .find(self.hasher.hash_one(identity), identity)
                .is_some()
    }

    fn find(&self, hash: u64, identity: &I) -> Option<&(u64, I)> {
        self.table.find(hash, |(_, it)| it == identity)
    }
}

impl<I> Default for Identities<I> {
    fn default() -> Self {
        Self {
            hasher: RandomState::new(),
            table: HashTable::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::hash::Hasher;
    use std::panic::resume_unwind;

    use super::*;
    use crate::pki::contained::caught;

    thread_local! {
        /// After how many calls `Hash` panics.
        static LEFT: Cell<Option<usize>> = const { Cell::new(None) };
    }

    #[derive(PartialEq, Eq)]
    struct Number(usize);

    impl Hash for Number {
        fn hash<H: Hasher>(&self, state: &mut H) {
            if LEFT.get() == Some(0) {
                LEFT.set(None);
                resume_unwind(Box::new("planned")); // no message on stderr
            }
            LEFT.set(LEFT.get().map(|left| left - 1));
            self.0.hash(state);
        }
    }

    #[test]
    fn a_hash_that_panics_loses_no_entry() {
        let mut identities = Identities::default();
        let mut expected: Vec<usize> = Vec::new();
        for number in 0..2000 {
            LEFT.set(Some(number % 20));
            if caught(|| identities.insert(Number(number))).is_some() {
                expected.push(number);
            }
            LEFT.set(None);
            // Places of removed entries are used again, for which a table moves the others.
            if expected.len() > 40 {
                assert!(identities.remove(&Number(expected.swap_remove(number % 40))));
            }
            assert_eq!(identities.len(), expected.len());
            assert!(expected.iter().all(|it| identities.contains(&Number(*it))));
        }
        assert!(!identities.insert(Number(expected[0])));
        assert!(!identities.remove(&Number(9999)));
    }
}
