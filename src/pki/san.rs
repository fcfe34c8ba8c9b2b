//! Subject alternative names (RFC 5280 section 4.2.1.6), parsed as strict DER.

use std::borrow::Cow;

use super::der::{self, NotDer, Reader};
use super::name::DistinguishedName;
use crate::diagnostic::{Diagnostic, display_diagnostic};

/// One entry of a subjectAltName extension.
///
/// Text kinds contain the bytes of the certificate. Extractors check whether they are a well-formed
/// identity.
///
/// ```
/// use countersign::pki::GeneralName;
/// use countersign::testing::TestCa;
///
/// let certificate = TestCa::new("Root").leaf().dns("a.example").issue().certificate();
/// let names = certificate.subject_alternative_names()?;
/// assert!(matches!(names, [GeneralName::Dns(name)] if **name == *b"a.example"));
/// # Ok::<(), countersign::pki::SanError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GeneralName {
    /// `rfc822Name`: an e-mail address.
    Email(Box<[u8]>),
    /// `dNSName`.
    Dns(Box<[u8]>),
    /// `uniformResourceIdentifier`.
    Uri(Box<[u8]>),
    /// `iPAddress`: 4 or 16 octets when well-formed.
    Ip(Box<[u8]>),
    /// `directoryName`.
    DirectoryName(DistinguishedName),
    /// `registeredID`, as a dotted object identifier.
    RegisteredId(String),
    /// `otherName`, such as a Microsoft UPN.
    OtherName {
        /// The `type-id`, as a dotted object identifier.
        oid: String,
        /// The content of the explicit `[0]`, not checked.
        value: Box<[u8]>,
    },
    /// A kind that is not an identity, or a name whose tag or content is malformed.
    Unreadable {
        /// The tag octet: its low five bits are the kind's number.
        tag: u8,
        /// The content octets.
        content: Box<[u8]>,
    },
}

/// Why a subjectAltName extension cannot be read.
///
/// ```
/// use countersign::Diagnostic;
/// use countersign::pki::SanError;
///
/// assert_eq!(SanError::NotDer.cause(), "the subjectAltName extension is not DER");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SanError {
    /// Two subjectAltName extensions (RFC 5280 section 4.2 allows one).
    Duplicate,
    /// The extension is not DER, or an empty sequence.
    NotDer,
}

impl Diagnostic for SanError {
    fn reason(&self) -> &'static str {
        match self {
            Self::Duplicate => "several_sans",
            Self::NotDer => "malformed_san",
        }
    }

    fn cause(&self) -> Cow<'_, str> {
        match self {
            Self::Duplicate => "the certificate has two subjectAltName extensions",
            Self::NotDer => "the subjectAltName extension is not DER",
        }
        .into()
    }

    fn remedy(&self) -> Cow<'_, str> {
        match self {
            Self::Duplicate => "issue it with one that has all names",
            Self::NotDer => "issue it with a tool that writes DER",
        }
        .into()
    }
}

display_diagnostic!(SanError);

/// `SubjectAltName ::= SEQUENCE SIZE (1..MAX) OF GeneralName`
pub(super) fn read_general_names(value: &[u8]) -> Result<Vec<GeneralName>, SanError> {
    let not_der = |NotDer| SanError::NotDer;
    let mut reader = Reader::new(der::single(value, der::SEQUENCE).map_err(not_der)?);
    let mut names = Vec::new();
    while !reader.is_empty() {
        let entry = reader.any().map_err(not_der)?;
        if !is_general_name(entry.tag) {
            return Err(SanError::NotDer);
        }
        names.push(read_general_name(entry.tag, entry.content));
    }
    if names.is_empty() {
        return Err(SanError::NotDer);
    }
    Ok(names)
}

/// Whether a tag is one of GeneralName: the context-specific tags [0] to [8] (RFC 5280 section 4.2.1.6).
pub(crate) const fn is_general_name(tag: u8) -> bool {
    tag & 0xc0 == 0x80 && tag & 0x1f <= 8
}

pub(crate) fn read_general_name(tag: u8, content: &[u8]) -> GeneralName {
    let name = match tag {
        0xa0 => read_other_name(content),
        0x81 => Ok(GeneralName::Email(content.into())),
        0x82 => Ok(GeneralName::Dns(content.into())),
        // `directoryName [4] EXPLICIT Name`: a CHOICE cannot be tagged implicitly.
        0xa4 => DistinguishedName::from_der(content).map(GeneralName::DirectoryName),
        0x86 => Ok(GeneralName::Uri(content.into())),
        0x87 => Ok(GeneralName::Ip(content.into())),
        0x88 => der::oid_to_string(content).map(GeneralName::RegisteredId),
        _ => Err(NotDer),
    };
    name.unwrap_or_else(|NotDer| GeneralName::Unreadable {
        tag,
        content: content.into(),
    })
}

/// `OtherName ::= SEQUENCE { type-id OBJECT IDENTIFIER, value [0] EXPLICIT ANY }`
fn read_other_name(content: &[u8]) -> Result<GeneralName, NotDer> {
    let mut reader = Reader::new(content);
    let oid = der::oid_to_string(reader.expect(der::OBJECT_IDENTIFIER)?.content)?;
    let value = reader.expect(0xa0)?.content;
    reader.end()?;
    Ok(GeneralName::OtherName {
        oid,
        value: value.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_each_kind() {
        let uri = GeneralName::Uri((*b"spiffe://a/b").into());
        assert_eq!(read_general_name(0x86, b"spiffe://a/b"), uri);
        assert_eq!(
            read_general_name(0x88, &[0x55, 4, 3]),
            GeneralName::RegisteredId("2.5.4.3".into())
        );
        let other = [0x06, 3, 0x55, 4, 3, 0xa0, 3, 0x0c, 1, b'x'];
        assert_eq!(
            read_general_name(0xa0, &other),
            GeneralName::OtherName {
                oid: "2.5.4.3".into(),
                value: (*b"\x0c\x01x").into()
            }
        );
    }

    #[test]
    fn a_constructed_uri_is_unreadable() {
        assert!(matches!(
            read_general_name(0xa6, b"spiffe://a/b"),
            GeneralName::Unreadable { tag: 0xa6, .. }
        ));
    }

    #[test]
    fn a_general_name_has_one_of_nine_tags() {
        let names = |tag: u8| read_general_names(&[0x30, 3, tag, 1, b'a']);
        for tag in [0x89, 0x8a, 0x9e, 0xa9, 0x02, 0x42, 0xc2, 0x30] {
            assert_eq!(names(tag), Err(SanError::NotDer), "{tag:02x}");
        }
        for tag in (0x80..=0x88).chain(0xa0..=0xa8) {
            assert!(names(tag).is_ok(), "{tag:02x}");
        }
    }

    #[test]
    fn the_sequence_is_strict() {
        assert_eq!(read_general_names(&[0x30, 0]), Err(SanError::NotDer));
        assert_eq!(
            read_general_names(b"\x30\x03\x82\x01a\0"),
            Err(SanError::NotDer)
        );
        assert_eq!(
            read_general_names(b"\x30\x04\x82\x81\x01a"),
            Err(SanError::NotDer)
        );
        assert_eq!(
            read_general_names(b"\x30\x03\x82\x01a"),
            Ok(vec![GeneralName::Dns((*b"a").into())])
        );
    }
}
