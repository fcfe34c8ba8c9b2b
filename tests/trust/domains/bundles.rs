//! Which bundle verifies a chain, without a handshake.

use countersign::Side;
use countersign::pki::{Certificate, Crl};
use countersign::testing::{Issued, TestCa};
use countersign::trust::{
    Anchor, ChainError, ChainVerifier, Crls, Revocation, Trust, TrustBundles,
};
use countersign::{Diagnostic as _, TrustStore};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls_pki_types::UnixTime;

use super::support::{Domains, PROD, STAGING, domain, member};

fn verifier(trust: impl Into<Trust>) -> ChainVerifier {
    ChainVerifier::new(trust, Side::Client, &default_provider())
}

fn says(verifier: &ChainVerifier, peer: &Issued) -> &'static str {
    match verifier.verify(peer.chain(), UnixTime::now()) {
        Ok(_) => "good",
        Err(error) => error.reason(),
    }
}

fn certificate(ca: &TestCa) -> Certificate {
    Certificate::from_der(&ca.certificate_der()).unwrap()
}

fn bundles(of: &[(&str, TrustStore)]) -> TrustBundles {
    of.iter()
        .fold(TrustStore::by_trust_domain(), |all, (name, bundle)| {
            all.with(domain(name), bundle.clone()).unwrap()
        })
}

/// Other schemes are an explicit option, and their domains vouch only for themselves, too.
#[test]
fn members_of_other_schemes() {
    let of = Domains::new();
    let peer = |ca: &TestCa, scheme: &str, domain: &str| {
        ca.leaf()
            .uri(&format!("{scheme}://{domain}/orders"))
            .issue()
    };
    let spiffe_only = verifier(of.trust());
    let both = verifier(of.trust().with_scheme("wimse"));
    for (ca, scheme, domain, without, with) in [
        (&of.prod, "spiffe", PROD, "good", "good"),
        (&of.prod, "wimse", PROD, "no_trust_domain", "good"),
        (
            &of.staging,
            "wimse",
            PROD,
            "no_trust_domain",
            "unknown_issuer",
        ),
        (
            &of.prod,
            "wimse",
            "other.example",
            "no_trust_domain",
            "unknown_trust_domain",
        ),
        (
            &of.prod,
            "https",
            PROD,
            "no_trust_domain",
            "no_trust_domain",
        ),
        (
            &of.prod,
            "WIMSE",
            PROD,
            "no_trust_domain",
            "no_trust_domain",
        ),
    ] {
        let peer = peer(ca, scheme, domain);
        assert_eq!(says(&spiffe_only, &peer), without, "{scheme}://{domain}");
        assert_eq!(says(&both, &peer), with, "{scheme}://{domain}");
    }
    // Two URIs are ambiguous, whatever their schemes.
    let uris = [format!("wimse://{PROD}/a"), format!("spiffe://{PROD}/a")];
    let two = of.prod.leaf().uri(&uris[0]).uri(&uris[1]).issue();
    assert_eq!(says(&both, &two), "no_trust_domain");
}

#[test]
fn a_root_is_trusted_for_its_own_domain_only() {
    let of = Domains::new();
    let by_domain = verifier(of.trust());
    let union = verifier(of.prod.trust().and(of.staging.trust()));
    for (ca, domain, verdict) in [
        (&of.prod, PROD, "good"),
        (&of.staging, STAGING, "good"),
        (&of.staging, PROD, "unknown_issuer"),
        (&of.prod, STAGING, "unknown_issuer"),
    ] {
        let peer = member(ca, domain);
        assert_eq!(says(&by_domain, &peer), verdict, "{domain}");
        let through = member(&ca.intermediate("Issuing"), domain);
        assert_eq!(says(&by_domain, &through), verdict, "{domain}");
        // What the test guards against: with all roots in one store, every peer passes.
        assert_eq!(says(&union, &peer), "good");
    }
    // It has the other's name and another key.
    let impostor = member(&of.prod.same_name_other_key(), PROD);
    assert_eq!(says(&by_domain, &impostor), "bad_signature");
    // One authority for two domains is possible, and said twice.
    let shared = bundles(&[(PROD, of.prod.trust()), (STAGING, of.prod.trust())]);
    assert_eq!(says(&verifier(shared), &member(&of.prod, STAGING)), "good");
}

