//! A small DER writer.
//!
//! It encodes its arguments without checks, so that a test controls every byte:
//!
//! ```
//! use countersign::testing::der;
//!
//! // A UTF8String that is not UTF-8.
//! assert_eq!(der::tlv(der::UTF8_STRING, b"\xff"), [0x0c, 1, 0xff]);
//! ```

use rustls_pki_types::UnixTime;
use time::OffsetDateTime;

/// UTF8String.
pub const UTF8_STRING: u8 = 0x0c;
/// PrintableString.
pub const PRINTABLE_STRING: u8 = 0x13;
/// TeletexString (T61String).
pub const TELETEX_STRING: u8 = 0x14;
/// IA5String.
pub const IA5_STRING: u8 = 0x16;
/// UniversalString.
pub const UNIVERSAL_STRING: u8 = 0x1c;
/// BMPString.
pub const BMP_STRING: u8 = 0x1e;

/// One element: the tag, the length in its shortest form, the content.
pub fn tlv(tag: u8, content: impl AsRef<[u8]>) -> Vec<u8> {
    let content = content.as_ref();
    let len = content.len();
    let mut out = vec![tag];
    if len < 0x80 {
        out.push(len as u8);
    } else {
        let bytes = len.to_be_bytes();
        let skip = bytes.iter().take_while(|byte| **byte == 0).count();
        out.push(0x80 | (bytes.len() - skip) as u8);
        out.extend_from_slice(&bytes[skip..]);
    }
    out.extend_from_slice(content);
    out
}

/// SEQUENCE of the parts, in the given order.
pub fn sequence<T: AsRef<[u8]>>(parts: &[T]) -> Vec<u8> {
    tlv(0x30, concat(parts))
}

/// SET of the parts, in the given order. The caller sorts them as DER requires.
pub fn set<T: AsRef<[u8]>>(parts: &[T]) -> Vec<u8> {
    tlv(0x31, concat(parts))
}

/// BOOLEAN.
pub fn boolean(value: bool) -> Vec<u8> {
    tlv(0x01, [if value { 0xff } else { 0x00 }])
}

/// INTEGER in its shortest form.
pub fn integer(value: u64) -> Vec<u8> {
    // The leading zero keeps a value with its top bit set positive.
    let bytes = [&[0], value.to_be_bytes().as_slice()].concat();
    let skip = bytes
        .windows(2)
        .take_while(|pair| pair[0] == 0 && pair[1] < 0x80)
        .count();
    tlv(0x02, &bytes[skip..])
}

/// BIT STRING; `unused` counts the bits of the last octet that do not belong to it.
pub fn bit_string(unused: u8, bits: impl AsRef<[u8]>) -> Vec<u8> {
    tlv(0x03, [&[unused], bits.as_ref()].concat())
}

/// OCTET STRING.
pub fn octet_string(content: impl AsRef<[u8]>) -> Vec<u8> {
    tlv(0x04, content)
}

/// NULL.
pub fn null() -> Vec<u8> {
    tlv(0x05, [])
}

/// UTF8String.
pub fn utf8(text: &str) -> Vec<u8> {
    tlv(UTF8_STRING, text)
}

/// OBJECT IDENTIFIER from its dotted form.
///
/// # Panics
/// If `dotted` is not an object identifier of at least two numbers.
pub fn oid(dotted: &str) -> Vec<u8> {
    tlv(0x06, oid_content(dotted))
}

/// The content of an OBJECT IDENTIFIER, for implicit tags such as that of a registeredID.
///
/// # Panics
/// If `dotted` is not an object identifier of at least two numbers.
pub fn oid_content(dotted: &str) -> Vec<u8> {
    let arcs: Vec<u64> = dotted
        .split('.')
        .map(|arc| arc.parse().expect("an OID has numbers separated by dots"))
        .collect();
    let [first, second, rest @ ..] = arcs.as_slice() else {
        panic!("an OID has at least two arcs: {dotted}");
    };
    assert!(
        *first <= 2 && (*first == 2 || *second < 40) && *second <= u64::MAX - 80,
        "no such OID: {dotted}"
    );
    let mut out = Vec::new();
    base128(first * 40 + second, &mut out);
    for arc in rest {
        base128(*arc, &mut out);
    }
    out
}

/// Time as in RFC 5280: UTCTime before 2050, GeneralizedTime from 2050 on.
///
/// # Panics
/// If `time` is after the year 9999.
pub fn time(time: UnixTime) -> Vec<u8> {
    let t = i64::try_from(time.as_secs())
        .ok()
        .and_then(|secs| OffsetDateTime::from_unix_timestamp(secs).ok())
        .expect("a time before the year 10000");
    let rest = format!(
        "{:02}{:02}{:02}{:02}{:02}Z",
        u8::from(t.month()),
        t.day(),
        t.hour(),
        t.minute(),
        t.second()
    );
    if t.year() < 2050 {
        tlv(0x17, format!("{:02}{rest}", t.year() % 100))
    } else {
        tlv(0x18, format!("{:04}{rest}", t.year()))
    }
}

