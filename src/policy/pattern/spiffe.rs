//! Patterns of SPIFFE IDs.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use super::{Pattern, Stored};
use crate::diagnostic::{Diagnostic, display_diagnostic};
use crate::identity::{IdentityError, IdentityErrorKind, SpiffeId};

/// A SPIFFE ID, or all IDs below one: `spiffe://example.org/ns/billing/*`.
///
/// | pattern | matches | but not |
/// |---|---|---|
/// | `spiffe://example.org/a` | itself | anything else |
/// | `spiffe://example.org/a/*` | `…/a/b`, `…/a/b/c` | `…/a`, `…/ab` |
/// | `spiffe://example.org/*` | every workload of the trust domain | the domain's own ID, without a path |
///
/// The `*` matches one or more whole segments. It can only be at the end.
///
/// ```
/// use countersign::policy::SpiffePattern;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let billing: SpiffePattern = "spiffe://example.org/ns/billing/*".parse()?;
/// assert!(billing.matches(&"spiffe://example.org/ns/billing/sa/worker".parse()?));
/// assert!(!billing.matches(&"spiffe://example.org/ns/billing-test/sa/worker".parse()?));
///
/// assert!("spiffe://example.org/ns/bill*".parse::<SpiffePattern>().is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpiffePattern(Box<str>);

const SCHEME: &str = "spiffe://";
const BELOW: &str = "/*";

impl SpiffePattern {
    /// The pattern as it is written.
    pub const fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this ID matches.
    pub fn matches(&self, id: &SpiffeId) -> bool {
        match self.0.strip_suffix(BELOW) {
            None => *self.0 == *id.as_str(),
            // An ID has no empty segment, so one follows the slash.
            Some(above) => id
                .as_str()
                .strip_prefix(above)
                .is_some_and(|below| below.starts_with('/')),
        }
    }
}

impl FromStr for SpiffePattern {
    type Err = SpiffePatternError;

    /// Reads a pattern exactly as it is written. Nothing is normalised.
    ///
    /// # Errors
    /// [`SpiffePatternError`] says what is wrong, for example with `*`, `spiffe://*/a`,
    /// `spiffe://example.org/a*`, `spiffe://example.org/*/a`, `spiffe://example.org` or
    /// `spiffe://Example.org/*`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        use SpiffePatternError as E;

        if text == "*" {
            return Err(E::WildcardAlone);
        }
        let Some(rest) = text.strip_prefix(SCHEME) else {
            return Err(E::Id(IdentityError::new(
                IdentityErrorKind::BadSyntax,
                "a pattern of SPIFFE IDs starts with spiffe://",
            )));
        };
        let trust_domain = rest.split('/').next().unwrap_or(rest);
        if trust_domain.contains('*') {
            return Err(E::WildcardTrustDomain);
        }
        let (above, wide) = match text.strip_suffix(BELOW) {
            Some(above) => (above, true),
            None => (text, false),
        };
        if above.split('/').any(|segment| segment == "*") {
            return Err(E::WildcardNotLast);
        }
        if above.contains('*') {
            return Err(E::PartialSegment);
        }
        let id: SpiffeId = above.parse()?;
        if !wide && id.path().is_empty() {
            return Err(E::NoPath);
        }
        // No ID is long enough to match a longer pattern.
        if text.len() > SpiffeId::MAX_LENGTH {
            return Err(E::Id(IdentityError::new(
                IdentityErrorKind::TooLong,
                "a pattern of SPIFFE IDs is at most 2048 bytes long",
            )));
        }
        Ok(Self(text.into()))
    }
}

impl Pattern for SpiffePattern {
    fn matches(&self, identity: &SpiffeId) -> bool {
        self.matches(identity)
    }
}

/// The key is the ID without its scheme, and without the `/*`.
impl Stored for SpiffePattern {
    type Identity = SpiffeId;

    const NAME: &'static str = "SPIFFE";

    fn key(&self) -> (&str, bool) {
        let rest = &self.0[SCHEME.len()..];
        match rest.strip_suffix(BELOW) {
            Some(above) => (above, true),
            None => (rest, false),
        }
    }

    fn of_key(key: &str, wide: bool) -> Self {
        Self(Self::text_of_key(key, wide).into())
    }

    fn text_of_key(key: &str, wide: bool) -> String {
        [SCHEME, key, if wide { BELOW } else { "" }].concat()
    }

    fn narrow_key(id: &SpiffeId) -> &str {
        &id.as_str()[SCHEME.len()..]
    }

    fn wide_keys(id: &SpiffeId) -> impl Iterator<Item = &str> {
        let key = Self::narrow_key(id);
        let slashes = key
            .bytes()
            .enumerate()
            .rev()
            .filter(|&(_, byte)| byte == b'/');
        slashes.map(|(slash, _)| &key[..slash])
    }
}

impl fmt::Display for SpiffePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for SpiffePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SpiffePattern({})", self.0)
    }
}

/// Why a text is not a pattern of SPIFFE IDs.
///
/// ```
/// use countersign::policy::{SpiffePattern, SpiffePatternError};
///
/// let error = "spiffe://example.org/a*".parse::<SpiffePattern>().expect_err("a partial segment");
/// assert_eq!(error, SpiffePatternError::PartialSegment);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpiffePatternError {
    /// `*` alone.
    WildcardAlone,
    /// A `*` in the trust domain.
    WildcardTrustDomain,
    /// A `*` segment with others after it.
    WildcardNotLast,
    /// A `*` beside other characters.
    PartialSegment,
    /// A trust domain without a path.
    NoPath,
    /// Apart from the wildcard, it is not a SPIFFE ID.
    Id(#[from] IdentityError),
}

impl Diagnostic for SpiffePatternError {
    fn reason(&self) -> &'static str {
        match self {
            Self::WildcardAlone => "wildcard_alone",
            Self::WildcardTrustDomain => "wildcard_trust_domain",
            Self::WildcardNotLast => "wildcard_not_last",
            Self::PartialSegment => "partial_segment",
            Self::NoPath => "no_path",
            Self::Id(error) => error.reason(),
        }
    }

    fn cause(&self) -> Cow<'_, str> {
        Cow::Borrowed(match self {
            Self::WildcardAlone => "\"*\" alone would allow every peer",
            Self::WildcardTrustDomain => "a trust domain cannot contain a wildcard",
            Self::WildcardNotLast => "the wildcard can only be the last segment",
            Self::PartialSegment => "the wildcard matches whole segments, not a part of one",
            Self::NoPath => "the ID of a trust domain has no path and names no workload",
            Self::Id(error) => return error.cause(),
        })
    }

    fn remedy(&self) -> Cow<'_, str> {
        Cow::Borrowed(match self {
            Self::WildcardAlone => {
                "name a trust domain, as in spiffe://example.org/*, or use allow_any()"
            }
            Self::WildcardTrustDomain => "write a pattern for each trust domain",
            Self::WildcardNotLast => "write the pattern as in spiffe://example.org/a/*",
            Self::PartialSegment => "write .../a/*, not .../a*",
            Self::NoPath => "write spiffe://example.org/* for the workloads of the trust domain",
            Self::Id(error) => return error.remedy(),
        })
    }
}

display_diagnostic!(SpiffePatternError);
