//! Patterns of SPIFFE IDs.

use std::fmt;
use std::str::FromStr;

use super::{Pattern, Stored};
use crate::identity::{IdentityError, IdentityErrorKind, SpiffeId};

/// A SPIFFE ID, or all IDs below one: `spiffe://example.org/ns/billing/*`.
///
/// | pattern | matches | but not |
/// |---|---|---|
/// | `spiffe://example.org/a` | itself | anything else |
/// | `spiffe://example.org/a/*` | `…/a/b`, `…/a/b/c` | `…/a`, `…/ab` |
/// | `spiffe://example.org/*` | every workload of the trust domain | the domain's own ID, without a path |
///
/// The `*` stands for one or more whole segments at the end, and nowhere else.
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

    /// Reads a pattern exactly as it is written; nothing is normalised.
    ///
    /// # Errors
    /// [`SpiffePatternError`] says what is wrong, for example with `*`, `spiffe://*/a`,
    /// `spiffe://example.org/a*`, `spiffe://example.org/*/a`, `spiffe://example.org` or
    /// `spiffe://Example.org/*`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        use SpiffePatternError as E;

        if text == "*" {
            return Err(E::Everybody);
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
        // No ID is long enough to match it.
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

/// Why a text is no pattern of SPIFFE IDs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpiffePatternError {
    /// `*` alone.
    #[error("\"*\" alone would allow everybody; if that is meant, use allow_any()")]
    Everybody,
    /// A `*` in the trust domain.
    #[error("a trust domain cannot be a wildcard: each is a different authority")]
    WildcardTrustDomain,
    /// A `*` segment with others after it.
    #[error("the wildcard can only be the last segment, as in spiffe://example.org/a/*")]
    WildcardNotLast,
    /// A `*` beside other characters.
    #[error("the wildcard stands for whole segments: write .../a/*, not .../a*")]
    PartialSegment,
    /// A trust domain without a path.
    #[error(
        "a trust domain's own ID is no workload's; spiffe://example.org/* matches those of its workloads"
    )]
    NoPath,
    /// Apart from the wildcard, it is no SPIFFE ID.
    #[error(transparent)]
    Id(#[from] IdentityError),
}
