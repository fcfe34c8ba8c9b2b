//! Patterns of DNS names.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use super::{Pattern, Stored};
use crate::diagnostic::{Diagnostic, display_diagnostic};
use crate::identity::{DnsName, IdentityError, IdentityErrorKind};

/// A DNS name, or all names that differ in the left-most label: `*.workers.example.org`.
///
/// | pattern | matches | but not |
/// |---|---|---|
/// | `a.example.org` | itself | anything else |
/// | `*.example.org` | `a.example.org`, `b.example.org` | `example.org`, `a.b.example.org` |
///
/// The `*` matches one whole label. It can only be the left-most label (RFC 9525 section 6.3). Upper case
/// is converted to lower case. Internationalised names are written as A-labels (`xn--…`).
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

    /// Reads a pattern. Upper case is converted to lower case.
    ///
    /// # Errors
    /// [`DnsPatternError`] says what is wrong, for example with `*`, `a*.example.org`,
    /// `a.*.example.org`, `*.*.example.org`, `*.example.org.` or `*.bücher.example`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        use DnsPatternError as E;

        if text == "*" {
            return Err(E::WildcardAlone);
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
        // No name is long enough to match a longer pattern.
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

/// Why a text is not a pattern of DNS names.
///
/// ```
/// use countersign::policy::{DnsPattern, DnsPatternError};
///
/// let error = "a.*.example".parse::<DnsPattern>().expect_err("not left-most");
/// assert_eq!(error, DnsPatternError::WildcardNotLeftmost);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DnsPatternError {
    /// `*` alone.
    WildcardAlone,
    /// A `*` label that is not the first, or a second one.
    WildcardNotLeftmost,
    /// A `*` beside other characters.
    PartialLabel,
    /// Apart from the wildcard, it is not a DNS name.
    Name(#[from] IdentityError),
}

impl Diagnostic for DnsPatternError {
    fn reason(&self) -> &'static str {
        match self {
            Self::WildcardAlone => "wildcard_alone",
            Self::WildcardNotLeftmost => "wildcard_not_leftmost",
            Self::PartialLabel => "partial_label",
            Self::Name(error) => error.reason(),
        }
    }

    fn cause(&self) -> Cow<'_, str> {
        Cow::Borrowed(match self {
            Self::WildcardAlone => "\"*\" alone would allow every peer",
            Self::WildcardNotLeftmost => "the wildcard can only be the left-most label",
            Self::PartialLabel => "the wildcard matches one whole label, not a part of it",
            Self::Name(error) => return error.cause(),
        })
    }

    fn remedy(&self) -> Cow<'_, str> {
        Cow::Borrowed(match self {
            Self::WildcardAlone => "name a domain, as in *.example.org, or use allow_any()",
            Self::WildcardNotLeftmost => "write the pattern as in *.example.org",
            Self::PartialLabel => "write *.example.org, not a*.example.org",
            Self::Name(error) => return error.remedy(),
        })
    }
}

display_diagnostic!(DnsPatternError);
