//! Lists that cannot be honoured are refused when they are loaded, never dropped.

use countersign::testing::{CrlBuilder, TestCa, der};
use countersign::trust::Crls;

use super::scope::{ONLY_AUTHORITIES, ONLY_END_ENTITIES, at, uri, with_scope};
use super::support::{says, verifier};

const NUMBER: &str = "2.5.29.20";

/// What is wrong, the reason, and words of the message.
fn unusable(ca: &TestCa) -> Vec<(CrlBuilder, &'static str, &'static str)> {
    let list = || ca.crl();
    let numbered = |critical, octets: &[u8]| {
        let number = der::tlv(0x02, octets);
        list().without_number().extension(NUMBER, critical, &number)
    };
    let entry_with = |oid, critical, value: &[u8]| {
        list().revoke_with(&[5], &[der::extension(oid, critical, value)])
    };
    let relative = der::tlv(0xa0, der::tlv(0xa1, b"\x05\x00"));
    vec![
        (list().version(1), "v1_crl", "crl_extensions"),
        (
            list().without_next_update(),
            "crl_without_next_update",
            "no nextUpdate",
        ),
        (list().without_number(), "crl_number", "number is missing"),
        (numbered(true, &[1]), "crl_number", "number is critical"),
        (numbered(false, &[0x80]), "crl_number", "at most 20 octets"),
        (numbered(false, &[1; 22]), "crl_number", "at most 20 octets"),
        (
            list().extension(NUMBER, false, &der::integer(2)),
            "malformed_crl",
            "it occurs twice",
        ),
        (
            list().extension("2.5.29.27", true, &der::tlv(0x02, [0x80])),
            "crl_number",
            "at most 20 octets",
        ),
        (
            entry_with(
                "2.5.29.29",
                true,
                &der::sequence(&[der::tlv(0xa4, ca.subject_der())]),
            ),
            "indirect_crl",
            "another issuer's certificate",
        ),
        (
            with_scope(list(), &[&[0x83, 1, 0]]),
            "malformed_crl",
            "issuing distribution point",
        ),
        (
            with_scope(list(), &[&relative]),
            "malformed_crl",
            "issuing distribution point",
        ),
        (
            with_scope(list(), &[&at(&[der::tlv(0x82, "a.example")])]),
            "crl_scope",
            "neither a URI nor a directory name",
        ),
        (
            with_scope(
                list(),
                &[&at(&[uri("http://crl.example/"), der::tlv(0x89, "x")])],
            ),
            "malformed_crl",
            "issuing distribution point",
        ),
        (
            with_scope(list(), &[&[0x85, 1, 0xff]]),
            "crl_scope",
            "attribute certificates",
        ),
        (
            with_scope(list(), &[ONLY_END_ENTITIES, ONLY_AUTHORITIES]),
            "crl_scope",
            "excludes every certificate",
        ),
        (
            with_scope(list(), &[ONLY_AUTHORITIES, ONLY_END_ENTITIES]),
            "malformed_crl",
            "issuing distribution point",
        ),
        (
            with_scope(list(), &[ONLY_END_ENTITIES, ONLY_END_ENTITIES]),
            "malformed_crl",
            "issuing distribution point",
        ),
        (
            with_scope(with_scope(list(), &[]), &[ONLY_END_ENTITIES]),
            "malformed_crl",
            "it occurs twice",
        ),
        (
            with_scope(list(), &[&[0x86, 1, 0xff]]),
            "malformed_crl",
            "issuing distribution point",
        ),
        (
            list().extension("1.2.3.4", true, &der::null()),
            "crl_critical_extension",
            "the critical extension 1.2.3.4",
        ),
        (
            entry_with("1.2.3.4", true, &der::null()),
            "crl_critical_extension",
            "the critical extension 1.2.3.4",
        ),
        (
            list().revoke(&[]),
            "malformed_crl",
            "a revoked certificate's entry",
        ),
        (
            list().revoke(&[7; 128]),
            "malformed_crl",
            "a revoked certificate's entry",
        ),
    ]
}

#[test]
fn an_unusable_list_is_an_error_that_names_its_file() {
    let ca = TestCa::new("Root");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clients.crl");
    let good = folder.path().join("a-good-one.crl");
    std::fs::write(&good, ca.crl().pem()).unwrap();
    Crls::from_dir(folder.path()).unwrap();
    for (list, reason, words) in unusable(&ca) {
        // As DER, as the second block of a PEM file, and in a folder beside a good one.
        std::fs::write(&path, list.clone().build()).unwrap();
        let error = Crls::from_file(&path).unwrap_err();
        assert_eq!(error.reason(), reason, "{error}");
        for words in ["clients.crl: ", words] {
            assert!(
                error.to_string().contains(words),
                "{words:?} is not in: {error}"
            );
        }
        assert_eq!(Crls::from_dir(folder.path()).unwrap_err().reason(), reason);

        std::fs::write(&path, ca.crl().pem() + &list.pem()).unwrap();
        let error = Crls::from_file(&path).unwrap_err();
        assert_eq!(error.reason(), reason, "{error}");
        let place = "clients.crl, block 2 (line ";
        assert!(error.to_string().contains(place), "{error}");
        assert!(!error.to_string().contains('\n'), "{error}");
    }
}

/// The twin: what looks like the above and is legal.
#[test]
fn what_may_be_in_a_list() {
    let ca = TestCa::new("Root");
    let (good, revoked) = (ca.leaf().issue(), ca.leaf().issue());
    let reason = der::extension("2.5.29.21", false, &[10, 1, 1]);
    let invalidity = der::extension("2.5.29.24", false, &der::tlv(0x18, "20260101000000Z"));
    let unknown = der::extension("1.2.3.4", false, &der::null());
    let revoking = || {
        let entry = [reason.clone(), invalidity.clone(), unknown.clone()];
        ca.crl().revoke_with(revoked.serial(), &entry)
    };
    let longest = [&[0][..], &[0xff; 20]].concat();
    for list in [
        revoking(),
        revoking().extension("1.2.3.4", false, &der::null()),
        with_scope(revoking(), &[]),
        with_scope(revoking(), &[ONLY_END_ENTITIES]),
        with_scope(
            revoking(),
            &[&at(&[uri("http://crl.example/")]), ONLY_END_ENTITIES],
        ),
        revoking()
            .without_number()
            .extension(NUMBER, false, &der::integer(0)),
        revoking()
            .without_number()
            .extension(NUMBER, false, &der::tlv(0x02, longest)),
        revoking().revoke(&[7; 127]),
    ] {
        for bytes in [list.clone().build().to_vec(), list.pem().into_bytes()] {
            let verifier = verifier(ca.trust(), Crls::from_bytes(bytes).unwrap());
            assert_eq!(says(&verifier, &good), "good");
            assert_eq!(says(&verifier, &revoked), "revoked");
        }
    }
}
