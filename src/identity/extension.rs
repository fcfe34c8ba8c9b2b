//! Any extension, for identities that a private certificate authority defines.

use std::fmt;
use std::str::FromStr;

use super::extractor::exactly_one;
use super::{IdentityError, IdentityExtractor};
use crate::pki::der::{self, NotDer, Reader};
use crate::pki::text::{Hex, from_hex};
use crate::pki::{Certificate, StringRules, strings};

/// The DER inside an extension. [`try_map`](IdentityExtractor::try_map) converts it to an identity.
///
/// The methods that are named after ASN.1 types read the whole value as one DER element of that type. They
/// accept DER only: shortest lengths, no constructed strings, nothing after the element. Extensions that
/// contain bytes without an ASN.1 type, as some private ones do, are read with
/// [`as_bytes`](Self::as_bytes).
///
/// `Display` and `FromStr` use its bytes in hexadecimal.
///
/// ```
/// use countersign::Diagnostic as _;
/// use countersign::identity::{ExtensionValue, IdentityExtractor as _};
/// use countersign::testing::{TestCa, der};
///
/// const TENANT: &str = "1.3.6.1.4.1.55555.1";
///
/// struct Tenant(String);
///
/// let extractor = ExtensionValue::extractor(TENANT)
///     .try_map(|value| value.utf8_string().map(|name| Tenant(name.to_owned())));
///
/// let ca = TestCa::new("Root");
/// let good = ca.leaf().extension(TENANT, false, &der::utf8("acme")).issue();
/// assert_eq!(extractor.extract(&good.certificate())?.0, "acme");
/// let number = ca.leaf().extension(TENANT, false, &der::integer(7)).issue();
/// let error = extractor.extract(&number.certificate()).map(|_| ()).unwrap_err();
/// assert_eq!(error.cause(), "the extension's value is an INTEGER, where a UTF8String is required");
/// # Ok::<(), countersign::identity::IdentityError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExtensionValue(Box<[u8]>);

impl ExtensionValue {
    /// Reads the leaf's only extension with this dotted object identifier, such as
    /// `1.3.6.1.4.1.57264.1.1`.
    ///
    /// # Security
    /// rustls-webpki rejects certificates with a *critical* extension that it does not know.
    pub fn extractor(oid: impl Into<Box<str>>) -> ExtensionExtractor {
        ExtensionExtractor { oid: oid.into() }
    }

    /// The bytes inside the extension's OCTET STRING.
    pub const fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text of a UTF8String. It may have control characters or be empty.
    ///
    /// # Errors
    /// `bad_encoding`: another type, not DER, or invalid UTF-8.
    pub fn utf8_string(&self) -> Result<&str, IdentityError> {
        self.text(strings::UTF8_STRING)
    }

    /// The text of an IA5String: ASCII, control characters included.
    ///
    /// # Errors
    /// `bad_encoding`: another type, not DER, or an octet that is not ASCII.
    pub fn ia5_string(&self) -> Result<&str, IdentityError> {
        self.text(strings::IA5_STRING)
    }

    /// The text of a PrintableString, by X.680.
    ///
    /// # Errors
    /// `bad_encoding`: another type, not DER, or a character that the type does not have, such as `@`.
    pub fn printable_string(&self) -> Result<&str, IdentityError> {
        self.text(strings::PRINTABLE_STRING)
    }

    /// The OBJECT IDENTIFIER, dotted.
    ///
    /// # Errors
    /// `bad_encoding`: another type, not DER, or an arc of more than 128 bits.
    pub fn object_identifier(&self) -> Result<String, IdentityError> {
        let content = self.content(der::OBJECT_IDENTIFIER)?;
        der::oid_to_string(content).map_err(|_| not_der("an OBJECT IDENTIFIER"))
    }

    /// The INTEGER.
    ///
    /// # Errors
    /// `bad_encoding`: another type, or not DER. `too_long`: more than 16 octets.
    pub fn integer(&self) -> Result<i128, IdentityError> {
        number(self.content(der::INTEGER)?, "an INTEGER")
    }

