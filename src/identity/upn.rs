//! Microsoft user principal names (\[MS-WCCE\] section 2.2.2.7.5: otherName
//! 1.3.6.1.4.1.311.20.2.3 with a UTF8String).

use std::str::FromStr;

use super::read::{check_text, sans, text_identity, utf8};
use super::{DnsName, FromCertificate, IdentityError, Single};
use crate::pki::{Certificate, GeneralName, der};

/// A user principal name, such as `alice@corp.example`: the suffix in lower case, the prefix
/// exactly as written.
///
/// Active Directory ignores the case of the prefix. Convert it in the policy where that is needed.
///
/// ```
/// use countersign::identity::Upn;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let upn: Upn = "Alice@Corp.Example".parse()?;
/// assert_eq!((upn.prefix(), upn.suffix()), ("Alice", "corp.example"));
/// let extractor = Upn::extractor();
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[doc(alias = "UserPrincipalName")]
pub struct Upn(Box<str>);

text_identity!(Upn);

/// The `type-id` of the SAN.
const UPN_OID: &str = "1.3.6.1.4.1.311.20.2.3";

impl Upn {
    /// The longest name, in characters (the directory attribute's `rangeUpper`).
    pub const MAX_LENGTH: usize = 1024;

    /// Reads the leaf's only UPN SAN.
    pub const fn extractor() -> Single<Self> {
        Single::new()
    }

    /// The user's name, before the `@`.
    pub fn prefix(&self) -> &str {
        self.0.split('@').next().unwrap_or_default()
    }

    /// The domain, after the `@`, in lower case.
    pub fn suffix(&self) -> &str {
        self.0.split('@').nth(1).unwrap_or_default()
    }
}

impl FromStr for Upn {
    type Err = IdentityError;

    /// # Errors
    /// `bad_syntax`: not exactly one `@`, an empty prefix, a control character, a space or one of
    /// `"/\[]:;|=,+*?<>` in the prefix, a suffix that is not a DNS name. `too_long`. `forbidden`: an
    /// invisible character, a wildcard.
    fn from_str(text: &str) -> Result<Self, IdentityError> {
        check_text(text, Self::MAX_LENGTH, Self::FIELD)?;
        let Some((prefix, suffix)) = text.split_once('@').filter(|(_, rest)| !rest.contains('@'))
        else {
            return Err(IdentityError::bad_syntax("a UPN has exactly one '@'"));
        };
        let rejected =
            |character: char| character.is_whitespace() || "\"/\\[]:;|=,+*?<>".contains(character);
        if prefix.is_empty() || prefix.contains(rejected) {
            return Err(IdentityError::bad_syntax(
                "a UPN's prefix is empty or has a character that logon names must not contain",
            ));
        }
        let suffix: DnsName = suffix.parse()?;
        Ok(Self(format!("{prefix}@{suffix}").into()))
    }
}

impl FromCertificate for Upn {
    const FIELD: &'static str = "UPN SAN";

    fn read_all(
        certificate: &Certificate,
    ) -> Result<Vec<Result<Self, IdentityError>>, IdentityError> {
        const UTF8_STRING: u8 = 0x0c;

        let values = sans(certificate, 0, Self::FIELD, |name| match name {
            GeneralName::OtherName { oid, value } if oid == UPN_OID => Some(&**value),
            _ => None,
        })?;
        Ok(values
            .into_iter()
            .map(|value| {
                let text = der::single(value?, UTF8_STRING)
                    .map_err(|_| IdentityError::bad_encoding("the UPN SAN is not a UTF8String"))?;
                utf8(text, Self::FIELD)?.parse()
            })
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grammar() {
        let upn: Upn = "Alice.Müller@Corp.Example".parse().expect("valid");
        assert_eq!(upn.as_str(), "Alice.Müller@corp.example");
        assert_eq!(
            (upn.prefix(), upn.suffix()),
            ("Alice.Müller", "corp.example")
        );
        for (text, reason) in [
            ("", "bad_syntax"),
            ("alice", "bad_syntax"),
            ("@corp.example", "bad_syntax"),
            ("alice@", "bad_syntax"),
            ("a@b@corp.example", "bad_syntax"),
            ("a b@corp.example", "bad_syntax"),
            ("a\\b@corp.example", "bad_syntax"),
            ("alice\0@corp.example", "bad_syntax"),
            ("alice@corp..example", "bad_syntax"),
            ("alice@*.example", "forbidden"),
            ("ali\u{200b}ce@corp.example", "forbidden"),
            ("\u{202e}alice@corp.example", "forbidden"),
        ] {
            let error = text.parse::<Upn>().expect_err(text);
            assert_eq!(error.reason(), reason, "{text:?}");
        }
        let of = |length: usize| format!("{}@corp.example", "a".repeat(length - 13)).parse::<Upn>();
        assert!(of(1024).is_ok());
        assert_eq!(of(1025).map_err(|error| error.reason()), Err("too_long"));
    }
}
