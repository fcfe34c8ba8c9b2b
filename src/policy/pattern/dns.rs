//! Patterns of DNS names.

use std::fmt;
use std::str::FromStr;

use super::{Pattern, Stored};
use crate::identity::{DnsName, IdentityError, IdentityErrorKind};

/// A DNS name, or all names that differ in the left-most label: `*.workers.example.org`.
///
/// | pattern | matches | but not |
/// |---|---|---|
/// | `a.example.org` | itself | anything else |
/// | `*.example.org` | `a.example.org`, `b.example.org` | `example.org`, `a.b.example.org` |
///
/// The `*` stands for one whole label at the left end (RFC 9525 section 6.3), and nowhere else.
/// Upper case is lowered. Internationalised names are written as A-labels (`xn--…`).
///
/// ```
/// use countersign::policy::DnsPattern;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let workers: DnsPattern = "*.workers.example.org".parse()?;
/// assert!(workers.matches(&"one.workers.example.org".parse()?));
/// assert!(!workers.matches(&"one.eu.workers.example.org".parse()?));
///
/// assert!("one-*.workers.example.org".parse::<DnsPattern>().is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DnsPattern(Box<str>);

const ANY_LABEL: &str = "*.";

impl DnsPattern {
    /// The pattern in lower case.
    pub const fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this name matches.
    pub fn matches(&self, name: &DnsName) -> bool {
        match self.0.strip_prefix(ANY_LABEL) {
            None => *self.0 == *name.as_str(),
            Some(parent) => name
                .as_str()
                .split_once('.')
                .is_some_and(|(_, rest)| rest == parent),
        }
    }
}

impl FromStr for DnsPattern {
    type Err = DnsPatternError;

    /// Reads a pattern; upper case is lowered.
    ///
    /// # Errors
    /// [`DnsPatternError`] says what is wrong, for example with `*`, `a*.example.org`,
    /// `a.*.example.org`, `*.*.example.org`, `*.example.org.` or `*.bücher.example`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        use DnsPatternError as E;

        if text == "*" {
            return Err(E::Everybody);
        }
        let (parent, wide) = match text.strip_prefix(ANY_LABEL) {
            Some(parent) => (parent, true),
            None => (text, false),
        };
        if parent.split('.').any(|label| label == "*") {
            return Err(E::WildcardNotLeftmost);
        }
        if parent.contains('*') {
            return Err(E::PartialLabel);
        }
        let parent: DnsName = parent.parse()?;
        // No name is long enough to match it.
        if text.len() > DnsName::MAX_LENGTH {
            return Err(E::Name(IdentityError::new(
                IdentityErrorKind::TooLong,
                "a pattern of DNS names is at most 253 bytes long",
            )));
        }
        Ok(Self::of_key(parent.as_str(), wide))
    }
}

impl Pattern for DnsPattern {
    fn matches(&self, identity: &DnsName) -> bool {
        self.matches(identity)
    }
}

/// The key is the name without the `*.`.
impl Stored for DnsPattern {
    type Identity = DnsName;

    const NAME: &'static str = "DNS";

    fn key(&self) -> (&str, bool) {
        match self.0.strip_prefix(ANY_LABEL) {
            Some(parent) => (parent, true),
            None => (&self.0, false),
        }
    }

    fn of_key(key: &str, wide: bool) -> Self {
        Self(Self::text_of_key(key, wide).into())
    }

    fn text_of_key(key: &str, wide: bool) -> String {
        [if wide { ANY_LABEL } else { "" }, key].concat()
    }

    fn narrow_key(name: &DnsName) -> &str {
        name.as_str()
    }

    fn wide_keys(name: &DnsName) -> impl Iterator<Item = &str> {
        let parent = name.as_str().split_once('.');
        parent.map(|(_, parent)| parent).into_iter()
    }
}

impl fmt::Display for DnsPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for DnsPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DnsPattern({})", self.0)
    }
}

/// Why a text is no pattern of DNS names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DnsPatternError {
    /// `*` alone.
    #[error("\"*\" alone would allow everybody; if that is meant, use allow_any()")]
    Everybody,
    /// A `*` label that is not the first, or a second one.
    #[error("the wildcard can only be the left-most label, as in *.example.org")]
    WildcardNotLeftmost,
    /// A `*` beside other characters.
    #[error("the wildcard stands for one whole label: write *.example.org, not a*.example.org")]
    PartialLabel,
    /// Apart from the wildcard, it is no DNS name.
    #[error(transparent)]
    Name(#[from] IdentityError),
}
