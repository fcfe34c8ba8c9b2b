//! One thing is wrong, and it is the first that is named.

use std::time::Duration;

use countersign::Side;
use countersign::diagnose::{Case, StepResult};
use countersign::pki::Crl;
use countersign::testing::{Issued, KeyType, KeyUsageBits, TestCa, der, oversized_rsa_spki};
use countersign::trust::{ChainVerifier, Crls, PostQuantum, Trust};
use countersign::{Certificate, TrustStore};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::{checked, examine, verifier};

const DAY: u64 = 24 * 60 * 60;

fn in_days(days: i64) -> UnixTime {
    let seconds = UnixTime::now()
        .as_secs()
        .saturating_add_signed(days * DAY as i64);
    UnixTime::since_unix_epoch(Duration::from_secs(seconds))
}

fn certificate(ca: &TestCa) -> Certificate {
    Certificate::from_der(&ca.certificate_der()).unwrap()
}

/// `NameConstraints` that permit this DNS name and those below it.
fn permits(name: &str) -> Vec<u8> {
    let base = der::sequence(&[der::tlv(0x82, name)]);
    der::sequence(&[der::tlv(0xa0, base)])
}

fn crls<const N: usize>(lists: [Vec<u8>; N]) -> Crls {
    Crls::new(lists.map(|list| Crl::from_der(&list).unwrap())).unwrap()
}

#[test]
fn nothing_is_wrong() {
    let root = TestCa::new("Root");
    let issued = root
        .intermediate("Issuing")
        .leaf()
        .common_name("alice")
        .issue();
    let report = examine(root.trust(), issued.chain());
    assert!(report.is_good() && report.cause().is_none());
    let path = &report.steps()[3];
    assert_eq!(path.result(), StepResult::Passed);
    assert_eq!(
        path.detail(),
        "\"CN=alice\" <- \"CN=Issuing\" <- the root \"CN=Root\""
    );
    assert_eq!(report.steps()[6].result(), StepResult::Skipped);
}

