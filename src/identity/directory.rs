//! Names from the subject (X.520; RFC 5280 appendix A.1 for the upper bounds).

use std::fmt;
use std::str::FromStr;

use super::extractor::sealed::Sealed;
use super::read::{attributes, check_text, text_identity};
use super::{FromCertificate, IdentityError, Multiple, Single};
use crate::pki::text::{Hex, from_hex};
use crate::pki::{Certificate, DistinguishedName, NameAttribute};

/// A subject's common name: 1 to 64 characters, none of them invisible.
///
/// Names are compared byte for byte: names that differ in case or Unicode normalisation are different.
///
/// ```
/// use countersign::identity::CommonName;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let name: CommonName = "alice".parse()?;
/// assert_eq!(name.as_str(), "alice");
/// let extractor = CommonName::extractor();
/// # Ok(())
/// # }
/// ```
///
/// # Security
/// A common name is any text that the certificate authority accepted from the applicant. Use it only with
/// an authority of your own that checks it. Prefer [`SpiffeId`](super::SpiffeId) or
/// [`DnsName`](super::DnsName). A common name that looks like a DNS name, such as `orders.internal`, is
/// rejected (`forbidden`) where the DNS name constraints of the certificate's issuers do not allow it.
/// OpenSSL does the same.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[doc(alias = "CN")]
pub struct CommonName(Box<str>);

text_identity!(CommonName);

impl CommonName {
    /// The longest common name, in characters (`ub-common-name`).
    pub const MAX_LENGTH: usize = 64;

    /// Reads the subject's only common name.
    pub const fn extractor() -> Single<Self> {
        Single::new()
    }
}

impl FromStr for CommonName {
    type Err = IdentityError;

    /// # Errors
    /// `bad_syntax`: empty, or with a NUL or another control character. `too_long`. `forbidden`: a
    /// character that hides or reorders text.
    fn from_str(text: &str) -> Result<Self, IdentityError> {
        check_text(text, Self::MAX_LENGTH, Self::FIELD)?;
        Ok(Self(text.into()))
    }
}

impl FromCertificate for CommonName {
    const FIELD: &'static str = "common name";

    fn read_all(
        certificate: &Certificate,
    ) -> Result<Vec<Result<Self, IdentityError>>, IdentityError> {
        Ok(attributes(
            certificate,
            NameAttribute::COMMON_NAME,
            Self::FIELD,
        ))
    }

    fn string_attributes() -> &'static [&'static str] {
        &[NameAttribute::COMMON_NAME]
    }

    fn common_name(&self) -> Option<&str> {
        Some(self.as_str())
    }
}

/// A subject's organizational unit: 1 to 64 characters, none of them invisible.
///
/// ```
/// use countersign::identity::OrganizationalUnit;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let billing: OrganizationalUnit = "Billing".parse()?;
/// let one = OrganizationalUnit::extractor();
/// let several = OrganizationalUnit::all();
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OrganizationalUnit(Box<str>);

text_identity!(OrganizationalUnit);

impl OrganizationalUnit {
    /// The longest organizational unit, in characters (`ub-organizational-unit-name`).
    pub const MAX_LENGTH: usize = 64;

    /// Reads the subject's only organizational unit.
    pub const fn extractor() -> Single<Self> {
        Single::new()
    }

    /// Reads all organizational units of the subject.
    pub const fn all() -> Multiple<Self> {
        Multiple::new()
    }
}

impl FromStr for OrganizationalUnit {
    type Err = IdentityError;

    /// # Errors
    /// As for [`CommonName`].
    fn from_str(text: &str) -> Result<Self, IdentityError> {
        check_text(text, Self::MAX_LENGTH, Self::FIELD)?;
        Ok(Self(text.into()))
    }
}

impl FromCertificate for OrganizationalUnit {
    const FIELD: &'static str = "organizational unit";

    fn read_all(
        certificate: &Certificate,
    ) -> Result<Vec<Result<Self, IdentityError>>, IdentityError> {
        Ok(attributes(
            certificate,
            NameAttribute::ORGANIZATIONAL_UNIT,
            Self::FIELD,
        ))
    }

    fn string_attributes() -> &'static [&'static str] {
        &[NameAttribute::ORGANIZATIONAL_UNIT]
    }
}

