//! Distinguished names (X.501, RFC 5280 section 4.1.2.4), with typed attributes.

use std::borrow::Cow;
use std::fmt::{self, Write};

use super::der::{self, NotDer, Reader, Tlv};
use super::strings::{self, StringRules};
use super::text::{Bounded, Hex, MAX_VALUE};
use crate::diagnostic::{Diagnostic, display_diagnostic};

/// A distinguished name: the subject or the issuer of a certificate.
///
/// Two names are equal when their DER is equal. The string that [`Display`](fmt::Display) prints
/// (RFC 4514, most specific attribute first) is for people. It is not an identity, because different
/// names can have the same string.
///
/// ```
/// use countersign::pki::NameAttribute;
/// use countersign::testing::TestCa;
///
/// let certificate = TestCa::new("Root").leaf().common_name("alice").issue().certificate();
/// let subject = certificate.subject();
/// assert_eq!(subject.to_string(), "CN=alice");
/// assert_eq!(subject.attributes_of(NameAttribute::COMMON_NAME).len(), 1);
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DistinguishedName {
    der: Box<[u8]>,
}

impl DistinguishedName {
    /// Checks that `der` is a well-formed `Name`. The *values* of attributes are checked when they are
    /// decoded.
    pub(crate) fn from_der(der: &[u8]) -> Result<Self, NotDer> {
        walk(der, |attribute| der::check_oid(attribute.oid))?;
        Ok(Self { der: der.into() })
    }

    /// Parses an encoded `Name`, such as an authority in a server's certificate request. `None` for
    /// anything that is not the DER of a name.
    pub fn parse(der: &[u8]) -> Option<Self> {
        Self::from_der(der).ok()
    }

    /// Takes the content of a `Name` without the outer SEQUENCE, which trust anchors contain.
    pub(crate) fn from_rdn_sequence(content: &[u8]) -> Result<Self, NotDer> {
        Self::from_der(&der::sequence(content))
    }

    /// The content of the `Name`, without the outer SEQUENCE.
    pub(crate) fn rdn_sequence(&self) -> &[u8] {
        der::single(&self.der, der::SEQUENCE).unwrap_or_default() // checked at construction
    }

    /// The encoded `Name` of the certificate.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// All attributes in the order of the certificate, which is least specific first.
    pub fn attributes(&self) -> Vec<NameAttribute<'_>> {
        read_attributes(&self.der).unwrap_or_default() // checked at construction
    }

    /// The attributes of one type, such as [`NameAttribute::COMMON_NAME`].
    pub fn attributes_of(&self, oid: &str) -> Vec<NameAttribute<'_>> {
        let mut attributes = self.attributes();
        attributes.retain(|attribute| attribute.oid == oid);
        attributes
    }

    /// Whether the name has no attribute at all.
    pub fn is_empty(&self) -> bool {
        self.rdn_sequence().is_empty() // an RDN is never empty
    }
}

/// An attribute whose type is not decoded yet.
struct RawAttribute<'a> {
    oid: &'a [u8],
    value: Tlv<'a>,
    first_of_rdn: bool,
}

/// `Name ::= SEQUENCE OF SET SIZE (1..MAX) OF SEQUENCE { type OID, value ANY }`
fn walk<'a>(
    der: &'a [u8],
    mut visit: impl FnMut(RawAttribute<'a>) -> Result<(), NotDer>,
) -> Result<(), NotDer> {
    let mut rdns = Reader::new(der::single(der, der::SEQUENCE)?);
    while !rdns.is_empty() {
        let mut rdn = Reader::new(rdns.expect(der::SET)?.content);
        let mut first_of_rdn = true;
        // At least once: an RDN is never empty.
        while first_of_rdn || !rdn.is_empty() {
            let mut pair = Reader::new(rdn.expect(der::SEQUENCE)?.content);
            let oid = pair.expect(der::OBJECT_IDENTIFIER)?.content;
            let value = pair.any()?;
            pair.end()?;
            visit(RawAttribute {
                oid,
                value,
                first_of_rdn,
            })?;
            first_of_rdn = false;
        }
    }
    Ok(())
}

fn read_attributes(der: &[u8]) -> Result<Vec<NameAttribute<'_>>, NotDer> {
    let mut attributes = Vec::new();
    walk(der, |attribute| {
        attributes.push(NameAttribute {
            oid: der::oid_to_string(attribute.oid)?,
            tag: attribute.value.tag,
            value: attribute.value.content,
            der: attribute.value.whole,
            first_of_rdn: attribute.first_of_rdn,
        });
        Ok(())
    })?;
    Ok(attributes)
}

