//! A certificate has one encoding: every octet of its structure is accounted for.

use countersign::Certificate;
use countersign::testing::{KeyType, TestCa, der};

/// Copies of consecutive elements, in each of which one is written otherwise, at any depth.
fn copies(bytes: &[u8], write: fn(u8, &[u8]) -> Vec<u8>) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let (tag, first) = (bytes[at], bytes[at + 1]);
        let octets = usize::from(first.saturating_sub(0x80));
        let start = at + 2 + octets;
        let length = match octets {
            0 => usize::from(first),
            _ => bytes[at + 2..start]
                .iter()
                .fold(0, |sum, &octet| (sum << 8) | usize::from(octet)),
        };
        let (before, content, after) = (
            &bytes[..at],
            &bytes[start..start + length],
            &bytes[start + length..],
        );
        let mut others = vec![write(tag, content)];
        if is_constructed(tag) {
            let inner = copies(content, write);
            others.extend(inner.into_iter().map(|content| der::tlv(tag, content)));
        }
        all.extend(others.iter().map(|other| [before, other, after].concat()));
        at = start + length;
    }
    all
}

const fn is_constructed(tag: u8) -> bool {
    tag & 0x20 != 0
}

fn certificates() -> Vec<Vec<u8>> {
    let root = TestCa::new("Root");
    let leaf = |key| {
        root.intermediate("Issuing CA")
            .leaf()
            .common_name("a")
            .dns("a.example")
            .key(key)
    };
    // Version 2 had identifiers between the key and the extensions.
    let with_ids = leaf(KeyType::P256)
        .without_extensions()
        .version(2)
        .map_tbs(|tbs| {
            let (_, content) = tbs.split_at(3); // SEQUENCE, of 128 to 255 octets
            let ids = [[0x81, 2, 0, 7], [0x82, 2, 1, 6]].concat();
            der::tlv(0x30, [content, &ids].concat())
        });
    [
        leaf(KeyType::P256).issue(),
        leaf(KeyType::Ed25519).issue(),
        leaf(KeyType::Rsa2048).issue(),
        leaf(KeyType::P256).version(1).issue(),
        with_ids.issue(),
    ]
    .iter()
    .map(|issued| issued.leaf_der().to_vec())
    .chain([root.certificate_der().to_vec()])
    .collect()
}

/// How many copies there were; all of them must be refused.
fn assert_refused(why: &str, copies: &[Vec<u8>]) -> usize {
    for copy in copies {
        assert!(Certificate::from_der(copy).is_err(), "{why}: {copy:02x?}");
    }
    copies.len()
}

#[test]
fn what_is_der_is_read() {
    for original in certificates() {
        let read = Certificate::from_der(&original).unwrap();
        assert_eq!(read.der().as_ref(), original);
        // The copies below differ in what they are meant to, and in nothing else.
        for copy in copies(&original, |tag, content| der::tlv(tag, content)) {
            assert_eq!(copy, original);
        }
    }
}

#[test]
fn a_length_that_is_not_minimal_is_rejected_everywhere() {
    for original in certificates() {
        let copies = copies(&original, |tag, content| {
            let length = u16::try_from(content.len()).unwrap().to_be_bytes();
            [&[tag, 0x83, 0][..], &length, content].concat()
        });
        assert!(assert_refused("non-minimal length", &copies) > 20);
    }
}

#[test]
fn trailing_data_is_rejected_everywhere() {
    for original in certificates() {
        // One NULL would be the parameters of an algorithm.
        let mut copies = copies(&original, |tag, content| {
            let appended: &[u8] = if is_constructed(tag) {
                &[5, 0, 5, 0]
            } else {
                &[]
            };
            der::tlv(tag, [content, appended].concat())
        });
        copies.retain(|copy| *copy != original);
        assert!(assert_refused("appended", &copies) > 10);
    }
}

#[test]
fn truncated_input_is_rejected() {
    for original in certificates() {
        let copies: Vec<_> = (0..original.len())
            .map(|length| original[..length].to_vec())
            .collect();
        assert_refused("cut off", &copies);
    }
}

#[test]
fn what_follows_the_certificate_is_named() {
    for original in certificates() {
        let error = Certificate::from_der(&[original, vec![0]].concat()).unwrap_err();
        assert!(error.to_string().contains("data follows"), "{error}");
    }
}