    /// The number of the ENUMERATED.
    ///
    /// # Errors
    /// As for [`integer`](Self::integer).
    pub fn enumerated(&self) -> Result<i128, IdentityError> {
        number(self.content(der::ENUMERATED)?, "an ENUMERATED")
    }

    /// The BOOLEAN.
    ///
    /// # Errors
    /// `bad_encoding`: another type, or not DER, which allows 00 and FF only.
    pub fn boolean(&self) -> Result<bool, IdentityError> {
        der::read_bool(self.content(der::BOOLEAN)?).map_err(|_| not_der("a BOOLEAN"))
    }

    /// The octets of the OCTET STRING inside the extension's own OCTET STRING.
    ///
    /// # Errors
    /// `bad_encoding`: another type, or not DER.
    pub fn octet_string(&self) -> Result<&[u8], IdentityError> {
        self.content(der::OCTET_STRING)
    }

    fn text(&self, tag: u8) -> Result<&str, IdentityError> {
        let content = self.content(tag)?;
        strings::decode(tag, content, StringRules::Strict)
            .and_then(|_| std::str::from_utf8(content).ok())
            .ok_or_else(|| {
                IdentityError::bad_encoding(format!(
                    "the extension's value is {} with octets that this type does not allow",
                    der::type_name(tag)
                ))
            })
    }

    /// The content of the only element, which must have this tag.
    fn content(&self, tag: u8) -> Result<&[u8], IdentityError> {
        let required = der::type_name(tag);
        let found = |what: &str| {
            IdentityError::bad_encoding(format!(
                "the extension's value is {what}, where {required} is required"
            ))
        };
        if self.0.is_empty() {
            return Err(found("empty"));
        }
        let mut reader = Reader::new(&self.0);
        let element = reader.any().map_err(|NotDer| found("not DER"))?;
        if element.tag != tag {
            return Err(found(&der::type_name(element.tag)));
        }
        match self.0.len() - element.whole.len() {
            0 => Ok(element.content),
            more => Err(found(&format!("{required} with trailing bytes ({more})"))),
        }
    }
}

fn not_der(of: &str) -> IdentityError {
    IdentityError::bad_encoding(format!(
        "the extension's value is {of} whose content is not DER"
    ))
}

/// Two's complement, in its shortest form.
fn number(content: &[u8], of: &str) -> Result<i128, IdentityError> {
    let fill = match content {
        [] | [0, 0..=0x7f, ..] | [0xff, 0x80..=0xff, ..] => return Err(not_der(of)),
        [0x80..=0xff, ..] => 0xff,
        _ => 0,
    };
    let mut octets = [fill; 16];
    let Some(start) = octets.len().checked_sub(content.len()) else {
        return Err(IdentityError::too_long(format!(
            "the extension's value is {of} of {} octets, where at most 16 are read",
            content.len()
        )));
    };
    octets[start..].copy_from_slice(content);
    Ok(i128::from_be_bytes(octets))
}

/// Reads an extension. Made by [`ExtensionValue::extractor`].
///
/// ```
/// use countersign::identity::{ExtensionExtractor, ExtensionValue};
///
/// let extractor: ExtensionExtractor = ExtensionValue::extractor("1.3.6.1.4.1.57264.1.1");
/// ```
#[derive(Clone, Debug)]
pub struct ExtensionExtractor {
    oid: Box<str>,
}

impl IdentityExtractor for ExtensionExtractor {
    type Identity = ExtensionValue;

    fn extract(&self, certificate: &Certificate) -> Result<ExtensionValue, IdentityError> {
        let values = certificate
            .extensions()
            .iter()
            .filter(|extension| extension.oid() == &*self.oid)
            .map(|extension| ExtensionValue(extension.value().into()))
            .collect();
        exactly_one(values, "such extension")
    }
}

impl FromStr for ExtensionValue {
    type Err = IdentityError;

    /// # Errors
    /// `bad_syntax`: not hexadecimal.
    fn from_str(text: &str) -> Result<Self, IdentityError> {
        from_hex(text)
            .map(|bytes| Self(bytes.into()))
            .ok_or_else(|| {
                IdentityError::bad_syntax("an extension's value is written in hexadecimal")
            })
    }
}

