//! Deny lists as text: a list is its lines, an entry that was read is found and removed again, and each
//! entry can match a certificate.
#![no_main]

mod shared;

use std::collections::HashSet;
use std::fmt::Debug;
use std::hash::Hash;
use std::str::FromStr;

use countersign::identity::{CommonName, DnsName, SerialAndIssuer, SpiffeId};
use countersign::pki::DistinguishedName;
use countersign::policy::{DenyEntry, DenyEntryError, DenyList, IssuerText};
use countersign::testing::der;
use libfuzzer_sys::fuzz_target;
use shared::text::refused;

fuzz_target!(|text: &str| {
    check::<DnsName>(text);
    check::<CommonName>(text);
    check::<SpiffeId>(text);
    for line in text.lines() {
        same_serial(line);
    }
    for entry in DenyEntry::<SpiffeId>::parse_list(text).unwrap_or_default() {
        // No leaf has the ID of a trust domain.
        assert!(!matches!(entry, DenyEntry::Identity(id) if id.path().is_empty()));
    }
});

fn check<I>(text: &str)
where
    I: FromStr<Err: std::fmt::Display + 'static> + Clone + Eq + Hash + Debug + 'static,
{
    let entries = match DenyEntry::<I>::parse_list(text) {
        Ok(entries) => entries,
        Err(error) => {
            refused(&error);
            let DenyEntryError::Line { line, .. } = error else {
                panic!("an error of a list has a line: {error:?}");
            };
            let line = text.lines().nth(line - 1).expect("a line of the text");
            assert!(DenyEntry::<I>::parse_list(line).is_err());
            return;
        }
    };
    // Line by line, it is the same list.
    let lines = text.lines().map(DenyEntry::<I>::parse_list);
    let lines: Vec<_> = lines.flat_map(|line| line.expect("read before")).collect();
    assert_eq!(lines, entries);

    let list = DenyList::new();
    let mut unique = HashSet::new();
    for entry in &entries {
        if let DenyEntry::NamedSerial { serial, issuer } = entry {
            assert!((1..=2).contains(&serial.numbers().count()));
            can_match(issuer);
        }
        let is_new = unique.insert(entry.clone());
        assert_eq!(list.insert(entry.clone()), is_new);
        assert!(list.contains(entry));
        assert_eq!(list.len(), unique.len());
    }
    for entry in &unique {
        assert!(list.remove(entry) && !list.contains(entry) && !list.remove(entry));
    }
    assert!(list.is_empty());
}

/// The text of a serial number with its issuer denies that certificate.
fn same_serial(line: &str) {
    let Ok(id) = line.parse::<SerialAndIssuer>() else {
        return;
    };
    assert_eq!(id.to_string().parse().as_ref(), Ok(&id));
    let entry: DenyEntry<DnsName> = id.to_string().parse().expect("an entry");
    let DenyEntry::NamedSerial { serial, issuer } = entry else {
        panic!("{entry:?}");
    };
    assert!(matches!(issuer, IssuerText::Der(name) if name == *id.issuer()));
    let absolute = |number: &[u8]| {
        let is_negative = number.first().is_some_and(|first| first & 0x80 != 0);
        (is_negative, number.len())
    };
    let expected = (id.is_negative(), id.serial().len());
    let found = serial.numbers().map(absolute);
    assert!(
        found
            .into_iter()
            .any(|(sign, length)| sign == expected.0 && length.abs_diff(expected.1) <= 1),
        "{line}"
    );
}

/// A printed issuer is the text of a name.
fn can_match(issuer: &IssuerText) {
    let IssuerText::Printed(text) = issuer else {
        return;
    };
    let name = name_of(text).and_then(|der| DistinguishedName::parse(&der));
    let printed = name.map(|name| name.to_string());
    assert_eq!(printed.as_ref(), Some(text), "no issuer prints like this");
}

/// The DER of a name by RFC 4514, with UTF8Strings.
fn name_of(text: &str) -> Option<Vec<u8>> {
    let mut rdns = Vec::new();
    for rdn in split(text, ',') {
        let mut attributes = Vec::new();
        for attribute in split(rdn, '+') {
            let (kind, value) = attribute.split_once('=')?;
            let oid = match kind {
                "CN" => "2.5.4.3",
                "C" => "2.5.4.6",
                "L" => "2.5.4.7",
                "ST" => "2.5.4.8",
                "O" => "2.5.4.10",
                "OU" => "2.5.4.11",
                "DC" => "0.9.2342.19200300.100.1.25",
                "UID" => "0.9.2342.19200300.100.1.1",
                dotted => dotted,
            };
            let arcs: Option<Vec<u128>> = oid.split('.').map(|arc| arc.parse().ok()).collect();
            if arcs?.len() < 2 {
                return None;
            }
            let value = match value.strip_prefix('#') {
                Some(hex) => bytes(hex)?,
                None => der::tlv(der::UTF8_STRING, unescaped(value)?),
            };
            let pair = [oid_of(oid)?, value].concat();
            attributes.push(der::tlv(0x30, pair));
        }
        rdns.push(der::set(&attributes));
    }
    rdns.reverse();
    Some(der::sequence(&rdns))
}

fn oid_of(dotted: &str) -> Option<Vec<u8>> {
    let arcs: Option<Vec<u64>> = dotted.split('.').map(|arc| arc.parse().ok()).collect();
    let arcs = arcs?;
    let [first, second, rest @ ..] = &*arcs else {
        return None;
    };
    let joined = first.checked_mul(40)?.checked_add(*second)?;
    let mut content = Vec::new();
    for arc in std::iter::once(&joined).chain(rest) {
        let groups = (0..10).rev().map(|group| (arc >> (7 * group)) as u8 & 0x7f);
        let mut groups: Vec<u8> = groups.skip_while(|group| *group == 0).collect();
        let last = groups.pop().unwrap_or(0);
        content.extend(groups.iter().map(|group| group | 0x80));
        content.push(last);
    }
    Some(der::tlv(0x06, content))
}

/// Splits where the separator is not escaped.
fn split(text: &str, separator: char) -> Vec<&str> {
    let (mut parts, mut start, mut escaped) = (Vec::new(), 0, false);
    for (at, character) in text.char_indices() {
        if character == separator && !escaped {
            parts.push(&text[start..at]);
            start = at + 1;
        }
        escaped = character == '\\' && !escaped;
    }
    parts.push(&text[start..]);
    parts
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let digit = |octet: u8| char::from(octet).to_digit(16);
    let pairs = hex.as_bytes().chunks(2);
    let octet = |pair: &[u8]| Some((digit(*pair.first()?)? * 16 + digit(*pair.get(1)?)?) as u8);
    pairs.map(octet).collect()
}

fn unescaped(value: &str) -> Option<Vec<u8>> {
    let mut octets = Vec::new();
    let mut rest = value.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'\\' {
            octets.push(*first);
            continue;
        }
        let [escaped, after @ ..] = rest else {
            return None;
        };
        if escaped.is_ascii_hexdigit() {
            octets.extend(bytes(std::str::from_utf8(rest.get(..2)?).ok()?)?);
            rest = &rest[2..];
        } else {
            octets.push(*escaped);
            rest = after;
        }
    }
    String::from_utf8(octets).ok().map(String::into_bytes)
}
