//! Patterns of identities, and sets of them that are searched by hashing.

mod dns;
mod set;
mod spiffe;
mod table;

use std::error::Error;
use std::fmt;
use std::str::FromStr;

pub use dns::{DnsPattern, DnsPatternError};
pub use set::{PatternSet, dns_patterns, spiffe_patterns};
pub use spiffe::{SpiffePattern, SpiffePatternError};

/// A pattern that identities of one type match or do not: [`SpiffePattern`] or [`DnsPattern`].
///
/// It is for [`PatternSet`] and cannot be implemented elsewhere.
pub trait Pattern: FromStr<Err: Error> + fmt::Display + Stored {
    /// Whether this identity matches.
    fn matches(&self, identity: &Self::Identity) -> bool;
}

/// How a pattern is kept and found: as the text that it shares with what it matches, and whether
/// it is wide, which means that there is a wildcard besides.
#[allow(unnameable_types)] // which keeps others from implementing it
pub trait Stored: Sized {
    /// What it matches.
    type Identity;

    /// What such patterns are called.
    const NAME: &'static str;

    /// The text, and whether the pattern is wide.
    fn key(&self) -> (&str, bool);

    /// The pattern of a key.
    fn of_key(key: &str, wide: bool) -> Self;

    /// How that is written.
    fn text_of_key(key: &str, wide: bool) -> String;

    /// The key of the only narrow pattern that this identity can match.
    fn narrow_key(identity: &Self::Identity) -> &str;

    /// The keys of all wide patterns that this identity can match, the most specific first.
    fn wide_keys(identity: &Self::Identity) -> impl Iterator<Item = &str>;
}

/// Which entry of a list is invalid, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{}\": {error}", .entry.escape_debug())]
pub struct EntryError<E: Error + 'static> {
    entry: Box<str>,
    #[source]
    error: E,
}

impl<E: Error + 'static> EntryError<E> {
    pub(super) fn new(entry: &str, error: E) -> Self {
        Self {
            entry: entry.into(),
            error,
        }
    }

    /// The entry as it was given.
    pub const fn entry(&self) -> &str {
        &self.entry
    }

    /// What is wrong with it.
    pub const fn error(&self) -> &E {
        &self.error
    }
}
