//! Path validation by RFC 5280 section 6.1, and the options of a trust store about it: for each class of
//! extension, chains that are valid and chains that are not.

use std::time::Duration;

use countersign::testing::{Issued, KeyType, LeafBuilder, TestCa, TestCaBuilder, der};
use countersign::trust::{
    CertificatePolicies, ChainError, ChainVerifier, EkuPolicy, Limits, NameMatching, PostQuantum,
    VerifiedChain,
};
use countersign::{Certificate, Diagnostic as _, Side, TrustStore};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use support::Version;

const ONE: &str = "1.3.6.1.4.1.99999.1";
const TWO: &str = "1.3.6.1.4.1.99999.2";
const THREE: &str = "1.3.6.1.4.1.99999.3";
const ANY: &str = "2.5.29.32.0";
const CLIENT_AUTH: &str = "1.3.6.1.5.5.7.3.2";
const SERVER_AUTH: &str = "1.3.6.1.5.5.7.3.1";

fn verify_as(
    usage: Side,
    trust: TrustStore,
    chain: &Issued,
    now: UnixTime,
) -> Result<VerifiedChain, ChainError> {
    let provider = support::provider(Version::Tls13);
    ChainVerifier::new(trust, usage, &provider).verify(chain.chain(), now)
}

fn verify(trust: TrustStore, chain: &Issued) -> Result<(), ChainError> {
    verify_as(Side::Client, trust, chain, UnixTime::now()).map(drop)
}

#[track_caller]
fn accepts(trust: &TrustStore, chain: &Issued) {
    assert_eq!(verify(trust.clone(), chain), Ok(()));
}

