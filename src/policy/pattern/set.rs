//! A set of many patterns.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use super::table::{Rule, Table};
use super::{DnsPattern, EntryError, Pattern, SpiffePattern};
use crate::Peer;
use crate::policy::{Decision, Explanation, Policy};

/// Allows the identities that match one of many patterns.
///
/// The decision contains the name of the pattern's rule, or the pattern where it has no rule. Where
/// several match, the most specific one decides: exact before wildcard, a longer prefix before a shorter.
///
/// A decision looks up the identity and each prefix of it that a pattern can have, by hashing. Its time
/// does not depend on the number of patterns. A pattern takes 16 to 27 bytes besides its text (without
/// `spiffe://`).
///
/// ```
/// use countersign::identity::SpiffeId;
/// use countersign::policy::{PatternSet, SpiffePattern};
/// use countersign::{Policy as _, testing};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let callers = PatternSet::<SpiffePattern>::new()
///     .rule("billing", ["spiffe://example.org/ns/billing/*"])?
///     .rule("partners", ["spiffe://bank.example/*", "spiffe://shop.example/gateway"])?;
///
/// let bank = testing::peer("spiffe://bank.example/teller/7".parse::<SpiffeId>()?);
/// assert_eq!(callers.authorize(&bank).rule(), Some("partners"));
/// # Ok(())
/// # }
/// ```
///
/// An empty set denies every peer.
#[derive(Clone)]
pub struct PatternSet<P> {
    table: Table,
    patterns: PhantomData<fn() -> P>,
}

/// Allows the SPIFFE IDs that match one of these patterns, as [`SpiffePattern`] describes them.
///
/// The rule in the decision is the pattern.
///
/// # Errors
/// [`EntryError`]: the first text that is not a pattern, and why.
pub fn spiffe_patterns<T: AsRef<str>>(
    patterns: impl IntoIterator<Item = T>,
) -> Result<PatternSet<SpiffePattern>, EntryError<super::SpiffePatternError>> {
    PatternSet::new().with(None, patterns)
}

/// Allows the DNS names that match one of these patterns, as [`DnsPattern`] describes them.
///
/// The rule in the decision is the pattern.
///
/// # Errors
/// [`EntryError`]: the first text that is not a pattern, and why.
pub fn dns_patterns<T: AsRef<str>>(
    patterns: impl IntoIterator<Item = T>,
) -> Result<PatternSet<DnsPattern>, EntryError<super::DnsPatternError>> {
    PatternSet::new().with(None, patterns)
}

impl<P: Pattern> PatternSet<P> {
    /// A set without patterns.
    pub fn new() -> Self {
        Self {
            table: Table::default(),
            patterns: PhantomData,
        }
    }

    /// Adds a rule of this name with these patterns. A pattern that is in the set already keeps its rule.
    ///
    /// # Errors
    /// [`EntryError`]: the first text that is not a pattern, and why.
    pub fn rule<T: AsRef<str>>(
        self,
        name: impl Into<Cow<'static, str>>,
        patterns: impl IntoIterator<Item = T>,
    ) -> Result<Self, EntryError<P::Err>> {
        self.with(Some(name.into()), patterns)
    }

    fn with<T: AsRef<str>>(
        mut self,
        rule: Option<Cow<'static, str>>,
        patterns: impl IntoIterator<Item = T>,
    ) -> Result<Self, EntryError<P::Err>> {
        let patterns = patterns.into_iter();
        self.table.reserve(patterns.size_hint().0);
        for text in patterns {
            let text = text.as_ref();
            let pattern = text.parse().map_err(|error| EntryError::new(text, error))?;
            self.add(&pattern, rule.clone());
        }
        self.table.shrink();
        Ok(self)
    }

    /// Adds a pattern. Returns whether it is new.
    pub fn insert(&mut self, pattern: P) -> bool {
        self.add(&pattern, None)
    }

