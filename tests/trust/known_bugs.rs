//! Bugs that other systems published and that no other test is about: see `manual/known_bugs.md`.

use countersign::identity::DnsName;
use countersign::policy::{DenyEntry, DenyList};
use countersign::testing::{Issued, KeyType, TestCa, der};
use countersign::trust::{CertificatePolicies, ChainError, ChainVerifier};
use countersign::{Diagnostic as _, Side, TrustStore};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use support::Version;

fn verify(trust: TrustStore, chain: &[CertificateDer<'_>]) -> Result<(), ChainError> {
    let provider = support::provider(Version::Tls13);
    let verifier = ChainVerifier::new(trust, Side::Client, &provider);
    verifier.verify(chain, UnixTime::now()).map(drop)
}

fn reason(trust: &TrustStore, issued: &Issued) -> Result<(), &'static str> {
    verify(trust.clone(), issued.chain()).map_err(|error| error.reason())
}

/// A root, and an issuer with these permitted and excluded names.
fn constrained(permitted: &[Vec<u8>], excluded: &[Vec<u8>]) -> (TrustStore, TestCa) {
    let root = TestCa::new("Root");
    let issuing = TestCa::builder("Issuing").constrain_names(permitted, excluded);
    (root.trust(), issuing.signed_by(&root))
}

/// The rejection is by the name constraints.
#[track_caller]
fn outside(trust: &TrustStore, issued: &Issued) {
    let error = verify(trust.clone(), issued.chain()).unwrap_err();
    assert_eq!(error.reason(), "invalid_path", "{error}");
    assert!(error.cause().contains("name constraint"), "{error}");
}

/// CVE-2022-21449: with r and s of zero, both sides of the equation of ECDSA are zero.
#[test]
fn a_signature_of_zeros_is_rejected() {
    let pair = |r, s| der::sequence(&[der::integer(r), der::integer(s)]);
    for key in [KeyType::P256, KeyType::P384, KeyType::Ed25519] {
        let root = TestCa::builder("Root").key(key).root();
        let leaf = || root.leaf().dns("a.example");
        assert_eq!(reason(&root.trust(), &leaf().issue()), Ok(()));
        for signature in [
            pair(0, 0),
            pair(0, 1),
            pair(1, 0),
            vec![0; 64],
            vec![0; 96],
            vec![],
        ] {
            let forged = leaf().signature(signature.clone()).issue();
            let reason = reason(&root.trust(), &forged);
            assert_eq!(reason, Err("bad_signature"), "{key:?} {signature:02x?}");
        }
    }
}

/// An elliptic curve key with the parameters of its curve instead of the curve's name.
fn explicit(field: &[u8], base: &[u8], key: &[u8]) -> Vec<u8> {
    let number = |octets: &[u8]| der::tlv(2, [&[0], octets].concat());
    let prime_field = der::sequence(&[der::oid("1.2.840.10045.1.1"), number(field)]);
    let coefficients = der::sequence(&[der::tlv(4, [1; 32]), der::tlv(4, [2; 32])]);
    let parameters = der::sequence(&[
        der::integer(1),
        prime_field,
        coefficients,
        der::tlv(4, base),
        number(&[0x7f; 32]),
    ]);
    let algorithm = der::sequence(&[der::oid("1.2.840.10045.2.1"), parameters]);
    der::sequence(&[algorithm, der::bit_string(0, key)])
}

/// CVE-2020-0601: a key is the same as that of a root only on the same curve.
#[test]
fn a_root_s_point_on_another_curve_is_another_key() {
    let root = TestCa::new("Root");
    let spki = countersign::Certificate::from_der(&root.certificate_der())
        .unwrap()
        .spki()
        .to_vec();
    let point = spki[26..].to_vec();
    assert_eq!(point[0], 4, "a whole point");
    // The generator is the point itself, so that the private key is 1.
    let forged = root.same_name_other_key();
    let twin = forged
        .leaf()
        .common_name("Root")
        .ca()
        .spki_der(explicit(&[0xff; 32], &point, &point))
        .issue();
    let leaf = forged.leaf().dns("a.example").issue();
    let chain = [leaf.leaf_der().clone(), twin.leaf_der().clone()];
    let refused = verify(root.trust(), &chain).unwrap_err();
    assert_eq!(refused.reason(), "bad_signature");
    let genuine = root.leaf().dns("a.example").issue();
    let chain = [genuine.leaf_der().clone(), twin.leaf_der().clone()];
    verify(root.trust(), &chain).unwrap();
}

/// CVE-2022-0778: a square root is looked for modulo a number that is not prime.
#[test]
fn a_compressed_point_of_no_curve_is_rejected_at_once() {
    let root = TestCa::new("Root");
    let compressed = [&[3], &[5; 32][..]].concat();
    for field in [[0x55; 32], [0xfe; 32], [0; 32]] {
        let spki = explicit(&field, &compressed, &compressed);
        let leaf = root.leaf().dns("a.example").spki_der(spki).issue();
        assert_eq!(reason(&root.trust(), &leaf), Err("unsupported_key"));
        // The deny list reads such a key, too.
        let list = DenyList::<DnsName>::new();
        list.insert(DenyEntry::key_of(&leaf.certificate()));
        assert_eq!(list.len(), 1);
    }
}

