//! Random numbers from a seed that is printed, without a crate (splitmix64).

use std::time::Duration;

pub(crate) struct Random(u64);

impl Random {
    /// The numbers of one task.
    pub(crate) fn new(seed: u64, task: u64) -> Self {
        let mut random = Self(seed ^ task.wrapping_mul(0xd134_2543_de82_ef95));
        random.next();
        random
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    /// True in so many of a hundred cases.
    pub(crate) fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn millis(&mut self, below: usize) -> Duration {
        Duration::from_millis(self.below(below) as u64)
    }

    pub(crate) fn bytes(&mut self, below: usize) -> Vec<u8> {
        let count = self.below(below) + 1;
        (0..count).map(|_| self.next() as u8).collect()
    }
}

/// Cards, each so many times, that are drawn by chance until none is left; then all are in the deck again. So no kind
/// of card can be missing for long.
pub(crate) struct Deck<T: 'static> {
    cards: &'static [(usize, T)],
    left: Vec<T>,
}

impl<T: Copy> Deck<T> {
    pub(crate) const fn new(cards: &'static [(usize, T)]) -> Self {
        Self {
            cards,
            left: Vec::new(),
        }
    }

    pub(crate) fn draw(&mut self, random: &mut Random) -> T {
        if self.left.is_empty() {
            let cards = self.cards.iter();
            let cards = cards.flat_map(|&(times, card)| std::iter::repeat_n(card, times));
            self.left.extend(cards);
        }
        self.left.swap_remove(random.below(self.left.len()))
    }
}