impl fmt::Display for ExtensionValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Hex(&self.0).fmt(f)
    }
}

impl fmt::Debug for ExtensionValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ExtensionValue({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Diagnostic as _;

    fn value(der: &[u8]) -> ExtensionValue {
        ExtensionValue(der.into())
    }

    #[test]
    fn each_type_is_read() {
        assert_eq!(value(b"\x0c\x02\xc3\xa9").utf8_string(), Ok("é"));
        assert_eq!(value(b"\x16\x03a@b").ia5_string(), Ok("a@b"));
        assert_eq!(value(b"\x13\x03a b").printable_string(), Ok("a b"));
        assert_eq!(
            value(b"\x06\x03\x55\x04\x03")
                .object_identifier()
                .as_deref(),
            Ok("2.5.4.3")
        );
        for (der, number) in [
            (&b"\x02\x01\x00"[..], 0),
            (b"\x02\x01\x7f", 127),
            (b"\x02\x02\x00\x80", 128),
            (b"\x02\x01\x80", -128),
            (b"\x02\x02\xff\x7f", -129),
        ] {
            assert_eq!(value(der).integer(), Ok(number));
            let enumerated = [&[0x0a], &der[1..]].concat();
            assert_eq!(value(&enumerated).enumerated(), Ok(number));
        }
        let largest = [&[2, 16, 0x7f][..], &[0xff; 15]].concat();
        assert_eq!(value(&largest).integer(), Ok(i128::MAX));
        assert_eq!(value(b"\x01\x01\xff").boolean(), Ok(true));
        assert_eq!(value(b"\x01\x01\x00").boolean(), Ok(false));
        assert_eq!(value(b"\x04\x02ab").octet_string(), Ok(&b"ab"[..]));
        assert_eq!(value(b"\x04\x00").octet_string(), Ok(&b""[..]));
    }

    #[test]
    fn errors_name_what_was_found() {
        let utf8 = |der: &[u8]| {
            let value = value(der);
            let error = value.utf8_string().expect_err("not a UTF8String");
            (error.reason(), error.cause().into_owned())
        };
        for (der, found) in [
            (&b""[..], "empty"),
            (b"acme", "not DER"),
            (b"\x13\x01a", "a PrintableString"),
            (b"\x30\x00", "a SEQUENCE"),
            (b"\x2c\x03\x0c\x01a", "a value with the ASN.1 tag 0x2c"),
            (b"\x0c\x81\x01a", "not DER"),
            (b"\x0c\x80a\x00\x00", "not DER"),
            (b"\x0c\x02a", "not DER"),
            (b"\x0c\x01ab", "a UTF8String with trailing bytes (1)"),
        ] {
            let (reason, cause) = utf8(der);
            assert_eq!(reason, "bad_encoding");
            assert_eq!(
                cause,
                format!("the extension's value is {found}, where a UTF8String is required")
            );
        }
        assert_eq!(utf8(b"\x0c\x01\xff").0, "bad_encoding");
        let reason = |error: IdentityError| error.reason();
        for bad in [&b"\x02\x00"[..], b"\x02\x02\x00\x01", b"\x02\x02\xff\x80"] {
            assert_eq!(value(bad).integer().map_err(reason), Err("bad_encoding"));
        }
        let long = [&[2, 17, 1][..], &[0; 16]].concat();
        assert_eq!(value(&long).integer().map_err(reason), Err("too_long"));
        let cases = [
            value(b"\x01\x01\x01").boolean().map(drop),
            value(b"\x01\x02\xff\xff").boolean().map(drop),
            value(b"\x06\x02\x80\x01").object_identifier().map(drop),
            value(b"\x16\x01\xe9").ia5_string().map(drop),
            value(b"\x13\x01@").printable_string().map(drop),
            value(b"\x02\x01\x01").enumerated().map(drop),
        ];
        for case in cases {
            assert_eq!(case.map_err(reason), Err("bad_encoding"));
        }
    }
}
