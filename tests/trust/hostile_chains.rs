//! What a chain may cost before it is refused, and that honest chains are not.

use std::sync::LazyLock;
use std::sync::atomic::Ordering::SeqCst;

use countersign::Side;
use countersign::TrustStore;
use countersign::diagnose::{Case, diagnose};
use countersign::pki::Certificate;
use countersign::testing::{Issued, TestCa, der};
use countersign::trust::{ChainError, ChainVerifier, RootConstraints, VerifiedChain};
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::{CertificateDer, UnixTime};
use support::hostile_chains::{self as shapes, TRUSTED};

use crate::counting::counting;

/// As the documentation of `ChainError::TooManyCandidates` has it.
const MAX_SIGNATURES: usize = 20;

/// Making their keys takes a while.
static SHAPES: LazyLock<Vec<shapes::Shape>> = LazyLock::new(shapes::all);

#[test]
fn every_hostile_chain_is_rejected_for_its_reason_within_the_signature_limit() {
    for shape in SHAPES.iter() {
        let root = TestCa::builder(TRUSTED).key(shape.root).root();
        let (refused, signatures) = verify(root.trust(), &shape.chain);
        let reason = refused.unwrap_err().reason();
        assert_eq!(reason, shape.reason, "{}", shape.name);
        let limit = if reason == "unknown_issuer" {
            0
        } else {
            MAX_SIGNATURES
        };
        assert!(signatures <= limit, "{}: {signatures}", shape.name);
    }
}

#[test]
fn a_report_about_a_hostile_chain_is_bounded_too() {
    for shape in SHAPES.iter() {
        let root = TestCa::builder(TRUSTED).key(shape.root).root();
        let (provider, count) = counting();
        let verifier = ChainVerifier::new(root.trust(), Side::Client, &provider);
        let report = diagnose(&shape.chain, &Case::new(&verifier, UnixTime::now()));
        assert!(!report.findings().is_empty(), "{}", shape.name);
        let signatures = count.load(SeqCst);
        assert!(
            signatures <= MAX_SIGNATURES + 256,
            "{}: {signatures}",
            shape.name
        );
    }
}

#[test]
fn a_path_of_six_intermediates_needs_seven_signatures() {
    let root = TestCa::new(TRUSTED);
    let lowest = (0..6).fold(root.clone(), |ca, step| {
        ca.intermediate(&format!("Step {step}"))
    });
    let leaf = lowest.leaf().dns("a.example").issue();
    let (verified, signatures) = verify(root.trust(), leaf.chain());
    assert_eq!((verified.unwrap().certificates().len(), signatures), (7, 7));

    let deeper = lowest
        .intermediate("Step 6")
        .leaf()
        .dns("a.example")
        .issue();
    let (refused, _) = verify(root.trust(), deeper.chain());
    assert_eq!(refused.unwrap_err().reason(), "invalid_path");
}

#[test]
fn an_authority_that_was_re_keyed_is_found_by_its_key_identifier() {
    let root = TestCa::new(TRUSTED);
    let keys: Vec<TestCa> = (0..9).map(|_| root.intermediate("Re-keyed")).collect();
    let leaf = keys[8].leaf().dns("a.example").issue();
    let chain = with_issuers(&leaf, &keys);
    let (verified, signatures) = verify(root.trust(), &chain);
    assert_eq!(verified.unwrap().certificates().len(), 2);
    assert_eq!(signatures, 2, "no other key is tried");
}

#[test]
fn an_authority_that_was_re_keyed_is_found_without_key_identifiers() {
    let root = TestCa::new(TRUSTED);
    let keys: Vec<TestCa> = (0..9).map(|_| root.intermediate("Re-keyed")).collect();
    let leaf = keys[8].leaf().without_extensions().issue();
    let chain = with_issuers(&leaf, &keys);
    let (verified, signatures) = verify(root.trust(), &chain);
    assert_eq!(verified.unwrap().certificates().len(), 2);
    assert_eq!(
        signatures, 18,
        "each intermediate's own signature, and the leaf's by each key"
    );
}

#[test]
fn an_authority_with_too_many_keys_is_rejected_by_name() {
    let root = TestCa::new(TRUSTED);
    let twins: Vec<TestCa> = (0..9).map(|_| root.same_name_other_key()).collect();
    let leaf = root.leaf().without_extensions().issue();
    let trust = |twins: &[TestCa]| {
        let roots = twins.iter().chain([&root]).map(TestCa::certificate_der);
        TrustStore::from_der(roots).unwrap()
    };
    let (refused, _) = verify(trust(&twins), leaf.chain());
    assert_eq!(refused.unwrap_err().reason(), "too_many_candidates");
    let (verified, signatures) = verify(trust(&twins[..8]), leaf.chain());
    assert_eq!((verified.is_ok(), signatures), (true, 9));
    let leaf = root.leaf().dns("a.example").issue();
    let (verified, signatures) = verify(trust(&twins), leaf.chain());
    assert_eq!(
        (verified.is_ok(), signatures),
        (true, 1),
        "by its key identifier"
    );
}

#[test]
fn key_identifiers_that_do_not_fit_do_not_exclude_an_issuer() {
    let root = TestCa::new(TRUSTED);
    let issuing = root.intermediate("Issuing");
    let leaf = issuing.leaf().authority_key_id(Some(&[9; 20])).issue();
    let (verified, _) = verify(root.trust(), leaf.chain());
    assert_eq!(verified.unwrap().certificates().len(), 2);
}

