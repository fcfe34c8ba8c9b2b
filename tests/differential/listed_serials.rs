//! A revocation list finds the serial numbers that it lists, and no other.

use std::collections::HashSet;
use std::sync::LazyLock;

use countersign::pki::Crl;
use countersign::testing::TestCa;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};

/// The number in the fewest octets of two's complement.
fn shortest(octets: &[u8]) -> Vec<u8> {
    match octets {
        [0, next, ..] if *next < 0x80 => shortest(&octets[1..]),
        [0xff, next, ..] if *next >= 0x80 => shortest(&octets[1..]),
        _ => octets.to_vec(),
    }
}

/// Any 1 to 20 octets, most of them close to one another and to where the signs and lengths turn.
fn octets() -> impl Strategy<Value = Vec<u8>> {
    let edge = prop::sample::select(vec![0_u8, 1, 0x7f, 0x80, 0xff]);
    prop_oneof![
        3 => vec(edge, 1..=4),
        2 => vec(any::<u8>(), 1..=20),
        // Alike in what a quick comparison looks at.
        1 => vec(any::<u8>(), 1..=3).prop_map(|end| [&[9; 10][..], &end].concat()),
    ]
}

proptest! {
    #![proptest_config(Config {
        cases: 250,
        rng_seed: RngSeed::Fixed(20_261_122),
        failure_persistence: None,
        ..Config::default()
    })]

    #[test]
    fn a_list_revokes_what_it_lists_and_nothing_else(
        listed in vec(octets(), 0..60),
        others in vec(octets(), 1..8),
    ) {
        static CA: LazyLock<TestCa> = LazyLock::new(|| TestCa::new("Root"));
        let ca = &*CA;
        let list = listed.iter().fold(ca.crl(), |list, serial| list.revoke(serial));
        let list = Crl::from_der(&list.signature(vec![0]).build()).unwrap();
        prop_assert_eq!(list.len(), listed.len());
        prop_assert_eq!(list.is_empty(), listed.is_empty());
        let revoked: HashSet<Vec<u8>> = listed.iter().map(|serial| shortest(serial)).collect();
        for serial in others.iter().chain(listed.iter().take(6)) {
            // A certificate with that serial number: there is no other way to name one.
            let certificate = ca.leaf().serial(serial).signature(vec![0]).issue().certificate();
            prop_assert_eq!(
                list.revokes(certificate.serial()),
                revoked.contains(&shortest(serial)),
                "{:02x?}", serial
            );
        }
    }
}

/// Every entry of lists around the sizes at which lengths take another octet, and the neighbours
/// of each.
#[test]
fn every_entry_of_a_long_list_is_found() {
    let ca = TestCa::new("Root");
    let numbered = |number: u32| {
        let leaf = ca
            .leaf()
            .serial(&shortest(&[&[0][..], &number.to_be_bytes()].concat()));
        leaf.signature(vec![0]).issue().certificate()
    };
    for length in [0_u32, 1, 2, 3, 127, 1000, 5000] {
        // In an order that is not the sorted one; even numbers only.
        let list = (0..length).rev().fold(ca.crl(), |list, index| {
            let number = 2 * (index.wrapping_mul(7919) % length.max(1)) + 0x7f00;
            list.revoke(&shortest(&[&[0][..], &number.to_be_bytes()].concat()))
        });
        let list = Crl::from_der(&list.signature(vec![0]).build()).unwrap();
        assert_eq!(list.len(), length as usize);
        let step = (length / 50).max(1) as usize;
        for index in (0..length).step_by(step) {
            let number = 2 * index + 0x7f00;
            assert!(
                list.revokes(numbered(number).serial()),
                "{number} of {length}"
            );
            assert!(!list.revokes(numbered(number + 1).serial()));
        }
        assert!(!list.revokes(numbered(2 * length + 0x7f00).serial()));
        assert!(!list.revokes(numbered(0x7efe).serial()));
    }
}