/// An `Extension`: the OID, `critical` only if true (DER omits the default), and the value in an OCTET
/// STRING.
///
/// # Panics
/// As [`oid`].
pub fn extension(dotted: &str, critical: bool, value: &[u8]) -> Vec<u8> {
    let mut parts = vec![oid(dotted)];
    if critical {
        parts.push(boolean(true));
    }
    parts.push(octet_string(value));
    sequence(&parts)
}

/// A `Name` with one RDN, a common name as UTF8String.
pub fn common_name(text: &str) -> Vec<u8> {
    sequence(&[rdn(&[("2.5.4.3", UTF8_STRING, text.as_bytes())])])
}

/// A `RelativeDistinguishedName` of the attributes (OID, tag of the value, its bytes), in the
/// given order.
///
/// # Panics
/// As [`oid`].
pub fn rdn(attributes: &[(&str, u8, &[u8])]) -> Vec<u8> {
    let attributes: Vec<_> = attributes
        .iter()
        .map(|(id, tag, value)| sequence(&[oid(id), tlv(*tag, value)]))
        .collect();
    set(&attributes)
}

/// A `CertificatePolicies` without qualifiers.
pub(super) fn policies(oids: &[&str]) -> Vec<u8> {
    let policies: Vec<Vec<u8>> = oids.iter().map(|dotted| sequence(&[oid(dotted)])).collect();
    sequence(&policies)
}

/// The text form (RFC 7468) of one object, such as a `CERTIFICATE` or a `PRIVATE KEY`.
pub fn pem(label: &str, der: &[u8]) -> String {
    pem::encode_config(
        &pem::Pem::new(label, der),
        pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF),
    )
}

fn concat<T: AsRef<[u8]>>(parts: &[T]) -> Vec<u8> {
    parts
        .iter()
        .flat_map(|part| part.as_ref())
        .copied()
        .collect()
}

fn base128(mut arc: u64, out: &mut Vec<u8>) {
    let at = out.len();
    out.push((arc & 0x7f) as u8);
    while arc > 0x7f {
        arc >>= 7;
        out.insert(at, 0x80 | (arc & 0x7f) as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls_pki_types::{CertificateDer, pem::PemObject};
    use std::time::Duration;

    #[test]
    fn lengths_are_minimal() {
        assert_eq!(tlv(4, [7; 127])[..2], [4, 127]);
        assert_eq!(tlv(4, [7; 128])[..3], [4, 0x81, 128]);
        assert_eq!(tlv(4, vec![7; 0x1234])[..4], [4, 0x82, 0x12, 0x34]);
        assert_eq!(tlv(4, vec![7; 0x1_0000])[..5], [4, 0x83, 1, 0, 0]);
    }

    #[test]
    fn integers_are_minimal_and_positive() {
        assert_eq!(integer(0), [2, 1, 0]);
        assert_eq!(integer(127), [2, 1, 127]);
        assert_eq!(integer(128), [2, 2, 0, 128]);
        assert_eq!(integer(256), [2, 2, 1, 0]);
        assert_eq!(integer(u64::MAX), [&[2, 9, 0][..], &[0xff; 8]].concat());
    }

    #[test]
    fn oids() {
        assert_eq!(oid("2.5.4.3"), [6, 3, 0x55, 4, 3]);
        assert_eq!(
            oid("1.2.840.113549"),
            [6, 6, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d]
        );
        assert_eq!(oid("2.999"), [6, 2, 0x88, 0x37]);
        assert_eq!(oid("2.5.0.128"), [6, 4, 0x55, 0, 0x81, 0]);
    }

    #[test]
    fn times_are_generalized_times_from_2050_on() {
        let at = |secs| time(UnixTime::since_unix_epoch(Duration::from_secs(secs)));
        assert_eq!(at(0), tlv(0x17, "700101000000Z"));
        assert_eq!(at(2_524_607_999), tlv(0x17, "491231235959Z"));
        assert_eq!(at(2_524_608_000), tlv(0x18, "20500101000000Z"));
        assert_eq!(at(253_402_300_799), tlv(0x18, "99991231235959Z"));
    }

    #[test]
    #[should_panic(expected = "before the year 10000")]
    fn a_time_after_the_year_9999_panics() {
        time(UnixTime::since_unix_epoch(Duration::from_secs(
            253_402_300_800,
        )));
    }

    #[test]
    fn pem_reads_back() {
        for len in [1, 2, 3, 47, 48, 49, 200] {
            let der: Vec<u8> = (0..len).map(|i| (i * 37 + 251) as u8).collect();
            let text = pem("CERTIFICATE", &der);
            assert_eq!(
                CertificateDer::from_pem_slice(text.as_bytes())
                    .unwrap()
                    .as_ref(),
                der
            );
        }
    }
}
