//! SPIFFE IDs (SPIFFE-ID specification, sections 2.1 to 2.4; X509-SVID specification, section 4).

use std::fmt;
use std::str::FromStr;

use super::error::{exactly_one, sans_of};
use super::{IdentityError, IdentityErrorKind, IdentityExtractor};
use crate::pki::{Certificate, GeneralName};

/// A SPIFFE ID, such as `spiffe://example.org/ns/billing/sa/worker`.
///
/// There is no invalid one: the text was checked against the specification's grammar, without
/// normalising anything. Equality is equality of bytes.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpiffeId {
    text: Box<str>,
    /// Where the path starts: the index of the `/` after the trust domain, or the text's end.
    path_start: usize,
}

const SCHEME: &str = "spiffe://";

impl SpiffeId {
    /// The longest SPIFFE ID, in bytes.
    pub const MAX_LENGTH: usize = 2048;
    /// The longest trust domain, in bytes.
    pub const MAX_TRUST_DOMAIN_LENGTH: usize = 255;

    /// The extractor that reads a SPIFFE ID from an X.509-SVID.
    pub const fn extractor() -> SpiffeIdExtractor {
        SpiffeIdExtractor(())
    }

    /// The trust domain, such as `example.org`.
    pub fn trust_domain(&self) -> &str {
        &self.text[SCHEME.len()..self.path_start]
    }

    /// The path with its leading slash, such as `/ns/billing/sa/worker`; empty for the ID of a
    /// trust domain itself.
    pub fn path(&self) -> &str {
        &self.text[self.path_start..]
    }

    /// The path's segments: none for the ID of a trust domain itself.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.path().split('/').skip(1)
    }

    /// The whole ID.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for SpiffeId {
    type Err = InvalidSpiffeId;

    /// Reads a SPIFFE ID exactly as the specification spells it.
    ///
    /// # Errors
    /// [`InvalidSpiffeId`] says what is wrong, for example with `spiffe://Example.org/a` (upper
    /// case), `spiffe://example.org/a/` (trailing slash), `spiffe://example.org:443/a` (port) or
    /// `spiffe://example.org/%61` (percent-encoding).
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        use InvalidSpiffeId as E;

        if text.len() > Self::MAX_LENGTH {
            return Err(E::TooLong);
        }
        let rest = text.strip_prefix(SCHEME).ok_or(E::Scheme)?;
        let trust_domain_length = rest.find('/').unwrap_or(rest.len());
        let (trust_domain, path) = rest.split_at(trust_domain_length);
        if trust_domain.is_empty() {
            return Err(E::EmptyTrustDomain);
        }
        if trust_domain.len() > Self::MAX_TRUST_DOMAIN_LENGTH {
            return Err(E::TrustDomainTooLong);
        }
        let in_trust_domain =
            |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_');
        if !trust_domain.bytes().all(in_trust_domain) {
            return Err(E::TrustDomainCharacter);
        }
        for segment in path.split('/').skip(1) {
            match segment {
                "" => return Err(E::EmptySegment),
                "." | ".." => return Err(E::DotSegment),
                _ => {}
            }
            let in_segment = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
            if !segment.bytes().all(in_segment) {
                return Err(E::PathCharacter);
            }
        }
        Ok(Self {
            text: text.into(),
            path_start: SCHEME.len() + trust_domain_length,
        })
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SpiffeId({})", self.text)
    }
}

/// Why a text is no SPIFFE ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidSpiffeId {
    /// Over 2,048 bytes.
    #[error("a SPIFFE ID is at most 2048 bytes long")]
    TooLong,
    /// It does not start with `spiffe://` in lower case.
    #[error("a SPIFFE ID starts with spiffe://")]
    Scheme,
    /// Nothing stands between `spiffe://` and the path.
    #[error("the SPIFFE ID has no trust domain")]
    EmptyTrustDomain,
    /// The trust domain is over 255 bytes.
    #[error("a SPIFFE trust domain is at most 255 bytes long")]
    TrustDomainTooLong,
    /// The trust domain has a character outside `[a-z0-9._-]`: upper case, a port, user info.
    #[error("a SPIFFE trust domain has only lower-case letters, digits, '.', '-' and '_'")]
    TrustDomainCharacter,
    /// A path segment is empty, as in `//` or after a trailing slash.
    #[error("the SPIFFE ID's path has an empty segment or a trailing slash")]
    EmptySegment,
    /// A path segment is `.` or `..`.
    #[error("the SPIFFE ID's path has a '.' or '..' segment")]
    DotSegment,
    /// A path segment has a character outside `[A-Za-z0-9._-]`: percent-encoding, a query, a
    /// fragment, a NUL.
    #[error("a SPIFFE path segment has only letters, digits, '.', '-' and '_'")]
    PathCharacter,
}

