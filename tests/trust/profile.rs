//! `Profile::Rfc5280`: each refusal by its section, beside what passes.

use countersign::Side;
use countersign::identity::DnsName;
use countersign::testing::{Issued, TestCa, TestCaBuilder, der};
use countersign::trust::{ChainError, ChainVerifier, Profile};
use countersign::{
    AcceptError, Acceptor, Certificate, Connector, HandshakeError, TrustStore, policy,
};
use rustls::{AlertDescription, RootCertStore};
use rustls_pki_types::{CertificateDer, Der, TrustAnchor, UnixTime};
use support::{SERVER, Version, handshake};
use tokio::io::AsyncReadExt as _;

fn verify(trust: TrustStore, chain: &Issued, profile: Profile) -> Result<(), ChainError> {
    verify_der(trust, chain.chain(), profile)
}

fn verify_der(
    trust: TrustStore,
    presented: &[CertificateDer<'_>],
    profile: Profile,
) -> Result<(), ChainError> {
    let provider = support::provider(Version::Tls13);
    ChainVerifier::new(trust, Side::Client, &provider)
        .profile(profile)
        .verify(presented, UnixTime::now())
        .map(drop)
}

/// The chain passes by default, and the strict profile rejects the certificate at this position
/// by this section.
#[track_caller]
fn breaks(trust: &TrustStore, chain: &Issued, position: usize, section: &str, words: &str) {
    assert_eq!(
        verify(trust.clone(), chain, Profile::default()),
        Ok(()),
        "Compatible: {words}"
    );
    let error = verify(trust.clone(), chain, Profile::Rfc5280).expect_err(words);
    assert_eq!(error.reason(), "breaks_rfc5280", "{error}");
    let blamed = Certificate::from_der(&chain.chain()[position]).unwrap();
    assert_eq!(error.certificate(), Some(&blamed), "{error}");
    let text = error.to_string();
    let place = format!("breaks RFC 5280 section {section}: {words}");
    assert!(text.contains(&place), "{text}");
}

#[track_caller]
fn keeps(trust: &TrustStore, chain: &Issued) {
    assert_eq!(verify(trust.clone(), chain, Profile::Rfc5280), Ok(()));
}

/// Replaces bytes that must be there, by as many.
fn replaced(mut tbs: Vec<u8>, from: &[u8], to: &[u8]) -> Vec<u8> {
    let at = tbs.windows(from.len()).position(|part| part == from);
    let at = at.expect("the certificate has it");
    tbs[at..at + to.len()].copy_from_slice(to);
    tbs
}

/// The object identifiers as they are encoded, 2.5.29.99 is unassigned.
const NOBODYS: &[u8] = b"\x06\x03\x55\x1d\x63";
const SUBJECT_KEY_ID: &[u8] = b"\x06\x03\x55\x1d\x0e";
const AUTHORITY_KEY_ID: &[u8] = b"\x06\x03\x55\x1d\x23";

const BASIC_CONSTRAINTS: &str = "2.5.29.19";
const NAME_CONSTRAINTS: &str = "2.5.29.30";
const POLICY_CONSTRAINTS: &str = "2.5.29.36";
const INHIBIT_ANY_POLICY: &str = "2.5.29.54";

#[test]
fn a_serial_number_is_positive_and_has_at_most_20_octets() {
    let root = TestCa::new("Root");
    let with = |serial: &[u8]| root.leaf().dns("a.example").serial(serial).issue();
    for serial in [&[0][..], &[0x80], &[0xff; 20]] {
        let words = "the serial number must be positive";
        breaks(&root.trust(), &with(serial), 0, "4.1.2.2", words);
    }
    let long = [&[0x7f][..], &[0xff; 20]].concat();
    let words = "the serial number must have at most 20 octets";
    breaks(&root.trust(), &with(&long), 0, "4.1.2.2", words);

    // One that needs an octet more for its sign has 20 all the same.
    let longest = [&[0][..], &[0xff; 20]].concat();
    for serial in [&[1][..], &[0, 0x80], &[0x7f; 20], &longest] {
        keeps(&root.trust(), &with(serial));
    }
}

#[test]
fn an_empty_subject_needs_a_critical_san() {
    let root = TestCa::new("Root");
    let leaf = || root.leaf().dns("a.example");
    let words = "an empty subject needs a critical subjectAltName";
    let uncritical = leaf().san_critical(false).issue();
    breaks(&root.trust(), &uncritical, 0, "4.2.1.6", words);
    breaks(&root.trust(), &root.leaf().issue(), 0, "4.2.1.6", words);

    keeps(&root.trust(), &leaf().san_critical(true).issue());
    let named = leaf().common_name("a").san_critical(false).issue();
    keeps(&root.trust(), &named);
    keeps(&root.trust(), &root.leaf().common_name("a").issue());
}

#[test]
fn names_have_the_syntax_of_the_rfc() {
    let root = TestCa::new("Root");
    let leaf = || root.leaf().common_name("a");
    // rustls-webpki reads no further than the sequence's header.
    let cut_off = der::sequence(&[b"\x82\x09a.example".split_last().unwrap().1]);
    for san in [der::sequence::<&[u8]>(&[]), cut_off] {
        let unreadable = leaf().san_der(san).issue();
        let words = "a subjectAltName must be a sequence of at least one name";
        breaks(&root.trust(), &unreadable, 0, "4.2.1.6", words);
    }
    let long_label = format!("{}.example", "a".repeat(64));
    let long_name = "a.".repeat(124) + "example";
    for name in [
        "",
        " ",
        ".",
        "a.",
        ".a",
        "a..b",
        "a_b.example",
        "-a.example",
        "a-.example",
        "a b",
        "b\u{fc}cher.example",
        "192.0.2.1",
        "7",
        "*",
        "*.",
        "*.*.example",
        "a.*.example",
        "a*.example",
        "*.1",
        &long_label,
        &long_name,
    ] {
        let odd = leaf().dns("good.example").dns(name).issue();
        breaks(
            &root.trust(),
            &odd,
            0,
            "4.2.1.6",
            "a dNSName must be a host name",
        );
    }
    for octets in [
        &[][..],
        &[192, 0, 2],
        &[192, 0, 2, 0, 255, 255, 255, 0],
        &[0; 17],
    ] {
        let odd = leaf().general_name(0x87, octets).issue();
        let words = "an iPAddress must have 4 or 16 octets";
        breaks(&root.trust(), &odd, 0, "4.2.1.6", words);
    }

    let longest_label = format!("{}.example", "a".repeat(63));
    for name in [
        "a",
        "localhost",
        "A.Example",
        "1.example",
        "a-1.b--c.example",
        "xn--bcher-kva.example",
        "*.example",
        "*.a.example",
        &longest_label,
    ] {
        keeps(&root.trust(), &leaf().dns(name).issue());
    }
    let others = leaf()
        .ip([192, 0, 2, 1].into())
        .ip(std::net::Ipv6Addr::LOCALHOST.into())
        .spiffe("spiffe://example.org/a_b")
        .email("a_b@example.org");
    keeps(&root.trust(), &others.issue());
}

#[test]
fn no_extension_occurs_twice() {
    let root = TestCa::new("Root");
    let once = || {
        root.leaf()
            .dns("a.example")
            .extension("1.2.3.4", false, b"a")
    };
    let twice = once().extension("1.2.3.4", false, b"a").issue();
    let words = "no extension may occur twice";
    breaks(&root.trust(), &twice, 0, "4.2", words);
    keeps(
        &root.trust(),
        &once().extension("1.2.3.5", false, b"a").issue(),
    );
}

#[test]
fn there_are_key_identifiers() {
    let root = TestCa::new("Root");
    let leaf = || root.leaf().dns("a.example");
    let words = "there must be an authorityKeyIdentifier with a keyIdentifier";
    let without = leaf().map_tbs(|tbs| replaced(tbs, AUTHORITY_KEY_ID, NOBODYS));
    breaks(&root.trust(), &without.issue(), 0, "4.2.1.1", words);
    // The issuer's serial number [2] in place of the keyIdentifier [0].
    let by_serial = leaf().map_tbs(|tbs| {
        let id = tbs
            .windows(5)
            .position(|part| part == AUTHORITY_KEY_ID)
            .unwrap();
        let value = &tbs[id..];
        let field = id + value.iter().position(|&octet| octet == 0x80).unwrap();
        replaced(
            tbs.clone(),
            &tbs[id..=field],
            &[&tbs[id..field], &[0x82]].concat(),
        )
    });
    breaks(&root.trust(), &by_serial.issue(), 0, "4.2.1.1", words);

    let without = TestCa::builder("Middle")
        .map_tbs(|tbs| replaced(tbs, AUTHORITY_KEY_ID, NOBODYS))
        .signed_by(&root);
    breaks(&root.trust(), &good_leaf(&without), 1, "4.2.1.1", words);
    let without = TestCa::builder("Middle")
        .map_tbs(|tbs| replaced(tbs, SUBJECT_KEY_ID, NOBODYS))
        .signed_by(&root);
    let words = "an issuer must have a subjectKeyIdentifier";
    breaks(&root.trust(), &good_leaf(&without), 1, "4.2.1.2", words);

    // An end entity may go without the latter.
    keeps(&root.trust(), &leaf().issue());
    keeps(&root.trust(), &good_leaf(&root.intermediate("Middle")));
}

fn good_leaf(issuer: &TestCa) -> Issued {
    issuer.leaf().dns("a.example").issue()
}

#[test]
fn issuers_say_so_and_critically() {
    let root = TestCa::new("Root");
    let middle = || TestCa::builder("Middle");
    let under = |issuer: TestCaBuilder| good_leaf(&issuer.signed_by(&root));
    let authority = der::sequence(&[der::boolean(true)]);

    let words = "an issuer must have a keyUsage";
    let odd = under(middle().key_usage(None));
    breaks(&root.trust(), &odd, 1, "4.2.1.3", words);
    let odd = under(middle().no_basic_constraints().extension(
        BASIC_CONSTRAINTS,
        false,
        &authority,
    ));
    let words = "an issuer's basicConstraints must be critical";
    breaks(&root.trust(), &odd, 1, "4.2.1.9", words);

    keeps(
        &root.trust(),
        &under(
            middle()
                .no_basic_constraints()
                .extension(BASIC_CONSTRAINTS, true, &authority),
        ),
    );
    keeps(&root.trust(), &under(middle().path_len(Some(0))));
    // An end entity owes neither.
    let leaf = root.leaf().dns("a.example").key_usage(None);
    let leaf = leaf.basic_constraints(None).extension(
        BASIC_CONSTRAINTS,
        false,
        &der::sequence::<&[u8]>(&[]),
    );
    keeps(&root.trust(), &leaf.issue());
}

#[test]
fn end_entities_constrain_no_name() {
    let root = TestCa::new("Root");
    let leaf = || root.leaf().dns("a.example");
    let example = subtrees(0xa0, &["example"]);
    for critical in [false, true] {
        let odd = leaf().extension(NAME_CONSTRAINTS, critical, &example);
        let words = "only an issuer may have nameConstraints";
        breaks(&root.trust(), &odd.issue(), 0, "4.2.1.10", words);
    }
    let basic = |parts: &[Vec<u8>]| {
        leaf()
            .basic_constraints(None)
            .extension(BASIC_CONSTRAINTS, true, &der::sequence(parts))
            .issue()
    };
    for parts in [
        &[der::integer(0)][..],
        &[der::boolean(false), der::integer(0)],
    ] {
        let words = "only an issuer may have a path length";
        breaks(&root.trust(), &basic(parts), 0, "4.2.1.9", words);
    }

    keeps(&root.trust(), &basic(&[]));
    keeps(&root.trust(), &leaf().basic_constraints(None).issue());
}

#[test]
fn name_constraints_are_critical_and_have_a_subtree() {
    let root = TestCa::new("Root");
    let under = |critical, value: &[u8]| {
        let middle = TestCa::builder("Middle").extension(NAME_CONSTRAINTS, critical, value);
        good_leaf(&middle.signed_by(&root))
    };
    let permitted = subtrees(0xa0, &["example"]);
    let words = "nameConstraints must be critical";
    let odd = under(false, &permitted);
    breaks(&root.trust(), &odd, 1, "4.2.1.10", words);
    let empty = subtrees(0xa0, &[]);
    for value in [&der::sequence::<&[u8]>(&[])[..], &empty] {
        let words = "nameConstraints must have a subtree";
        breaks(&root.trust(), &under(true, value), 1, "4.2.1.10", words);
    }

    keeps(&root.trust(), &under(true, &permitted));
    keeps(&root.trust(), &under(true, &subtrees(0xa1, &["b.example"])));
}

/// A `NameConstraints` of one field with these DNS names.
fn subtrees(field: u8, names: &[&str]) -> Vec<u8> {
    let subtrees: Vec<_> = names
        .iter()
        .map(|name| der::sequence(&[der::tlv(0x82, name)]))
        .collect();
    der::sequence(&[der::tlv(field, subtrees.concat())])
}

#[test]
fn constraints_on_policies_are_not_passed_over() {
    let root = TestCa::new("Root");
    let requires_policy = der::sequence(&[der::tlv(0x80, [5])]);
    for (oid, value, section, words) in [
        (
            POLICY_CONSTRAINTS,
            &requires_policy,
            "4.2.1.11",
            "policyConstraints must be critical",
        ),
        (
            INHIBIT_ANY_POLICY,
            &der::integer(0),
            "4.2.1.14",
            "inhibitAnyPolicy must be critical",
        ),
    ] {
        let under = |critical| {
            let middle = TestCa::builder("Middle").extension(oid, critical, value);
            good_leaf(&middle.signed_by(&root))
        };
        breaks(&root.trust(), &under(false), 1, section, words);
        keeps(&root.trust(), &under(true));
    }
}

/// A root without a name cannot be loaded from a certificate of the test CA: the anchor is made.
#[test]
fn the_issuer_has_a_name() {
    let root = TestCa::new("Root");
    let named = webpki::anchor_from_trusted_cert(&root.certificate_der())
        .unwrap()
        .to_owned();
    let nameless = TrustAnchor {
        subject: Der::from_slice(&[]),
        ..named.clone()
    };
    let trust = TrustStore::from_root_store(RootCertStore {
        roots: vec![named, nameless],
    });
    let subject = root.subject_der().to_vec();
    let odd = root.leaf().dns("a.example").map_tbs(move |tbs| {
        let at = tbs.windows(subject.len()).position(|part| part == subject);
        let (before, after) = tbs.split_at(at.unwrap());
        // Without its own header, which has a length of two octets.
        let fields = [&before[4..], &[0x30, 0], &after[subject.len()..]].concat();
        der::tlv(0x30, fields)
    });
    let words = "the issuer must not be empty";
    breaks(&trust, &odd.issue(), 0, "4.1.2.4", words);
    keeps(&trust, &good_leaf(&root));
}

/// Two certificates of one authority, of which one is careless.
#[test]
fn a_careless_path_does_not_hide_a_good_one() {
    let root = TestCa::new("Root");
    let issuer = root.intermediate("Middle");
    let good = issuer.certificate_der();
    let parsed = Certificate::from_der(&good).unwrap();
    let careless = root
        .leaf()
        .ca()
        .extended_key_usage(None)
        .subject_der(issuer.subject_der().to_vec())
        .spki_der(parsed.spki().to_vec())
        .issue();
    let leaf = issuer.leaf().dns("a.example").issue().leaf_der().clone();
    let careless = careless.leaf_der().clone();

    let verify = |issuers: &[&CertificateDer<'static>], profile| {
        let issuers = issuers.iter().copied().cloned();
        let presented: Vec<_> = std::iter::once(leaf.clone()).chain(issuers).collect();
        verify_der(root.trust(), &presented, profile).map_err(|error| error.reason())
    };
    for profile in [Profile::Compatible, Profile::Rfc5280] {
        for issuers in [&[&careless, &good], &[&good, &careless]] {
            assert_eq!(verify(issuers, profile), Ok(()));
        }
    }
    assert_eq!(verify(&[&careless], Profile::Compatible), Ok(()));
    let refused = verify(&[&careless], Profile::Rfc5280);
    assert_eq!(refused, Err("breaks_rfc5280"));
}

#[test]
fn roots_and_pins_are_not_looked_at() {
    let careless = TestCa::builder("Root")
        .no_basic_constraints()
        .key_usage(None)
        .map_tbs(|tbs| replaced(tbs, SUBJECT_KEY_ID, NOBODYS))
        .root();
    keeps(&careless.trust(), &good_leaf(&careless));

    let odd = careless.leaf().dns("a_b").serial(&[0]).self_signed();
    let certificate = Certificate::from_der(&odd.chain()[0]).unwrap();
    keeps(&TrustStore::empty().pin(&certificate), &odd);
    let key = certificate.spki_sha256();
    keeps(&TrustStore::empty().pin_spki(key), &odd);
}

/// The acceptor's and the connector's: odd peers get by each unless its own profile is strict.
#[tokio::test(start_paused = true)]
async fn the_builder_hands_the_profile_on() {
    let root = TestCa::new("Root");
    let odd = |name: &str| root.leaf().dns(name).serial(&[0]).issue().credentials();
    let acceptor = |profile| {
        Acceptor::builder()
            .credentials(odd(SERVER))
            .trust(root.trust())
            .identify(DnsName::extractor())
            .authorize(policy::allow_any())
            .profile(profile)
            .build()
            .unwrap()
    };
    let connector = |profile| {
        Connector::builder()
            .credentials(odd("client.example"))
            .trust(root.trust())
            .identify(DnsName::extractor())
            .authorize(policy::allow_any())
            .profile(profile)
            .build()
            .unwrap()
    };
    let (compatible, strict) = (Profile::Compatible, Profile::Rfc5280);

    let (server, client) = handshake(&acceptor(compatible), &connector(compatible)).await;
    assert_eq!(server.unwrap().peer().identity().as_str(), "client.example");
    assert_eq!(client.unwrap().peer().identity().as_str(), SERVER);

    let (server, client) = handshake(&acceptor(strict), &connector(compatible)).await;
    assert_eq!(server.unwrap_err().reason(), "breaks_rfc5280");
    let lost = client.unwrap().read_u8().await.unwrap_err();
    let lost = lost.downcast::<HandshakeError>().unwrap();
    assert_eq!(lost.alert(), Some(AlertDescription::BadCertificate));

    let (server, client) = handshake(&acceptor(compatible), &connector(strict)).await;
    assert_eq!(client.unwrap_err().reason(), "breaks_rfc5280");
    let AcceptError::Handshake(lost) = server.unwrap_err() else {
        panic!("the acceptor refused, too");
    };
    assert_eq!(lost.alert(), Some(AlertDescription::BadCertificate));
}