/// Each with the code of the only finding, and what its cause must say.
#[test]
fn each_fault_has_its_name() {
    let root = TestCa::new("Root");
    let stranger = TestCa::new("Stranger");
    let leaf = || root.leaf().common_name("alice").dns("alice.example");
    let under = |ca: &TestCa| ca.leaf().common_name("alice").dns("alice.example").issue();
    let issuing = root.intermediate("Issuing");
    let middle = TestCa::builder("Middle").path_len(Some(0)).signed_by(&root);
    let mut deep = root.intermediate("1");
    for name in ["2", "3", "4", "5", "6", "7"] {
        deep = deep.intermediate(name);
    }
    let no_ca = TestCa::builder("No CA")
        .no_basic_constraints()
        .signed_by(&root);
    let no_sign = TestCa::builder("No Sign")
        .key_usage(Some(KeyUsageBits::CRL_SIGN))
        .signed_by(&root);
    let mail = TestCa::builder("Mail")
        .extended_key_usage(&["1.3.6.1.5.5.7.3.4"])
        .signed_by(&root);
    let narrow = TestCa::builder("Narrow")
        .name_constraints(&permits("corp.example"))
        .signed_by(&root);
    let odd_ca = TestCa::builder("Odd")
        .extension("1.2.3.4", true, &der::null())
        .signed_by(&root);
    let old_ca = TestCa::builder("Old")
        .validity(in_days(-9), in_days(-3))
        .signed_by(&root);
    let aia = der::sequence(&[der::sequence(&[
        der::oid("1.3.6.1.5.5.7.48.2"),
        der::tlv(0x86, "http://ca.example/issuing.crt"),
    ])]);
    let sha1 = der::sequence(&[der::oid("1.2.840.10045.4.1")]);

    for (issued, code, words) in [
        (leaf().expired().issue(), "expired", "expired at 20"),
        (
            leaf().not_yet_valid().issue(),
            "not_yet_valid",
            "is not valid before 20",
        ),
        (
            leaf().validity(in_days(9), in_days(3)).issue(),
            "invalid_validity",
            "is never valid",
        ),
        (under(&old_ca), "expired", "\"CN=Old\" expired at"),
        (
            leaf().version(1).issue(),
            "v1_certificate",
            "X.509 version 1",
        ),
        (
            leaf().ca().issue(),
            "ca_as_end_entity",
            "is a CA certificate",
        ),
        (
            leaf()
                .key_usage(Some(
                    KeyUsageBits::DIGITAL_SIGNATURE | KeyUsageBits::CRL_SIGN,
                ))
                .issue(),
            "end_entity_may_sign",
            "may sign certificates or CRLs",
        ),
        (
            leaf()
                .key_usage(Some(KeyUsageBits::KEY_ENCIPHERMENT))
                .issue(),
            "no_digital_signature",
            "(keyUsage: keyEncipherment)",
        ),
        (
            leaf().server_only().issue(),
            "wrong_extended_key_usage",
            "not for clientAuth",
        ),
        (
            leaf().spki_der(oversized_rsa_spki(16_384)).issue(),
            "key_too_large",
            "16384 bits",
        ),
        (
            leaf().extension("1.2.3.4", true, &der::null()).issue(),
            "critical_extension",
            "\"CN=alice\" has the critical extension 1.2.3.4",
        ),
        (
            under(&odd_ca),
            "critical_extension",
            "\"CN=Odd\" has the critical extension",
        ),
        // Issuers.
        (
            under(&stranger),
            "missing_issuer",
            "the issuer of \"CN=alice\" is missing",
        ),
        (
            under(&stranger.intermediate("Their Issuing")),
            "untrusted_root",
            "ends at \"CN=Their Issuing\", whose issuer \"CN=Stranger\"",
        ),
        (
            under(&issuing).leaf_only(),
            "missing_issuer",
            "sent its own certificate alone, nothing of \"CN=Issuing\"",
        ),
        (
            issuing
                .leaf()
                .common_name("alice")
                .extension("1.3.6.1.5.5.7.1.1", false, &aia)
                .issue()
                .leaf_only(),
            "missing_issuer",
            "says where to fetch its issuer's: authorityInfoAccess",
        ),
        (leaf().self_signed(), "self_signed", "is self-signed"),
        (
            under(&root.same_name_other_key()),
            "same_name_other_key",
            "two authorities named \"CN=Root\"",
        ),
        (
            leaf().signature(vec![0x30, 6, 2, 1, 1, 2, 1, 1]).issue(),
            "bad_signature",
            "damaged or forged",
        ),
        (
            leaf().signature_algorithm_der(sha1).issue(),
            "unsupported_algorithm",
            "ecdsa-with-SHA1 (1.2.840.10045.4.1), which the crypto provider does not support, because SHA-1",
        ),
        // What issuers may do.
        (under(&no_ca), "issuer_may_not_sign", "it is no CA"),
        (under(&no_sign), "issuer_may_not_sign", "lacks keyCertSign"),
        (
            under(&mail),
            "wrong_extended_key_usage",
            "\"CN=Mail\" is an issuer",
        ),
        (
            under(&middle.intermediate("Below")),
            "path_length",
            "\"CN=Middle\" allows 0 authorities below itself (pathLenConstraint), and there are 1",
        ),
        (under(&deep), "path_too_deep", "7 intermediates"),
        (
            under(&narrow),
            "name_constraints",
            "\"CN=Narrow\" may not vouch for: it permits only DNS:corp.example, and the names are \"CN=alice\", DNS:alice.example",
        ),
        (
            under(&narrow.intermediate("Below")),
            "name_constraints",
            "\"CN=Narrow\" may not vouch for",
        ),
    ] {
        let report = examine(root.trust(), issued.chain());
        let codes: Vec<&str> = report
            .findings()
            .iter()
            .map(|finding| finding.code())
            .collect();
        assert_eq!(codes, [code], "{report}");
        let cause = report.cause().unwrap().cause();
        assert!(cause.contains(words), "{words:?} is not in: {cause}");
    }
}

/// All findings are reported, and first that for which the verifier rejects the chain.
#[test]
fn several_things_are_wrong() {
    let (root, stranger) = (TestCa::new("Root"), TestCa::new("Stranger"));
    let narrow = TestCa::builder("Narrow")
        .name_constraints(&permits("corp.example"))
        .path_len(Some(0))
        .signed_by(&root)
        .intermediate("Below");
    for (issued, codes) in [
        (
            stranger.leaf().common_name("alice").expired().issue(),
            &["expired", "missing_issuer"][..],
        ),
        (
            stranger
                .leaf()
                .common_name("alice")
                .server_only()
                .expired()
                .issue(),
            &["wrong_extended_key_usage", "missing_issuer", "expired"],
        ),
        (
            narrow
                .leaf()
                .common_name("alice")
                .dns("alice.example")
                .expired()
                .issue(),
            &["expired", "path_length", "name_constraints"],
        ),
    ] {
        let report = examine(root.trust(), issued.chain());
        let found: Vec<&str> = report.findings().iter().map(|it| it.code()).collect();
        assert_eq!(found, codes, "{report}");
    }
}

