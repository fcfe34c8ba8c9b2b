//! A refusal has its true cause: what cannot be verified is not called a wrong signature, and what is
//! wrong is named.

use countersign::testing::{KeyType, LeafBuilder, TestCa, der, oversized_rsa_spki};
use countersign::trust::ChainVerifier;
use countersign::{Certificate, Diagnostic as _, Side, TrustStore};
use rustls_pki_types::{CertificateDer, UnixTime};

use crate::diagnose::examine;

/// Reason, cause and remedy of the verifier, and the first finding of a diagnosis. Both have the words.
fn refused(trust: &TrustStore, chain: &[CertificateDer<'_>], reason: &str, words: &[&str]) {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let verifier = ChainVerifier::new(trust.clone(), Side::Client, &provider);
    let error = verifier.verify(chain, UnixTime::now()).unwrap_err();
    assert_eq!(error.reason(), reason, "{error}");
    let report = examine(trust.clone(), chain);
    let finding = report.cause().expect("a finding");
    let said = format!("{}; {}", finding.cause(), finding.remedy());
    for word in words {
        assert!(error.to_string().contains(word), "{word:?}: {error}");
        assert!(said.contains(word), "{word:?}: {said}");
    }
    assert_eq!(finding.remedy(), error.remedy(), "one remedy");
    assert!(
        !said.contains("forged") && !error.to_string().contains("forged"),
        "{said}"
    );
}

fn accepted(trust: &TrustStore, chain: &[CertificateDer<'_>]) {
    let report = examine(trust.clone(), chain);
    assert!(report.is_good(), "{report}");
}

fn alice(ca: &TestCa) -> LeafBuilder {
    ca.leaf().common_name("alice")
}

fn ec_spki(parameters: &[u8]) -> Vec<u8> {
    let algorithm = der::sequence(&[&der::oid("1.2.840.10045.2.1")[..], parameters]);
    der::sequence(&[algorithm, der::tlv(3, [&[0, 4][..], &[9; 64]].concat())])
}

fn plain_spki(oid: &str) -> Vec<u8> {
    der::sequence(&[der::sequence(&[der::oid(oid)]), der::tlv(3, [0, 1, 2, 3])])
}

/// The RSA key of `oversized_rsa_spki` under another AlgorithmIdentifier.
fn rsa_as(bits: usize, oid: &str) -> Vec<u8> {
    let usual = oversized_rsa_spki(bits);
    let null = der::sequence(&[der::oid("1.2.840.113549.1.1.1"), der::null()]);
    let at = usual.windows(null.len()).position(|part| part == null);
    let key = &usual[at.expect("the AlgorithmIdentifier") + null.len()..];
    der::sequence(&[&der::sequence(&[der::oid(oid)])[..], key])
}

/// An RSA key of 2048 bits with this public exponent.
fn rsa_with_exponent(exponent: u64) -> Vec<u8> {
    let algorithm = der::sequence(&[der::oid("1.2.840.113549.1.1.1"), der::null()]);
    let modulus = der::tlv(2, [&[0][..], &[0xc1; 256]].concat());
    let key = der::sequence(&[modulus, der::integer(exponent)]);
    der::sequence(&[algorithm, der::bit_string(0, key)])
}

/// The keys that no provider verifies, and the words for them.
fn keys() -> Vec<(Vec<u8>, &'static [&'static str])> {
    vec![
        (
            oversized_rsa_spki(1024),
            &["RSA 1024 bits, and at least 2048 bits"],
        ),
        (oversized_rsa_spki(2040), &["RSA 2040 bits"]),
        (
            rsa_with_exponent(1),
            &["RSA with a public exponent of 1 bits"],
        ),
        (
            ec_spki(&der::oid("1.3.36.3.3.2.8.1.1.7")),
            &["elliptic curve brainpoolP256r1 (1.3.36.3.3.2.8.1.1.7)"],
        ),
        (
            ec_spki(&der::oid("1.3.132.0.10")),
            &["elliptic curve secp256k1 (1.3.132.0.10)", "P-256"],
        ),
        (
            ec_spki(&der::sequence(&[der::integer(1)])),
            &[
                "explicit parameters",
                "RFC 5480 section 2.1.1",
                "-param_enc",
            ],
        ),
        (plain_spki("1.3.101.113"), &["Ed448 (1.3.101.113)"]),
        (
            plain_spki("1.3.101.110"),
            &["X25519 (1.3.101.110), which is for key agreement"],
        ),
        (
            plain_spki("1.2.840.10040.4.1"),
            &["DSA (1.2.840.10040.4.1)"],
        ),
        (
            rsa_as(2048, "1.2.840.113549.1.1.10"),
            &["RSA 2048 bits that its certificate restricts to RSASSA-PSS"],
        ),
        (
            rsa_as(2048, "1.2.840.113549.1.1.1"),
            &["lacks the parameter NULL", "for the same key"],
        ),
    ]
}

#[test]
fn the_key_of_a_leaf_is_named() {
    let root = TestCa::new("Root");
    for (spki, words) in keys() {
        let issued = alice(&root).spki_der(spki).issue();
        refused(&root.trust(), issued.chain(), "unsupported_key", words);
    }
    for key in [
        KeyType::P256,
        KeyType::P384,
        KeyType::P521,
        KeyType::Rsa2048,
        KeyType::Ed25519,
    ] {
        accepted(&root.trust(), alice(&root).key(key).issue().chain());
    }
    let usual = alice(&root).spki_der(rsa_with_exponent(65_537)).issue();
    accepted(&root.trust(), usual.chain());
}

#[test]
fn the_key_of_an_issuer_is_named_with_its_certificate() {
    let maker = TestCa::new("Maker");
    let namesake = TestCa::new("Old CA");
    let issued = alice(&namesake).issue();
    for (spki, words) in keys() {
        let old = maker.leaf().common_name("Old CA").ca().spki_der(spki);
        let trust = TrustStore::from_pem(old.issue().leaf_only().chain_pem()).unwrap();
        refused(&trust, issued.chain(), "unsupported_key", words);
        refused(
            &trust,
            issued.chain(),
            "unsupported_key",
            &["CN=Old CA", "below it"],
        );
    }
    accepted(&namesake.trust(), issued.chain());
}

#[test]
fn an_unsupported_signature_algorithm_is_named() {
    let root = TestCa::new("Root");
    let with_null = |oid: &str| der::sequence(&[der::oid(oid), der::null()]);
    let salt_20 = {
        let hash = |tag| der::tlv(tag, with_null("2.16.840.1.101.3.4.2.1"));
        let mask = der::sequence(&[
            der::oid("1.2.840.113549.1.1.8"),
            with_null("2.16.840.1.101.3.4.2.1"),
        ]);
        let parameters = der::sequence(&[
            hash(0xa0),
            der::tlv(0xa1, mask),
            der::tlv(0xa2, der::integer(20)),
        ]);
        der::sequence(&[der::oid("1.2.840.113549.1.1.10"), parameters])
    };
    for (algorithm, words) in [
        (
            with_null("1.2.840.113549.1.1.5"),
            &["sha1WithRSAEncryption (1.2.840.113549.1.1.5)", "-sha256"][..],
        ),
        (
            with_null("1.2.840.113549.1.1.4"),
            &["md5WithRSAEncryption", "MD5 is not secure"],
        ),
        (
            with_null("1.2.840.113549.1.1.2"),
            &["md2WithRSAEncryption", "MD2 is not secure"],
        ),
        (
            der::sequence(&[der::oid("1.2.840.10045.4.3.1")]),
            &["ecdsa-with-SHA224 (1.2.840.10045.4.3.1)", "-sha256"],
        ),
        (
            der::sequence(&[der::oid("1.3.101.113")]),
            &["Ed448 (1.3.101.113)", "Ed25519"],
        ),
        (
            salt_20,
            &[
                "RSASSA-PSS with SHA-256, a salt of 20 bytes",
                "rsa_pss_saltlen:digest",
            ],
        ),
    ] {
        let issued = alice(&root).signature_algorithm_der(algorithm).issue();
        refused(
            &root.trust(),
            issued.chain(),
            "unsupported_algorithm",
            words,
        );
    }
    accepted(&root.trust(), alice(&root).issue().chain());
}

#[test]
fn a_re_keyed_intermediate_is_said_to_be_one() {
    let root = TestCa::new("Root");
    let (old, new) = (root.intermediate("Issuing"), root.intermediate("Issuing"));
    let issued = alice(&old).issue();
    let with = |issuing: &TestCa| vec![issued.leaf_der().clone(), issuing.certificate_der()];
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let verifier = ChainVerifier::new(root.trust(), Side::Client, &provider);
    let error = verifier.verify(&with(&new), UnixTime::now()).unwrap_err();
    assert_eq!(error.reason(), "bad_signature");
    assert_eq!(
        error.certificate(),
        Some(&issued.certificate()),
        "not the intermediate"
    );
    for words in [
        "re-keyed under the same name",
        "whose certificate the peer sent",
        "have the peer send",
    ] {
        assert!(error.to_string().contains(words), "{error}");
    }
    let report = examine(root.trust(), &with(&new));
    let finding = report.cause().unwrap();
    assert_eq!(finding.code(), "same_name_other_key");
    assert!(
        finding
            .remedy()
            .contains("have the peer send its certificate"),
        "{report}"
    );
    accepted(&root.trust(), &with(&old));
}

#[test]
fn a_name_in_another_encoding_is_said_to_be_one() {
    let root = TestCa::builder("Device CA").root();
    let as_printable = |mut tbs: Vec<u8>| {
        let (utf8, printable) = (b"\x0c\x09Device CA", b"\x13\x09Device CA");
        let at = tbs
            .windows(11)
            .position(|part| part == utf8)
            .expect("the issuer");
        tbs[at..at + 11].copy_from_slice(printable);
        tbs
    };
    let issued = alice(&root).map_tbs(as_printable).issue();
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let verifier = ChainVerifier::new(root.trust(), Side::Client, &provider);
    let error = verifier
        .verify(issued.chain(), UnixTime::now())
        .unwrap_err();
    assert_eq!(error.reason(), "unknown_issuer");
    let report = examine(root.trust(), issued.chain());
    let finding = report.cause().unwrap();
    assert_eq!(finding.code(), "issuer_name_differs");
    let said = format!("{}; {}", finding.cause(), finding.remedy());
    for text in [error.to_string(), said] {
        let types = "commonName (2.5.4.3) is PrintableString in the certificate and UTF8String in the CA's name";
        assert!(text.contains(types), "{text}");
        assert!(text.contains("NameMatching::Rfc5280"), "{text}");
    }
    accepted(&root.trust(), alice(&root).issue().chain());
}

/// Takes two octets out of notBefore: its seconds.
fn without_seconds(der: &[u8]) -> Vec<u8> {
    let mut der = der.to_vec();
    let times = der
        .windows(2)
        .position(|part| part == [0x17, 13])
        .expect("a UTCTime");
    der[times + 1] -= 2;
    der[times - 1] -= 2;
    der.drain(times + 12..times + 14);
    for length in [2, 6] {
        let old = u16::from_be_bytes([der[length], der[length + 1]]);
        der[length..length + 2].copy_from_slice(&(old - 2).to_be_bytes());
    }
    der
}

#[test]
fn what_is_not_der_is_named() {
    let root = TestCa::new("Root");
    let good = alice(&root).issue();
    let good = good.leaf_der().to_vec();
    let serial = |content: &[u8]| alice(&root).serial(content).issue().leaf_der().to_vec();
    for (der, cause, remedy) in [
        (without_seconds(&good), "notBefore: UTCTime \"", "4.1.2.5"),
        (
            without_seconds(&good),
            "is not DER: it lacks the seconds",
            "UTCTime YYMMDDHHMMSSZ",
        ),
        (
            [&good[..], &[0; 4]].concat(),
            "data follows the certificate: 4 bytes (00000000)",
            "openssl x509 -in CERT.pem -out CERT.new.pem",
        ),
    ] {
        let error = Certificate::from_der(&der).unwrap_err();
        assert!(error.cause().contains(cause), "{cause:?}: {error}");
        assert!(error.remedy().contains(remedy), "{remedy:?}: {error}");
        let words: &[&str] = &[cause, remedy];
        refused(
            &root.trust(),
            &[CertificateDer::from(der)],
            "malformed_certificate",
            words,
        );
    }
    for der in [
        good,
        serial(&[0, 0x80]),
        serial(&[0xff, 0x7f]),
        serial(&[0]),
    ] {
        accepted(&root.trust(), &[CertificateDer::from(der)]);
    }
}

#[test]
fn a_certificate_for_servers_only_is_explained() {
    let root = TestCa::new("Root");
    let report = examine(root.trust(), alice(&root).server_only().issue().chain());
    let finding = report.cause().unwrap();
    for words in ["2026-06-15", "2027-03-15", "EkuPolicy::AcceptServerAuth"] {
        assert!(finding.remedy().contains(words), "{report}");
    }
}

/// ring has no P-521, and rounds the size of RSA keys up to whole octets.
#[cfg(feature = "ring")]
#[test]
fn what_a_provider_supports_counts() {
    let root = TestCa::new("Root");
    let provider = rustls::crypto::ring::default_provider();
    let verifier = ChainVerifier::new(root.trust(), Side::Client, &provider);
    let verify = |leaf: LeafBuilder| verifier.verify(leaf.issue().chain(), UnixTime::now());
    let error = verify(alice(&root).key(KeyType::P521)).unwrap_err();
    assert_eq!(error.reason(), "unsupported_key");
    assert!(
        error.to_string().contains("elliptic curve P-521"),
        "{error}"
    );
    assert!(verify(alice(&root).spki_der(oversized_rsa_spki(2047))).is_ok());
    let issued = alice(&root).spki_der(oversized_rsa_spki(2047)).issue();
    refused(
        &root.trust(),
        issued.chain(),
        "unsupported_key",
        &["RSA 2047 bits"],
    );
}

/// What is presented in the name of the leaf's issuer: a certificate that the root did not sign, and one
/// whose key did not sign the leaf.
#[test]
fn of_several_broken_paths_the_one_nearest_to_the_leaf_is_reported() {
    let root = TestCa::new("Root");
    let genuine = root.intermediate("Issuing").certificate_der();
    let of_impostor = root.same_name_other_key().intermediate("Issuing");
    let of_impostor = of_impostor.certificate_der();
    let stranger = TestCa::new("Issuing");
    let leaf = alice(&stranger).authority_key_id(None).issue();
    // A key that no provider verifies does not hide another one.
    let odd = root
        .leaf()
        .ca()
        .subject_der(stranger.subject_der().to_vec());
    let odd = odd.spki_der(ec_spki(&der::oid("1.3.132.0.10"))).issue();
    let odd = odd.leaf_der().clone();
    for issuers in [
        [&of_impostor, &genuine],
        [&genuine, &of_impostor],
        [&odd, &genuine],
        [&genuine, &odd],
    ] {
        let chain = [leaf.leaf_der(), issuers[0], issuers[1]].map(Clone::clone);
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let verifier = ChainVerifier::new(root.trust(), Side::Client, &provider);
        let error = verifier.verify(&chain, UnixTime::now()).unwrap_err();
        assert_eq!(error.reason(), "bad_signature", "{error}");
        assert_eq!(error.certificate(), Some(&leaf.certificate()), "{error}");
    }
}

#[test]
fn a_root_without_certificate_whose_key_is_not_supported_is_named() {
    let issuer = TestCa::new("Odd Root");
    let odd = issuer
        .leaf()
        .ca()
        .subject_der(issuer.subject_der().to_vec());
    let odd = odd.spki_der(ec_spki(&der::oid("1.3.132.0.10"))).issue();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(odd.leaf_der().clone()).unwrap();
    let trust = TrustStore::from_root_store(roots);
    let chain = alice(&issuer).issue();
    refused(&trust, chain.chain(), "unsupported_key", &["CN=Odd Root"]);
}
