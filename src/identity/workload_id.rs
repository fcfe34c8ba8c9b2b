//! Identifiers of workloads in URI schemes with a trust domain, such as WIMSE's
//! (draft-ietf-wimse-identifier, section 4).

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use super::extractor::sealed::Sealed;
use super::uri::uri_sans;
use super::{FromCertificate, IdentityError, Single, TrustDomain, Uri};
use crate::pki::Certificate;

/// The identifier of a workload as a URI of any scheme whose authority is a trust domain, such as
/// `wimse://example.org/orders` or `spiffe://example.org/orders`.
///
/// Scheme, trust domain and path have the grammar of [`SpiffeId`](super::SpiffeId): lower case, no port, no user,
/// no query, no percent sign. Nothing is normalised, and IDs of different schemes are different. At most
/// 2,048 bytes. A clone shares the text.
///
/// ```
/// use countersign::identity::WorkloadId;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let id: WorkloadId = "wimse://example.org/orders".parse()?;
/// assert_eq!((id.scheme(), id.trust_domain().as_str(), id.path()), ("wimse", "example.org", "/orders"));
/// assert_ne!(id, "spiffe://example.org/orders".parse()?);
/// # Ok(())
/// # }
/// ```
///
/// # Security
/// The scheme is a part of the identity: a policy must compare whole IDs, and not the path alone.
#[derive(Clone)]
#[doc(alias = "WIMSE")]
pub struct WorkloadId {
    /// Holds the text of the whole ID.
    trust_domain: TrustDomain,
    scheme_length: u8,
}

impl WorkloadId {
    /// The longest ID, in bytes.
    pub const MAX_LENGTH: usize = 2048;

    /// The longest scheme, in bytes.
    pub const MAX_SCHEME: u8 = 32;

    /// Reads the leaf's only URI SAN, of any scheme. The leaf must not be a CA certificate, and the ID must have
    /// a path.
    pub const fn extractor() -> Single<Self> {
        Single::new()
    }

    /// The scheme, such as `wimse`.
    pub fn scheme(&self) -> &str {
        &self.as_str()[..usize::from(self.scheme_length)]
    }

    /// The trust domain, such as `example.org`.
    pub const fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// The path with its leading slash, or empty.
    pub fn path(&self) -> &str {
        let before = usize::from(self.scheme_length) + SEPARATOR.len();
        &self.as_str()[before + self.trust_domain.as_str().len()..]
    }

    /// The whole ID.
    pub fn as_str(&self) -> &str {
        self.trust_domain.whole_text()
    }

    fn of_a_workload(self, certificate: &Certificate) -> Result<Self, IdentityError> {
        let forbidden = |detail| Err(IdentityError::forbidden(detail));
        if self.path().is_empty() {
            forbidden("the ID is that of a trust domain, not of a workload: it has no path")
        } else if certificate.is_ca() {
            forbidden("the certificate of a workload must not be a CA certificate")
        } else {
            Ok(self)
        }
    }
}

const SEPARATOR: &str = "://";

impl FromStr for WorkloadId {
    type Err = IdentityError;

    /// Reads an ID exactly as it is written.
    ///
    /// # Errors
    /// `bad_syntax`: for example `orders` (no scheme), `urn:uuid:1` (no trust domain),
    /// `WIMSE://example.org/a` (upper case), `https://example.org:443/a` (port), `wimse://example.org/a/`
    /// (trailing slash) or `wimse://example.org/a?b` (query). `too_long`.
    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let bad = |detail| Err(IdentityError::bad_syntax(detail));
        if text.len() > Self::MAX_LENGTH {
            return Err(IdentityError::too_long(
                "the ID of a workload is at most 2048 bytes long",
            ));
        }
        let Some((scheme, rest)) = text.split_once(SEPARATOR) else {
            return bad("the ID of a workload is scheme://trust-domain/path");
        };
        let in_scheme =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte);
        if !scheme.starts_with(|first: char| first.is_ascii_lowercase())
            || !scheme.bytes().all(in_scheme)
        {
            return bad("the scheme of an ID is in lower case, as in wimse://");
        }
        let scheme_length = u8::try_from(scheme.len())
            .ok()
            .filter(|length| *length <= Self::MAX_SCHEME)
            .ok_or_else(|| IdentityError::too_long("a scheme is at most 32 bytes long"))?;
        let domain_length = rest.find('/').unwrap_or(rest.len());
        let start = scheme_length + SEPARATOR.len() as u8;
        let trust_domain = TrustDomain::within(text, start, domain_length)?;
        for segment in rest[domain_length..].split('/').skip(1) {
            match segment {
                "" => return bad("the ID has an empty path segment or a trailing slash"),
                "." | ".." => return bad("the ID has a '.' or '..' path segment"),
                _ => {}
            }
            let in_segment = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
            if !segment.bytes().all(in_segment) {
                return bad("a path segment of an ID has only letters, digits, '.', '-' and '_'");
            }
        }
        Ok(Self {
            trust_domain,
            scheme_length,
        })
    }
}

impl PartialEq for WorkloadId {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for WorkloadId {}

impl Hash for WorkloadId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl PartialOrd for WorkloadId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for WorkloadId {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl fmt::Display for WorkloadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for WorkloadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WorkloadId({self})")
    }
}

impl Sealed for WorkloadId {}

impl FromCertificate for WorkloadId {
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
        let id: WorkloadId = "wimse://example.org/ns/orders".parse().expect("valid");
        assert_eq!(id.scheme(), "wimse");
        assert_eq!(id.trust_domain().as_str(), "example.org");
        assert_eq!(id.path(), "/ns/orders");
        let domain: WorkloadId = "a+b://d".parse().expect("valid");
        assert_eq!((domain.scheme(), domain.path()), ("a+b", ""));
    }

    #[test]
    fn text_that_the_grammar_rejects() {
        for text in [
            "",
            "orders",
            "urn:uuid:1",
            "://example.org/a",
            "WIMSE://example.org/a",
            "1a://example.org/a",
            "wi mse://example.org/a",
            "wimse:/example.org/a",
            "wimse:///a",
            "wimse://Example.org/a",
            "wimse://example.org:443/a",
            "wimse://user@example.org/a",
            "wimse://example.org/a/",
            "wimse://example.org//a",
            "wimse://example.org/../a",
            "wimse://example.org/%61",
            "wimse://example.org/a?b",
            "wimse://example.org/a#b",
            "wimse://example.org/a\0",
        ] {
            let error = text.parse::<WorkloadId>().expect_err(text);
            assert_eq!(error.reason(), "bad_syntax", "{text}");
        }
        let scheme = |length| format!("{}://d/a", "s".repeat(length)).parse::<WorkloadId>();
        assert!(scheme(32).is_ok());
        assert_eq!(scheme(33).map_err(|error| error.reason()), Err("too_long"));
        assert_eq!(scheme(300).map_err(|error| error.reason()), Err("too_long"));
        let path = |length| format!("s://d/{}", "a".repeat(length)).parse::<WorkloadId>();
        assert!(path(2048 - 6).is_ok());
        assert_eq!(
            path(2049 - 6).map_err(|error| error.reason()),
            Err("too_long")
        );
    }
}