/// rustls-webpki says "bad signature" of these: a self-issued intermediate has its root's name, so
/// that the root's key is tried first. Our own validator names the rule.
#[test]
fn a_self_issued_intermediate_does_not_mislead() {
    let root = TestCa::new("Root");
    let rolled_over = |builder: countersign::testing::TestCaBuilder| builder.signed_by(&root);
    let good = rolled_over(TestCa::builder("Root"));
    let leaf = |ca: &TestCa| ca.leaf().common_name("alice").dns("alice.example").issue();
    assert!(examine(root.trust(), leaf(&good).chain()).is_good());

    let short = rolled_over(TestCa::builder("Root").path_len(Some(0)));
    let narrow = rolled_over(TestCa::builder("Root").name_constraints(&permits("corp.example")));
    let mail = rolled_over(TestCa::builder("Root").extended_key_usage(&["1.3.6.1.5.5.7.3.4"]));
    let no_ca = rolled_over(TestCa::builder("Root").no_basic_constraints());
    for (issued, code) in [
        (leaf(&short.intermediate("Below")), "path_length"),
        (leaf(&narrow), "name_constraints"),
        (leaf(&mail), "wrong_extended_key_usage"),
        (leaf(&no_ca), "issuer_may_not_sign"),
    ] {
        let report = examine(root.trust(), issued.chain());
        let said = report.verified().unwrap_err().reason();
        assert!(said == "invalid_path" || said == code, "{said}");
        assert_eq!(report.cause().unwrap().code(), code, "{report}");
    }
    let report = examine(root.trust(), leaf(&narrow).chain());
    assert_eq!(report.verified().unwrap_err().reason(), "invalid_path");
}

#[test]
fn an_intermediate_of_which_a_crl_is_loaded_is_missing() {
    let root = TestCa::new("Root");
    let issuing = root.intermediate("Issuing");
    let alone = issuing.leaf().common_name("alice").issue().leaf_only();
    let lists = crls([issuing.crl().build().to_vec(), root.crl().build().to_vec()]);
    let verifier = verifier(root.trust(), Side::Client).revocation(lists);
    let report = checked(
        alone.chain(),
        &verifier,
        &Case::new(&verifier, in_days(0)),
        in_days(0),
    );
    let cause = report.cause().unwrap();
    assert_eq!(cause.code(), "missing_intermediate");
    assert!(
        cause.cause().contains("a CRL of it is loaded here"),
        "{report}"
    );
}

#[test]
fn an_issuer_whose_name_is_encoded_in_another_way() {
    let root = TestCa::new("Root");
    let leaf = root.leaf().common_name("alice").issue();
    assert!(examine(root.trust(), leaf.chain()).is_good());
    // The root's name as a PrintableString, and its key.
    let renamed = root
        .leaf()
        .ca()
        .subject_der(der::sequence(&[der::rdn(&[("2.5.4.3", 0x13, b"Root")])]));
    let renamed = Certificate::from_der(
        renamed
            .spki_der(certificate(&root).spki().to_vec())
            .issue()
            .leaf_der(),
    )
    .unwrap();
    let trust = TrustStore::from_der([CertificateDer::from(renamed.der().to_vec())]).unwrap();
    let report = examine(trust, leaf.chain());
    let cause = report.cause().unwrap();
    assert_eq!(cause.code(), "issuer_name_differs", "{report}");
    assert!(cause.cause().contains("in another encoding"), "{report}");
}

#[test]
fn trust_domains() {
    let (prod, staging) = (TestCa::new("Prod"), TestCa::new("Staging"));
    let trust: Trust = TrustStore::by_trust_domain()
        .with("prod.example".parse().unwrap(), prod.trust())
        .and_then(|bundles| bundles.with("staging.example".parse().unwrap(), staging.trust()))
        .unwrap()
        .into();
    let of = |ca: &TestCa, id: &str| ca.leaf().spiffe(id).issue();
    assert!(examine(trust.clone(), of(&prod, "spiffe://prod.example/a").chain()).is_good());
    for (issued, code, words) in [
        (
            of(&staging, "spiffe://prod.example/a"),
            "root_of_other_trust_domain",
            "vouches only for the trust domain staging.example",
        ),
        (
            of(&staging, "spiffe://other.example/a"),
            "unknown_trust_domain",
            "bundles for prod.example, staging.example only",
        ),
        (
            staging.leaf().dns("a.example").issue(),
            "no_trust_domain",
            "belongs to no trust domain",
        ),
    ] {
        let report = examine(trust.clone(), issued.chain());
        let cause = report.cause().unwrap();
        assert_eq!(cause.code(), code, "{report}");
        assert!(cause.cause().contains(words), "{report}");
    }
}

