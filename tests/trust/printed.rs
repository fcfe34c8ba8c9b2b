//! What is printed: reasons, which are stable codes for programs, causes and remedies, and `Debug`.

use std::time::Duration;

use countersign::identity::TrustDomain;
use countersign::pki::{
    AlgorithmError, Certificate, Crl, KeyError, LoadWarning, Passphrase, SanError, TextError,
};
use countersign::testing::der::{self, pem};
use countersign::testing::{KeyUsageBits, TestCa};
use countersign::trust::{
    BundleError, CertificatePolicies, ChainError, Crls, DeltaCrls, PathError, StatusError,
};
use countersign::{Credentials, Diagnostic, Side, TrustStore};
use rustls_pki_types::UnixTime;

use crate::diagnose::verifier;

fn says(error: &dyn Diagnostic, reason: &str, words: &[&str]) {
    assert_eq!(error.reason(), reason);
    let said = format!("{}; {}", error.cause(), error.remedy());
    for word in words {
        assert!(said.contains(word), "{word:?}: {said}");
    }
}

fn text(text: &str) -> String {
    text.to_owned()
}

#[test]
fn keys_and_algorithms_have_stable_codes() {
    let (key, supported, bits) = (|| text("DSA"), text("P-256"), 2040);
    let unsupported = KeyError::Unsupported {
        key: key(),
        supported,
    };
    says(
        &unsupported,
        "key_kind",
        &["the key is DSA", "signatures of P-256"],
    );
    says(&KeyError::RsaTooSmall { bits }, "rsa_too_small", &["2040"]);
    says(
        &KeyError::RsaTooLarge { bits: 9000 },
        "rsa_too_large",
        &["9000", "at most 8192"],
    );
    says(
        &KeyError::RsaExponent { bits: 1 },
        "rsa_exponent",
        &["1 bits", "2 to"],
    );
    says(&KeyError::NoNull, "rsa_without_null", &["NULL", "same key"]);
    says(
        &KeyError::PssOnly { bits: 3072 },
        "rsa_pss_only",
        &["3072", "rsaEncryption"],
    );
    says(
        &KeyError::NoNamedCurve,
        "no_named_curve",
        &["-param_enc named_curve"],
    );
    says(
        &KeyError::PointFormat { key: key() },
        "point_format",
        &["-conv_form uncompressed"],
    );
    says(
        &KeyError::KeyAgreement { key: key() },
        "key_agreement",
        &["cannot sign"],
    );
    says(
        &KeyError::Malformed,
        "malformed_key",
        &["cannot be read", "openssl genpkey"],
    );

    let md4 = AlgorithmError::of(&der::sequence(&[
        der::oid("1.2.840.113549.1.1.3"),
        der::null(),
    ]));
    assert_eq!(md4.name(), "md4WithRSAEncryption (1.2.840.113549.1.1.3)");
    says(
        &md4,
        "unsupported_algorithm",
        &["MD4 is not secure", "-sha256"],
    );

    says(
        &SanError::Duplicate,
        "several_sans",
        &["two subjectAltName", "all names"],
    );
    says(
        &SanError::NotDer,
        "malformed_san",
        &["is not DER", "writes DER"],
    );
    says(
        &TextError,
        "malformed_text",
        &["is not a string", "UTF8String"],
    );
}

