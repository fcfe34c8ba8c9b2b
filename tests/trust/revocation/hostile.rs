//! Damaged lists: no panic, and nothing that still counts.

use countersign::pki::Crl;
use countersign::testing::{KeyType, TestCa, der};
use countersign::trust::Crls;

use super::support::{crls, says, verifier};

/// A small list with something of everything.
fn list(ca: &TestCa, revoked: &[u8]) -> Vec<u8> {
    let reason = der::extension("2.5.29.21", false, &[10, 1, 1]);
    let scope = der::sequence(&[
        der::tlv(0xa0, der::tlv(0xa0, der::tlv(0x86, "http://a.example/"))),
        vec![0x81, 1, 0xff],
    ]);
    let list = ca.crl().revoke_with(revoked, &[reason]).revoke(&[7]);
    list.extension("2.5.29.28", true, &scope).build().to_vec()
}

#[test]
fn no_part_of_a_list_is_a_list() {
    let ca = TestCa::new("Root");
    let whole = list(&ca, &[1, 2, 3]);
    Crl::from_der(&whole).unwrap();
    for length in 0..whole.len() {
        let part = &whole[..length];
        assert!(Crl::from_der(part).is_err(), "the first {length} bytes");
        assert!(Crls::from_bytes(part).is_err());
        assert!(Crl::from_der(&whole[length + 1..]).is_err());
    }
    assert!(Crl::from_der(&[&whole[..], &[0]].concat()).is_err());
}

/// Every byte with every bit flipped, and with all of them: what can still be read is not signed by
/// the issuer any more, and admits no peer.
#[test]
fn a_list_with_one_other_byte_counts_for_nothing() {
    for key in [KeyType::Ed25519, KeyType::P256] {
        let ca = TestCa::builder("Root").key(key).root();
        let (good, revoked) = (ca.leaf().issue(), ca.leaf().issue());
        let original = list(&ca, revoked.serial());
        let genuine = Crl::from_der(&original).unwrap();
        let check = verifier(ca.trust(), Crls::new([genuine]).unwrap());
        assert_eq!(says(&check, &good), "good");
        assert_eq!(says(&check, &revoked), "revoked");

        let mut readable = 0;
        for position in 0..original.len() {
            let byte = original[position];
            for flip in (0..8).map(|bit| 1 << bit).chain([0xff]) {
                let mut bytes = original.clone();
                bytes[position] = byte ^ flip;
                let Ok(list) = Crl::from_der(&bytes) else {
                    continue;
                };
                readable += 1;
                let check = verifier(ca.trust(), Crls::new([list]).unwrap());
                let verdict = says(&check, &good);
                assert_eq!(
                    verdict, "unknown_revocation_status",
                    "byte {position}, {flip:#04x}"
                );
            }
        }
        assert!(readable > 500, "{readable}: the check checks something");
    }
}

/// Nor beside the genuine one, which it does not displace.
#[test]
fn a_damaged_list_disturbs_no_genuine_one() {
    let ca = TestCa::builder("Root").key(KeyType::Ed25519).root();
    let (good, revoked) = (ca.leaf().issue(), ca.leaf().issue());
    let original = list(&ca, revoked.serial());
    let genuine = Crl::from_der(&original).unwrap();
    for position in 0..original.len() {
        let mut bytes = original.clone();
        bytes[position] ^= 1;
        let Ok(list) = Crl::from_der(&bytes) else {
            continue;
        };
        for lists in [[list.clone(), genuine.clone()], [genuine.clone(), list]] {
            let check = verifier(ca.trust(), Crls::new(lists).unwrap());
            assert_eq!(says(&check, &good), "good", "byte {position}");
            assert_eq!(says(&check, &revoked), "revoked", "byte {position}");
        }
    }
}

/// Lengths that promise more than there is, and nesting without end.
#[test]
fn lengths_that_lie() {
    let deep = (0..2000).fold(Vec::new(), |inner, _| der::tlv(0x30, inner));
    for bytes in [
        &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff][..],
        &[0x30, 0x85, 1, 0, 0, 0, 0, 0],
        &[0x30, 0x80, 0, 0],
        &[0x30, 0xff],
        &[0x30, 0x81],
        &[0x30],
        &[0x1f, 0x30, 0],
        &deep,
    ] {
        assert!(Crl::from_der(bytes).is_err(), "{bytes:02x?}");
        assert!(Crls::from_bytes(bytes).is_err());
    }
    crls([TestCa::new("Root").crl()]);
}
