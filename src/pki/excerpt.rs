//! The first entries of a list that may be long.

use std::fmt;

use super::text::{Brief, Thousands};

/// The first entries of a list, and how many entries it has.
///
/// Errors contain excerpts where the list comes from a peer or grows with the trust store, so that the
/// cost of an error does not depend on the length of the list.
///
/// `Display` prints the first five entries and the number of the others: `a, b, c, d, e and 140 more`.
/// Each entry is cut after 256 bytes.
///
/// ```
/// use countersign::pki::Excerpt;
///
/// let excerpt: Excerpt<u32> = (1..=100).collect();
/// assert_eq!(excerpt.total(), 100);
/// assert_eq!(excerpt.to_string(), "1, 2, 3, 4, 5 and 95 more");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt<T> {
    first: Vec<T>,
    total: usize,
}

impl<T> Excerpt<T> {
    /// The most entries that are kept.
    pub const MAX: usize = 8;

    /// Keeps the first of `total` entries. Entries beyond [`MAX`](Self::MAX) are not evaluated.
    pub fn new(entries: impl IntoIterator<Item = T>, total: usize) -> Self {
        let first: Vec<T> = entries.into_iter().take(Self::MAX).collect();
        Self {
            total: total.max(first.len()),
            first,
        }
    }

    /// The kept entries, in order.
    pub fn first(&self) -> &[T] {
        &self.first
    }

    /// The number of entries of the list.
    pub const fn total(&self) -> usize {
        self.total
    }

    /// Whether the list has no entry.
    pub const fn is_empty(&self) -> bool {
        self.total == 0
    }
}

impl<T> FromIterator<T> for Excerpt<T> {
    fn from_iter<E: IntoIterator<Item = T>>(entries: E) -> Self {
        let mut entries = entries.into_iter();
        let first: Vec<T> = entries.by_ref().take(Self::MAX).collect();
        let total = first.len() + entries.count();
        Self { first, total }
    }
}

impl<T: fmt::Display> fmt::Display for Excerpt<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 5;
        if self.is_empty() {
            return f.write_str("none");
        }
        for (index, entry) in self.first.iter().take(SHOWN).enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            Brief(entry).fmt(f)?;
        }
        match self.total.saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, " and {} more", Thousands(more as u64)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_counts_the_entries_that_it_leaves_out() {
        let all: Excerpt<usize> = (0..1000).collect();
        assert_eq!(all.first(), [0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(all.to_string(), "0, 1, 2, 3, 4 and 995 more");
        assert_eq!(Excerpt::new([1, 2], 2).to_string(), "1, 2");
        assert_eq!(Excerpt::<u8>::new([], 0).to_string(), "none");
        assert!(Excerpt::<u8>::new([], 0).is_empty());
    }

    #[test]
    fn entries_beyond_the_maximum_are_not_evaluated() {
        let mut made = 0;
        let excerpt = Excerpt::new((0..1000).inspect(|_| made += 1), 1000);
        assert_eq!((excerpt.total(), made), (1000, Excerpt::<u8>::MAX));
    }
}
