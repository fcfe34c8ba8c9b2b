//! Serial numbers as they occur: too long, padded, and such as are none.

use countersign::testing::TestCa;

use super::support::{crls, says, verifier};

#[test]
fn a_serial_number_is_a_number_however_it_is_written() {
    let ca = TestCa::new("Root");
    let longest = [0x7f; 20];
    let top_bit = [&[0][..], &[0xff; 20]].concat();
    let cases: [(&[u8], &[u8], bool); 13] = [
        (&[1], &[1], true),
        (&[0, 1], &[1], true),
        (&[1], &[0, 1], true),
        (&[0, 0, 0, 1], &[0, 1], true),
        (&[1], &[1, 0], false),
        (&[0], &[0, 0], true),
        (&[0, 0x80], &[0, 0x80], true),
        // -128 is not 128.
        (&[0, 0x80], &[0x80], false),
        (&[0x80], &[0xff, 0x80], true),
        (&[0, 0xff], &[0xff], false),
        (&longest, &longest, true),
        (&longest, &longest[1..], false),
        (&top_bit, &top_bit, true),
    ];
    for (of_leaf, listed, is_revoked) in cases {
        let leaf = ca.leaf().serial(of_leaf).issue();
        let lists = crls([ca.crl().revoke(listed)]);
        let expected = if is_revoked { "revoked" } else { "good" };
        assert_eq!(
            says(&verifier(ca.trust(), lists), &leaf),
            expected,
            "{of_leaf:02x?} and {listed:02x?}"
        );
    }
}