#[test]
fn rules_of_paths_have_stable_codes() {
    let oid = || text("2.5.29.37");
    for (error, reason, words) in [
        (
            PathError::NameConstraints,
            "name_constraints",
            "name constraints",
        ),
        (PathError::PathLength, "path_length", "path length"),
        (PathError::TooDeep, "path_too_deep", "Limits::intermediates"),
        (
            PathError::UnknownExtension { oid: oid() },
            "critical_extension",
            "not critical",
        ),
        (
            PathError::RepeatedExtension { oid: oid() },
            "repeated_extension",
            "occurs twice",
        ),
        (
            PathError::MalformedExtension { oid: oid() },
            "malformed_extension",
            "cannot be read",
        ),
        (
            PathError::AlgorithmMismatch,
            "algorithm_mismatch",
            "4.1.1.2",
        ),
        (
            PathError::TooManyNameComparisons,
            "too_many_name_comparisons",
            "fewer names",
        ),
        (
            PathError::MapsAnyPolicy,
            "maps_any_policy",
            "without this mapping",
        ),
        (
            PathError::Other(text("another")),
            "other",
            "another; diagnose()",
        ),
    ] {
        says(&error, reason, &[words]);
    }

    let ca = TestCa::new("Root");
    let certificate = ca.leaf().common_name("alice").issue().certificate();
    for (error, words) in [
        (
            ChainError::IssuerMayNotSign {
                certificate: certificate.clone(),
            },
            "issuer_may_not_sign: ",
        ),
        (
            ChainError::MayNotSignCrls {
                certificate: certificate.clone(),
            },
            "may_not_sign_crls: ",
        ),
        (
            ChainError::Revoked {
                certificate: certificate.clone(),
                crl: None,
            },
            "is revoked, by the CRL of its issuer",
        ),
    ] {
        assert_eq!(error.certificate(), Some(&certificate));
        let debug = format!("{error:?}");
        assert!(debug.contains(words), "{debug}");
        says(&error, error.reason(), &["alice"]);
    }

    let error = CertificatePolicies::require(["PIV"]).unwrap_err();
    says(
        &error,
        "not_a_policy",
        &["\"PIV\" is not a certificate policy", "2.16.840."],
    );
    assert!(CertificatePolicies::require(["2.16.840.1.101.3.2.1.3.13"]).is_ok());

    let prod: TrustDomain = "prod.example".parse().unwrap();
    let error = TrustStore::by_trust_domain()
        .with(prod, TrustStore::empty())
        .unwrap_err();
    says(&error, "empty_trust_bundle", &["prod.example is empty"]);
    says(
        &BundleError::NotByTrustDomain,
        "not_by_trust_domain",
        &["not by trust domain"],
    );
}

#[test]
fn causes_of_an_unknown_status_have_stable_codes() {
    let at = |secs| UnixTime::since_unix_epoch(Duration::from_secs(secs));
    let of_kind = |only_authorities| StatusError::OtherKind { only_authorities };
    for (error, reason, words) in [
        (StatusError::NoCrl, "no_crl", "no_crl_from"),
        (
            StatusError::OtherKey,
            "crl_of_other_key",
            "another key signed it",
        ),
        (
            StatusError::BadSignature,
            "crl_bad_signature",
            "fetch it again",
        ),
        (
            StatusError::SignatureAlgorithm {
                algorithm: text("sha1"),
            },
            "crl_signature_algorithm",
            "signed with sha1",
        ),
        (
            StatusError::NameEncoding,
            "crl_name_encoding",
            "byte for byte",
        ),
        (of_kind(true), "crl_of_other_kind", "onlyContainsCACerts"),
        (of_kind(false), "crl_of_other_kind", "onlyContainsUserCerts"),
        (
            StatusError::OutOfScope {
                wanted: Vec::new(),
                loaded: vec![text("http://crl.example/1")],
            },
            "crl_out_of_scope",
            "are (none with a URI or a directory name), and the CRLs loaded are those of \"http://",
        ),
        (StatusError::DeltaOnly, "delta_crl_only", "beside the delta"),
        (
            StatusError::SomeReasons {
                missing: vec!["superseded", "cACompromise"],
            },
            "crl_with_some_reasons",
            "missing: superseded, cACompromise; load the CRLs",
        ),
        (
            StatusError::NotInForce {
                this_update: at(1_800_000_000),
                now: at(0),
            },
            "crl_not_in_force",
            "until 2027-01-15T08:00:00Z, and our clock says 1970-01-01T00:00:00Z",
        ),
    ] {
        says(&error, reason, &[words]);
    }
}

#[test]
fn a_delta_without_a_number_is_rejected() {
    let ca = TestCa::new("Root");
    let delta = || ca.crl().extension("2.5.29.27", true, &der::integer(1));
    assert!(Crl::from_der(&delta().number(2).build()).is_ok());
    let error = Crl::from_der(&delta().without_number().build()).unwrap_err();
    says(&error, "delta_crl", &["delta CRL without a number"]);

    let both = ca.crl().pem() + &delta().number(2).pem();
    let crls = Crls::loader()
        .delta(DeltaCrls::Skip)
        .from_bytes(both)
        .unwrap();
    let [skipped] = crls.skipped() else {
        panic!("one is skipped: {:?}", crls.skipped());
    };
    assert!(skipped.cause().contains("delta"), "{skipped}");
    assert_eq!(skipped.to_string(), format!("skipped: {}", skipped.cause()));
}

