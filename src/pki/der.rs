//! A strict DER reader for the parts of a certificate that contain identities.
//!
//! General-purpose parsers accept non-minimal lengths, constructed strings and trailing bytes, because
//! such encodings exist. An identity must not be read from them: two parsers could read two
//! identities. This reader accepts only X.690 DER (definite, minimal lengths) with single-byte tags,
//! which are all that X.509 uses.

use std::borrow::Cow;

/// The bytes are not DER.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotDer;

pub(crate) const BOOLEAN: u8 = 0x01;
pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const OBJECT_IDENTIFIER: u8 = 0x06;
pub(crate) const ENUMERATED: u8 = 0x0a;
pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const SET: u8 = 0x31;

/// One tag-length-value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tlv<'a> {
    pub(crate) tag: u8,
    pub(crate) content: &'a [u8],
    /// Tag, length and content.
    pub(crate) whole: &'a [u8],
}

/// Walks consecutive TLVs.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The bytes that were not read.
    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Reads the next TLV with any tag.
    pub(crate) fn any(&mut self) -> Result<Tlv<'a>, NotDer> {
        let (&tag, after_tag) = self.rest.split_first().ok_or(NotDer)?;
        if tag & 0x1f == 0x1f {
            return Err(NotDer); // multi-byte tags occur nowhere in X.509
        }
        let (&first, after_first) = after_tag.split_first().ok_or(NotDer)?;
        let (length, body) = match first {
            0..=0x7f => (usize::from(first), after_first),
            0x81..=0x84 => {
                let (octets, body) = after_first
                    .split_at_checked(usize::from(first & 0x7f))
                    .ok_or(NotDer)?;
                let length = octets
                    .iter()
                    .fold(0_usize, |sum, &octet| (sum << 8) | usize::from(octet));
                let minimal = octets[0] != 0 && length >= 0x80;
                if !minimal {
                    return Err(NotDer);
                }
                (length, body)
            }
            _ => return Err(NotDer), // indefinite, reserved, or over 4 GiB
        };
        let (content, rest) = body.split_at_checked(length).ok_or(NotDer)?;
        let whole = &self.rest[..self.rest.len() - rest.len()];
        self.rest = rest;
        Ok(Tlv {
            tag,
            content,
            whole,
        })
    }

    /// Reads the next TLV, which must have this tag.
    pub(crate) fn expect(&mut self, tag: u8) -> Result<Tlv<'a>, NotDer> {
        let tlv = self.any()?;
        if tlv.tag == tag { Ok(tlv) } else { Err(NotDer) }
    }

    /// Reads the next TLV if it has this tag.
    pub(crate) fn optional(&mut self, tag: u8) -> Result<Option<Tlv<'a>>, NotDer> {
        if self.rest.first() == Some(&tag) {
            self.any().map(Some)
        } else {
            Ok(None)
        }
    }

    /// Succeeds when all bytes were read.
    pub(crate) const fn end(&self) -> Result<(), NotDer> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(NotDer)
        }
    }
}

/// Reads `bytes` as exactly one TLV of this tag and returns its content.
pub(crate) fn single(bytes: &[u8], tag: u8) -> Result<&[u8], NotDer> {
    let mut reader = Reader::new(bytes);
    let tlv = reader.expect(tag)?;
    reader.end()?;
    Ok(tlv.content)
}

/// The name of an ASN.1 type with its article, for errors: `a UTF8String`.
pub(crate) fn type_name(tag: u8) -> Cow<'static, str> {
    Cow::Borrowed(match tag {
        BOOLEAN => "a BOOLEAN",
        INTEGER => "an INTEGER",
        BIT_STRING => "a BIT STRING",
        OCTET_STRING => "an OCTET STRING",
        0x05 => "a NULL",
        OBJECT_IDENTIFIER => "an OBJECT IDENTIFIER",
        ENUMERATED => "an ENUMERATED",
        0x0c => "a UTF8String",
        0x12 => "a NumericString",
        0x13 => "a PrintableString",
        0x14 => "a T61String",
        0x16 => "an IA5String",
        0x17 => "a UTCTime",
        0x18 => "a GeneralizedTime",
        0x1a => "a VisibleString",
        0x1c => "a UniversalString",
        0x1e => "a BMPString",
        SEQUENCE => "a SEQUENCE",
        SET => "a SET",
        _ => return format!("a value with the ASN.1 tag 0x{tag:02x}").into(),
    })
}

/// Decodes the content of a BOOLEAN.
pub(crate) const fn read_bool(content: &[u8]) -> Result<bool, NotDer> {
    match content {
        [0xff] => Ok(true),
        [0x00] => Ok(false),
        _ => Err(NotDer),
    }
}