/// Reads a SPIFFE ID from an X.509-SVID; made by [`SpiffeId::extractor`].
///
/// The leaf must have exactly one URI SAN of any scheme, must not be a CA and must not be allowed
/// to sign certificates or CRLs, and the ID must have a path (X509-SVID sections 2, 4 and 5.2).
/// Which SPIFFE IDs are *believed* is up to the trust store: with one set of roots, whoever those
/// roots sign for can claim any trust domain.
#[derive(Clone, Copy, Debug)]
pub struct SpiffeIdExtractor(());

impl IdentityExtractor for SpiffeIdExtractor {
    type Identity = SpiffeId;

    fn extract(&self, certificate: &Certificate) -> Result<SpiffeId, IdentityError> {
        fn uri(name: &GeneralName) -> Option<&[u8]> {
            match name {
                GeneralName::Uri(uri) => Some(uri),
                _ => None,
            }
        }
        let uri = exactly_one(sans_of(certificate, 6, uri, "URI SAN")?, "URI SAN")??;
        if !uri.is_ascii() {
            return Err(IdentityError::new(
                IdentityErrorKind::BadEncoding,
                "the URI SAN is not ASCII, as its IA5String type demands",
            ));
        }
        let id: SpiffeId = String::from_utf8_lossy(uri).parse().map_err(|error| {
            let kind = match error {
                InvalidSpiffeId::TooLong | InvalidSpiffeId::TrustDomainTooLong => {
                    IdentityErrorKind::TooLong
                }
                _ => IdentityErrorKind::BadSyntax,
            };
            IdentityError::new(kind, format!("the URI SAN is no SPIFFE ID: {error}"))
        })?;
        let forbidden = |detail| Err(IdentityError::new(IdentityErrorKind::Forbidden, detail));
        if id.path().is_empty() {
            return forbidden("the SPIFFE ID names a trust domain, not a workload: it has no path");
        }
        if certificate.is_ca() {
            return forbidden("an X.509-SVID of a workload must not be a CA certificate");
        }
        if certificate
            .key_usage()
            .is_some_and(|usage| usage.key_cert_sign() || usage.crl_sign())
        {
            return forbidden("an X.509-SVID of a workload must not have keyCertSign or cRLSign");
        }
        Ok(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_an_id() {
        let id: SpiffeId = "spiffe://example.org/ns/billing".parse().expect("valid");
        assert_eq!(id.trust_domain(), "example.org");
        assert_eq!(id.path(), "/ns/billing");
        assert_eq!(id.segments().collect::<Vec<_>>(), ["ns", "billing"]);
        let domain: SpiffeId = "spiffe://example.org".parse().expect("valid");
        assert_eq!(domain.path(), "");
        assert_eq!(domain.segments().count(), 0);
    }

    #[test]
    fn what_the_grammar_refuses() {
        use InvalidSpiffeId as E;

        for (text, error) in [
            ("", E::Scheme),
            ("SPIFFE://example.org/a", E::Scheme),
            ("https://example.org/a", E::Scheme),
            ("spiffe:/example.org/a", E::Scheme),
            ("spiffe://", E::EmptyTrustDomain),
            ("spiffe:///a", E::EmptyTrustDomain),
            ("spiffe://Example.org/a", E::TrustDomainCharacter),
            ("spiffe://example.org:443/a", E::TrustDomainCharacter),
            ("spiffe://user@example.org/a", E::TrustDomainCharacter),
            ("spiffe://example.org?a", E::TrustDomainCharacter),
            ("spiffe://example.org#a", E::TrustDomainCharacter),
            ("spiffe://ex%61mple.org/a", E::TrustDomainCharacter),
            ("spiffe://example.org/", E::EmptySegment),
            ("spiffe://example.org/a/", E::EmptySegment),
            ("spiffe://example.org//a", E::EmptySegment),
            ("spiffe://example.org/./a", E::DotSegment),
            ("spiffe://example.org/a/..", E::DotSegment),
            ("spiffe://example.org/%61", E::PathCharacter),
            ("spiffe://example.org/a?b", E::PathCharacter),
            ("spiffe://example.org/a#b", E::PathCharacter),
            ("spiffe://example.org/a b", E::PathCharacter),
            ("spiffe://example.org/a\0", E::PathCharacter),
            ("spiffe://example.org/é", E::PathCharacter),
        ] {
            assert_eq!(text.parse::<SpiffeId>(), Err(error), "{text}");
        }
    }

    #[test]
    fn lengths_at_and_past_the_limits() {
        let domain = |length| format!("spiffe://{}/a", "d".repeat(length)).parse::<SpiffeId>();
        assert!(domain(255).is_ok());
        assert_eq!(domain(256), Err(InvalidSpiffeId::TrustDomainTooLong));
        let whole = |length: usize| {
            let prefix = "spiffe://d/";
            format!("{prefix}{}", "p".repeat(length - prefix.len())).parse::<SpiffeId>()
        };
        assert!(whole(2048).is_ok());
        assert_eq!(whole(2049), Err(InvalidSpiffeId::TooLong));
    }
}