#[test]
fn credentials_from_unusual_files_say_so() {
    let issued = TestCa::new("Root").leaf().issue();
    let (chain, key) = (issued.chain_pem(), issued.key_pem());
    let utf16 = [0xfeff].into_iter().chain(chain.encode_utf16());
    let utf16: Vec<u8> = utf16.flat_map(u16::to_le_bytes).collect();
    let relabelled = key.replace(" PRIVATE KEY", " EC PRIVATE KEY");
    let with_parameters = format!(
        "{key}{}",
        pem("DH PARAMETERS", &der::sequence(&[der::null()]))
    );
    for (chain, key, reason, words) in [
        (
            utf16.as_slice(),
            key.as_str(),
            "utf16",
            &["in UTF-16 instead of UTF-8", "iconv -f UTF-16"][..],
        ),
        (
            chain.as_bytes(),
            relabelled.as_str(),
            "pem_mislabelled",
            &[
                "its label is EC PRIVATE KEY, and it contains a PKCS#8",
                "openssl pkey",
            ],
        ),
        (
            chain.as_bytes(),
            with_parameters.as_str(),
            "pem_block_ignored",
            &["DH PARAMETERS has no effect", "remove it"],
        ),
    ] {
        let loaded = Credentials::from_pem(chain, key).unwrap();
        assert_eq!(loaded.certificate(), &issued.certificate());
        let warnings: &[LoadWarning] = loaded.warnings();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        says(&warnings[0], reason, words);
    }
    let loaded = Credentials::from_pem(chain, key).unwrap();
    assert!(loaded.warnings().is_empty());
}

#[test]
fn debug_is_short_and_has_no_secret() {
    let at = |secs| UnixTime::since_unix_epoch(Duration::from_secs(secs));
    let ca = TestCa::new("Root");
    let issued = ca
        .leaf()
        .common_name("alice")
        .serial(&[0, 0xab])
        .key_usage(Some(KeyUsageBits::DIGITAL_SIGNATURE))
        .issue();
    let leaf = issued.certificate();
    let list = ca
        .crl()
        .number(7)
        .this_update(at(1_800_000_000))
        .next_update(at(1_900_000_000))
        .revoke(&[5]);
    let crl = Crl::from_der(&list.build()).unwrap();
    let verifier = verifier(ca.trust(), Side::Client);
    let verified = verifier.verify(issued.chain(), UnixTime::now()).unwrap();
    let prod: TrustDomain = "prod.example".parse().unwrap();
    let bundles = TrustStore::by_trust_domain()
        .with(prod, ca.trust())
        .unwrap();
    let store =
        "TrustStore { anchors: 1, pinned_certificates: 0, pinned_keys: 0, intermediates: 0 }";
    let root = Certificate::from_der(&ca.certificate_der()).unwrap();
    for (printed, expected) in [
        (
            format!("{:?}", Passphrase::new("correct horse")),
            "Passphrase(..)".to_owned(),
        ),
        (format!("{:?}", leaf.serial()), text("SerialNumber(ab)")),
        (
            format!("{:?}", leaf.key_usage().unwrap()),
            text("KeyUsage(digitalSignature)"),
        ),
        (format!("{:?}", ca.trust()), text(store)),
        (
            format!("{bundles:?}"),
            format!("{{TrustDomain(prod.example): {store}}}"),
        ),
        (
            format!("{verified:?}"),
            format!(
                "VerifiedChain {{ certificates: {:?}, anchor: {:?}, .. }}",
                verified.certificates(),
                verified.anchor()
            ),
        ),
        (
            format!("{crl:?}"),
            format!(
                "Crl {{ issuer: {:?}, number: Some(SerialNumber(07)), this_update: 2027-01-15T08:00:00Z, next_update: 2030-03-17T17:46:40Z, revoked: 1, .. }}",
                root.subject()
            ),
        ),
        (
            format!("{:?}", Crls::new([crl.clone()]).unwrap()),
            format!("[{crl:?}]"),
        ),
    ] {
        assert_eq!(printed, expected);
    }
    let printed = format!("{verifier:?}");
    assert!(printed.contains(store), "{printed}");
}
