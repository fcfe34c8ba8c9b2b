//! The string types of directory names (RFC 5280 section 4.1.2.4; X.680 section 41).

use std::borrow::Cow;

pub(crate) const UTF8_STRING: u8 = 0x0c;
pub(crate) const NUMERIC_STRING: u8 = 0x12;
pub(crate) const PRINTABLE_STRING: u8 = 0x13;
pub(crate) const TELETEX_STRING: u8 = 0x14;
pub(crate) const IA5_STRING: u8 = 0x16;
pub(crate) const VISIBLE_STRING: u8 = 0x1a;
pub(crate) const UNIVERSAL_STRING: u8 = 0x1c;
pub(crate) const BMP_STRING: u8 = 0x1e;

/// Which encodings of a name's text are decoded.
///
/// Both rules reject bytes that have more than one reading.
///
/// | type | `Lenient` (default) | `Strict` |
/// |---|---|---|
/// | UTF8String | UTF-8 | UTF-8 |
/// | PrintableString | the characters of X.680, and `_`, `&`, `@` and `*` | the characters of X.680 |
/// | IA5String | ASCII | ASCII |
/// | NumericString, VisibleString | digits and blanks; printable ASCII | rejected |
/// | T61String | printable ASCII without ``# $ \ ^ ` { } ~`` | rejected |
/// | BMPString, UniversalString | Unicode characters | rejected |
///
/// Go and older versions of openssl write the four additional characters into PrintableStrings, and
/// openssl before 1.1 wrote T61Strings. A T61String with any other octet is not decoded, because some
/// programs read it as Latin-1 and others by T.61.
///
/// ```
/// use countersign::pki::StringRules;
/// use countersign::testing::{TestCa, der};
///
/// let leaf = TestCa::new("Root").leaf().attribute("2.5.4.3", der::PRINTABLE_STRING, b"pump_7");
/// let certificate = leaf.issue().certificate();
/// let name = &certificate.subject().attributes()[0];
/// assert_eq!(name.text_by(StringRules::Lenient).as_deref(), Ok("pump_7"));
/// assert!(name.text_by(StringRules::Strict).is_err());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StringRules {
    /// Every encoding that has exactly one reading.
    #[default]
    Lenient,
    /// What RFC 5280 allows in new certificates, by X.680: UTF8String, PrintableString and IA5String.
    Strict,
}

/// Decodes the content of a string. `None`: another type, or bytes that the rules do not allow.
pub(crate) fn decode(tag: u8, content: &[u8], rules: StringRules) -> Option<Cow<'_, str>> {
    let is_strict = rules == StringRules::Strict;
    let is_legal = match tag {
        UTF8_STRING => true,
        PRINTABLE_STRING => content.iter().all(|&octet| {
            is_printable_string(octet) || (!is_strict && matches!(octet, b'_' | b'&' | b'@' | b'*'))
        }),
        IA5_STRING => content.is_ascii(),
        _ if is_strict => false,
        NUMERIC_STRING => content
            .iter()
            .all(|&octet| octet.is_ascii_digit() || octet == b' '),
        VISIBLE_STRING => content.iter().all(|octet| matches!(octet, b' '..=b'~')),
        TELETEX_STRING => content.iter().all(|&octet| is_same_in_t61(octet)),
        BMP_STRING => {
            return decode_units(content, |unit: [u8; 2]| u16::from_be_bytes(unit).into());
        }
        UNIVERSAL_STRING => return decode_units(content, u32::from_be_bytes),
        _ => false,
    };
    let text = is_legal.then(|| std::str::from_utf8(content).ok())??;
    Some(Cow::Borrowed(text))
}

/// Whether the type is one of the strings above.
pub(crate) const fn is_string(tag: u8) -> bool {
    matches!(
        tag,
        UTF8_STRING
            | NUMERIC_STRING
            | PRINTABLE_STRING
            | TELETEX_STRING
            | IA5_STRING
            | VISIBLE_STRING
            | UNIVERSAL_STRING
            | BMP_STRING
    )
}

/// X.680 section 41.4.
const fn is_printable_string(octet: u8) -> bool {
    octet.is_ascii_alphanumeric()
        || matches!(octet, b' ' | b'\'' | b'('..=b')' | b'+'..=b'/' | b':' | b'=' | b'?')
}

/// Whether an octet is the same printable character in T.61, in ASCII and in Latin-1. T.61 has other
/// characters, or none, where ASCII has these eight.
const fn is_same_in_t61(octet: u8) -> bool {
    matches!(octet, b' '..=b'~')
        && !matches!(
            octet,
            b'#' | b'$' | b'\\' | b'^' | b'`' | b'{' | b'}' | b'~'
        )
}

/// One character in each unit: UCS-2 and UCS-4, big-endian. Surrogates are not characters.
fn decode_units<const N: usize>(
    content: &[u8],
    number: impl Fn([u8; N]) -> u32,
) -> Option<Cow<'static, str>> {
    let (units, rest) = content.as_chunks::<N>();
    if !rest.is_empty() {
        return None;
    }
    let text: Option<String> = units
        .iter()
        .map(|&unit| char::from_u32(number(unit)))
        .collect();
    text.map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_has_its_characters() {
        let both = |tag, content: &'static [u8]| {
            [StringRules::Lenient, StringRules::Strict]
                .map(|rules| decode(tag, content, rules).map(Cow::into_owned))
        };
        let text = |text: &str| Some(text.to_owned());
        for (tag, content, lenient, strict) in [
            (UTF8_STRING, "é".as_bytes(), text("é"), text("é")),
            (UTF8_STRING, b"\xe9", None, None),
            (PRINTABLE_STRING, b"a (1)", text("a (1)"), text("a (1)")),
            (PRINTABLE_STRING, b"a_&@*", text("a_&@*"), None),
            (PRINTABLE_STRING, b"a#", None, None),
            (PRINTABLE_STRING, b"a\0", None, None),
            (PRINTABLE_STRING, b"\xe9", None, None),
            (IA5_STRING, b"a@b", text("a@b"), text("a@b")),
            (IA5_STRING, b"\xe9", None, None),
            (NUMERIC_STRING, b"1 2", text("1 2"), None),
            (NUMERIC_STRING, b"1a", None, None),
            (VISIBLE_STRING, b"a~", text("a~"), None),
            (VISIBLE_STRING, b"a\n", None, None),
            (TELETEX_STRING, b"pump-17_|", text("pump-17_|"), None),
            (TELETEX_STRING, b"M\xfcller", None, None),
            (TELETEX_STRING, b"\x1b[2J", None, None),
            (BMP_STRING, b"\0a\x20\xac", text("a\u{20ac}"), None),
            (BMP_STRING, b"\0a\0", None, None),
            (BMP_STRING, b"\xd8\x3d\xde\x00", None, None),
            (UNIVERSAL_STRING, b"\0\0\0a", text("a"), None),
            (UNIVERSAL_STRING, b"\0\x01\xf6\0", text("\u{1f600}"), None),
            (UNIVERSAL_STRING, b"\0\x11\0\0", None, None),
            (UNIVERSAL_STRING, b"\0\0\xd8\0", None, None),
            (UNIVERSAL_STRING, b"\0\0\0", None, None),
            (0x02, b"1", None, None),
            (0x2c, b"\x0c\x01a", None, None),
        ] {
            assert_eq!(
                both(tag, content),
                [lenient, strict],
                "{tag:02x} {content:x?}"
            );
        }
        for octet in *b"#$\\^`{}~" {
            assert_eq!(decode(TELETEX_STRING, &[octet], StringRules::Lenient), None);
        }
    }
}