    /// Adds a pattern to the rule of this name. Returns whether it is new; a pattern that is in the set
    /// already keeps its rule.
    pub fn insert_named(&mut self, rule: impl Into<Cow<'static, str>>, pattern: P) -> bool {
        self.add(&pattern, Some(rule.into()))
    }

    fn add(&mut self, pattern: &P, rule: Option<Cow<'static, str>>) -> bool {
        let (key, wide) = pattern.key();
        self.table.insert(key, wide, rule)
    }

    /// Whether a pattern matches.
    pub fn contains(&self, identity: &P::Identity) -> bool {
        self.find(identity).is_some()
    }

    /// The most specific pattern that matches.
    pub fn matching(&self, identity: &P::Identity) -> Option<P> {
        self.find(identity).map(|found| found.pattern())
    }

    /// The number of patterns.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there is no pattern.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn find<'a>(&'a self, identity: &'a P::Identity) -> Option<Found<'a, P>> {
        let (key, wide, rule) = self
            .table
            .find_first(P::narrow_key(identity), P::wide_keys(identity))?;
        Some(Found {
            key,
            wide,
            rule,
            patterns: PhantomData,
        })
    }

    fn decide(&self, identity: &P::Identity, found: Option<&Found<'_, P>>) -> Decision
    where
        P::Identity: fmt::Display,
    {
        let name = P::NAME;
        match (found, self.len()) {
            (Some(found), _) => Decision::allow(match found.rule {
                Some(rule) => rule.clone(),
                None => P::text_of_key(found.key, found.wide).into(),
            }),
            (None, 0) => Decision::deny_because(format_args!(
                "there is no {name} pattern, so no peer matches"
            )),
            (None, 1) => Decision::deny_because(format_args!(
                "{identity} does not match the only {name} pattern"
            )),
            (None, count) => Decision::deny_because(format_args!(
                "{identity} matches none of {count} {name} patterns"
            )),
        }
    }
}

/// An entry of the table.
struct Found<'a, P> {
    key: &'a str,
    wide: bool,
    rule: Rule<'a>,
    patterns: PhantomData<P>,
}

impl<P: Pattern> Found<'_, P> {
    fn pattern(&self) -> P {
        P::of_key(self.key, self.wide)
    }
}

impl<P> Policy<P::Identity> for PatternSet<P>
where
    P: Pattern,
    P::Identity: fmt::Display,
{
    fn authorize(&self, peer: &Peer<P::Identity>) -> Decision {
        let identity = peer.identity();
        self.decide(identity, self.find(identity).as_ref())
    }

    fn explain(&self, peer: &Peer<P::Identity>) -> Explanation {
        let identity = peer.identity();
        let found = self.find(identity);
        let explanation = Explanation::of(self.decide(identity, found.as_ref())).by("patterns");
        match found {
            Some(found) => explanation.shown_as(match found.rule {
                Some(rule) => format!("rule \"{rule}\", pattern {}", found.pattern()),
                None => format!("pattern {}", found.pattern()),
            }),
            None => explanation,
        }
    }
}

impl<P: Pattern> Default for PatternSet<P> {
    fn default() -> Self {
        Self::new()
    }
}

impl<P: Pattern> Extend<P> for PatternSet<P> {
    fn extend<T: IntoIterator<Item = P>>(&mut self, patterns: T) {
        let patterns = patterns.into_iter();
        self.table.reserve(patterns.size_hint().0);
        for pattern in patterns {
            self.add(&pattern, None);
        }
    }
}

impl<P: Pattern> FromIterator<P> for PatternSet<P> {
    fn from_iter<T: IntoIterator<Item = P>>(patterns: T) -> Self {
        let mut set = Self::new();
        set.extend(patterns);
        set.table.shrink();
        set
    }
}

impl<P: Pattern> fmt::Debug for PatternSet<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PatternSet")
            .field("of", &P::NAME)
            .field("patterns", &self.len())
            .finish()
    }
}
