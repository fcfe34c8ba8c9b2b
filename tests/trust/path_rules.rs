//! Path validation by RFC 5280 section 6.1, and the options of a trust store about it: for each class of
//! extension, chains that are valid and chains that are not.

use std::time::Duration;

use countersign::testing::{Issued, LeafBuilder, TestCa, TestCaBuilder, der};
use countersign::trust::{
    CertificatePolicies, ChainError, ChainVerifier, EkuPolicy, NameMatching, VerifiedChain,
};
use countersign::{Certificate, Diagnostic as _, Side, TrustStore};
use rustls_pki_types::{ServerName, UnixTime};
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

/// rustls-webpki rejects these too, but does not process a path with a self-issued certificate.
#[test]
fn a_leaf_whose_extension_is_no_sequence_is_rejected_on_every_path() {
    let root = TestCa::new("Root");
    let issuing = root.intermediate("Issuing");
    let with_root = |chain: &Issued| {
        let mut chain = chain.chain().to_vec();
        chain.push(root.certificate_der());
        chain
    };
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
