//! A table of limited size, which forgets its oldest entry first.
//!
//! A session is used once, so a cache that keeps what is used often is of no use for sessions: it would take
//! each new one for a visitor, and keep the old ones. rustls' own table looks through all entries for each
//! one that it removes. This one is an index and a list through its entries: every operation takes the same
//! time, whatever its size.

use std::collections::HashMap;
use std::hash::Hash;

/// No entry.
const NONE: usize = usize::MAX;

pub(super) struct Fifo<K, V> {
    /// The place of each key.
    index: HashMap<K, usize>,
    places: Vec<Place<K, V>>,
    /// The first unused place; each has the next one as its `newer`.
    unused: usize,
    oldest: usize,
    newest: usize,
}

struct Place<K, V> {
    entry: Option<(K, V)>,
    older: usize,
    newer: usize,
}

impl<K, V> Default for Fifo<K, V> {
    fn default() -> Self {
        Self {
            index: HashMap::default(),
            places: Vec::new(),
            unused: NONE,
            oldest: NONE,
            newest: NONE,
        }
    }
}

impl<K: Clone + Eq + Hash, V> Fifo<K, V> {
    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    /// Adds an entry as the newest, and returns the one that had this key.
    pub(super) fn insert(&mut self, key: K, value: V) -> Option<V> {
        let place = Place {
            entry: Some((key.clone(), value)),
            older: self.newest,
            newer: NONE,
        };
        let at = match self.places.get_mut(self.unused) {
            Some(unused) => {
                let at = self.unused;
                self.unused = unused.newer;
                *unused = place;
                at
            }
            None => {
                self.places.push(place);
                self.places.len() - 1
            }
        };
        match self.places.get_mut(self.newest) {
            Some(newest) => newest.newer = at,
            None => self.oldest = at,
        }
        self.newest = at;
        let replaced = self.index.insert(key, at);
        let (_, value) = self.unlink(replaced?)?;
        Some(value)
    }

    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let at = *self.index.get(key)?;
        let (_, value) = self.places.get_mut(at)?.entry.as_mut()?;
        Some(value)
    }

    pub(super) fn remove(&mut self, key: &K) -> Option<V> {
        let at = self.index.remove(key)?;
        let (_, value) = self.unlink(at)?;
        Some(value)
    }

    /// The oldest entry.
    pub(super) fn oldest(&self) -> Option<&V> {
        let (_, value) = self.places.get(self.oldest)?.entry.as_ref()?;
        Some(value)
    }

    pub(super) fn remove_oldest(&mut self) -> Option<V> {
        let (key, value) = self.unlink(self.oldest)?;
        self.index.remove(&key);
        Some(value)
    }

    /// Takes an entry out of the list.
    fn unlink(&mut self, at: usize) -> Option<(K, V)> {
        let place = self.places.get_mut(at)?;
        let entry = place.entry.take()?;
        let (older, newer) = (place.older, place.newer);
        place.newer = self.unused;
        self.unused = at;
        match self.places.get_mut(older) {
            Some(older) => older.newer = newer,
            None => self.oldest = newer,
        }
        match self.places.get_mut(newer) {
            Some(newer) => newer.older = older,
            None => self.newest = older,
        }
        Some(entry)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn values<K: Clone + Eq + Hash, V>(mut table: Fifo<K, V>) -> Vec<V> {
        std::iter::from_fn(|| table.remove_oldest()).collect()
    }

    #[test]
    fn entries_leave_in_the_order_of_their_insertion() {
        let mut table: Fifo<_, _> = Fifo::default();
        for number in 0..5 {
            assert_eq!(table.insert(number, number * 10), None);
        }
        assert_eq!((table.remove(&2), table.remove(&2)), (Some(20), None));
        assert_eq!(table.remove(&0), Some(0));
        assert_eq!(table.remove(&4), Some(40));
        assert_eq!((table.len(), table.oldest()), (2, Some(&10)));
        assert_eq!(table.insert(5, 50), None);
        assert_eq!(table.insert(1, 11), Some(10), "it is the newest now");
        *table.get_mut(&3).unwrap() += 1;
        assert_eq!(table.get_mut(&2), None);
        assert_eq!(values(table), [31, 50, 11]);
    }

    /// The same as a list that is searched, for a long sequence of operations.
    #[test]
    fn it_does_what_a_plain_list_does() {
        let mut table: Fifo<u64, u64> = Fifo::default();
        let mut list: Vec<(u64, u64)> = Vec::new();
        let mut random = 1_u64;
        for step in 0..10_000 {
            random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            let (kind, key) = ((random >> 40) % 5, (random >> 50) % 24);
            let at = list.iter().position(|(known, _)| *known == key);
            match kind {
                0 | 1 => {
                    let replaced = at.map(|at| list.remove(at).1);
                    list.push((key, step));
                    assert_eq!(table.insert(key, step), replaced);
                }
                2 => {
                    let oldest = (!list.is_empty()).then(|| list.remove(0).1);
                    assert_eq!(table.remove_oldest(), oldest);
                }
                _ => assert_eq!(table.remove(&key), at.map(|at| list.remove(at).1)),
            }
            assert_eq!(table.len(), list.len());
            assert_eq!(table.oldest(), list.first().map(|(_, value)| value));
            assert!(table.places.len() <= 25, "places are used again");
        }
        let rest: Vec<_> = list.into_iter().map(|(_, value)| value).collect();
        assert_eq!(values(table), rest);
        assert_eq!(values(Fifo::<u64, u64>::default()), [0; 0]);
    }

    thread_local! {
        static COMPARED: Cell<usize> = const { Cell::new(0) };
    }

    /// Counts its comparisons.
    #[derive(Clone, Eq, Hash)]
    #[expect(clippy::derived_hash_with_manual_eq, reason = "it compares as derived")]
    struct Counted(usize);

    impl PartialEq for Counted {
        fn eq(&self, other: &Self) -> bool {
            COMPARED.set(COMPARED.get() + 1);
            self.0 == other.0
        }
    }

    /// A table that looks through its entries compares 100,000 keys for each operation.
    #[test]
    fn operations_cost_the_same_whatever_the_size() {
        let cost = |size: usize| {
            let mut table = Fifo::default();
            for number in 0..size {
                table.insert(Counted(number), number);
            }
            COMPARED.set(0);
            for number in 0..1000 {
                // From all places of the list.
                let known = Counted(number * (size / 1000));
                assert!(table.get_mut(&known).is_some());
                assert!(table.remove(&known).is_some());
                assert!(table.insert(Counted(size + number), 0).is_none());
            }
            COMPARED.get()
        };
        let (small, large) = (cost(1000), cost(100_000));
        // Two for each round, and some for keys whose hashes begin alike.
        assert!(small < 3000 && large < 3000, "{small}, {large}");
    }
}
