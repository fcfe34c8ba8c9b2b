//! Patterns of identities, and sets of patterns that are searched by hashing.

mod dns;
mod set;
mod spiffe;
mod table;

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

pub use dns::{DnsPattern, DnsPatternError};
pub use set::{PatternSet, dns_patterns, spiffe_patterns};
pub use spiffe::{SpiffePattern, SpiffePatternError};

use crate::diagnostic::Diagnostic;
use crate::pki::text::Escaped;

/// A pattern of identities: [`SpiffePattern`] or [`DnsPattern`]. Sealed.
///
/// ```
/// use countersign::policy::{DnsPattern, Pattern};
///
/// fn count<P: Pattern>(pattern: &P, identities: &[P::Identity]) -> usize {
///     identities.iter().filter(|identity| pattern.matches(identity)).count()
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let workers: DnsPattern = "*.workers.example".parse()?;
/// assert_eq!(count(&workers, &["a.workers.example".parse()?, "b.example".parse()?]), 1);
/// # Ok(())
/// # }
/// ```
pub trait Pattern: FromStr<Err: Diagnostic + 'static> + fmt::Display + Stored {
    /// Whether this identity matches.
    fn matches(&self, identity: &Self::Identity) -> bool;
}

/// How a pattern is stored and found: by the text that it shares with what it matches, and by whether it
/// is wide, which means that it also has a wildcard.
#[allow(unnameable_types)] // sealed: no other crate can implement it
pub trait Stored: Sized {
    /// The type of identity that it matches.
    type Identity;

    /// The name of such patterns in texts.
    const NAME: &'static str;

    /// The text, and whether the pattern is wide.
    fn key(&self) -> (&str, bool);

    /// The pattern of a key.
    fn of_key(key: &str, wide: bool) -> Self;

    /// The text of the pattern of a key.
    fn text_of_key(key: &str, wide: bool) -> String;

    /// The key of the only narrow pattern that this identity can match.
    fn narrow_key(identity: &Self::Identity) -> &str;

    /// The keys of all wide patterns that this identity can match, the most specific first.
    fn wide_keys(identity: &Self::Identity) -> impl Iterator<Item = &str>;
}

/// Which entry of a list is invalid, and why.
///
/// ```
/// use countersign::policy;
///
/// let error = policy::dns_patterns(["a.example", "b*.example"]).expect_err("a partial label");
/// assert_eq!(error.entry(), "b*.example");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct EntryError<E: Diagnostic + 'static> {
    entry: Box<str>,
    #[source]
    error: E,
}

impl<E: Diagnostic + 'static> EntryError<E> {
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

impl<E: Diagnostic + 'static> Diagnostic for EntryError<E> {
    fn reason(&self) -> &'static str {
        self.error.reason()
    }

    fn cause(&self) -> Cow<'_, str> {
        // By its path, because `Error` has a method `cause` too.
        let cause = Diagnostic::cause(&self.error);
        format!("\"{}\": {cause}", Escaped(&self.entry)).into()
    }

    fn remedy(&self) -> Cow<'_, str> {
        self.error.remedy()
    }
}

impl<E: Diagnostic + 'static> fmt::Display for EntryError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.cause(), self.remedy())
    }
}