/// Wraps `content` in a SEQUENCE.
pub(crate) fn sequence(content: &[u8]) -> Vec<u8> {
    tlv(SEQUENCE, content)
}

/// Wraps `content` with this tag.
pub(crate) fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let octets = &length[length.iter().take_while(|&&octet| octet == 0).count()..];
    let mut der = vec![tag];
    match content.len() {
        0..=0x7f => der.push(length[length.len() - 1]),
        // A length has at most eight octets.
        _ => {
            der.push(0x80 | octets.len() as u8);
            der.extend(octets);
        }
    }
    der.extend(content);
    der
}

/// Decodes the content of an OBJECT IDENTIFIER into dotted-decimal form.
pub(crate) fn oid_to_string(content: &[u8]) -> Result<String, NotDer> {
    // No octet takes more than three digits and a point.
    let mut text = String::with_capacity(4 * content.len());
    for arc in Arcs(content) {
        let arc = arc?;
        if text.is_empty() {
            // The first arc holds two numbers.
            let root = if arc < 80 { arc / 40 } else { 2 };
            push_decimal(&mut text, root);
            text.push('.');
            push_decimal(&mut text, arc - root * 40);
        } else {
            text.push('.');
            push_decimal(&mut text, arc);
        }
    }
    if text.is_empty() {
        return Err(NotDer);
    }
    Ok(text)
}

/// As [`oid_to_string`], without an allocation for the usual extensions and purposes.
pub(crate) fn oid_to_text(content: &[u8]) -> Result<Cow<'static, str>, NotDer> {
    match USUAL.iter().find(|(usual, _)| *usual == content) {
        Some((_, text)) => Ok(Cow::Borrowed(text)),
        None => oid_to_string(content).map(Cow::Owned),
    }
}

/// The object identifiers of most certificates, as content and text.
const USUAL: [(&[u8], &str); 11] = [
    (&[0x55, 0x1d, 0x11], "2.5.29.17"),
    (&[0x55, 0x1d, 0x0f], "2.5.29.15"),
    (&[0x55, 0x1d, 0x13], "2.5.29.19"),
    (&[0x55, 0x1d, 0x25], "2.5.29.37"),
    (&[0x55, 0x1d, 0x0e], "2.5.29.14"),
    (&[0x55, 0x1d, 0x23], "2.5.29.35"),
    (&[0x55, 0x1d, 0x1f], "2.5.29.31"),
    (&[0x55, 0x1d, 0x20], "2.5.29.32"),
    (&[0x2b, 6, 1, 5, 5, 7, 1, 1], "1.3.6.1.5.5.7.1.1"),
    (&[0x2b, 6, 1, 5, 5, 7, 3, 1], "1.3.6.1.5.5.7.3.1"),
    (&[0x2b, 6, 1, 5, 5, 7, 3, 2], "1.3.6.1.5.5.7.3.2"),
];

/// Checks an object identifier as [`oid_to_string`] does, without making the text.
pub(crate) fn check_oid(content: &[u8]) -> Result<(), NotDer> {
    if content.is_empty() {
        return Err(NotDer);
    }
    Arcs(content).try_for_each(|arc| arc.map(drop))
}

/// The arcs of an OBJECT IDENTIFIER's content. The iteration must stop at the first error.
struct Arcs<'a>(&'a [u8]);

impl Iterator for Arcs<'_> {
    /// Wide enough for the UUIDs under 2.25.
    type Item = Result<u128, NotDer>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let mut arc: u128 = 0;
        for (index, &octet) in self.0.iter().enumerate() {
            let at_limit = arc > u128::MAX >> 7;
            let leading_zero = index == 0 && octet == 0x80; // not minimal
            if at_limit || leading_zero {
                break;
            }
            arc = arc << 7 | u128::from(octet & 0x7f);
            if octet & 0x80 == 0 {
                self.0 = &self.0[index + 1..];
                return Some(Ok(arc));
            }
        }
        Some(Err(NotDer)) // also for a truncated arc
    }
}