#[test]
fn revocation() {
    let root = TestCa::new("Root");
    let issuing = root.intermediate("Issuing");
    let issued = issuing.leaf().common_name("alice").issue();
    let of_root = root.crl().build().to_vec();
    let with = |lists: Crls, now| {
        let verifier = verifier(root.trust(), Side::Client).revocation(lists);
        checked(issued.chain(), &verifier, &Case::new(&verifier, now), now)
    };
    let good = with(
        crls([of_root.clone(), issuing.crl().build().to_vec()]),
        in_days(0),
    );
    assert!(good.is_good(), "{good}");
    assert_eq!(good.steps()[6].result(), StepResult::Passed);
    let revoked = issuing.crl().revoke(issued.serial()).build().to_vec();
    for (lists, now, code) in [
        (crls([of_root.clone(), revoked]), in_days(0), "revoked"),
        (
            crls([of_root.clone(), issuing.crl().build().to_vec()]),
            in_days(8),
            "crl_expired",
        ),
        (
            crls([of_root.clone()]),
            in_days(0),
            "unknown_revocation_status",
        ),
        (
            crls([
                of_root,
                issuing.same_name_other_key().crl().build().to_vec(),
            ]),
            in_days(0),
            "unknown_revocation_status",
        ),
    ] {
        let report = with(lists, now);
        assert_eq!(report.cause().unwrap().code(), code, "{report}");
        assert_eq!(report.findings().len(), 1);
        assert_eq!(report.steps()[6].result(), StepResult::Failed);
    }
}

#[test]
fn a_crl_dated_in_the_future_has_a_remedy_of_its_own() {
    let root = TestCa::new("Root");
    let issued = root.leaf().common_name("alice").issue();
    let future = root.crl().this_update(in_days(3)).next_update(in_days(9));
    let lists = Crls::from_bytes(future.build().to_vec()).unwrap();
    let verifier = verifier(root.trust(), Side::Client).revocation(lists);
    let report = |now| checked(issued.chain(), &verifier, &Case::new(&verifier, now), now);
    let refused = report(in_days(0));
    let cause = refused.cause().unwrap();
    assert_eq!(cause.code(), "unknown_revocation_status", "{refused}");
    for words in ["is not in force until 20", " days earlier"] {
        assert!(
            cause.cause().contains(words),
            "{words:?} is not in: {refused}"
        );
    }
    assert!(cause.remedy().starts_with("correct the clock"), "{refused}");
    assert!(report(in_days(3)).is_good());
}

#[test]
fn a_wrong_clock_is_distinguished_from_a_new_certificate() {
    let root = TestCa::new("Root");
    let issued = root
        .intermediate("Issuing")
        .leaf()
        .common_name("alice")
        .issue();
    let at = |issued: &Issued, trust: TrustStore, now| {
        let verifier = verifier(trust, Side::Client);
        let report = checked(issued.chain(), &verifier, &Case::new(&verifier, now), now);
        report.cause().map(|cause| cause.code())
    };
    let epoch = UnixTime::since_unix_epoch(Duration::from_secs(DAY));
    assert_eq!(at(&issued, root.trust(), in_days(0)), None);
    assert_eq!(at(&issued, root.trust(), epoch), Some("clock_wrong"));
    // The root is old enough, and the rest is to come.
    let old = TestCa::builder("Old")
        .validity(in_days(-900), in_days(900))
        .root();
    let new = old.leaf().common_name("alice").not_yet_valid().issue();
    assert_eq!(at(&new, old.trust(), in_days(0)), Some("not_yet_valid"));
    // A pinned certificate alone shows nothing about the clock.
    let alone = root.leaf().common_name("alice").self_signed();
    let pinned = TrustStore::empty().pin(&alone.certificate());
    assert_eq!(at(&alone, pinned, epoch), Some("not_yet_valid"));
}

#[test]
fn pins() {
    let alone = TestCa::new("unused")
        .leaf()
        .common_name("me")
        .ca()
        .key_usage(None)
        .self_signed();
    let pinned = || TrustStore::empty().pin(&alone.certificate());
    assert!(examine(pinned(), alone.chain()).is_good());
    let other = TestCa::new("unused").leaf().common_name("me").self_signed();
    assert_eq!(
        examine(pinned(), other.chain()).cause().unwrap().code(),
        "self_signed"
    );
    let odd = TestCa::new("unused")
        .leaf()
        .extension("1.2.3.4", true, &der::null())
        .self_signed();
    let report = examine(TrustStore::empty().pin(&odd.certificate()), odd.chain());
    assert_eq!(
        report.cause().unwrap().code(),
        "critical_extension",
        "{report}"
    );
}

