//! URIs in certificates (RFC 3986; RFC 5280 section 4.2.1.6).

use std::str::FromStr;

use super::read::{text_identity, text_sans};
use super::{FromCertificate, IdentityError, Multiple, Single};
use crate::pki::{Certificate, GeneralName};

/// An absolute URI of at most 2,048 bytes. Nothing is normalised: two URIs are equal when their bytes are.
///
/// ```
/// use countersign::identity::Uri;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let uri: Uri = "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6".parse()?;
/// assert_eq!(uri.scheme(), "urn");
/// let extractor = Uri::extractor();
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Uri(Box<str>);

text_identity!(Uri);

impl Uri {
    /// The longest URI, in bytes. RFC 3986 sets no limit; this is the limit of SPIFFE IDs.
    pub const MAX_LENGTH: usize = 2048;

    /// Reads the leaf's only URI SAN.
    pub const fn extractor() -> Single<Self> {
        Single::new()
    }

    /// Reads all URI SANs of the leaf.
    pub const fn all() -> Multiple<Self> {
        Multiple::new()
    }

    /// The scheme, such as `https`, with its case unchanged.
    pub fn scheme(&self) -> &str {
        self.0.split(':').next().unwrap_or_default()
    }
}

impl FromStr for Uri {
    type Err = IdentityError;

    /// # Errors
    /// `bad_syntax`: no scheme, nothing after it, an empty host after `//`, or a character that RFC 3986 does
    /// not allow (spaces, control and non-ASCII characters, a `%` without two hexadecimal digits).
    /// `too_long`.
    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let bad = |detail| Err(IdentityError::bad_syntax(detail));
        if text.len() > Self::MAX_LENGTH {
            return Err(IdentityError::too_long("a URI is at most 2048 bytes long"));
        }
        let Some((scheme, rest)) = text.split_once(':') else {
            return bad("a URI starts with a scheme, such as https:");
        };
        let in_scheme = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
        if !scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            || !scheme.bytes().all(in_scheme)
        {
            return bad(
                "a URI's scheme starts with a letter and has only letters, digits, '+', '-' and '.'",
            );
        }
        if rest.is_empty() {
            return bad("the URI has nothing after its scheme");
        }
        // RFC 5280: a URI with an authority names a host.
        if let Some(authority) = rest.strip_prefix("//")
            && authority.split(['/', '?', '#']).next() == Some("")
        {
            return bad("the URI has an empty host");
        }
        let mut bytes = rest.bytes();
        let mut fragment = false;
        while let Some(byte) = bytes.next() {
            let allowed = match byte {
                b'%' => {
                    let digits = [bytes.next(), bytes.next()];
                    digits
                        .iter()
                        .all(|digit| digit.is_some_and(|digit| digit.is_ascii_hexdigit()))
                }
                b'#' => !std::mem::replace(&mut fragment, true),
                _ => byte.is_ascii_alphanumeric() || b"-._~:/?[]@!$&'()*+,;=".contains(&byte),
            };
            if !allowed {
                return bad("the URI has a character that RFC 3986 does not allow there");
            }
        }
        Ok(Self(text.into()))
    }
}

impl FromCertificate for Uri {
    const FIELD: &'static str = "URI SAN";

    fn read_all(
        certificate: &Certificate,
    ) -> Result<Vec<Result<Self, IdentityError>>, IdentityError> {
        uri_sans(certificate)
    }
}

/// The URI SANs of any scheme, parsed as URIs or as SPIFFE IDs.
pub(super) fn uri_sans<I: FromStr<Err = IdentityError>>(
    certificate: &Certificate,
) -> Result<Vec<Result<I, IdentityError>>, IdentityError> {
    text_sans(certificate, 6, Uri::FIELD, |name| match name {
        GeneralName::Uri(uri) => Some(&**uri),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grammar() {
        for good in [
            "https://a.example/x?y=%20#z",
            "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
            "spiffe://example.org/a",
            "tag:a@b,2026:x",
            "https://[2001:db8::1]:8443/",
            "https://a",
        ] {
            assert!(good.parse::<Uri>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "a",
            "/a",
            "1a:b",
            ":a",
            "a:",
            "https://",
            "https:///a",
            "https://?a",
            "a b:c",
            "a:b c",
            "a:b\0",
            "a:\u{e9}",
            "a:%",
            "a:%2",
            "a:%2g",
            "a:<b>",
            "a:b#c#d",
            "é:a",
            "a:\\b",
            "a:\"b\"",
            "a:{b}",
        ] {
            let error = bad.parse::<Uri>().expect_err(bad);
            assert_eq!(error.reason(), "bad_syntax", "{bad:?}");
        }
        let of = |length: usize| format!("a:{}", "b".repeat(length - 2)).parse::<Uri>();
        assert!(of(2048).is_ok());
        assert_eq!(of(2049).map_err(|error| error.reason()), Err("too_long"));
    }
}