#[test]
fn a_domain_without_a_bundle_is_unknown() {
    let of = Domains::new();
    let verifier = verifier(of.trust());
    for name in [
        "other.example",
        "prod.example.evil.example",
        "sub.prod.example",
        "prod.exampl",
        "example",
        "prod-example",
    ] {
        let peer = member(&of.prod, name);
        let error = verifier.verify(peer.chain(), UnixTime::now()).unwrap_err();
        assert_eq!(error.reason(), "unknown_trust_domain", "{error}");
        let ChainError::UnknownTrustDomain {
            trust_domain,
            known,
            ..
        } = &error
        else {
            panic!("{error}")
        };
        assert_eq!(trust_domain, name);
        assert_eq!(known.first(), &[PROD, STAGING]);
        let words = format!("is of {name}, and there are trust bundles for {PROD}, {STAGING}");
        assert!(error.to_string().contains(&words), "{error}");
    }
    assert_eq!(says(&verifier, &member(&of.prod, PROD)), "good");
}

/// Without exactly one SPIFFE ID, no bundle is selected, whatever else is in the leaf.
#[test]
fn a_leaf_without_exactly_one_id_belongs_to_no_domain() {
    let of = Domains::new();
    let verifier = verifier(of.trust());
    let id = "spiffe://prod.example/billing";
    let leaf = || of.prod.leaf();
    for (peer, verdict) in [
        (leaf().spiffe(id), "good"),
        (leaf().spiffe(id).dns("a.example"), "good"),
        (leaf(), "no_trust_domain"),
        (leaf().dns("prod.example"), "no_trust_domain"),
        (leaf().common_name(id), "no_trust_domain"),
        (leaf().general_name(0x82, id.as_bytes()), "no_trust_domain"),
        (leaf().spiffe(id).spiffe(id), "no_trust_domain"),
        (
            leaf().spiffe(id).spiffe("spiffe://staging.example/billing"),
            "no_trust_domain",
        ),
        (
            leaf().spiffe(id).uri("https://a.example/"),
            "no_trust_domain",
        ),
        (
            leaf().uri("https://prod.example/billing"),
            "no_trust_domain",
        ),
        (leaf().spiffe("spiffe://prod.example"), "no_trust_domain"),
        (
            leaf().spiffe("spiffe://PROD.example/billing"),
            "no_trust_domain",
        ),
        (
            leaf().spiffe("SPIFFE://prod.example/billing"),
            "no_trust_domain",
        ),
        (
            leaf().spiffe("spiffe://prod.example:443/billing"),
            "no_trust_domain",
        ),
        (
            leaf().spiffe("spiffe://staging.example@prod.example/a"),
            "no_trust_domain",
        ),
        (
            leaf().spiffe("spiffe://prod.example/billing?a"),
            "no_trust_domain",
        ),
        (leaf().general_name(0xa6, id.as_bytes()), "no_trust_domain"),
    ] {
        let peer = peer.issue();
        assert_eq!(says(&verifier, &peer), verdict, "{}", peer.certificate());
    }
}

/// A pin replaces the chain and not the domain: it counts in its own domain only.
#[test]
fn a_pin_counts_for_the_domain_of_its_bundle() {
    let of = Domains::new();
    let stranger = TestCa::new("unused");
    let self_signed = |domain: &str| {
        let id = format!("spiffe://{domain}/billing");
        stranger.leaf().spiffe(&id).self_signed()
    };
    let (of_prod, of_staging) = (self_signed(PROD), self_signed(STAGING));
    let fingerprint = |peer: &Issued| peer.certificate().spki_sha256();
    for pin in [
        |store: TrustStore, peer: &Issued| store.pin(&peer.certificate()),
        |store: TrustStore, peer: &Issued| store.pin_spki(peer.certificate().spki_sha256()),
    ] {
        let both_in = |one: &str, other: &str| {
            let pins = pin(pin(TrustStore::empty(), &of_prod), &of_staging);
            let other_root = TestCa::new("Root").trust();
            verifier(bundles(&[(one, pins), (other, other_root)]))
        };
        for (pinned, other, mine, theirs) in [
            (PROD, STAGING, &of_prod, &of_staging),
            (STAGING, PROD, &of_staging, &of_prod),
        ] {
            let verifier = both_in(pinned, other);
            assert_eq!(says(&verifier, mine), "good", "{pinned}");
            assert_eq!(says(&verifier, theirs), "unknown_issuer", "{pinned}");
        }
    }
    let by_key = bundles(&[(PROD, of.prod.trust().pin_spki(fingerprint(&of_prod)))]);
    let verified = verifier(by_key)
        .verify(of_prod.chain(), UnixTime::now())
        .unwrap();
    assert_eq!(*verified.anchor(), Anchor::PinnedKey);
}

