//! SPIFFE IDs (SPIFFE-ID specification, sections 2.1 to 2.4; X509-SVID specification, section 4).

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use super::extractor::sealed::Sealed;
use super::uri::uri_sans;
use super::{FromCertificate, IdentityError, Single, TrustDomain, Uri};
use crate::pki::Certificate;

/// A SPIFFE ID, such as `spiffe://example.org/ns/billing/sa/worker`.
///
/// Every value follows the specification's grammar. Nothing is normalised: two IDs are equal when
/// their bytes are. At most 2,048 bytes. A clone shares the text.
///
/// ```
/// use countersign::identity::SpiffeId;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let id: SpiffeId = "spiffe://example.org/ns/billing/sa/worker".parse()?;
/// assert_eq!(id.trust_domain().as_str(), "example.org");
/// assert_eq!(id.path(), "/ns/billing/sa/worker");
/// assert_eq!(id.segments().last(), Some("worker"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[doc(alias = "SVID")]
pub struct SpiffeId {
    /// Holds the text of the whole ID.
    trust_domain: TrustDomain,
}

const SCHEME: &str = "spiffe://";
const SCHEME_LENGTH: u8 = 9;

impl SpiffeId {
    /// The longest SPIFFE ID, in bytes.
    pub const MAX_LENGTH: usize = 2048;

    /// Reads a SPIFFE ID from an X.509-SVID.
    ///
    /// The leaf must have exactly one URI SAN of any scheme. It must not be a CA certificate, and its key
    /// usage must not allow it to sign certificates or CRLs. The ID must have a path (X509-SVID sections
    /// 2, 4 and 5.2).
    ///
    /// # Security
    /// The trust store decides which SPIFFE IDs are trusted. With one set of roots for all peers, a holder
    /// of any certificate below these roots can claim any trust domain. Use
    /// [`TrustStore::by_trust_domain`](crate::TrustStore::by_trust_domain) for several.
    pub const fn extractor() -> Single<Self> {
        Single::new()
    }

    /// The trust domain, such as `example.org`.
    pub const fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// The path with its leading slash, such as `/ns/billing/sa/worker`. It is empty for the ID of a
    /// trust domain itself.
    pub fn path(&self) -> &str {
        &self.as_str()[SCHEME.len() + self.trust_domain.as_str().len()..]
    }

    /// The path's segments. There are none for the ID of a trust domain itself.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.path().split('/').skip(1)
    }

    /// The whole ID.
    pub fn as_str(&self) -> &str {
        self.trust_domain.whole_text()
    }

    /// Checks what X509-SVID requires of a workload's certificate besides a well-formed ID.
    fn of_a_workload(self, certificate: &Certificate) -> Result<Self, IdentityError> {
        let may_sign = certificate
            .key_usage()
            .is_some_and(|usage| usage.key_cert_sign() || usage.crl_sign());
        let forbidden = |detail| Err(IdentityError::forbidden(detail));
        if self.path().is_empty() {
            forbidden("the SPIFFE ID is that of a trust domain, not of a workload: it has no path")
        } else if certificate.is_ca() {
            forbidden("an X.509-SVID of a workload must not be a CA certificate")
        } else if may_sign {
            forbidden("an X.509-SVID of a workload must not have keyCertSign or cRLSign")
        } else {
            Ok(self)
        }
    }
}

impl FromStr for SpiffeId {
    type Err = IdentityError;

    /// Reads a SPIFFE ID exactly as the specification writes it.
    ///
    /// # Errors
    /// `bad_syntax`: for example `spiffe://Example.org/a` (upper case), `spiffe://example.org/a/`
    /// (trailing slash), `spiffe://example.org:443/a` (port) or `spiffe://example.org/%61`
    /// (percent-encoding). `too_long`.
    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let bad = |detail| Err(IdentityError::bad_syntax(detail));
        if text.len() > Self::MAX_LENGTH {
            return Err(IdentityError::too_long(
                "a SPIFFE ID is at most 2048 bytes long",
            ));
        }
        let Some(rest) = text.strip_prefix(SCHEME) else {
            return bad("a SPIFFE ID starts with spiffe://");
        };
        let trust_domain_length = rest.find('/').unwrap_or(rest.len());
        let trust_domain = TrustDomain::within(text, SCHEME_LENGTH, trust_domain_length)?;
        let path = &rest[trust_domain_length..];
        for segment in path.split('/').skip(1) {
            match segment {
                "" => return bad("the SPIFFE ID has an empty path segment or a trailing slash"),
                "." | ".." => return bad("the SPIFFE ID has a '.' or '..' path segment"),
                _ => {}
            }
            let in_segment = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
            if !segment.bytes().all(in_segment) {
                return bad("a SPIFFE path segment has only letters, digits, '.', '-' and '_'");
            }
        }
        Ok(Self { trust_domain })
    }
}

impl PartialEq for SpiffeId {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for SpiffeId {}

impl Hash for SpiffeId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl PartialOrd for SpiffeId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for SpiffeId {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SpiffeId({self})")
    }
}

impl Sealed for SpiffeId {}

impl FromCertificate for SpiffeId {
    const FIELD: &'static str = Uri::FIELD;

    fn read_all(
        certificate: &Certificate,
    ) -> Result<Vec<Result<Self, IdentityError>>, IdentityError> {
        let ids: Vec<Result<Self, IdentityError>> = uri_sans(certificate)?;
        Ok(ids
            .into_iter()
            .map(|id| id?.of_a_workload(certificate))
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_an_id() {
        let id: SpiffeId = "spiffe://example.org/ns/billing".parse().expect("valid");
        assert_eq!(id.trust_domain().as_str(), "example.org");
        assert_eq!(id.path(), "/ns/billing");
        assert_eq!(id.segments().collect::<Vec<_>>(), ["ns", "billing"]);
        let domain: SpiffeId = "spiffe://example.org".parse().expect("valid");
        assert_eq!(domain.path(), "");
        assert_eq!(domain.segments().count(), 0);
    }

    #[test]
    fn text_that_the_grammar_rejects() {
        for text in [
            "",
            "SPIFFE://example.org/a",
            "https://example.org/a",
            "spiffe:/example.org/a",
            "spiffe://",
            "spiffe:///a",
            "spiffe://Example.org/a",
            "spiffe://example.org:443/a",
            "spiffe://user@example.org/a",
            "spiffe://example.org?a",
            "spiffe://example.org#a",
            "spiffe://ex%61mple.org/a",
            "spiffe://example.org/",
            "spiffe://example.org/a/",
            "spiffe://example.org//a",
            "spiffe://example.org/./a",
            "spiffe://example.org/a/..",
            "spiffe://example.org/%61",
            "spiffe://example.org/a?b",
            "spiffe://example.org/a#b",
            "spiffe://example.org/a b",
            "spiffe://example.org/a\0",
            "spiffe://example.org/é",
        ] {
            let error = text.parse::<SpiffeId>().expect_err(text);
            assert_eq!(error.reason(), "bad_syntax", "{text}");
        }
    }

    #[test]
    fn lengths_at_and_past_the_limits() {
        let domain = |length| format!("spiffe://{}/a", "d".repeat(length)).parse::<SpiffeId>();
        assert!(domain(255).is_ok());
        assert_eq!(domain(256).map_err(|error| error.reason()), Err("too_long"));
        let whole = |length: usize| {
            let prefix = "spiffe://d/";
            format!("{prefix}{}", "p".repeat(length - prefix.len())).parse::<SpiffeId>()
        };
        assert!(whole(2048).is_ok());
        assert_eq!(whole(2049).map_err(|error| error.reason()), Err("too_long"));
    }
}
