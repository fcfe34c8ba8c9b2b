//! Comparison of names by RFC 5280 section 7.1.
//!
//! Two names are usually compared as DER. Section 7.1 compares the text of their attributes instead:
//! a PrintableString equals a UTF8String with the same characters, case is ignored, and white space
//! counts once. The steps are those of RFC 4518, without Unicode normalization: names that differ only
//! in composed characters stay different.

use super::der::{self, Reader, Tlv};
use super::name::DistinguishedName;

const UTF8_STRING: u8 = 0x0c;
const PRINTABLE_STRING: u8 = 0x13;
const IA5_STRING: u8 = 0x16;
const UNIVERSAL_STRING: u8 = 0x1c;
const BMP_STRING: u8 = 0x1e;

/// Whether two names are equal by RFC 5280 section 7.1. Names with equal DER always are.
pub(crate) fn names_match_rfc5280(one: &DistinguishedName, other: &DistinguishedName) -> bool {
    one == other || ComparableName::of(one) == ComparableName::of(other)
}

/// The form of a name that is equal for all names that match by RFC 5280 section 7.1.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ComparableName {
    rdns: Vec<Box<[u8]>>,
}

impl ComparableName {
    pub(crate) fn of(name: &DistinguishedName) -> Self {
        let mut reader = Reader::new(name.rdn_sequence());
        let mut rdns = Vec::new();
        // The structure was checked at construction, so that no RDN is left out.
        while let Ok(rdn) = reader.expect(der::SET) {
            rdns.push(comparable_rdn(rdn.content));
        }
        Self { rdns }
    }

    /// Whether this name is in the subtree of `base`: whether its first RDNs are those of `base`
    /// (RFC 5280 section 4.2.1.10).
    pub(crate) fn is_within(&self, base: &Self) -> bool {
        self.rdns.starts_with(&base.rdns)
    }

    /// The bytes that a comparison of this name reads.
    pub(crate) fn cost(&self) -> usize {
        self.rdns.iter().map(|rdn| 1 + rdn.len()).sum()
    }
}

/// The attributes of an RDN in an order that does not depend on the encoding of their values.
fn comparable_rdn(content: &[u8]) -> Box<[u8]> {
    let mut reader = Reader::new(content);
    let mut attributes = Vec::new();
    while let Ok(pair) = reader.expect(der::SEQUENCE) {
        let mut pair = Reader::new(pair.content);
        let (Ok(oid), Ok(value)) = (pair.any(), pair.any()) else {
            break; // checked at construction
        };
        let mut attribute = oid.whole.to_vec();
        match text(value) {
            Some(text) => {
                let text = prepare(&text);
                attribute.push(UTF8_STRING);
                attribute.extend(der::sequence(text.as_bytes()));
            }
            // Not a text: equal to the same encoding only.
            None => attribute.extend(value.whole),
        }
        attributes.push(attribute);
    }
    attributes.sort();
    attributes.concat().into()
}

/// The text of a string type whose characters are defined. T61String is not among them, because
/// implementations decode it differently.
fn text(value: Tlv<'_>) -> Option<String> {
    let content = value.content;
    match value.tag {
        UTF8_STRING => String::from_utf8(content.to_vec()).ok(),
        // Characters that PrintableString forbids, such as `@`, are in certificates all the same.
        PRINTABLE_STRING | IA5_STRING if content.is_ascii() => {
            String::from_utf8(content.to_vec()).ok()
        }
        BMP_STRING if content.len().is_multiple_of(2) => {
            let units = content.chunks_exact(2);
            units
                .map(|unit| char::from_u32(u32::from(u16::from_be_bytes([unit[0], unit[1]]))))
                .collect()
        }
        UNIVERSAL_STRING if content.len().is_multiple_of(4) => {
            let units = content.chunks_exact(4);
            units
                .map(|unit| {
                    char::from_u32(u32::from_be_bytes([unit[0], unit[1], unit[2], unit[3]]))
                })
                .collect()
        }
        _ => None,
    }
}

