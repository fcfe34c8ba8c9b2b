//! SPIFFE IDs (SPIFFE-ID specification, sections 2.1 to 2.4; X509-SVID specification, section 4).

use std::fmt;
use std::str::FromStr;

use super::extractor::sealed::Sealed;
use super::uri::uri_sans;
use super::{FromCertificate, IdentityError, Single, Uri};
use crate::pki::Certificate;

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

    /// Reads a SPIFFE ID from an X.509-SVID.
    ///
    /// The leaf must have exactly one URI SAN of any scheme, must not be a CA and must not be
    /// allowed to sign certificates or CRLs, and the ID must have a path (X509-SVID sections 2, 4
    /// and 5.2).
    ///
    /// # Security
    /// Which SPIFFE IDs are *believed* is up to the trust store: with one set of roots, whoever
    /// those roots sign for can claim any trust domain.
    pub const fn extractor() -> Single<Self> {
        Single::new()
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

    /// Checks the name of a trust domain that stands alone, as in `example.org`.
    pub(crate) fn check_trust_domain(name: &str) -> Result<(), IdentityError> {
        if name.contains('/') {
            return Err(IdentityError::bad_syntax(
                "a trust domain stands alone here, as in example.org",
            ));
        }
        format!("{SCHEME}{name}").parse::<Self>().map(drop)
    }

    /// What an X.509-SVID of a workload must be besides well-formed.
    fn of_a_workload(self, certificate: &Certificate) -> Result<Self, IdentityError> {
        let may_sign = certificate
            .key_usage()
            .is_some_and(|usage| usage.key_cert_sign() || usage.crl_sign());
        let forbidden = |detail| Err(IdentityError::forbidden(detail));
        if self.path().is_empty() {
            forbidden("the SPIFFE ID names a trust domain, not a workload: it has no path")
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

    /// Reads a SPIFFE ID exactly as the specification spells it.
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
        let (trust_domain, path) = rest.split_at(trust_domain_length);
        if trust_domain.is_empty() {
            return bad("the SPIFFE ID has no trust domain");
        }
        let in_trust_domain =
            |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_');
        if !trust_domain.bytes().all(in_trust_domain) {
            return bad(
                "a SPIFFE trust domain has only lower-case letters, digits, '.', '-' and '_'",
            );
        }
        if trust_domain.len() > Self::MAX_TRUST_DOMAIN_LENGTH {
            return Err(IdentityError::too_long(
                "a SPIFFE trust domain is at most 255 bytes long",
            ));
        }
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
        assert_eq!(id.trust_domain(), "example.org");
        assert_eq!(id.path(), "/ns/billing");
        assert_eq!(id.segments().collect::<Vec<_>>(), ["ns", "billing"]);
        let domain: SpiffeId = "spiffe://example.org".parse().expect("valid");
        assert_eq!(domain.path(), "");
        assert_eq!(domain.segments().count(), 0);
    }

    #[test]
    fn what_the_grammar_refuses() {
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
