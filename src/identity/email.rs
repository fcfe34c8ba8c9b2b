//! E-mail addresses in certificates (`rfc822Name`, RFC 5280 section 4.2.1.6; RFC 5321 section 4.1.2).

use std::str::FromStr;

use super::read::{text_identity, text_sans};
use super::{DnsName, FromCertificate, IdentityError, Multiple, Single};
use crate::pki::{Certificate, GeneralName};

/// An e-mail address: the host in lower case, the local part exactly as written.
///
/// The local part is a dot-string. Quoted local parts are rejected, because implementations read them
/// differently. Internationalised addresses are not `rfc822Name`s (RFC 8398).
///
/// ```
/// use countersign::identity::Email;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let email: Email = "First.Last@Example.ORG".parse()?;
/// assert_eq!((email.local_part(), email.host()), ("First.Last", "example.org"));
/// let extractor = Email::extractor();
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Email(Box<str>);

text_identity!(Email);

impl Email {
    /// The longest local part, in bytes (RFC 5321 section 4.5.3.1.1).
    pub const MAX_LOCAL_LENGTH: usize = 64;
    /// The longest address, in bytes (RFC 5321 section 4.5.3.1.3, less the angle brackets).
    pub const MAX_LENGTH: usize = 254;

    /// Reads the leaf's only e-mail SAN. The `emailAddress` attribute of the subject is not read.
    pub const fn extractor() -> Single<Self> {
        Single::new()
    }

    /// Reads all e-mail SANs of the leaf.
    pub const fn all() -> Multiple<Self> {
        Multiple::new()
    }

    /// The part before the `@`.
    pub fn local_part(&self) -> &str {
        self.0.split('@').next().unwrap_or_default()
    }

    /// The host, in lower case.
    pub fn host(&self) -> &str {
        self.0.split('@').nth(1).unwrap_or_default()
    }
}

impl FromStr for Email {
    type Err = IdentityError;

    /// # Errors
    /// `bad_syntax`: not exactly one `@`, an empty part, a space, control or non-ASCII character,
    /// a quoted local part, a host that is not a DNS name. `too_long`. `forbidden`: a wildcard host.
    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let Some((local, host)) = text.split_once('@').filter(|(_, host)| !host.contains('@'))
        else {
            return Err(IdentityError::bad_syntax(
                "an e-mail address has exactly one '@'",
            ));
        };
        // RFC 5322 section 3.2.3, atext.
        let in_atom =
            |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte);
        let dot_string = local
            .split('.')
            .all(|atom| !atom.is_empty() && atom.bytes().all(in_atom));
        if !dot_string {
            return Err(IdentityError::bad_syntax(
                "the local part of an e-mail address consists of atoms with single dots between them",
            ));
        }
        let host: DnsName = host.parse()?;
        if local.len() > Self::MAX_LOCAL_LENGTH || text.len() > Self::MAX_LENGTH {
            return Err(IdentityError::too_long(
                "an e-mail address is at most 254 bytes long, its local part 64",
            ));
        }
        Ok(Self(format!("{local}@{host}").into()))
    }
}

impl FromCertificate for Email {
    const FIELD: &'static str = "e-mail SAN";

    fn read_all(
        certificate: &Certificate,
    ) -> Result<Vec<Result<Self, IdentityError>>, IdentityError> {
        text_sans(certificate, 1, Self::FIELD, |name| match name {
            GeneralName::Email(email) => Some(&**email),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grammar() {
        let email: Email = "First.Last+tag@Example.ORG".parse().expect("valid");
        assert_eq!(email.as_str(), "First.Last+tag@example.org");
        assert_eq!(
            (email.local_part(), email.host()),
            ("First.Last+tag", "example.org")
        );
        for (text, reason) in [
            ("", "bad_syntax"),
            ("a", "bad_syntax"),
            ("@a.example", "bad_syntax"),
            ("a@", "bad_syntax"),
            ("a@b@c.example", "bad_syntax"),
            (".a@b.example", "bad_syntax"),
            ("a.@b.example", "bad_syntax"),
            ("a..b@c.example", "bad_syntax"),
            ("a b@c.example", "bad_syntax"),
            ("\"a\"@b.example", "bad_syntax"),
            ("a@b.example\0", "bad_syntax"),
            ("a\0@b.example", "bad_syntax"),
            ("é@b.example", "bad_syntax"),
            ("a@bücher.example", "bad_syntax"),
            ("a@[192.0.2.1]", "bad_syntax"),
            ("a@b.example.", "bad_syntax"),
            ("a@*.example", "forbidden"),
            ("a@b.example,c@d.example", "bad_syntax"),
            ("<a@b.example>", "bad_syntax"),
        ] {
            let error = text.parse::<Email>().expect_err(text);
            assert_eq!(error.reason(), reason, "{text}");
        }
        let local = |length| format!("{}@b.example", "a".repeat(length)).parse::<Email>();
        assert!(local(64).is_ok());
        assert_eq!(local(65).map_err(|error| error.reason()), Err("too_long"));
        // 60 bytes, the sign, and a host of four labels.
        let whole = |last: usize| {
            let label = "a".repeat(60);
            let text = format!("{label}@{label}.{label}.{label}.{}", "a".repeat(last));
            let parsed = text.parse::<Email>().map_err(|error| error.reason());
            (text.len(), parsed.map(drop))
        };
        assert_eq!(whole(10), (254, Ok(())));
        assert_eq!(whole(11), (255, Err("too_long")));
        assert_eq!(whole(12), (256, Err("too_long")));
    }
}