/// One attribute of a [`DistinguishedName`].
///
/// ```
/// use countersign::testing::TestCa;
///
/// let certificate = TestCa::new("Root").leaf().common_name("alice").issue().certificate();
/// let attributes = certificate.subject().attributes();
/// assert_eq!(attributes[0].oid(), "2.5.4.3");
/// assert_eq!(attributes[0].text().as_deref(), Ok("alice"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameAttribute<'a> {
    oid: String,
    tag: u8,
    value: &'a [u8],
    /// Tag, length and value.
    der: &'a [u8],
    first_of_rdn: bool,
}

impl<'a> NameAttribute<'a> {
    /// `commonName`, 2.5.4.3 (X.520).
    pub const COMMON_NAME: &'static str = "2.5.4.3";
    /// `serialNumber`, 2.5.4.5: a device's or person's number, not the certificate's.
    pub const SERIAL_NUMBER: &'static str = "2.5.4.5";
    /// `countryName`, 2.5.4.6.
    pub const COUNTRY: &'static str = "2.5.4.6";
    /// `localityName`, 2.5.4.7.
    pub const LOCALITY: &'static str = "2.5.4.7";
    /// `stateOrProvinceName`, 2.5.4.8.
    pub const STATE: &'static str = "2.5.4.8";
    /// `organizationName`, 2.5.4.10.
    pub const ORGANIZATION: &'static str = "2.5.4.10";
    /// `organizationalUnitName`, 2.5.4.11.
    pub const ORGANIZATIONAL_UNIT: &'static str = "2.5.4.11";
    /// `organizationIdentifier`, 2.5.4.97 (eIDAS).
    pub const ORGANIZATION_IDENTIFIER: &'static str = "2.5.4.97";
    /// `domainComponent`, 0.9.2342.19200300.100.1.25 (RFC 4519).
    pub const DOMAIN_COMPONENT: &'static str = "0.9.2342.19200300.100.1.25";
    /// `userId`, 0.9.2342.19200300.100.1.1 (RFC 4519).
    pub const USER_ID: &'static str = "0.9.2342.19200300.100.1.1";
    /// `emailAddress`, 1.2.840.113549.1.9.1 (PKCS #9).
    pub const EMAIL_ADDRESS: &'static str = "1.2.840.113549.1.9.1";

    /// The attribute's type as a dotted object identifier.
    pub fn oid(&self) -> &str {
        &self.oid
    }

    /// The ASN.1 tag of the value, such as `0x0C` for UTF8String.
    pub const fn tag(&self) -> u8 {
        self.tag
    }

    /// The value's bytes, without tag and length.
    pub const fn value(&self) -> &'a [u8] {
        self.value
    }

    /// The value's DER: tag, length and content.
    pub const fn value_der(&self) -> &'a [u8] {
        self.der
    }

    /// Decodes the value by its string type, by the default [`StringRules`].
    ///
    /// # Errors
    /// [`TextError`]: another type than a string, or bytes that have no single reading as text (an `#` in
    /// a PrintableString, invalid UTF-8, a T61String with Latin-1 letters).
    pub fn text(&self) -> Result<Cow<'a, str>, TextError> {
        self.text_by(StringRules::default())
    }

    /// Decodes the value by its string type and these rules.
    ///
    /// # Errors
    /// As for [`text`](Self::text). With [`StringRules::Strict`] also an `@` in a PrintableString, and
    /// every T61String, BMPString, UniversalString, NumericString and VisibleString.
    pub fn text_by(&self, rules: StringRules) -> Result<Cow<'a, str>, TextError> {
        strings::decode(self.tag, self.value, rules).ok_or(TextError)
    }

    fn short_name(&self) -> Option<&'static str> {
        let mut named = SHORT_NAMES.iter();
        named.find_map(|(name, oid)| (*oid == self.oid).then_some(*name))
    }
}

/// The types of attributes that are printed by a name (RFC 4514 section 3).
const SHORT_NAMES: [(&str, &str); 8] = [
    ("CN", NameAttribute::COMMON_NAME),
    ("C", NameAttribute::COUNTRY),
    ("L", NameAttribute::LOCALITY),
    ("ST", NameAttribute::STATE),
    ("O", NameAttribute::ORGANIZATION),
    ("OU", NameAttribute::ORGANIZATIONAL_UNIT),
    ("DC", NameAttribute::DOMAIN_COMPONENT),
    ("UID", NameAttribute::USER_ID),
];

