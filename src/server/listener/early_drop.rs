//! Random early drop, as OpenSSH's `MaxStartups` has it, per source.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

/// When a listener closes new connections of one source at random, before any TLS work.
///
/// A source is an IPv4 address or an IPv6 /64 network. Below `start` handshakes in progress from that
/// source no connection is dropped; from there on the given share is, and it rises linearly to all
/// connections at `full`. A dropped connection has the reason `early_drop`.
///
/// The default is `EarlyDrop::new(256, 30, 512)`: one source can never hold more than half of the
/// default 1,024 places.
///
/// ```
/// use countersign::EarlyDrop;
///
/// // Half of the new connections of a source that has 50 handshakes in progress, all at 100.
/// let strict = EarlyDrop::new(50, 50, 100);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EarlyDrop {
    start: usize,
    percent: u8,
    full: usize,
}

impl EarlyDrop {
    /// Drops `percent` of a source's new connections at `start` handshakes in progress, all at `full`.
    ///
    /// `percent` counts up to 100; `full` is at least 1 and at least `start`.
    pub const fn new(start: usize, percent: u8, full: usize) -> Self {
        let least = if start > 0 { start } else { 1 };
        Self {
            start,
            percent: if percent > 100 { 100 } else { percent },
            full: if full > least { full } else { least },
        }
    }

    /// Whether to drop the next connection of a source with this many handshakes in progress.
    pub(super) fn drops(self, handshakes: usize, roll: impl FnOnce() -> u64) -> bool {
        if handshakes >= self.full {
            return true;
        }
        if handshakes < self.start {
            return false;
        }
        let [range, above] = [self.full - self.start, handshakes - self.start]
            .map(|count| u128::try_from(count).unwrap_or(u128::MAX >> 8));
        let percent = u128::from(self.percent);
        let dropped = percent * range + (100 - percent) * above;
        u128::from(roll()) % (100 * range) < dropped
    }
}

impl Default for EarlyDrop {
    fn default() -> Self {
        Self::new(256, 30, 512)
    }
}

/// Numbers that a peer cannot predict: a keyed hash of a counter.
#[derive(Debug, Default)]
pub(super) struct Dice {
    key: RandomState,
    rolls: AtomicU64,
}

impl Dice {
    pub(super) fn roll(&self) -> u64 {
        self.key
            .hash_one(self.rolls.fetch_add(1, Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of the rolls 0, 1, … 9,999 drop the next connection.
    fn dropped(rule: EarlyDrop, handshakes: usize) -> usize {
        (0..10_000)
            .filter(|&roll| rule.drops(handshakes, || roll))
            .count()
    }

    #[test]
    fn the_share_rises_from_start_to_full() {
        let rule = EarlyDrop::new(10, 30, 110);
        assert_eq!(dropped(rule, 0), 0);
        assert_eq!(dropped(rule, 9), 0);
        assert_eq!(dropped(rule, 10), 3_000);
        assert_eq!(dropped(rule, 60), 6_500);
        assert_eq!(dropped(rule, 109), 9_930);
        assert_eq!(dropped(rule, 110), 10_000);
        assert_eq!(dropped(rule, usize::MAX), 10_000);
    }

    #[test]
    fn extreme_settings_neither_panic_nor_refuse_a_first_connection() {
        for rule in [
            EarlyDrop::new(0, 0, 0),
            EarlyDrop::new(usize::MAX, 255, 0),
            EarlyDrop::new(1, 255, usize::MAX),
            EarlyDrop::new(usize::MAX, 0, usize::MAX),
        ] {
            assert_eq!(dropped(rule, 0), 0, "{rule:?}");
            for handshakes in [1, 2, usize::MAX - 1, usize::MAX] {
                dropped(rule, handshakes);
            }
        }
    }

    #[test]
    fn rolls_are_spread_evenly() {
        let dice = Dice::default();
        let low = (0..10_000).filter(|_| dice.roll() % 100 < 30).count();
        // Twenty standard deviations.
        assert!((2_080..3_920).contains(&low), "{low} of 10,000");
    }
}