/// The rejection has this code in its rule, is about the certificate at this position, and has the words.
#[track_caller]
fn rejects(trust: &TrustStore, chain: &Issued, position: usize, code: &str, words: &str) {
    let error = verify(trust.clone(), chain).unwrap_err();
    let ChainError::Invalid { problem, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(problem.reason(), code, "{error}");
    let blamed = Certificate::from_der(&chain.chain()[position]).unwrap();
    assert_eq!(error.certificate(), Some(&blamed), "{error}");
    assert!(error.cause().contains(words), "{error}");
    assert!(!error.remedy().is_empty());
}

/// A root, and an issuer with these permitted and excluded names.
fn constrained(permitted: &[Vec<u8>], excluded: &[Vec<u8>]) -> (TrustStore, TestCa) {
    let root = TestCa::new("Root");
    let issuing = TestCa::builder("Issuing").constrain_names(permitted, excluded);
    (root.trust(), issuing.signed_by(&root))
}

fn directory(rdns: &[(&str, &str)]) -> Vec<u8> {
    let rdns: Vec<Vec<u8>> = rdns
        .iter()
        .map(|(oid, text)| der::rdn(&[(*oid, 0x0c, text.as_bytes())]))
        .collect();
    der::tlv(0xa4, der::sequence(&rdns))
}

#[test]
fn uri_constraints_apply_to_the_host() {
    let (trust, issuing) = constrained(&[der::tlv(0x86, "example.org")], &[]);
    let leaf = || issuing.leaf();
    accepts(
        &trust,
        &leaf().spiffe("spiffe://example.org/orders").issue(),
    );
    accepts(&trust, &leaf().uri("https://EXAMPLE.org:8443/x").issue());
    accepts(&trust, &leaf().dns("other.example").issue());
    for uri in [
        "spiffe://example.com/orders",
        "spiffe://a.example.org/orders",
        "https://example.org@evil.example/",
        "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
        "https://192.0.2.1/",
    ] {
        let words = "the name constraints of an issuer do not permit URI:";
        rejects(
            &trust,
            &leaf().uri(uri).issue(),
            0,
            "name_constraints",
            words,
        );
    }
    let (trust, issuing) = constrained(&[], &[der::tlv(0x86, ".evil.example")]);
    accepts(&trust, &issuing.leaf().uri("https://evil.example/").issue());
    let below = issuing.leaf().uri("https://a.evil.example/").issue();
    rejects(
        &trust,
        &below,
        0,
        "name_constraints",
        "exclude URI:https://a.evil",
    );
}

#[test]
fn email_constraints_apply_to_sans_and_otherwise_to_the_subject() {
    let (trust, issuing) = constrained(
        &[
            der::tlv(0x81, "example.org"),
            der::tlv(0x81, "b@example.com"),
        ],
        &[],
    );
    let leaf = || issuing.leaf();
    let email = "1.2.840.113549.1.9.1";
    accepts(&trust, &leaf().email("a@example.org").issue());
    accepts(&trust, &leaf().email("b@example.com").issue());
    accepts(
        &trust,
        &leaf().attribute(email, 0x16, b"a@example.org").issue(),
    );
    for address in [
        "a@sub.example.org",
        "a@example.com",
        "example.org",
        "a@example.org.",
    ] {
        let chain = leaf().email(address).issue();
        rejects(
            &trust,
            &chain,
            0,
            "name_constraints",
            "do not permit email:",
        );
    }
    let in_subject = leaf().attribute(email, 0x16, b"a@evil.example").issue();
    rejects(
        &trust,
        &in_subject,
        0,
        "name_constraints",
        "the subject's emailAddress a@evil",
    );
    let (trust, issuing) = constrained(&[], &[der::tlv(0x81, "evil.example")]);
    accepts(&trust, &issuing.leaf().email("a@example.org").issue());
    let excluded = issuing.leaf().email("a@EVIL.example").issue();
    rejects(&trust, &excluded, 0, "name_constraints", "exclude email:");
}

#[test]
fn directory_constraints_apply_to_subject_and_sans() {
    let ours = [("2.5.4.6", "DE"), ("2.5.4.10", "Example")];
    let (trust, issuing) = constrained(&[directory(&ours)], &[]);
    let named = |organization: &[u8]| {
        let leaf = issuing.leaf().attribute("2.5.4.6", 0x13, b"DE");
        leaf.attribute("2.5.4.10", 0x0c, organization)
    };
    accepts(&trust, &named(b"Example").common_name("alice").issue());
    accepts(&trust, &named(b" EXAMPLE ").issue());
    accepts(&trust, &issuing.leaf().dns("a.example").issue());
    let words = "do not permit the subject";
    rejects(
        &trust,
        &named(b"Other").issue(),
        0,
        "name_constraints",
        words,
    );
    let reversed = issuing.leaf().attribute("2.5.4.10", 0x0c, b"Example");
    let reversed = reversed.attribute("2.5.4.6", 0x13, b"DE").issue();
    rejects(&trust, &reversed, 0, "name_constraints", words);
    let other = der::sequence(&[der::rdn(&[("2.5.4.10", 0x0c, b"Other")])]);
    let san = named(b"Example").directory_name(&other).issue();
    rejects(
        &trust,
        &san,
        0,
        "name_constraints",
        "do not permit dirName:",
    );

    let (trust, issuing) = constrained(&[], &[directory(&[("2.5.4.10", "Evil")])]);
    let of = |name: &[u8]| issuing.leaf().attribute("2.5.4.10", 0x0c, name).issue();
    accepts(&trust, &of(b"Example"));
    rejects(
        &trust,
        &of(b"eViL"),
        0,
        "name_constraints",
        "exclude the subject",
    );
}

#[test]
fn dns_and_ip_constraints_hold_beside_critical_policies() {
    // rustls-webpki cannot read these paths, so that our validator decides alone.
    let (trust, issuing) = constrained(
        &[
            der::tlv(0x82, "example.org"),
            der::tlv(0x87, [10, 0, 0, 0, 255, 0, 0, 0]),
        ],
        &[der::tlv(0x82, "secret.example.org")],
    );
    let leaf = || issuing.leaf().policies(&[ONE]);
    accepts(&trust, &leaf().dns("a.example.org").issue());
    accepts(&trust, &leaf().dns("*.b.example.org").issue());
    accepts(&trust, &leaf().ip([10, 1, 2, 3].into()).issue());
    for (chain, words) in [
        (leaf().dns("example.com"), "do not permit DNS:example.com"),
        (leaf().dns("xexample.org"), "do not permit DNS:"),
        (leaf().dns("a.secret.example.org"), "exclude DNS:"),
        (leaf().dns("*.example.org"), "exclude DNS:"),
        (leaf().dns("a.example.org."), "do not permit DNS:"),
        (
            leaf().ip([11, 1, 2, 3].into()),
            "do not permit IP:11.1.2.3: it permits iPAddress \"10.0.0.0/8\"",
        ),
    ] {
        rejects(&trust, &chain.issue(), 0, "name_constraints", words);
    }
}

#[test]
fn constraints_of_kinds_without_a_comparison_are_named() {
    let upn = [
        der::oid("1.3.6.1.4.1.311.20.2.3"),
        der::tlv(0xa0, der::utf8("@example.org")),
    ];
    let (trust, issuing) = constrained(&[der::tlv(0xa0, upn.concat())], &[]);
    accepts(&trust, &issuing.leaf().dns("a.example").issue());
    accepts(
        &trust,
        &issuing.leaf().other_name("1.2.3", &der::utf8("x")).issue(),
    );
    let kind = "kind otherName userPrincipalName";
    let chain = issuing.leaf().upn("alice@example.org").issue();
    rejects(&trust, &chain, 0, "name_constraint_kind", kind);
    let (trust, issuing) = constrained(&[], &[der::tlv(0x88, [42, 3])]);
    accepts(&trust, &issuing.leaf().dns("a.example").issue());
    let registered = issuing.leaf().registered_id("1.2.4").issue();
    rejects(
        &trust,
        &registered,
        0,
        "name_constraint_kind",
        "registeredID",
    );
    for (tag, kind) in [(0xa3, "x400Address"), (0xa5, "ediPartyName")] {
        let (trust, issuing) = constrained(&[], &[der::tlv(tag, [])]);
        accepts(&trust, &issuing.leaf().dns("a.example").issue());
        let san = der::sequence(&[der::tlv(tag, [])]);
        let chain = issuing.leaf().san_der(san).issue();
        rejects(&trust, &chain, 0, "name_constraint_kind", kind);
    }
    // RFC 9598: a mailbox of this kind is constrained by rfc822Name.
    let (trust, issuing) = constrained(&[], &[der::tlv(0x81, "evil.example")]);
    let mailbox = issuing
        .leaf()
        .other_name("1.3.6.1.5.5.7.8.9", &der::utf8("ü@evil.example"));
    rejects(
        &trust,
        &mailbox.issue(),
        0,
        "name_constraint_kind",
        "rfc822Name",
    );
}

/// What it names is not known, so it may be outside.
#[test]
fn a_name_that_cannot_be_read_is_rejected_below_constraints_of_its_kind() {
    let directory = directory(&[("2.5.4.10", "Ours")]);
    let uri = der::tlv(0x86, "example.org");
    // A directoryName whose content is no name.
    let san = der::sequence(&[der::tlv(0xa4, [5, 0, 0])]);
    let leaf = |issuing: &TestCa| issuing.leaf().san_der(san.clone()).issue();
    for (permitted, excluded, is_rejected) in [
        (vec![directory.clone()], vec![], true),
        (vec![], vec![directory], true),
        (vec![uri.clone()], vec![], false),
        (vec![], vec![uri], false),
    ] {
        let (trust, issuing) = constrained(&permitted, &excluded);
        let chain = leaf(&issuing);
        if is_rejected {
            rejects(&trust, &chain, 0, "name_constraint_kind", "directoryName");
        } else {
            accepts(&trust, &chain);
        }
    }
}

#[test]
fn constraints_apply_to_all_certificates_below_and_to_roots() {
    let root = TestCa::builder("Root").constrain_names(&[der::tlv(0x86, "example.org")], &[]);
    let root = root.root();
    let lower = root.intermediate("Middle").intermediate("Lower");
    accepts(
        &root.trust(),
        &lower.leaf().spiffe("spiffe://example.org/a").issue(),
    );
    let outside = lower.leaf().spiffe("spiffe://example.com/a").issue();
    rejects(
        &root.trust(),
        &outside,
        0,
        "name_constraints",
        "URI:spiffe://example.com/a",
    );

    // An issuer's own name is constrained by those above it.
    let root = TestCa::builder("Root").constrain_names(&[], &[directory(&[("2.5.4.3", "Middle")])]);
    let root = root.root();
    let chain = root.intermediate("Middle").leaf().dns("a.example").issue();
    rejects(
        &root.trust(),
        &chain,
        1,
        "name_constraints",
        "exclude the subject \"CN=Middle\"",
    );
    accepts(
        &root.trust(),
        &root.intermediate("Other").leaf().dns("a.example").issue(),
    );
}

#[test]
fn malformed_extensions_of_an_issuer_are_named() {
    for (oid, value, name) in [
        ("2.5.29.30", der::null(), "nameConstraints"),
        (
            "2.5.29.30",
            der::sequence(&[der::tlv(0xa2, [])]),
            "nameConstraints",
        ),
        (
            "2.5.29.30",
            // No kind of name has this tag.
            der::sequence(&[der::tlv(0xa0, der::sequence(&[der::tlv(0x8f, [])]))]),
            "nameConstraints",
        ),
        (
            "2.5.29.32",
            der::sequence::<Vec<u8>>(&[]),
            "certificatePolicies",
        ),
        (
            "2.5.29.32",
            der::sequence(&[
                der::sequence(&[der::oid(ONE)]),
                der::sequence(&[der::oid(ONE)]),
            ]),
            "certificatePolicies",
        ),
        ("2.5.29.33", der::sequence::<Vec<u8>>(&[]), "policyMappings"),
        (
            "2.5.29.36",
            der::sequence::<Vec<u8>>(&[]),
            "policyConstraints",
        ),
        (
            "2.5.29.36",
            der::sequence(&[der::tlv(0x80, [0xff])]),
            "policyConstraints",
        ),
        ("2.5.29.54", der::tlv(2, [0, 1]), "inhibitAnyPolicy"),
    ] {
        let root = TestCa::new("Root");
        let issuing = TestCa::builder("Issuing").extension(oid, true, &value);
        let chain = issuing.signed_by(&root).leaf().issue();
        let words = format!("the extension {name} ({oid}) cannot be read");
        rejects(&root.trust(), &chain, 1, "malformed_extension", &words);
    }
}

/// The chain and its root's self-signed certificate, so that there is a path that rustls-webpki does not
/// process.
fn with_root(chain: &Issued, root: &TestCa) -> Vec<CertificateDer<'static>> {
    let mut chain = chain.chain().to_vec();
    chain.push(root.certificate_der());
    chain
}