/// By hand, because a certificate has dozens of these numbers, and `write!` is slow.
fn push_decimal(text: &mut String, number: u128) {
    let Ok(mut rest) = u64::try_from(number) else {
        text.push_str(&number.to_string());
        return;
    };
    let mut digits = [0; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    text.extend(digits[start..].iter().map(|&digit| char::from(digit)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_short_and_long_lengths() {
        assert_eq!(single(&[0x04, 2, 7, 8], 0x04), Ok(&[7, 8][..]));
        let mut long = vec![0x04, 0x81, 0x80];
        long.extend([9; 0x80]);
        assert_eq!(single(&long, 0x04).map(<[u8]>::len), Ok(0x80));
        let mut longer = vec![0x04, 0x82, 0x01, 0x00];
        longer.extend([9; 0x100]);
        assert_eq!(single(&longer, 0x04).map(<[u8]>::len), Ok(0x100));
    }

    #[test]
    fn rejects_ber_that_is_not_der() {
        for (why, bytes) in [
            ("empty", &[][..]),
            ("no length", &[0x04]),
            ("cut off", &[0x04, 2, 7]),
            ("trailing byte", &[0x04, 1, 7, 7]),
            ("non-minimal one-octet length", &[0x04, 0x81, 1, 7]),
            ("non-minimal two-octet length", &[0x04, 0x82, 0, 1, 7]),
            ("indefinite length", &[0x04, 0x80, 0, 0]),
            ("reserved length", &[0x04, 0xff, 0]),
            ("multi-byte tag", &[0x1f, 0x04, 0]),
            ("another tag", &[0x05, 0]),
            ("length of length cut off", &[0x04, 0x84, 0xff]),
        ] {
            assert_eq!(single(bytes, 0x04), Err(NotDer), "{why}");
        }
    }

    #[test]
    fn a_wrapped_sequence_reads_back() {
        for length in [0, 0x7f, 0x80, 0x100, 0x1_0000] {
            let content = vec![7; length];
            assert_eq!(single(&sequence(&content), SEQUENCE), Ok(&content[..]));
        }
    }

    #[test]
    fn decodes_object_identifiers() {
        assert_eq!(oid_to_string(&[0x55, 4, 3]).as_deref(), Ok("2.5.4.3"));
        assert_eq!(oid_to_string(&[0x88, 0x37]).as_deref(), Ok("2.999"));
        let upn = [0x2b, 6, 1, 4, 1, 0x82, 0x37, 20, 2, 3];
        assert_eq!(oid_to_string(&upn).as_deref(), Ok("1.3.6.1.4.1.311.20.2.3"));
        // 2.25 and a UUID of all ones.
        let uuid = [&[0x69, 0x83][..], &[0xff; 17], &[0x7f]].concat();
        assert_eq!(
            oid_to_string(&uuid).as_deref(),
            Ok("2.25.340282366920938463463374607431768211455")
        );
        for bad in [&[][..], &[0x80, 1], &[0x55, 0x84], &[0xff; 20]] {
            assert_eq!(oid_to_string(bad), Err(NotDer));
        }
    }

    #[test]
    fn the_usual_identifiers_match_their_text() {
        for (content, text) in USUAL {
            assert_eq!(oid_to_string(content).as_deref(), Ok(text));
            assert_eq!(oid_to_text(content), Ok(Cow::Borrowed(text)));
        }
        let unusual = Cow::<str>::Owned("2.5.4.3".into());
        assert_eq!(oid_to_text(&[0x55, 4, 3]), Ok(unusual));
        assert_eq!(oid_to_text(&[0x80, 1]), Err(NotDer));
    }

    #[test]
    fn the_first_arc_contains_two_numbers() {
        for (content, text) in [
            (&[0][..], "0.0"),
            (&[39], "0.39"),
            (&[40], "1.0"),
            (&[79], "1.39"),
            (&[80], "2.0"),
            (&[0x81, 0], "2.48"),
        ] {
            assert_eq!(oid_to_string(content).as_deref(), Ok(text));
        }
    }

    #[test]
    fn an_arc_has_at_most_128_bits() {
        let arc_of = |top: u8| [&[0x55, top][..], &[0xff; 17], &[0x7f]].concat();
        let most = oid_to_string(&arc_of(0x83));
        assert_eq!(most, Ok(format!("2.5.{}", u128::MAX)));
        assert_eq!(oid_to_string(&arc_of(0x84)), Err(NotDer));
        let above_64_bits = [
            0x55, 0x82, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0,
        ];
        assert_eq!(
            oid_to_string(&above_64_bits).as_deref(),
            Ok("2.5.18446744073709551616")
        );
    }

    #[test]
    fn the_check_accepts_exactly_what_can_be_decoded() {
        let octets = [0, 1, 0x55, 0x7f, 0x80, 0x81, 0xff];
        for first in octets {
            for second in octets {
                for content in [&[][..], &[first], &[first, second], &[0x55, first, second]] {
                    let decoded = oid_to_string(content);
                    assert_eq!(check_oid(content), decoded.map(drop), "{content:02x?}");
                }
            }
        }
        for length in [18, 19, 20] {
            let content = [&[0x55, 0x83][..], &vec![0xff; length - 2], &[0x7f]].concat();
            assert_eq!(check_oid(&content), oid_to_string(&content).map(drop));
        }
    }
}
