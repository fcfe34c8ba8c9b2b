//! The text form of names (RFC 4514) against a reader that is written after the RFC only.

use countersign::pki::DistinguishedName;
use countersign::testing::der;
use proptest::collection::vec;
use proptest::prelude::*;

/// Type, tag and content.
type Attribute = (&'static str, u8, Vec<u8>);

const TYPES: [(&str, &str); 8] = [
    ("CN", "2.5.4.3"),
    ("C", "2.5.4.6"),
    ("L", "2.5.4.7"),
    ("ST", "2.5.4.8"),
    ("O", "2.5.4.10"),
    ("OU", "2.5.4.11"),
    ("DC", "0.9.2342.19200300.100.1.25"),
    ("UID", "0.9.2342.19200300.100.1.1"),
];

fn attribute() -> impl Strategy<Value = Attribute> {
    let oid = prop::sample::select(vec![
        "2.5.4.3",
        "2.5.4.10",
        "2.5.4.11",
        "0.9.2342.19200300.100.1.25",
        "2.5.4.97",
        "1.2.3.4",
    ]);
    let value = prop_oneof![
        4 => any::<String>().prop_map(|text| (der::UTF8_STRING, text.into_bytes())),
        4 => "[ #+,;<>=\"\\\\a-c\u{202e}\u{e9}]{0,8}".prop_map(|text| (der::UTF8_STRING, text.into_bytes())),
        // Not text: printed as `#`.
        2 => vec(any::<u8>(), 0..200).prop_map(|octets| (0x04, octets)),
        1 => vec(any::<u8>(), 0..6).prop_map(|octets| (0x2c, octets)),
        1 => vec(0x80..=0xff_u8, 1..6).prop_map(|octets| (der::TELETEX_STRING, octets)),
    ];
    (oid, value).prop_map(|(oid, (tag, content))| (oid, tag, content))
}

fn encode(rdns: &[Vec<(String, Vec<u8>)>]) -> Vec<u8> {
    let rdns: Vec<Vec<u8>> = rdns
        .iter()
        .map(|rdn| {
            let attributes: Vec<Vec<u8>> = rdn
                .iter()
                .map(|(oid, value)| der::sequence(&[der::oid(oid), value.clone()]))
                .collect();
            der::set(&attributes)
        })
        .collect();
    der::sequence(&rdns)
}

/// Splits at each of these characters that no backslash escapes.
fn split(text: &str, at: char) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character == at {
            parts.push(String::new());
            continue;
        }
        let part = parts.last_mut().expect("one part");
        part.push(character);
        if character == '\\' {
            part.extend(characters.next());
        }
    }
    parts
}

fn octets(hex: &str) -> Vec<u8> {
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal"))
        .collect()
}

/// RFC 4514 section 3: `pair = ESC ( ESC / special / hexpair )`.
fn unescape(value: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = value;
    while let Some(character) = rest.chars().next() {
        rest = &rest[character.len_utf8()..];
        if character != '\\' {
            out.extend(character.to_string().bytes());
            continue;
        }
        let next = rest.chars().next().expect("an escaped character");
        if " \"#+,;<=>\\".contains(next) {
            out.extend(next.to_string().bytes());
            rest = &rest[1..];
        } else {
            out.extend(octets(&rest[..2]));
            rest = &rest[2..];
        }
    }
    out
}

/// The DER of a printed name. The text has no string types: what is not `#` becomes a UTF8String.
fn parse(text: &str) -> Vec<u8> {
    let mut rdns = Vec::new();
    if !text.is_empty() {
        for rdn in split(text, ',') {
            let attributes = split(&rdn, '+').into_iter().map(|attribute| {
                let (kind, value) = attribute.split_once('=').expect("a type");
                let known = TYPES.iter().find(|(name, _)| *name == kind);
                let oid = known.map_or(kind, |(_, oid)| oid).to_owned();
                let value = match value.strip_prefix('#') {
                    Some(hex) => octets(hex),
                    None => der::tlv(der::UTF8_STRING, unescape(value)),
                };
                (oid, value)
            });
            rdns.push(attributes.collect::<Vec<_>>());
        }
    }
    rdns.reverse();
    encode(&rdns)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// No two names with these string types print alike.
    #[test]
    fn a_printed_name_reads_back_as_the_same_der(rdns in vec(vec(attribute(), 1..3), 0..4)) {
        let rdns: Vec<Vec<(String, Vec<u8>)>> = rdns
            .into_iter()
            .map(|rdn| {
                rdn.into_iter()
                    .map(|(oid, tag, content)| (oid.to_owned(), der::tlv(tag, content)))
                    .collect()
            })
            .collect();
        let encoded = encode(&rdns);
        let text = DistinguishedName::parse(&encoded).expect("a name").to_string();
        prop_assert!(!text.chars().any(char::is_control), "{text:?}");
        prop_assert_eq!(parse(&text), encoded, "{}", text);
    }
}