/// The whole subject, compared by its DER.
///
/// The values are not decoded. A subject with a value that cannot be read as text, or that is longer than RFC
/// 5280 allows, is an identity like any other, because every octet counts.
///
/// `Display` and `FromStr` use `#` and the DER in hexadecimal, because different names can print alike.
/// [`rfc4514`](Self::rfc4514) prints the name for operators.
///
/// ```
/// use countersign::identity::Subject;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let subject: Subject = "#300c310a300806035504030c0161".parse()?;
/// assert_eq!(subject.rfc4514(), "CN=a");
/// let extractor = Subject::extractor();
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[doc(alias = "DN")]
#[doc(alias = "DistinguishedName")]
pub struct Subject(DistinguishedName);

impl Subject {
    /// Reads the subject. It must not be empty.
    pub const fn extractor() -> Single<Self> {
        Single::new()
    }

    /// The name with its typed attributes.
    pub const fn name(&self) -> &DistinguishedName {
        &self.0
    }

    /// The name for operators, such as `CN=worker,O=Example`. A value that is not readable text is `#` and its
    /// DER in hexadecimal (RFC 4514 section 2.4). Do not use the result as an identity.
    pub fn rfc4514(&self) -> String {
        self.0.to_string()
    }
}

impl FromStr for Subject {
    type Err = IdentityError;

    /// Reads `#` and the DER of the name in hexadecimal.
    ///
    /// # Errors
    /// `bad_syntax`: not `#` and hexadecimal digits, or an empty name. `bad_encoding`: not the DER of a
    /// name.
    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let der = text.strip_prefix('#').and_then(from_hex).ok_or_else(|| {
            IdentityError::bad_syntax("a subject is written as '#' and its DER in hexadecimal")
        })?;
        let name = DistinguishedName::from_der(&der)
            .map_err(|_| IdentityError::bad_encoding("not the DER of a distinguished name"))?;
        if name.is_empty() {
            return Err(IdentityError::bad_syntax("the subject is empty"));
        }
        Ok(Self(name))
    }
}

impl Sealed for Subject {}

impl FromCertificate for Subject {
    const FIELD: &'static str = "subject";

    fn read_all(
        certificate: &Certificate,
    ) -> Result<Vec<Result<Self, IdentityError>>, IdentityError> {
        let subject = certificate.subject();
        if subject.is_empty() {
            return Ok(Vec::new());
        }
        Ok(vec![Ok(Self(subject.clone()))])
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", Hex(self.0.der()))
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Subject({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_and_rejected_characters() {
        let parse = |text: &str| {
            text.parse::<CommonName>()
                .map(|name| name.to_string())
                .map_err(|error| error.reason())
        };
        let long = "é".repeat(64);
        assert_eq!(parse(&long).as_deref(), Ok(&*long));
        assert_eq!(parse(&"e".repeat(65)), Err("too_long"));
        assert_eq!(parse(""), Err("bad_syntax"));
        assert_eq!(parse("admin\0.example"), Err("bad_syntax"));
        assert_eq!(parse("admin\u{202e}"), Err("forbidden"));
        assert_eq!(parse("ad\u{200b}min"), Err("forbidden"));
        assert_ne!(
            parse("admin"),
            parse("аdmin"),
            "a Cyrillic а is a different character"
        );
    }

    #[test]
    fn a_subject_reads_back() {
        // CN=a in UTF8String and in PrintableString print alike and are different.
        let utf8: Subject = "#300c310a300806035504030c0161".parse().expect("a name");
        let printable: Subject = "#300c310a30080603550403130161".parse().expect("a name");
        assert_eq!(utf8.rfc4514(), "CN=a");
        assert_eq!(printable.rfc4514(), "CN=a");
        assert_ne!(utf8, printable);
        assert_eq!(utf8.to_string().parse(), Ok(utf8));
        for (text, reason) in [
            ("CN=a", "bad_syntax"),
            ("#", "bad_encoding"),
            ("#3000", "bad_syntax"),
            ("#300", "bad_syntax"),
            ("#300c310a300806035504031c01", "bad_encoding"),
        ] {
            let error = text.parse::<Subject>().expect_err(text);
            assert_eq!(error.reason(), reason, "{text}");
        }
    }
}