#[test]
fn a_cross_signed_authority_is_verified_by_the_root_that_is_trusted() {
    let (old, new) = (TestCa::new("Old Root"), TestCa::new("New Root"));
    let issuing = old.intermediate("Issuing");
    let crossed = issuing.cross_signed_by(&new);
    let leaf = issuing.leaf().dns("a.example").issue();
    let chain = with_issuers(&leaf, &[issuing, crossed]);
    for root in [old, new] {
        let (verified, signatures) = verify(root.trust(), &chain);
        assert_eq!(verified.unwrap().certificates().len(), 2);
        assert_eq!(
            signatures, 2,
            "one key in two certificates is one candidate"
        );
    }
}

#[test]
fn a_bad_signature_names_the_certificate_whose_signature_is_bad() {
    let root = TestCa::new(TRUSTED);
    let issuing = root.intermediate("Issuing");
    let leaf = root.intermediate("Issuing").leaf().dns("a.example").issue();
    let chain = [leaf.leaf_der().clone(), issuing.certificate_der()];
    let named = |chain: &[CertificateDer<'static>]| match verify(root.trust(), chain).0 {
        Err(ChainError::BadSignature { certificate, .. }) => certificate,
        other => panic!("{other:?}"),
    };
    assert_eq!(named(&chain), leaf.certificate());

    let impostor = root.same_name_other_key().intermediate("Issuing");
    let leaf = impostor.leaf().dns("a.example").issue();
    let issuer = Certificate::from_der(&impostor.certificate_der()).unwrap();
    assert_eq!(named(leaf.chain()), issuer);
}

#[test]
fn a_root_is_held_to_its_certificate_only_when_that_is_chosen() {
    let at = |days: u64| UnixTime::since_unix_epoch(std::time::Duration::from_secs(days * 86_400));
    let (start, end) = (at(19_000), at(19_100));
    let expired = || TestCa::builder("Expired").validity(start, end);
    let short = TestCa::builder("No intermediates").path_len(Some(0));
    let unknown = TestCa::builder("Unknown extension").extension("1.2.3.4", true, &der::null());
    let for_servers = TestCa::builder("Servers").extended_key_usage(&["1.3.6.1.5.5.7.3.1"]);
    for (builder, reason) in [
        (expired(), "expired"),
        (short, "invalid_path"),
        (unknown, "invalid_path"),
        (for_servers, "wrong_extended_key_usage"),
    ] {
        let root = builder.root();
        let leaf = root.intermediate("Issuing").leaf().dns("a.example").issue();
        let verifier =
            ChainVerifier::new(root.trust(), Side::Client, &aws_lc_rs::default_provider());
        assert!(
            verifier.verify(leaf.chain(), UnixTime::now()).is_ok(),
            "{reason}"
        );
        let verifier = verifier.root_constraints(RootConstraints::Enforce);
        let refused = verifier.verify(leaf.chain(), UnixTime::now()).unwrap_err();
        assert_eq!(refused.reason(), reason);
        let root = Certificate::from_der(&root.certificate_der()).unwrap();
        assert_eq!(refused.certificate(), Some(&root), "{reason}");
    }
    let root = TestCa::builder("Good").path_len(Some(1)).root();
    let leaf = root.intermediate("Issuing").leaf().dns("a.example").issue();
    let verifier = ChainVerifier::new(root.trust(), Side::Client, &aws_lc_rs::default_provider())
        .root_constraints(RootConstraints::Enforce);
    assert!(verifier.verify(leaf.chain(), UnixTime::now()).is_ok());
}

#[test]
fn a_renewed_root_of_the_same_key_counts_whichever_was_loaded_first() {
    let now = UnixTime::now().as_secs();
    let at = |secs: u64| UnixTime::since_unix_epoch(std::time::Duration::from_secs(secs));
    let old = TestCa::builder("Renewed")
        .validity(at(now - 200), at(now - 100))
        .root();
    let new = old.renewed(at(now - 100), at(now + 1000));
    let leaf = new.leaf().dns("a.example").issue();
    for roots in [[&old, &new], [&new, &old]] {
        let trust = TrustStore::from_der(roots.map(TestCa::certificate_der)).unwrap();
        let verifier = ChainVerifier::new(trust, Side::Client, &aws_lc_rs::default_provider())
            .root_constraints(RootConstraints::Enforce);
        let chain = verifier.verify(leaf.chain(), UnixTime::now()).unwrap();
        assert_eq!(
            chain.not_after().as_secs(),
            now + 1000,
            "the path ends with its root"
        );
    }
    // Of two that are valid, the one that expires last.
    let newer = new.renewed(at(now - 100), at(now + 2000));
    for roots in [[&newer, &new], [&new, &newer]] {
        let trust = TrustStore::from_der(roots.map(TestCa::certificate_der)).unwrap();
        let verifier = ChainVerifier::new(trust, Side::Client, &aws_lc_rs::default_provider())
            .root_constraints(RootConstraints::Enforce);
        let chain = verifier.verify(leaf.chain(), UnixTime::now()).unwrap();
        assert_eq!(chain.not_after().as_secs(), now + 2000);
    }
}

fn with_issuers(leaf: &Issued, issuers: &[TestCa]) -> Vec<CertificateDer<'static>> {
    let issuers = issuers.iter().map(TestCa::certificate_der);
    std::iter::once(leaf.leaf_der().clone())
        .chain(issuers)
        .collect()
}

/// The outcome, and how many signatures were computed for it.
fn verify(
    trust: TrustStore,
    chain: &[CertificateDer<'static>],
) -> (Result<VerifiedChain, ChainError>, usize) {
    let (provider, count) = counting();
    let verifier = ChainVerifier::new(trust, Side::Client, &provider);
    (verifier.verify(chain, UnixTime::now()), count.load(SeqCst))
}
