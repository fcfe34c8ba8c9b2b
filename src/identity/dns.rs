//! DNS names (RFC 1034 section 3.5 as updated by RFC 1123 section 2.1; RFC 5280 section 4.2.1.6).

use std::str::FromStr;

use super::read::{text_identity, text_sans};
use super::{FromCertificate, IdentityError, Multiple, Single};
use crate::pki::{Certificate, GeneralName};

/// A DNS name in lower case, such as `worker-1.example.org`.
///
/// At most 253 bytes: labels of at most 63 letters, digits, hyphens and underscores, without a trailing dot
/// or a wildcard. An internationalised name is written as A-labels (`xn--…`); Unicode is rejected. Names
/// that look alike are different names.
///
/// ```
/// use countersign::identity::DnsName;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let name: DnsName = "Worker-1.Example.ORG".parse()?;
/// assert_eq!(name.as_str(), "worker-1.example.org");
/// let extractor = DnsName::extractor();
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[doc(alias = "SAN")]
pub struct DnsName(Box<str>);

text_identity!(DnsName);

impl DnsName {
    /// The longest name, in bytes.
    pub const MAX_LENGTH: usize = 253;

    /// Reads the leaf's only DNS SAN. The common name is never read, not even when there is no DNS SAN (RFC
    /// 9525 section 2).
    pub const fn extractor() -> Single<Self> {
        Single::new()
    }

    /// Reads all DNS SANs of the leaf.
    pub const fn all() -> Multiple<Self> {
        Multiple::new()
    }

    /// The labels from left to right.
    pub fn labels(&self) -> impl Iterator<Item = &str> {
        self.0.split('.')
    }
}

impl FromStr for DnsName {
    type Err = IdentityError;

    /// Reads a DNS name. Upper case is converted to lower case.
    ///
    /// # Errors
    /// `bad_syntax`: an empty label or trailing dot (`a..b`, `example.org.`), a space, a control
    /// or non-ASCII character (`bücher.example`: write A-labels), a hyphen at a label's start or end, a last
    /// label of digits only, as in an IPv4 address. `too_long`. `forbidden`: a wildcard
    /// (`*.example.org`).
    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let bad = |detail| Err(IdentityError::bad_syntax(detail));
        for label in text.split('.') {
            if label.is_empty() {
                return bad(
                    "a DNS name has no empty label: no two dots in a row, and none at an end",
                );
            }
            // The asterisk is well-formed; it is rejected below.
            let in_label = |byte: u8| byte.is_ascii_alphanumeric() || b"-_*".contains(&byte);
            if !label.bytes().all(in_label) || label.starts_with('-') || label.ends_with('-') {
                return bad(
                    "a DNS label has only ASCII letters, digits, '-' and '_', no '-' at its ends, and internationalised names as A-labels (xn--)",
                );
            }
        }
        if text.len() > Self::MAX_LENGTH || text.split('.').any(|label| label.len() > 63) {
            return Err(IdentityError::too_long(
                "a DNS name is at most 253 bytes long and its labels 63",
            ));
        }
        let last = text.rsplit('.').next().unwrap_or(text);
        if last.bytes().all(|byte| byte.is_ascii_digit()) {
            return bad("a DNS name does not end in a label of digits, as an IP address does");
        }
        if text.contains('*') {
            return Err(IdentityError::forbidden(
                "a wildcard DNS name matches many hosts and identifies none",
            ));
        }
        Ok(Self(text.to_ascii_lowercase().into()))
    }
}

impl FromCertificate for DnsName {
    const FIELD: &'static str = "DNS SAN";

    fn read_all(
        certificate: &Certificate,
    ) -> Result<Vec<Result<Self, IdentityError>>, IdentityError> {
        text_sans(certificate, 2, Self::FIELD, |name| match name {
            GeneralName::Dns(dns) => Some(&**dns),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_lower_case_and_have_labels() {
        let name: DnsName = "Worker-1.Example.ORG".parse().expect("valid");
        assert_eq!(name.as_str(), "worker-1.example.org");
        assert_eq!(
            name.labels().collect::<Vec<_>>(),
            ["worker-1", "example", "org"]
        );
        assert!("xn--bcher-kva.example".parse::<DnsName>().is_ok());
        assert!("localhost".parse::<DnsName>().is_ok());
        assert!("_sip._tcp.example.org".parse::<DnsName>().is_ok());
    }

    #[test]
    fn text_that_the_grammar_rejects() {
        let long_label = "a".repeat(64);
        let long_name = ["a".repeat(62).as_str(); 5].join(".");
        for (text, error) in [
            ("", "bad_syntax"),
            (".", "bad_syntax"),
            ("example.org.", "bad_syntax"),
            (".example.org", "bad_syntax"),
            ("a..b", "bad_syntax"),
            ("*", "forbidden"),
            ("*.example.org", "forbidden"),
            ("a.*.org", "forbidden"),
            ("f*o.org", "forbidden"),
            ("a b.org", "bad_syntax"),
            ("a\0.org", "bad_syntax"),
            ("bücher.example", "bad_syntax"),
            ("-a.org", "bad_syntax"),
            ("a-.org", "bad_syntax"),
            ("192.0.2.1", "bad_syntax"),
            ("7", "bad_syntax"),
            (&long_label, "too_long"),
            (&long_name, "too_long"),
        ] {
            let actual = text.parse::<DnsName>().expect_err(text);
            assert_eq!(actual.reason(), error, "{text}");
        }
    }
}