/// An extra intermediate completes the chains of its own domain's members.
#[test]
fn an_intermediate_counts_for_the_domain_of_its_bundle() {
    let of = Domains::new();
    let issuing = of.prod.intermediate("Issuing");
    let lone = member(&issuing, PROD).leaf_only();
    let with_intermediate = |ca: &TestCa| ca.trust().with_intermediate(certificate(&issuing));
    let (prod, staging) = (&of.prod, &of.staging);
    let in_its_own = bundles(&[(PROD, with_intermediate(prod)), (STAGING, staging.trust())]);
    let in_the_other = bundles(&[(PROD, prod.trust()), (STAGING, with_intermediate(staging))]);
    assert_eq!(says(&verifier(in_its_own), &lone), "good");
    assert_eq!(says(&verifier(in_the_other), &lone), "unknown_issuer");
}

/// The roots may have the same name: CRLs are matched by key.
#[test]
fn crls_are_matched_by_issuer_across_domains() {
    let prod = TestCa::new("Root");
    let staging = prod.same_name_other_key();
    let trust = bundles(&[(PROD, prod.trust()), (STAGING, staging.trust())]);
    let serial = [0x12, 0x34];
    let issue = |ca: &TestCa, domain| {
        let id = format!("spiffe://{domain}/billing");
        ca.leaf().spiffe(&id).serial(&serial).issue()
    };
    let (of_prod, of_staging) = (issue(&prod, PROD), issue(&staging, STAGING));
    let list = Crl::from_der(&prod.crl().revoke(&serial).build()).unwrap();
    let choices = Revocation::new(Crls::new([list]).unwrap());
    let strict = verifier(trust.clone()).revocation(choices.clone());
    assert_eq!(says(&strict, &of_prod), "revoked");
    assert_eq!(says(&strict, &of_staging), "unknown_revocation_status");
    let declared = choices.no_crl_from(&certificate(&staging));
    let declared = verifier(trust).revocation(declared);
    assert_eq!(says(&declared, &of_prod), "revoked");
    assert_eq!(says(&declared, &of_staging), "good");
}

#[test]
fn an_empty_bundle_is_rejected() {
    let with = |bundle| TrustStore::by_trust_domain().with(domain(PROD), bundle);
    with(TestCa::new("Root").trust()).unwrap();
    let error = with(TrustStore::empty()).unwrap_err();
    assert_eq!(error.reason(), "empty_trust_bundle");
    assert_eq!(error.cause(), "the trust bundle of prod.example is empty");
}

#[test]
fn bundles_are_added_replaced_and_removed() {
    let of = Domains::new();
    let all = of.trust();
    let names = |bundles: &TrustBundles| -> Vec<String> {
        bundles.trust_domains().map(ToString::to_string).collect()
    };
    assert_eq!(names(&all), [PROD, STAGING]);
    assert!(all.get(&domain(PROD)).is_some());
    assert!(all.get(&domain("other.example")).is_none());
    let one = all
        .without(&domain(STAGING))
        .without(&domain("other.example"));
    assert_eq!(names(&one), [PROD]);
    let replaced = one.clone().with(domain(PROD), of.staging.trust()).unwrap();
    assert_eq!(
        says(&verifier(one.clone()), &member(&of.prod, PROD)),
        "good"
    );
    let replaced = verifier(replaced);
    assert_eq!(says(&replaced, &member(&of.prod, PROD)), "unknown_issuer");
    assert_eq!(says(&replaced, &member(&of.staging, PROD)), "good");
    let none = one.without(&domain(PROD));
    assert!(none.is_empty() && Trust::from(none).is_empty());
}
