use super::*;

#[test]
fn hostile_bytes_are_in_the_certificate_as_given() {
    let root = TestCa::new("Root");
    let san = der::oid("2.5.29.17");
    let twice = root
        .leaf()
        .spiffe("spiffe://example.org/a")
        .extension("2.5.29.17", false, &der::sequence(&[der::tlv(0x82, "b")]))
        .issue();
    assert_eq!(count(twice.leaf_der(), &san), 2);
    assert_eq!(verify(&root, &twice), Err(Error::ExtensionValueInvalid));

    let odd = root
        .leaf()
        .attribute("2.5.4.3", 0x1e, b"\xd8\x00\x00")
        .general_name(0xa6, b"x-constructed")
        .serial(&[0x00, 0x80])
        .issue();
    for needle in [
        &b"\x1e\x03\xd8\x00\x00"[..],
        b"\xa6\x0dx-constructed",
        b"\x02\x02\x00\x80",
    ] {
        assert_eq!(count(odd.leaf_der(), needle), 1, "{needle:x?}");
    }
    assert_eq!(odd.serial(), [0x00, 0x80]);

    let raw = root.leaf().san_der(b"no-san".to_vec()).san_critical(true);
    let raw = raw.subject_der(der::tlv(0x30, b"no-name")).issue();
    assert_eq!(count(raw.leaf_der(), b"\x01\x01\xff\x04\x06no-san"), 1);
    assert_eq!(count(raw.leaf_der(), b"\x30\x07no-name"), 1);

    let bare = root.leaf().dns("gone").extension("1.2.3", true, b"gone");
    assert_eq!(
        count(bare.without_extensions().issue().leaf_der(), b"gone"),
        0
    );

    let algorithm = der::sequence(&[der::oid("1.2.3.4.5")]);
    let strange = root
        .leaf()
        .signature_algorithm_der(algorithm.clone())
        .issue();
    assert_eq!(count(strange.leaf_der(), &algorithm), 2);

    let huge = root.leaf().spki_der(oversized_rsa_spki(16_384)).issue();
    assert!(huge.leaf_der().len() > 2_048);
    assert_eq!(verify(&root, &huge), Ok(()));
}

#[test]
fn map_tbs_edits_what_is_signed() {
    let root = TestCa::new("Root");
    let leaf = root
        .leaf()
        .dns("aaaa.example")
        .map_tbs(|mut tbs| {
            let at = tbs.windows(4).position(|w| w == b"aaaa").unwrap();
            tbs[at..at + 4].copy_from_slice(b"bbbb");
            tbs
        })
        .issue();
    assert_eq!(count(leaf.leaf_der(), b"bbbb.example"), 1);
    assert_eq!(verify(&root, &leaf), Ok(()));
}
