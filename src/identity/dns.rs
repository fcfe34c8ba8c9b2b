//! DNS names (RFC 1034 section 3.5 as updated by RFC 1123 section 2.1; RFC 5280 section 4.2.1.6).

use std::fmt;
use std::str::FromStr;

use super::error::{exactly_one, sans_of};
use super::{IdentityError, IdentityErrorKind, IdentityExtractor};
use crate::pki::{Certificate, GeneralName};

/// A DNS name in lower case, such as `worker-1.example.org`.
///
/// Letters, digits, hyphens and underscores in labels of at most 63 bytes, at most 253 bytes in
/// all, no trailing dot, no wildcard. An internationalised name is its A-labels (`xn--…`); Unicode
/// is refused, and lookalikes are simply different names.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DnsName(Box<str>);

impl DnsName {
    /// The longest name, in bytes.
    pub const MAX_LENGTH: usize = 253;

    /// The extractor that reads the only DNS SAN.
    pub const fn extractor() -> DnsNameExtractor {
        DnsNameExtractor(())
    }

    /// The name, in lower case.
    pub const fn as_str(&self) -> &str {
        &self.0
    }

    /// The labels from left to right.
    pub fn labels(&self) -> impl Iterator<Item = &str> {
        self.0.split('.')
    }
}

impl FromStr for DnsName {
    type Err = InvalidDnsName;

    /// Reads a DNS name; upper case is lowered.
    ///
    /// # Errors
    /// [`InvalidDnsName`] says what is wrong, for example with `*.example.org`, `example.org.`,
    /// `a..b`, `a b.org` or `bücher.example`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > Self::MAX_LENGTH {
            return Err(InvalidDnsName::TooLong);
        }
        if text == "*" || text.starts_with("*.") {
            return Err(InvalidDnsName::Wildcard);
        }
        for label in text.split('.') {
            match label.len() {
                0 => return Err(InvalidDnsName::EmptyLabel),
                1..=63 => {}
                _ => return Err(InvalidDnsName::TooLong),
            }
            let in_label = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
            if !label.bytes().all(in_label) || label.starts_with('-') || label.ends_with('-') {
                return Err(InvalidDnsName::Character);
            }
        }
        // A name whose last label is all digits would be an IPv4 address to a resolver.
        let last = text.rsplit('.').next().unwrap_or(text);
        if last.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(InvalidDnsName::Numeric);
        }
        Ok(Self(text.to_ascii_lowercase().into()))
    }
}

impl fmt::Display for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DnsName({})", self.0)
    }
}

/// Why a text is no DNS name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidDnsName {
    /// Over 253 bytes, or a label over 63.
    #[error("a DNS name is at most 253 bytes long and its labels 63")]
    TooLong,
    /// A wildcard names many hosts and so identifies none.
    #[error("a wildcard DNS name identifies nobody")]
    Wildcard,
    /// The name is empty, has two dots in a row, or a dot at an end.
    #[error("the DNS name has an empty label: two dots in a row, or one at an end")]
    EmptyLabel,
    /// A character outside letters, digits, `-` and `_`, or a hyphen at a label's end.
    #[error(
        "a DNS label has only ASCII letters, digits, '-' and '_', and no '-' at its ends; write internationalised names as A-labels (xn--)"
    )]
    Character,
    /// The last label is all digits, as in an IPv4 address.
    #[error("the DNS name ends in a numeric label, as an IP address does")]
    Numeric,
}

/// Reads the leaf's only DNS SAN; made by [`DnsName::extractor`].
///
/// The common name is not looked at: not when there is no DNS SAN, and not otherwise
/// (RFC 9525 section 2).
#[derive(Clone, Copy, Debug)]
pub struct DnsNameExtractor(());

impl IdentityExtractor for DnsNameExtractor {
    type Identity = DnsName;

    fn extract(&self, certificate: &Certificate) -> Result<DnsName, IdentityError> {
        fn dns(name: &GeneralName) -> Option<&[u8]> {
            match name {
                GeneralName::Dns(dns) => Some(dns),
                _ => None,
            }
        }
        let name = exactly_one(sans_of(certificate, 2, dns, "DNS SAN")?, "DNS SAN")??;
        let Some(text) = std::str::from_utf8(name).ok() else {
            return Err(IdentityError::new(
                IdentityErrorKind::BadEncoding,
                "the DNS SAN is not ASCII, as its IA5String type demands",
            ));
        };
        text.parse().map_err(|error| {
            let kind = match error {
                InvalidDnsName::TooLong => IdentityErrorKind::TooLong,
                InvalidDnsName::Wildcard => IdentityErrorKind::Forbidden,
                _ => IdentityErrorKind::BadSyntax,
            };
            IdentityError::new(kind, format!("the DNS SAN is no DNS name: {error}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_lowered_and_split() {
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
    fn what_is_refused() {
        use InvalidDnsName as E;

        let long_label = "a".repeat(64);
        let long_name = ["a".repeat(62).as_str(); 5].join(".");
        for (text, error) in [
            ("", E::EmptyLabel),
            (".", E::EmptyLabel),
            ("example.org.", E::EmptyLabel),
            (".example.org", E::EmptyLabel),
            ("a..b", E::EmptyLabel),
            ("*", E::Wildcard),
            ("*.example.org", E::Wildcard),
            ("a.*.org", E::Character),
            ("a b.org", E::Character),
            ("a\0.org", E::Character),
            ("bücher.example", E::Character),
            ("-a.org", E::Character),
            ("a-.org", E::Character),
            ("192.0.2.1", E::Numeric),
            ("7", E::Numeric),
            (&long_label, E::TooLong),
            (&long_name, E::TooLong),
        ] {
            assert_eq!(text.parse::<DnsName>(), Err(error), "{text}");
        }
    }
}
