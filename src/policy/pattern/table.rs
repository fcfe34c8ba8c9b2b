//! A hash table of many short texts that takes little memory.

use std::borrow::Cow;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;

use hashbrown::HashTable;

/// All entries are in one allocation, one after the other. An entry costs six bytes besides its text, and
/// nine bytes for its place in the table, instead of an allocation of its own.
#[derive(Clone, Default)]
pub(super) struct Table {
    records: Records,
    /// Where the records begin.
    starts: HashTable<usize>,
    rules: Vec<Cow<'static, str>>,
    rule_numbers: HashTable<u32>,
    /// Whether there is an entry that is not wide. Otherwise the lookup is skipped.
    has_narrow: bool,
    /// Whether there are wide entries with this many slashes. An identity of a thousand segments is looked
    /// up at these depths only.
    has_wide: Vec<bool>,
    /// With a random key, because an attacker may choose identities and could make them collide.
    hasher: RandomState,
}

/// The name of an entry's rule, if it has one.
pub(super) type Rule<'a> = Option<&'a Cow<'static, str>>;

impl Table {
    /// Adds an entry, unless it is in the table already or too long. Returns whether it was added.
    pub(super) fn insert(
        &mut self,
        key: &str,
        wide: bool,
        rule: Option<Cow<'static, str>>,
    ) -> bool {
        let hash = self.hash(key, wide);
        if key.len() > Records::LONGEST || self.find(key, wide, hash).is_some() {
            return false;
        }
        let rule = rule.map_or(Records::NO_RULE, |rule| self.rule_number(rule));
        let start = self.records.push(key, wide, rule);
        let (records, hasher) = (&self.records, &self.hasher);
        self.starts
            .insert_unique(hash, start, |&start| records.get(start).hash(hasher));
        if wide {
            let depth = depth(key);
            if self.has_wide.len() <= depth {
                self.has_wide.resize(depth + 1, false);
            }
            self.has_wide[depth] = true;
        } else {
            self.has_narrow = true;
        }
        true
    }

    /// The number of a rule's name. Each name is stored once.
    fn rule_number(&mut self, rule: Cow<'static, str>) -> u32 {
        let (rules, hasher) = (&mut self.rules, &self.hasher);
        let hash = hasher.hash_one(&*rule);
        let known = self
            .rule_numbers
            .find(hash, |&number| rules[number as usize] == rule);
        if let Some(&number) = known {
            return number;
        }
        // After four billion names, the decision contains the pattern instead.
        let Ok(number) = u32::try_from(rules.len()) else {
            return Records::NO_RULE;
        };
        rules.push(rule);
        self.rule_numbers.insert_unique(hash, number, |&number| {
            hasher.hash_one(&*rules[number as usize])
        });
        number
    }

    /// Looks for the narrow key first, and then for the wide ones in order. Each of these must be the one
    /// before up to its last slash. Returns the key, whether it is wide, and its rule.
    pub(super) fn find_first<'k>(
        &self,
        narrow: &'k str,
        wide: impl Iterator<Item = &'k str>,
    ) -> Option<(&'k str, bool, Rule<'_>)> {
        /// So many are hashed before the first is looked up, so that the processor fetches their parts of
        /// the table concurrently.
        const AT_ONCE: usize = 4;

        let mut wide = wide.peekable();
        let deepest = wide.peek().map_or(0, |key| depth(key));
        let wide = wide
            .zip((0..=deepest).rev())
            .filter(|&(_, depth)| self.has_wide.get(depth) == Some(&true))
            .map(|(key, _)| (key, true));
        let mut candidates = self
            .has_narrow
            .then_some((narrow, false))
            .into_iter()
            .chain(wide);
        loop {
            let mut hashed = [("", false, 0); AT_ONCE];
            let mut count = 0;
            for (place, (key, wide)) in hashed.iter_mut().zip(&mut candidates) {
                *place = (key, wide, self.hash(key, wide));
                count += 1;
            }
            for &(key, wide, hash) in &hashed[..count] {
                if let Some(rule) = self.find(key, wide, hash) {
                    return Some((key, wide, rule));
                }
            }
            if count < AT_ONCE {
                return None;
            }
        }
    }

    fn find(&self, key: &str, wide: bool, hash: u64) -> Option<Rule<'_>> {
        let same = |&start: &usize| {
            let record = self.records.get(start);
            record.key == key.as_bytes() && record.wide == wide
        };
        let start = *self.starts.find(hash, same)?;
        Some(self.rules.get(self.records.get(start).rule as usize))
    }

    fn hash(&self, key: &str, wide: bool) -> u64 {
        self.hasher.hash_one((key.as_bytes(), wide))
    }

    pub(super) fn len(&self) -> usize {
        self.starts.len()
    }

    pub(super) fn reserve(&mut self, additional: usize) {
        let (records, hasher) = (&self.records, &self.hasher);
        self.starts
            .reserve(additional, |&start| records.get(start).hash(hasher));
    }

    /// Releases unused memory.
    pub(super) fn shrink(&mut self) {
        self.records.0.shrink_to_fit();
        let (records, hasher) = (&self.records, &self.hasher);
        self.starts
            .shrink_to_fit(|&start| records.get(start).hash(hasher));
    }
}

/// Records of varying length: the number of the rule, the length of the key with a bit for wide
/// ones, and the key.
#[derive(Clone, Default)]
struct Records(Vec<u8>);

struct Record<'a> {
    key: &'a [u8],
    wide: bool,
    rule: u32,
}

impl Records {
    const NO_RULE: u32 = u32::MAX;
    const WIDE: u16 = 1 << 15;
    const LONGEST: usize = Self::WIDE as usize - 1;
    const HEAD: usize = 6;

    fn push(&mut self, key: &str, wide: bool, rule: u32) -> usize {
        let start = self.0.len();
        // Not longer than `LONGEST`.
        let length = key.len() as u16 | if wide { Self::WIDE } else { 0 };
        self.0.extend(rule.to_le_bytes());
        self.0.extend(length.to_le_bytes());
        self.0.extend(key.as_bytes());
        start
    }

    fn get(&self, start: usize) -> Record<'_> {
        let (head, rest) = self.0[start..].split_at(Self::HEAD);
        let rule = u32::from_le_bytes([head[0], head[1], head[2], head[3]]);
        let length = u16::from_le_bytes([head[4], head[5]]);
        Record {
            key: &rest[..usize::from(length & !Self::WIDE)],
            wide: length & Self::WIDE != 0,
            rule,
        }
    }
}

impl Record<'_> {
    /// As [`Table::hash`].
    fn hash(&self, hasher: &RandomState) -> u64 {
        hasher.hash_one((self.key, self.wide))
    }
}

fn depth(key: &str) -> usize {
    key.bytes().filter(|&byte| byte == b'/').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The length is in fifteen bits: a longer key would be found by another one.
    #[test]
    fn a_key_is_at_most_32767_bytes_long() {
        let mut table = Table::default();
        for wide in [false, true] {
            for (length, fits) in [(32_767, true), (32_768, false), (65_540, false)] {
                let key = "a".repeat(length);
                assert_eq!(table.insert(&key, wide, None), fits, "{length}");
                let found = table.find(&key, wide, table.hash(&key, wide));
                assert_eq!(found.is_some(), fits, "{length}");
            }
        }
        assert_eq!(table.len(), 2);
    }
}