#[test]
fn a_certificate_whose_two_signature_algorithms_differ_is_rejected_on_every_path() {
    let root = TestCa::new("Root");
    let issuing = root.intermediate("Issuing");
    let chain = issuing.leaf().map_tbs(|mut tbs| {
        let sha256 = der::oid("1.2.840.10045.4.3.2");
        let found = tbs.windows(sha256.len()).position(|part| part == sha256);
        tbs[found.unwrap() + sha256.len() - 1] = 3; // SHA-384
        tbs
    });
    let chain = chain.issue();
    rejects(&root.trust(), &chain, 0, "algorithm_mismatch", "algorithm");
    let provider = support::provider(Version::Tls13);
    let verifier = ChainVerifier::new(root.trust(), Side::Client, &provider);
    let chain = with_root(&chain, &root);
    let error = verifier.verify(&chain, UnixTime::now()).unwrap_err();
    let ChainError::Invalid { problem, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!(problem.reason(), "algorithm_mismatch", "{error}");
}

/// A self-signed certificate at the end of the chain has no issuer that could be missing.
#[test]
fn the_unknown_issuer_is_that_of_the_last_certificate_below_a_self_signed_one() {
    let root = TestCa::new("Root");
    let issuing = root.intermediate("Issuing");
    let provider = support::provider(Version::Tls13);
    let other = TestCa::new("Other").trust();
    let verifier = ChainVerifier::new(other, Side::Client, &provider);
    let chain = with_root(&issuing.leaf().issue(), &root);
    let error = verifier.verify(&chain, UnixTime::now()).unwrap_err();
    assert_eq!(error.reason(), "unknown_issuer");
    let issuing = Certificate::from_der(&issuing.certificate_der()).unwrap();
    assert_eq!(error.certificate(), Some(&issuing));
}

#[test]
fn of_several_paths_the_most_informative_rejection_is_reported() {
    let root = TestCa::new("Root");
    let day = |day: u64| UnixTime::since_unix_epoch(Duration::from_secs(day * 86_400));
    let expired = TestCa::builder("Expired").validity(day(19_000), day(19_100));
    let named = TestCa::builder("Named").constrain_names(&[], &[der::tlv(0x82, "a.example")]);
    let short = TestCa::builder("Short").path_len(Some(0));
    let [expired, named, short] = [expired, named, short].map(|ca| ca.signed_by(&root));
    let issuing = TestCa::new("Issuing");
    let leaf = issuing.leaf().dns("a.example").issue();
    let provider = support::provider(Version::Tls13);
    let verifier = ChainVerifier::new(root.trust(), Side::Client, &provider);
    for (first, second, expected) in [
        (&named, &expired, "expired"),
        (&expired, &named, "expired"),
        (&named, &short, "name_constraints"),
        (&short, &named, "path_length"),
    ] {
        let mut chain = leaf.chain().to_vec();
        for upper in [first, second] {
            chain.push(issuing.cross_signed_by(upper).certificate_der());
            chain.push(upper.certificate_der());
        }
        let error = verifier.verify(&chain, UnixTime::now()).unwrap_err();
        let reason = match &error {
            ChainError::Invalid { problem, .. } => problem.reason(),
            other => other.reason(),
        };
        assert_eq!(reason, expected, "{error}");
    }
}

#[test]
fn version_1_certificates_are_named_also_in_issuers_and_pins() {
    let root = TestCa::new("Root");
    let issuing = TestCa::builder("Issuing").version(1).signed_by(&root);
    let chain = issuing.leaf().issue();
    let of_leaf = root.leaf().version(1).issue();
    let pinned = TrustStore::empty().pin(&of_leaf.certificate());
    for (trust, chain, position) in [
        (root.trust(), &chain, 1),
        (root.trust(), &of_leaf, 0),
        (pinned, &of_leaf, 0),
    ] {
        let error = verify(trust, chain).unwrap_err();
        let blamed = Certificate::from_der(&chain.chain()[position]).unwrap();
        assert!(matches!(error, ChainError::Version1 { .. }), "{error}");
        assert_eq!(error.certificate(), Some(&blamed));
    }
}

#[test]
fn a_certificate_may_be_valid_for_one_second() {
    let root = TestCa::new("Root");
    let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    let now = UnixTime::now().as_secs();
    let chain = root.leaf().validity(at(now), at(now)).issue();
    let reason = |now| {
        let verified = verify_as(Side::Client, root.trust(), &chain, at(now));
        verified.map(drop).map_err(|error| error.reason())
    };
    assert_eq!(reason(now - 1), Err("not_yet_valid"));
    assert_eq!(reason(now), Ok(()));
    assert_eq!(reason(now + 1), Err("expired"));
}

#[test]
fn an_rsa_key_may_have_as_many_bits_as_the_limit() {
    let root = TestCa::new("Root");
    let chain = root.leaf().key(KeyType::Rsa2048).issue();
    let provider = support::provider(Version::Tls13);
    for (bits, expected) in [(2048, Ok(())), (2047, Err("key_too_large"))] {
        let verifier = ChainVerifier::new(root.trust(), Side::Client, &provider)
            .limits(Limits::default().rsa_bits(bits));
        let verified = verifier.verify(chain.chain(), UnixTime::now());
        let verified = verified.map(drop).map_err(|error| error.reason());
        assert_eq!(verified, expected, "{bits}");
    }
}

/// A pin has no path, on which each key is checked.
#[test]
fn the_key_of_a_pinned_certificate_must_resist_quantum_computers_too() {
    let chain = TestCa::new("Root").leaf().issue();
    let provider = support::provider(Version::Tls13);
    for (rule, expected) in [
        (PostQuantum::KeyExchange, Ok(())),
        (PostQuantum::Only, Err("not_post_quantum")),
    ] {
        let certificate = chain.certificate();
        for trust in [
            TrustStore::empty().pin(&certificate),
            TrustStore::empty().pin_spki(certificate.spki_sha256()),
        ] {
            let verifier = ChainVerifier::new(trust, Side::Client, &provider).post_quantum(rule);
            let verified = verifier.verify(chain.chain(), UnixTime::now());
            let verified = verified.map(drop).map_err(|error| error.reason());
            assert_eq!(verified, expected, "{rule:?}");
        }
    }
}

/// rustls-webpki rejects these too, but does not process a path with a self-issued certificate.
#[test]
fn a_leaf_whose_extension_is_no_sequence_is_rejected_on_every_path() {
    let root = TestCa::new("Root");
    let issuing = root.intermediate("Issuing");
    let with_root = |chain: &Issued| with_root(chain, &root);
    let provider = support::provider(Version::Tls13);
    let verifier = ChainVerifier::new(root.trust(), Side::Client, &provider);
    let verify = |chain: &[_]| verifier.verify(chain, UnixTime::now());
    let leaf = || issuing.leaf().dns("a.example");

    let found = verify(&with_root(&leaf().issue())).expect("a path");
    assert_eq!(found.certificates().len(), 2);
    let indefinite = [0x30, 0x80, 0, 0];
    let san = issuing.leaf().san_der(indefinite.to_vec());
    for (oid, leaf) in [
        ("2.5.29.17", san),
        ("2.5.29.30", leaf().extension("2.5.29.30", false, &[5, 0])),
        (
            "2.5.29.31",
            leaf().extension("2.5.29.31", false, &indefinite),
        ),
    ] {
        let chain = leaf.issue();
        rejects(&root.trust(), &chain, 0, "malformed_extension", oid);
        let error = verify(&with_root(&chain)).unwrap_err();
        let ChainError::Invalid { problem, .. } = &error else {
            panic!("{error}")
        };
        assert_eq!(problem.reason(), "malformed_extension", "{error}");
        assert!(error.cause().contains(oid), "{error}");
    }
}

/// A chain of one issuer and a leaf with policies.
fn with_policies(issuer: TestCaBuilder, leaf: &[&str]) -> (TrustStore, Issued) {
    let root = TestCa::new("Root");
    let issuing = issuer.signed_by(&root);
    (root.trust(), issuing.leaf().policies(leaf).issue())
}

fn issuing() -> TestCaBuilder {
    TestCa::builder("Issuing")
}

fn require(trust: &TrustStore, policies: &[&str]) -> TrustStore {
    let policies = CertificatePolicies::require(policies.iter().copied()).unwrap();
    trust.clone().certificate_policies(policies)
}

#[test]
fn a_required_policy_must_be_in_every_certificate() {
    let (trust, chain) = with_policies(issuing().policies(&[ONE, TWO]), &[TWO, THREE]);
    accepts(&trust, &chain);
    accepts(&require(&trust, &[TWO]), &chain);
    accepts(&require(&trust, &[ONE, TWO]), &chain);
    accepts(&require(&trust, &[ANY]), &chain);
    for required in [ONE, THREE, "1.2.3"] {
        let words = "none of the acceptable certificate policies";
        rejects(&require(&trust, &[required]), &chain, 0, "no_policy", words);
    }
    let root = TestCa::new("Root");
    let without = root.intermediate("Issuing").leaf().policies(&[ONE]).issue();
    accepts(&root.trust(), &without);
    rejects(
        &require(&root.trust(), &[ONE]),
        &without,
        1,
        "no_policy",
        "policies",
    );
    // Nor does a path without any policies skip the rule.
    let none = root.intermediate("Issuing").leaf().issue();
    accepts(&root.trust(), &none);
    for required in [ONE, ANY] {
        let trust = require(&root.trust(), &[required]);
        rejects(&trust, &none, 1, "no_policy", "polic");
    }
}

#[test]
fn policy_constraints_count_the_certificates_that_are_not_self_issued() {
    let root = TestCa::new("Root");
    let below = |skip, name: &str| {
        let upper = TestCa::builder("Upper").policies(&[ONE]);
        let upper = upper.policy_constraints(Some(skip), None).signed_by(&root);
        TestCa::builder(name).signed_by(&upper).leaf().issue()
    };
    for (skip, name, is_valid) in [
        (2, "Lower", false),
        (3, "Lower", true),
        (1, "Upper", false),
        (2, "Upper", true),
    ] {
        let chain = below(skip, name);
        if is_valid {
            accepts(&root.trust(), &chain);
        } else {
            rejects(&root.trust(), &chain, 0, "no_policy", "polic");
        }
    }
}

#[test]
fn policy_constraints_require_a_policy() {
    let explicit = |skip| {
        issuing()
            .policies(&[ONE])
            .policy_constraints(Some(skip), None)
    };
    for (skip, policies, is_valid) in [
        (0, &[ONE][..], true),
        (0, &[ANY], true),
        (0, &[ONE, TWO], true),
        (0, &[TWO], false),
        (1, &[TWO], false),
        (2, &[TWO], true),
    ] {
        let (trust, chain) = with_policies(explicit(skip), policies);
        if is_valid {
            accepts(&trust, &chain);
        } else {
            let words = "a certificate policy is required, and the path is valid for none";
            rejects(&trust, &chain, 0, "no_policy", words);
        }
    }
    let root = TestCa::new("Root");
    let chain = explicit(0).signed_by(&root).leaf().issue();
    rejects(
        &root.trust(),
        &chain,
        0,
        "no_policy",
        "RFC 5280 section 6.1.5",
    );
}

#[test]
fn policy_mappings_are_followed_unless_inhibited() {
    let mapping = || issuing().policies(&[ONE]).map_policies(&[(ONE, TWO)]);
    let (trust, chain) = with_policies(mapping(), &[TWO]);
    accepts(&trust, &chain);
    accepts(&require(&trust, &[ONE]), &chain);
    accepts(&require(&trust, &[ANY]), &chain);
    rejects(&require(&trust, &[TWO]), &chain, 0, "no_policy", TWO);
    let inhibiting = CertificatePolicies::require([ONE])
        .unwrap()
        .inhibit_mapping();
    let inhibiting = trust.certificate_policies(inhibiting);
    rejects(&inhibiting, &chain, 1, "no_policy", ONE);
    let (trust, unmapped) = with_policies(mapping(), &[ONE]);
    rejects(&require(&trust, &[ONE]), &unmapped, 0, "no_policy", ONE);
    for mapping in [(ANY, ONE), (ONE, ANY)] {
        let issuer = issuing().policies(&[ONE]).map_policies(&[mapping]);
        let (trust, chain) = with_policies(issuer, &[ONE]);
        rejects(&trust, &chain, 1, "maps_any_policy", "section 4.2.1.5");
    }
    // policyConstraints of an issuer above inhibits the mapping, too.
    let root = TestCa::new("Root");
    let upper = TestCa::builder("Upper")
        .policies(&[ONE])
        .policy_constraints(None, Some(0));
    let lower = mapping().signed_by(&upper.signed_by(&root));
    let chain = lower.leaf().policies(&[TWO]).issue();
    accepts(&root.trust(), &chain);
    rejects(&require(&root.trust(), &[ONE]), &chain, 1, "no_policy", ONE);
}

#[test]
fn any_policy_counts_unless_inhibited() {
    let root = TestCa::new("Root");
    let any = |skip: Option<u8>| {
        let upper = TestCa::builder("Upper").policies(&[ONE]);
        let upper = match skip {
            Some(skip) => upper.inhibit_any_policy(skip),
            None => upper,
        };
        let lower = TestCa::builder("Lower").policies(&[ANY]);
        let lower = lower.signed_by(&upper.signed_by(&root));
        lower.leaf().policies(&[ONE]).issue()
    };
    let trust = require(&root.trust(), &[ONE]);
    accepts(&trust, &any(None));
    accepts(&trust, &any(Some(1)));
    accepts(&root.trust(), &any(Some(0)));
    rejects(&trust, &any(Some(0)), 1, "no_policy", ONE);
    let inhibiting = CertificatePolicies::require([ONE])
        .unwrap()
        .inhibit_any_policy();
    let inhibiting = root.trust().certificate_policies(inhibiting);
    rejects(&inhibiting, &any(None), 1, "no_policy", ONE);
    let below = TestCa::builder("Upper")
        .policies(&[ONE])
        .inhibit_any_policy(0);
    let below = below.signed_by(&root).leaf().policies(&[ANY]).issue();
    rejects(&trust, &below, 0, "no_policy", ONE);
    // It still counts in a self-issued intermediate, and in no leaf.
    let upper = TestCa::builder("Upper")
        .policies(&[ONE])
        .inhibit_any_policy(0)
        .signed_by(&root);
    let renewed = TestCa::builder("Upper").policies(&[ANY]).signed_by(&upper);
    accepts(&trust, &renewed.leaf().policies(&[ONE]).issue());
    let leaf = renewed.leaf().subject_der(upper.subject_der().to_vec());
    let leaf = leaf.policies(&[ANY]).issue();
    rejects(&trust, &leaf, 0, "no_policy", ONE);
}

#[test]
fn a_number_of_several_octets_is_read() {
    let root = TestCa::new("Root");
    let deep = TestCa::builder("Issuing").path_len(Some(200));
    accepts(&root.trust(), &deep.signed_by(&root).leaf().issue());
    for skip in [200, 256, 70_000] {
        let issuing = TestCa::builder("Issuing").policies(&[ONE]);
        let issuing = issuing.extension("2.5.29.54", true, &der::integer(skip));
        let chain = issuing.signed_by(&root).leaf().policies(&[ONE]).issue();
        accepts(&require(&root.trust(), &[ONE]), &chain);
    }
}

#[test]
fn a_pathological_policy_graph_is_linear() {
    let names: Vec<String> = (1..=20)
        .map(|last| format!("1.3.6.1.4.1.99999.{last}"))
        .collect();
    let policies: Vec<&str> = names.iter().map(String::as_str).collect();
    let mappings: Vec<(&str, &str)> = policies
        .iter()
        .flat_map(|from| policies.iter().map(|to| (*from, *to)))
        .collect();
    let root = TestCa::new("Root");
    let lowest = (0..6).fold(root.clone(), |issuer, depth| {
        let ca = TestCa::builder(&format!("CA {depth}")).policies(&policies);
        ca.map_policies(&mappings).signed_by(&issuer)
    });
    let chain = lowest.leaf().policies(&policies[..1]).issue();
    // In a tree it had 20^6 nodes.
    accepts(&require(&root.trust(), &[ONE]), &chain);
    rejects(
        &require(&root.trust(), &["1.2.3"]),
        &chain,
        0,
        "no_policy",
        "1.2.3",
    );
}

#[test]
fn too_many_name_comparisons_are_rejected() {
    let names: Vec<Vec<u8>> = (0..1000)
        .map(|n| der::tlv(0x86, format!("h{n}.example")))
        .collect();
    let (trust, issuing) = constrained(&[], &names);
    let leaf = |count: usize| {
        let leaf = issuing.leaf();
        (0..count).fold(leaf, |leaf: LeafBuilder, n| {
            leaf.uri(&format!("https://x{n}.example/"))
        })
    };
    accepts(&trust, &leaf(200).issue());
    let words = "more than 250,000 comparisons";
    rejects(
        &trust,
        &leaf(300).issue(),
        0,
        "too_many_name_comparisons",
        words,
    );
    // A comparison with a long name counts as several: here as seven.
    let label = "x".repeat(62);
    let names: Vec<Vec<u8>> = (1000..2000)
        .map(|n| der::tlv(0x86, format!("{n}.{label}.{label}.{label}")))
        .collect();
    let (trust, issuing) = constrained(&[], &names);
    let leaf = |count: usize| {
        let leaf = issuing.leaf();
        (0..count).fold(leaf, |leaf: LeafBuilder, n| {
            leaf.uri(&format!("https://x{n}.example/"))
        })
    };
    accepts(&trust, &leaf(30).issue());
    let code = "too_many_name_comparisons";
    rejects(&trust, &leaf(40).issue(), 0, code, words);
}

#[test]
fn unknown_critical_extensions_are_named_also_in_pins() {
    let root = TestCa::new("Root");
    let odd = |critical| {
        root.leaf()
            .extension("1.2.3.4", critical, &der::null())
            .issue()
    };
    accepts(&root.trust(), &odd(false));
    rejects(
        &root.trust(),
        &odd(true),
        0,
        "critical_extension",
        "1.2.3.4",
    );
    let pinned = |chain: &Issued| TrustStore::empty().pin(&chain.certificate());
    let critical = odd(true);
    rejects(
        &pinned(&critical),
        &critical,
        0,
        "critical_extension",
        "1.2.3.4",
    );
    let policies = root.leaf().policies(&[ONE]).issue();
    accepts(&pinned(&policies), &policies);
}

#[test]
fn a_server_with_critical_policies_has_its_names() {
    let root = TestCa::new("Root");
    let chain = root.leaf().dns("a.example").policies(&[ONE]).issue();
    let verified = verify_as(Side::Server, root.trust(), &chain, UnixTime::now()).unwrap();
    let name = |name| ServerName::try_from(name).unwrap();
    assert_eq!(
        ChainVerifier::verify_name(verified.leaf(), &name("a.example")),
        Ok(())
    );
    let error = ChainVerifier::verify_name(verified.leaf(), &name("b.example")).unwrap_err();
    assert_eq!(error.reason(), "name_mismatch");
}

#[test]
fn server_auth_is_accepted_of_clients_by_choice() {
    let root = TestCa::new("Root");
    let trust = root.trust();
    let accepting = trust
        .clone()
        .extended_key_usage(EkuPolicy::AcceptServerAuth);
    let issuer = |oids: &[&str]| {
        let issuer = TestCa::builder("Issuing").extended_key_usage(oids);
        issuer.signed_by(&root)
    };
    let both = issuer(&[SERVER_AUTH, CLIENT_AUTH]);
    for chain in [
        root.leaf().server_only().issue(),
        both.leaf().server_only().issue(),
        issuer(&[SERVER_AUTH]).leaf().server_only().issue(),
    ] {
        let error = verify(trust.clone(), &chain).unwrap_err();
        assert_eq!(error.reason(), "wrong_extended_key_usage");
        let remedy = error.remedy();
        assert!(remedy.contains("since 2026-06-15"), "{remedy}");
        assert!(remedy.contains("EkuPolicy::AcceptServerAuth"), "{remedy}");
        accepts(&accepting, &chain);
    }
    accepts(&accepting, &root.leaf().client_only().issue());
    let code_signing = root
        .leaf()
        .extended_key_usage(Some(&["1.3.6.1.5.5.7.3.3"]))
        .issue();
    let error = verify(accepting.clone(), &code_signing).unwrap_err();
    assert_eq!(error.reason(), "wrong_extended_key_usage");
    let client_only = root.leaf().client_only().issue();
    let error = verify_as(Side::Server, accepting, &client_only, UnixTime::now()).unwrap_err();
    assert_eq!(
        error.reason(),
        "wrong_extended_key_usage",
        "for servers nothing changes"
    );
}

#[test]
fn a_clock_tolerance_is_for_not_before_and_at_most_five_minutes() {
    let root = TestCa::new("Root");
    let at = |seconds: i64| {
        let now = UnixTime::now().as_secs().saturating_add_signed(seconds);
        UnixTime::since_unix_epoch(Duration::from_secs(now))
    };
    let starts = |seconds| root.leaf().validity(at(seconds), at(86_400)).issue();
    let tolerant = |minutes: u64| {
        root.trust()
            .clock_tolerance(Duration::from_secs(60 * minutes))
    };
    let reason = |trust, chain: &Issued| verify(trust, chain).unwrap_err().reason();
    assert_eq!(reason(root.trust(), &starts(100)), "not_yet_valid");
    accepts(&tolerant(2), &starts(100));
    accepts(&tolerant(60), &starts(290));
    assert_eq!(reason(tolerant(2), &starts(150)), "not_yet_valid");
    assert_eq!(reason(tolerant(60), &starts(400)), "not_yet_valid");
    let expired = root.leaf().validity(at(-86_400), at(-10)).issue();
    assert_eq!(reason(tolerant(5), &expired), "expired");
    let never = root.leaf().validity(at(60), at(-60)).issue();
    assert_eq!(reason(tolerant(5), &never), "invalid_path");
    // A pin has no path that rustls-webpki would check, too.
    let pinned = |chain: &Issued| tolerant(2).pin(&chain.certificate());
    let (near, far) = (starts(100), starts(150));
    accepts(&pinned(&near), &near);
    assert_eq!(reason(pinned(&far), &far), "not_yet_valid");
}

#[test]
fn names_match_by_text_by_choice() {
    let root = TestCa::new("Root");
    let issuing = root.intermediate("Issuing CA");
    // The issuer as a PrintableString in capitals, of the same length.
    let leaf = issuing.leaf().dns("a.example").map_tbs(|tbs| {
        let from = [&[0x0c, 10][..], b"Issuing CA"].concat();
        let to = [&[0x13, 10][..], b"ISSUING CA"].concat();
        let at = tbs.windows(12).position(|part| part == from).unwrap();
        [&tbs[..at], &to, &tbs[at + 12..]].concat()
    });
    let chain = leaf.issue();
    let error = verify(root.trust(), &chain).unwrap_err();
    assert_eq!(error.reason(), "unknown_issuer");
    accepts(&root.trust().name_matching(NameMatching::Rfc5280), &chain);
    let back = root.trust().name_matching(NameMatching::Rfc5280);
    let back = back.name_matching(NameMatching::Exact);
    assert_eq!(verify(back, &chain).unwrap_err().reason(), "unknown_issuer");
    // Also to a root, and to an intermediate of the store.
    let alone = chain.leaf_only();
    let by_text = |store: TrustStore| store.name_matching(NameMatching::Rfc5280);
    let intermediate = Certificate::from_der(&issuing.certificate_der()).unwrap();
    let stored = root.trust().with_intermediate(intermediate.clone());
    match verify(stored, &alone).unwrap_err() {
        ChainError::UnknownIssuer { alike, .. } => {
            assert_eq!(alike.as_ref(), Some(intermediate.subject()), "a hint");
        }
        other => panic!("{other}"),
    }
    accepts(
        &by_text(root.trust().with_intermediate(intermediate.clone())),
        &alone,
    );
    accepts(
        &by_text(root.trust()).with_intermediate(intermediate),
        &alone,
    );
    let as_root = || TrustStore::from_der([issuing.certificate_der()]).unwrap();
    accepts(&by_text(as_root()), &alone);
    accepts(&by_text(TrustStore::empty()).and(as_root()), &alone);
    let other = TestCa::new("Issuing CA");
    let error = verify(by_text(other.trust()), &alone).unwrap_err();
    assert_eq!(error.reason(), "bad_signature", "the key decides");
}