#[test]
fn name_and_key() {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let root = TestCa::new("Root");
    let issued = root.leaf().dns("a.example").issue();
    let other = root.leaf().dns("b.example").issue();
    let verifier: ChainVerifier = verifier(root.trust(), Side::Server);
    let now = in_days(0);
    let name = |text: &'static str| ServerName::try_from(text).unwrap();
    let (good, bad) = (name("a.example"), name("c.example"));
    let (own, others) = (issued.key_der(), other.key_der());
    for (name, key, codes) in [
        (&good, &own, &[][..]),
        (&bad, &own, &["name_mismatch"]),
        (&good, &others, &["key_mismatch"]),
        (&bad, &others, &["name_mismatch", "key_mismatch"]),
    ] {
        let case = Case::new(&verifier, now)
            .server_name(name)
            .private_key(key, &provider);
        let report = checked(issued.chain(), &verifier, &case, now);
        let found: Vec<&str> = report.findings().iter().map(|it| it.code()).collect();
        assert_eq!(found, codes, "{report}");
        assert_eq!(report.is_good(), codes.is_empty());
    }
    let damaged = rustls_pki_types::PrivatePkcs8KeyDer::from(vec![0x30, 0]).into();
    let case = Case::new(&verifier, now).private_key(&damaged, &provider);
    let report = checked(issued.chain(), &verifier, &case, now);
    assert_eq!(report.cause().unwrap().code(), "unusable_key");

    // Of a chain that cannot be read, neither can be looked at.
    let case = Case::new(&verifier, now)
        .server_name(&good)
        .private_key(&own, &provider);
    let report = checked(&[], &verifier, &case, now);
    assert_eq!(report.cause().unwrap().code(), "no_certificate");
    assert_eq!(report.steps()[7].result(), StepResult::Skipped);
    assert_eq!(report.steps()[8].result(), StepResult::Skipped);
}

/// The rule about post-quantum cryptography is one of the verifier, and the certificate is named.
#[test]
fn classical_keys_and_signatures_are_named() {
    let root = |key| TestCa::builder("Root").key(key).root();
    let (modern, old) = (root(KeyType::MlDsa65), root(KeyType::P256));
    let middle = TestCa::builder("Middle")
        .key(KeyType::MlDsa65)
        .signed_by(&old);
    let leaf = |ca: &TestCa, key| ca.leaf().common_name("alice").key(key).issue();
    for (ca, peer, words) in [
        (
            &modern,
            leaf(&modern, KeyType::P256),
            "the key of certificate \"CN=alice\"",
        ),
        (
            &old,
            leaf(&old, KeyType::MlDsa65),
            "certificate \"CN=alice\"",
        ),
        (
            &old,
            leaf(&middle, KeyType::MlDsa65),
            "certificate \"CN=Middle\"",
        ),
    ] {
        let verifier = verifier(ca.trust(), Side::Client).post_quantum(PostQuantum::Only);
        let now = UnixTime::now();
        let case = Case::new(&verifier, now);
        let report = checked(peer.chain(), &verifier, &case, now);
        let findings = report.findings();
        let codes: Vec<_> = findings.iter().map(|finding| finding.code()).collect();
        assert_eq!(codes, ["not_post_quantum"], "{report}");
        assert!(findings[0].cause().contains(words), "{report}");
        let without = examine(ca.trust(), peer.chain());
        assert!(without.verified().is_ok(), "{without}");
    }
}

/// Two issuers on the path have name constraints, and one of them does not permit the name.
#[test]
fn only_the_issuer_whose_constraints_are_violated_is_named() {
    let root = TestCa::new("Root");
    let wide = TestCa::builder("Wide").name_constraints(&permits("example"));
    let narrow = TestCa::builder("Narrow").name_constraints(&permits("corp.example"));
    let issued = narrow.signed_by(&wide.signed_by(&root)).leaf();
    let issued = issued.dns("other.example").issue();
    let report = examine(root.trust(), issued.chain());
    let findings = report.findings();
    assert_eq!(findings.len(), 1, "{report}");
    let cause = findings[0].cause();
    assert!(
        cause.contains("Narrow") && !cause.contains("Wide"),
        "{cause}"
    );
}