/// CVE-2009-2408, CVE-2013-4238, CVE-2026-47778: text that ends at a NUL for some readers.
#[test]
fn a_server_name_does_not_end_at_a_nul() {
    let ca = TestCa::new("Root");
    let expected: ServerName<'_> = "a.example".try_into().unwrap();
    let verify = |issued: Issued| {
        ChainVerifier::verify_name(&issued.certificate(), &expected).map_err(|error| error.reason())
    };
    assert_eq!(verify(ca.leaf().dns("a.example").issue()), Ok(()));
    for name in [
        &b"a.example\0.evil.example"[..],
        b"a.example\0",
        b"\0a.example",
    ] {
        let leaf = ca.leaf().general_name(0x82, name).issue();
        assert_eq!(verify(leaf), Err("name_mismatch"), "{name:02x?}");
        let leaf = ca.leaf().attribute("2.5.4.3", 0x0c, name).issue();
        assert_eq!(verify(leaf), Err("name_mismatch"), "as common name");
    }
    assert_eq!(
        verify(ca.leaf().common_name("a.example").issue()),
        Err("name_mismatch"),
        "a common name is no server name"
    );
}

/// CVE-2023-0465: policies of a leaf that are malformed were not looked at any more.
#[test]
fn malformed_policies_of_a_leaf_are_no_policies() {
    let one = "1.3.6.1.4.1.99999.1";
    let root = TestCa::new("Root");
    let required = CertificatePolicies::require([one]).unwrap();
    let requiring = root.trust().certificate_policies(required);
    let policy = der::sequence(&[der::oid(one)]);
    let leaf = |value: Vec<u8>| root.leaf().extension("2.5.29.32", false, &value).issue();
    let good = der::sequence(std::slice::from_ref(&policy));
    assert_eq!(reason(&requiring, &leaf(good)), Ok(()));
    for value in [
        der::sequence(&[policy.clone(), policy.clone()]),
        der::sequence::<Vec<u8>>(&[]),
        der::null(),
        policy,
        vec![0x30, 0x80, 0, 0],
    ] {
        let verdict = reason(&requiring, &leaf(value.clone()));
        assert!(verdict.is_err(), "{value:02x?}");
    }
}

/// CVE-2026-27138: an empty name is compared with excluded names.
#[test]
fn an_empty_dns_name_below_excluded_names_is_rejected() {
    let (trust, issuing) = constrained(&[], &[der::tlv(0x82, "evil.example")]);
    assert_eq!(
        reason(&trust, &issuing.leaf().dns("a.example").issue()),
        Ok(())
    );
    for name in [&b""[..], b".", b"*.", b"*"] {
        let leaf = issuing.leaf().general_name(0x82, name).issue();
        assert_eq!(reason(&trust, &leaf), Err("invalid_path"), "{name:02x?}");
    }
}

/// CVE-2025-61727, CVE-2026-33810, RUSTSEC-2026-0099: a wildcard is more than one name, in any case.
#[test]
fn a_wildcard_that_covers_an_excluded_name_is_rejected_in_any_case() {
    let any = "2.5.29.32.0";
    let (trust, issuing) = constrained(&[], &[der::tlv(0x82, "secret.Example.org")]);
    for (name, is_valid) in [
        ("*.other.example", true),
        ("*.a.example.org", true),
        ("*.example.org", false),
        ("*.EXAMPLE.org", false),
        ("SECRET.example.org", false),
        ("*.secret.example.ORG", false),
    ] {
        // With critical policies, our validator decides alone.
        for leaf in [issuing.leaf(), issuing.leaf().policies(&[any])] {
            let issued = leaf.general_name(0x82, name.as_bytes()).issue();
            if is_valid {
                assert_eq!(reason(&trust, &issued), Ok(()), "{name}");
            } else {
                outside(&trust, &issued);
            }
        }
    }
    let (trust, issuing) = constrained(&[der::tlv(0x82, "accept.example.com")], &[]);
    let leaf = |name: &str| issuing.leaf().dns(name).issue();
    assert_eq!(reason(&trust, &leaf("*.accept.example.com")), Ok(()));
    outside(&trust, &leaf("*.example.com"));
}

/// CVE-2026-27137: of several mailboxes with one local part, only the last counted.
#[test]
fn every_mailbox_among_the_constraints_counts() {
    let mailboxes = ["a@one.example", "a@two.example", "a@three.example"];
    let names = mailboxes.map(|mailbox| der::tlv(0x81, mailbox));
    let (permitting, permitted) = constrained(&names, &[]);
    let (excluding, excluded) = constrained(&[], &names);
    for mailbox in mailboxes {
        let leaf = permitted.leaf().email(mailbox).issue();
        assert_eq!(reason(&permitting, &leaf), Ok(()), "{mailbox}");
        outside(&excluding, &excluded.leaf().email(mailbox).issue());
    }
    outside(
        &permitting,
        &permitted.leaf().email("a@four.example").issue(),
    );
    let leaf = excluded.leaf().email("a@four.example").issue();
    assert_eq!(reason(&excluding, &leaf), Ok(()));
}

/// CVE-2024-45341: the zone of an IPv6 address ends like a permitted host.
#[test]
fn a_zone_of_an_address_is_no_host() {
    let (trust, issuing) = constrained(&[der::tlv(0x86, ".example.org")], &[]);
    let leaf = |uri: &str| issuing.leaf().uri(uri).issue();
    assert_eq!(reason(&trust, &leaf("https://a.example.org/")), Ok(()));
    for uri in [
        "https://[fe80::1%25.example.org]/",
        "https://[fe80::1%25a.example.org]:443/",
        "https://fe80::1%a.example.org/",
    ] {
        outside(&trust, &leaf(uri));
    }
}
