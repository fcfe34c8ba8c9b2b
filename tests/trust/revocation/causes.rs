//! Why no list answers: each cause, and its twin that answers.

use countersign::Diagnostic as _;
use countersign::pki::Crl;
use countersign::testing::{Issued, TestCa, der};
use countersign::trust::{ChainError, ChainVerifier, Crls, StatusError};

use super::scope::{ONLY_AUTHORITIES, ONLY_END_ENTITIES, at, uri, with_scope};
use super::support::{crls, error, says, verifier};

fn cause(verifier: &ChainVerifier, peer: &Issued) -> StatusError {
    match error(verifier, peer) {
        ChainError::UnknownRevocationStatus { cause, .. } => cause,
        other => panic!("another refusal: {other}"),
    }
}

/// The list with the algorithm `wanted` in place of ecdsa-with-SHA256.
fn with_algorithm(list: &[u8], wanted: &[u8]) -> Crls {
    const SHA_256: &[u8] = &[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
    assert_eq!(wanted.len(), SHA_256.len());
    let mut der = list.to_vec();
    for at in 0..der.len() - SHA_256.len() {
        if der[at..].starts_with(SHA_256) {
            der[at..at + wanted.len()].copy_from_slice(wanted);
        }
    }
    Crls::new([Crl::from_der(&der).unwrap()]).unwrap()
}

#[test]
fn an_unsupported_algorithm_is_named_and_not_taken_for_a_wrong_signature() {
    let ca = TestCa::new("Root");
    let peer = ca.leaf().issue();
    let list = ca.crl().build();
    let sha_224 = with_algorithm(&list, &[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 1]);
    let error = error(&verifier(ca.trust(), sha_224), &peer).to_string();
    assert!(error.contains("ecdsa-with-SHA224"), "{error}");
    assert!(!error.contains("another key"), "{error}");
    // SHA-384 with this curve is supported: the signature is wrong.
    let wrong = with_algorithm(&list, &[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3]);
    assert_eq!(
        cause(&verifier(ca.trust(), wrong), &peer),
        StatusError::BadSignature
    );
    let same = with_algorithm(&list, &[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2]);
    assert_eq!(says(&verifier(ca.trust(), same), &peer), "good");
}

#[test]
fn a_list_for_the_other_kind_of_certificate_is_named() {
    let ca = TestCa::new("Root");
    let peer = ca.leaf().issue();
    let of = |kind| verifier(ca.trust(), crls([with_scope(ca.crl(), &[kind])]));
    let only_authorities = of(ONLY_AUTHORITIES);
    assert_eq!(
        cause(&only_authorities, &peer),
        StatusError::OtherKind {
            only_authorities: true
        }
    );
    let message = error(&only_authorities, &peer).to_string();
    assert!(message.contains("onlyContainsCACerts"), "{message}");
    assert_eq!(says(&of(ONLY_END_ENTITIES), &peer), "good");
}

#[test]
fn the_missing_shard_is_named_with_those_that_are_there() {
    let ca = TestCa::new("Root");
    let (one, two) = ("http://crl.example/1.crl", "http://crl.example/2.crl");
    let points = |place| der::sequence(&[der::sequence(&[at(&[uri(place)])])]);
    let peer = ca
        .leaf()
        .extension("2.5.29.31", false, &points(two))
        .issue();
    let shard = |place| with_scope(ca.crl(), &[&at(&[uri(place)])]);
    let missing = verifier(ca.trust(), crls([shard(one)]));
    assert_eq!(
        cause(&missing, &peer),
        StatusError::OutOfScope {
            wanted: vec![two.into()],
            loaded: vec![one.into()],
        }
    );
    let message = error(&missing, &peer).to_string();
    assert!(message.contains(one) && message.contains(two), "{message}");
    let both = verifier(ca.trust(), crls([shard(one), shard(two)]));
    assert_eq!(says(&both, &peer), "good");
}

/// A peer chooses its distribution points: the message stays short.
#[test]
fn many_long_points_make_a_short_message() {
    let ca = TestCa::new("Root");
    let long = format!("http://crl.example/{}", "x".repeat(1000));
    let names: Vec<_> = (0..50).map(|_| uri(&long)).collect();
    let points = der::sequence(&[der::sequence(&[at(&names)])]);
    let peer = ca.leaf().extension("2.5.29.31", false, &points).issue();
    let shard = with_scope(ca.crl(), &[&at(&[uri("http://crl.example/1.crl")])]);
    let message = error(&verifier(ca.trust(), crls([shard])), &peer).to_string();
    assert!(message.contains("and 45 more"), "{message}");
    assert!(message.len() < 4096, "{}", message.len());
}

#[test]
fn a_point_may_be_the_issuer_s_name_or_any_directory_name() {
    let ca = TestCa::new("Root");
    let directory = |name: &[u8]| at(&[der::tlv(0xa4, name)]);
    let of_issuer = with_scope(ca.crl(), &[&directory(ca.subject_der())]);
    let points = |name: &[u8]| der::sequence(&[der::sequence(&[name])]);
    let with = |name: &[u8]| {
        ca.leaf()
            .extension("2.5.29.31", false, &points(name))
            .issue()
    };
    let rdn = der::rdn(&[("2.5.4.3", 12, b"list")]);
    let relative = der::tlv(0xa0, der::tlv(0xa1, content(&rdn)));
    let full = [content(ca.subject_der()), &rdn].concat();
    let full = directory(&der::sequence(&[full]));
    let other = directory(TestCa::new("Other").subject_der());

    let by_name = verifier(ca.trust(), crls([of_issuer]));
    assert_eq!(says(&by_name, &ca.leaf().issue()), "good");
    assert_eq!(says(&by_name, &with(&directory(ca.subject_der()))), "good");
    assert_eq!(
        says(&by_name, &with(&at(&[uri("http://crl.example/")]))),
        "good"
    );
    for own in [&relative, &full] {
        let shard = verifier(ca.trust(), crls([with_scope(ca.crl(), &[own])]));
        assert_eq!(says(&shard, &with(&relative)), "good");
        assert_eq!(says(&shard, &with(&full)), "good");
        let outside = cause(&shard, &with(&other)).to_string();
        assert!(outside.contains("CN=Other"), "{outside}");
        let unnamed = cause(&shard, &ca.leaf().issue());
        assert_eq!(unnamed.reason(), "crl_out_of_scope");
    }
}

/// The content of a short DER value.
fn content(der: &[u8]) -> &[u8] {
    assert!(der[1] < 0x80);
    &der[2..]
}

#[test]
fn a_name_in_another_encoding_is_said() {
    let ca = TestCa::new("Root");
    let peer = ca.leaf().issue();
    let mut der = ca.crl().build().to_vec();
    let utf8 = [0x0c, 4, b'R', b'o', b'o', b't'];
    let at = der
        .windows(6)
        .position(|it| it == utf8)
        .expect("a UTF8String");
    der[at] = 0x13; // PrintableString
    let printable = Crls::new([Crl::from_der(&der).unwrap()]).unwrap();
    let verifier = verifier(ca.trust(), printable);
    assert_eq!(cause(&verifier, &peer), StatusError::NameEncoding);
}

#[test]
fn lists_for_some_reasons_count_together() {
    let ca = TestCa::new("Root");
    let (good, revoked) = (ca.leaf().issue(), ca.leaf().issue());
    let compromise = || with_scope(ca.crl(), &[&[0x83, 2, 5, 0x60]]);
    let rest = || with_scope(ca.crl(), &[&[0x83, 3, 7, 0x1f, 0x80]]);
    let some = verifier(ca.trust(), crls([compromise()]));
    let StatusError::SomeReasons { missing } = cause(&some, &good) else {
        panic!("another cause");
    };
    assert!(missing.contains(&"superseded"), "{missing:?}");
    assert!(!missing.contains(&"keyCompromise"), "{missing:?}");
    let both = verifier(
        ca.trust(),
        crls([compromise(), rest().revoke(revoked.serial())]),
    );
    assert_eq!(says(&both, &good), "good");
    assert_eq!(says(&both, &revoked), "revoked");
    let one = verifier(ca.trust(), crls([rest().revoke(revoked.serial())]));
    assert_eq!(says(&one, &revoked), "revoked");
}

/// Entries of an indirect list about other issuers' certificates do not revoke its own issuer's.
#[test]
fn an_indirect_list_keeps_issuers_apart() {
    let (ca, other) = (TestCa::new("Root"), TestCa::new("Other"));
    let (good, revoked) = (ca.leaf().issue(), ca.leaf().issue());
    let issuer = |ca: &TestCa| {
        let names = der::sequence(&[der::tlv(0xa4, ca.subject_der())]);
        vec![der::extension("2.5.29.29", true, &names)]
    };
    let list = with_scope(ca.crl(), &[&[0x84, 1, 0xff]])
        .revoke_with(good.serial(), &issuer(&other))
        .revoke(&[5]) // of the other issuer too
        .revoke_with(revoked.serial(), &issuer(&ca));
    let verifier = verifier(ca.trust(), crls([list]));
    assert_eq!(says(&verifier, &good), "good");
    assert_eq!(says(&verifier, &revoked), "revoked");
}

#[test]
fn a_time_that_is_not_der_is_named() {
    let ca = TestCa::new("Root");
    let mut der = ca.crl().build().to_vec();
    let at = der
        .windows(2)
        .position(|it| it == [0x17, 13])
        .expect("a UTCTime");
    der[at + 14] = b'A';
    let error = Crl::from_der(&der).unwrap_err();
    assert_eq!(error.reason(), "crl_time");
    assert!(error.to_string().contains("thisUpdate"), "{error}");
}