/// Ignores case, and white space at the ends; white space elsewhere is one space.
fn prepare(text: &str) -> String {
    let mut prepared = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !prepared.is_empty() {
            prepared.push(' ');
        }
        prepared.extend(word.chars().flat_map(char::to_lowercase));
    }
    prepared
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(tag: u8, content: &[u8]) -> Vec<u8> {
        [&[tag, content.len() as u8][..], content].concat()
    }

    fn attribute(last_arc: u8, value: &[u8]) -> Vec<u8> {
        der::sequence(&[&[6, 3, 0x55, 4, last_arc], value].concat())
    }

    fn name(rdns: &[&[Vec<u8>]]) -> DistinguishedName {
        let rdns: Vec<u8> = rdns
            .iter()
            .flat_map(|attributes| {
                let mut set = der::sequence(&attributes.concat());
                set[0] = der::SET;
                set
            })
            .collect();
        DistinguishedName::from_rdn_sequence(&rdns).unwrap()
    }

    fn common_name(tag: u8, content: &[u8]) -> DistinguishedName {
        name(&[&[attribute(3, &value(tag, content))]])
    }

    #[test]
    fn string_types_case_and_white_space_do_not_matter() {
        let usual = common_name(UTF8_STRING, b"Example CA");
        for (tag, content) in [
            (PRINTABLE_STRING, &b"Example CA"[..]),
            (IA5_STRING, b"EXAMPLE ca"),
            (UTF8_STRING, b"  example \t  CA "),
            (BMP_STRING, b"\0E\0x\0a\0m\0p\0l\0e\0 \0C\0A"),
            (
                UNIVERSAL_STRING,
                b"\0\0\0E\0\0\0x\0\0\0a\0\0\0m\0\0\0p\0\0\0l\0\0\0e\0\0\0 \0\0\0C\0\0\0A",
            ),
        ] {
            let other = common_name(tag, content);
            assert_ne!(usual, other);
            assert!(names_match_rfc5280(&usual, &other), "{tag:02x}");
        }
        let accented = common_name(UTF8_STRING, "Müller".as_bytes());
        assert!(names_match_rfc5280(
            &accented,
            &common_name(UTF8_STRING, "MÜLLER".as_bytes())
        ));
    }

    #[test]
    fn other_text_types_and_orders_are_different() {
        let usual = common_name(UTF8_STRING, b"Example CA");
        for other in [
            common_name(UTF8_STRING, b"ExampleCA"),
            common_name(UTF8_STRING, b"Example CA 2"),
            common_name(0x14, b"Example CA"), // T61String
            common_name(PRINTABLE_STRING, b"Example CA\xe9"),
            name(&[&[attribute(10, &value(UTF8_STRING, b"Example CA"))]]),
            name(&[]),
        ] {
            assert!(!names_match_rfc5280(&usual, &other), "{other}");
        }
        let (one, two) = (
            attribute(3, &value(UTF8_STRING, b"one")),
            attribute(10, &value(UTF8_STRING, b"two")),
        );
        let in_order = name(&[std::slice::from_ref(&one), std::slice::from_ref(&two)]);
        let reversed = name(&[std::slice::from_ref(&two), std::slice::from_ref(&one)]);
        let in_one_rdn = name(&[&[one, two]]);
        assert!(!names_match_rfc5280(&in_order, &reversed));
        assert!(!names_match_rfc5280(&in_order, &in_one_rdn));
    }

    #[test]
    fn the_order_within_an_rdn_does_not_matter() {
        let one = attribute(3, &value(UTF8_STRING, b"One"));
        let two = attribute(3, &value(PRINTABLE_STRING, b"two"));
        let of = |attributes: &[Vec<u8>]| name(&[attributes]);
        assert!(names_match_rfc5280(
            &of(&[one.clone(), two.clone()]),
            &of(&[two, one])
        ));
    }

    #[test]
    fn a_value_does_not_reach_into_the_next_attribute() {
        // Without a length, the text of the first value could contain the second attribute.
        let split = name(&[&[
            attribute(3, &value(UTF8_STRING, b"a")),
            attribute(10, &value(UTF8_STRING, b"b")),
        ]]);
        let joined = attribute(
            3,
            &value(UTF8_STRING, b"a\x06\x03\x55\x04\x0a\x0c\x30\x01b"),
        );
        assert!(!names_match_rfc5280(&split, &name(&[&[joined]])));
    }

    #[test]
    fn a_subtree_has_the_first_rdns() {
        let organization = attribute(10, &value(UTF8_STRING, b"Example"));
        let printable = attribute(10, &value(PRINTABLE_STRING, b"EXAMPLE"));
        let unit = attribute(11, &value(UTF8_STRING, b"Unit"));
        let base = ComparableName::of(&name(&[&[printable]]));
        let of = |rdns: &[&[Vec<u8>]]| ComparableName::of(&name(rdns));
        assert!(of(&[std::slice::from_ref(&organization)]).is_within(&base));
        assert!(
            of(&[
                std::slice::from_ref(&organization),
                std::slice::from_ref(&unit)
            ])
            .is_within(&base)
        );
        assert!(
            !of(&[
                std::slice::from_ref(&unit),
                std::slice::from_ref(&organization)
            ])
            .is_within(&base)
        );
        assert!(!of(&[&[organization, unit]]).is_within(&base));
        assert!(!of(&[]).is_within(&base));
    }
}
