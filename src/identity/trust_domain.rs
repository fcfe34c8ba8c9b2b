//! SPIFFE trust domains (SPIFFE-ID specification, section 2.1).

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

use super::IdentityError;

/// A SPIFFE trust domain, such as `example.org`.
///
/// 1 to 255 bytes: lower-case letters, digits, dots, hyphens and underscores. It has no scheme, port or
/// path, and nothing is normalised. Two trust domains are equal when their bytes are: `example.org` and
/// `sub.example.org` have nothing in common.
///
/// ```
/// use countersign::identity::{SpiffeId, TrustDomain};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let ours: TrustDomain = "example.org".parse()?;
/// let worker: SpiffeId = "spiffe://example.org/ns/billing/sa/worker".parse()?;
/// assert_eq!(*worker.trust_domain(), ours);
///
/// assert!("Example.org".parse::<TrustDomain>().is_err());
/// assert!("spiffe://example.org".parse::<TrustDomain>().is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct TrustDomain {
    /// The name, or the SPIFFE ID that it is a part of: an ID and its trust domain share one allocation.
    text: Arc<str>,
    start: u8,
    length: u8,
}

impl TrustDomain {
    /// The longest trust domain, in bytes.
    pub const MAX_LENGTH: usize = u8::MAX as usize;

    /// The name.
    pub fn as_str(&self) -> &str {
        let start = usize::from(self.start);
        &self.text[start..start + usize::from(self.length)]
    }

    /// The trust domain that has `length` bytes from `start` of this text.
    pub(super) fn within(text: &str, start: u8, length: usize) -> Result<Self, IdentityError> {
        let from = usize::from(start);
        Ok(Self {
            length: checked_length(&text[from..from + length])?,
            text: text.into(),
            start,
        })
    }

    /// The text that was given to [`within`](Self::within).
    pub(super) fn whole_text(&self) -> &str {
        &self.text
    }
}

/// The name's length, if it follows the grammar.
fn checked_length(name: &str) -> Result<u8, IdentityError> {
    let bad = |detail| Err(IdentityError::bad_syntax(detail));
    let is_allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_');
    if name.is_empty() {
        return bad("the SPIFFE trust domain is empty");
    }
    if name.contains('/') {
        return bad("a SPIFFE trust domain has no scheme and no path, as in example.org");
    }
    if !name.bytes().all(is_allowed) {
        return bad("a SPIFFE trust domain has only lower-case letters, digits, '.', '-' and '_'");
    }
    // `MAX_LENGTH` is the largest `u8`.
    u8::try_from(name.len())
        .map_err(|_| IdentityError::too_long("a SPIFFE trust domain is at most 255 bytes long"))
}

impl FromStr for TrustDomain {
    type Err = IdentityError;

    /// Reads the name of a trust domain.
    ///
    /// # Errors
    /// `bad_syntax`: empty, `Example.org` (upper case), `example.org:443` (port), `example.org/a` (path),
    /// `spiffe://example.org` (scheme) or `*.example.org` (wildcard). `too_long`.
    fn from_str(name: &str) -> Result<Self, IdentityError> {
        Self::within(name, 0, name.len())
    }
}

impl TryFrom<&str> for TrustDomain {
    type Error = IdentityError;

    /// # Errors
    /// As for [`from_str`](Self::from_str).
    fn try_from(name: &str) -> Result<Self, IdentityError> {
        name.parse()
    }
}

impl PartialEq for TrustDomain {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for TrustDomain {}

impl Hash for TrustDomain {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl PartialOrd for TrustDomain {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for TrustDomain {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TrustDomain({self})")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashSet};

    use super::*;
    use crate::identity::SpiffeId;

    #[test]
    fn the_grammar() {
        let longest = "d".repeat(255);
        for name in ["example.org", "a", "7", "a_b-c.d", &longest] {
            let domain: TrustDomain = name.parse().expect(name);
            assert_eq!(domain.as_str(), name);
            assert_eq!(TrustDomain::try_from(name), Ok(domain));
        }
        for name in [
            "",
            "Example.org",
            "example.org/",
            "example.org/a",
            "spiffe://example.org",
            "example.org:443",
            "user@example.org",
            "*.example.org",
            "bücher.example",
            "ex%61mple.org",
            "example.org ",
            "a\0",
        ] {
            let error = name.parse::<TrustDomain>().expect_err(name);
            assert_eq!(error.reason(), "bad_syntax", "{name}");
        }
        let error = "d".repeat(256).parse::<TrustDomain>().expect_err("256");
        assert_eq!(error.reason(), "too_long");
    }

    #[test]
    fn a_trust_domain_of_an_id_equals_the_same_name() {
        let id: SpiffeId = "spiffe://b.example/a".parse().expect("valid");
        let of_id = id.trust_domain().clone();
        let by_name: TrustDomain = "b.example".parse().expect("valid");
        let other: TrustDomain = "a.example".parse().expect("valid");
        assert_eq!(of_id, by_name);
        assert_ne!(of_id, other);
        assert!(HashSet::from([by_name.clone()]).contains(&of_id));
        let sorted = BTreeSet::from([of_id, other.clone(), by_name.clone()]);
        assert_eq!(sorted.into_iter().collect::<Vec<_>>(), [other, by_name]);
    }
}