/// The object identifier of the type that is printed by this name.
pub(super) fn type_of(short_name: &str) -> Option<&'static str> {
    let mut named = SHORT_NAMES.iter();
    named.find_map(|(name, oid)| (*name == short_name).then_some(*oid))
}

/// The value of a name attribute cannot be decoded as text.
///
/// ```
/// use countersign::Diagnostic;
/// use countersign::pki::TextError;
///
/// assert_eq!(TextError.reason(), "malformed_text");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub struct TextError;

impl Diagnostic for TextError {
    fn reason(&self) -> &'static str {
        "malformed_text"
    }

    fn cause(&self) -> Cow<'_, str> {
        "the attribute's value is not a string, or has bytes that its string type does not allow"
            .into()
    }

    fn remedy(&self) -> Cow<'_, str> {
        "issue the certificate with a UTF8String".into()
    }
}

display_diagnostic!(TextError);

impl fmt::Display for DistinguishedName {
    /// RFC 4514, with control, bidirectional and zero-width characters escaped, so that the text is
    /// safe in a log or a terminal. Long names are not cut here. `Display` of a certificate and of all
    /// errors cuts them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.rdns_reversed()
            .enumerate()
            .try_for_each(|(index, rdn)| write_rdn(f, index, rdn.content))
    }
}

impl DistinguishedName {
    /// RFC 4514 prints the last RDN first. The order within an RDN does not change.
    fn rdns_reversed(&self) -> impl Iterator<Item = Tlv<'_>> {
        let mut reader = Reader::new(self.rdn_sequence());
        let mut rdns = Vec::new();
        while let Ok(rdn) = reader.expect(der::SET) {
            rdns.push(rdn);
        }
        rdns.into_iter().rev()
    }
}

/// A name for logs and errors: its `Display`, cut after [`MAX_VALUE`] bytes. The mark counts bytes of
/// its DER, the RDN with the cut included.
pub(crate) struct ShortName<'a>(pub(crate) &'a DistinguishedName);

impl fmt::Display for ShortName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(Bounded::new(f, MAX_VALUE))
    }
}

impl ShortName<'_> {
    pub(crate) fn write(&self, out: Bounded<'_>) -> fmt::Result {
        let rdns = self.0.rdns_reversed().enumerate();
        out.parts(rdns, self.0.rdn_sequence().len(), |out, (index, rdn)| {
            write_rdn(out, index, rdn.content)?;
            Ok(rdn.whole.len())
        })
    }
}

/// Writes attribute by attribute, so that the rest of a name that is cut is not parsed.
fn write_rdn(out: &mut dyn Write, index: usize, content: &[u8]) -> fmt::Result {
    let mut separator = if index > 0 { "," } else { "" };
    let mut rdn = Reader::new(content);
    // Checked at construction, so that every attribute is written.
    while let Ok(attribute) = read_attribute(&mut rdn) {
        write!(out, "{separator}{attribute}")?;
        separator = "+";
    }
    Ok(())
}

/// The next attribute of an RDN. `first_of_rdn` is not set.
fn read_attribute<'a>(rdn: &mut Reader<'a>) -> Result<NameAttribute<'a>, NotDer> {
    let mut pair = Reader::new(rdn.expect(der::SEQUENCE)?.content);
    let oid = der::oid_to_string(pair.expect(der::OBJECT_IDENTIFIER)?.content)?;
    let value = pair.any()?;
    Ok(NameAttribute {
        oid,
        tag: value.tag,
        value: value.content,
        der: value.whole,
        first_of_rdn: false,
    })
}

impl fmt::Display for NameAttribute<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.short_name().unwrap_or(&self.oid))?;
        f.write_str("=")?;
        let Ok(text) = self.text() else {
            // RFC 4514 section 2.4: the BER of the value.
            return write!(f, "#{}", Hex(self.der));
        };
        for (index, character) in text.char_indices() {
            let is_last = index + character.len_utf8() == text.len();
            let at_edge =
                (index == 0 && matches!(character, ' ' | '#')) || (is_last && character == ' ');
            if at_edge || matches!(character, '"' | '+' | ',' | ';' | '<' | '>' | '\\') {
                f.write_char('\\')?;
                f.write_char(character)?;
            } else if super::text::is_unsafe_to_print(character) {
                let mut buffer = [0; 4];
                for byte in character.encode_utf8(&mut buffer).bytes() {
                    write!(f, "\\{byte:02X}")?;
                }
            } else {
                f.write_char(character)?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for DistinguishedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DistinguishedName({})", ShortName(self))
    }
}
