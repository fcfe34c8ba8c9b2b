//! A denied serial number or key is recognized in each of its text forms.

use countersign::pki::Fingerprint;
use countersign::testing::{KeyType, der};

use super::*;
use support::{raw_client, refused_raw_client, thief};

/// Whether a list with these lines denies the holder of a certificate.
fn denies(ca: &TestCa, lines: &str, issued: &Issued) -> Option<DeniedBy> {
    let list = DenyList::new();
    list.replace(DenyEntry::parse_list(lines).unwrap());
    let acceptor = acceptor(ca, policy::allow_any()).deny_list(&list).build();
    denied(acceptor.unwrap().control(), issued.chain())
}

#[test]
fn a_serial_number_of_any_length_and_sign_is_denied_as_tools_print_it() {
    let ca = TestCa::new("Root");
    let with = |serial: &[u8]| ca.leaf().dns("client.example").serial(serial).issue();
    let negative = [0x9f, 0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66];
    let twenty = [&[0x7f][..], &[0x22; 19]].concat();
    let with_sign_octet = [&[0, 0xff][..], &[0x22; 19]].concat();
    for (serial, spelling) in [
        (&negative[..], "-60FFEEDDCCBBAA9A"),
        (&negative, "-0x60ffeeddccbbaa9a"),
        (&negative, "9f:00:11:22:33:44:55:66"),
        (&negative, "9F 00 11 22 33 44 55 66"),
        (&twenty, "7F22222222222222222222222222222222222222"),
        (&with_sign_octet, "FF22222222222222222222222222222222222222"),
        (
            &with_sign_octet,
            "00ff22222222222222222222222222222222222222",
        ),
        (&[0x55; 36], &"55".repeat(36)),
        (&[0], "00"),
        (&[0, 0, 1], "1"), // not DER, and accepted
    ] {
        for issuer in ["CN=Root".to_owned(), format!("#{}", hex(ca.subject_der()))] {
            let line = format!("serial:{spelling} issuer:{issuer}");
            let issued = with(serial);
            assert_eq!(
                denies(&ca, &line, &issued),
                Some(DeniedBy::Serial),
                "{line}"
            );
            assert_eq!(denies(&ca, &line, &with(&[0x12, 0x34])), None, "{line}");
        }
    }
    // With the zero octet it is positive, and denies no negative number.
    let line = "serial:009f00112233445566 issuer:CN=Root";
    assert_eq!(denies(&ca, line, &with(&negative)), None);
}

#[test]
fn an_entry_is_removed_with_all_its_numbers() {
    let ca = TestCa::new("Root");
    let issued = ca.leaf().dns("client.example").serial(&[0x9f, 1]).issue();
    let list = DenyList::new();
    let acceptor = acceptor(&ca, policy::allow_any()).deny_list(&list).build();
    let acceptor = acceptor.unwrap();
    let [bare, signed] = ["serial:9f01 issuer:CN=Root", "serial:-60ff issuer:CN=Root"]
        .map(|line| line.parse::<DenyEntry<DnsName>>().unwrap());
    list.insert(bare.clone());
    list.insert(signed.clone());
    assert!(list.remove(&bare));
    assert_eq!(
        denied(acceptor.control(), issued.chain()),
        Some(DeniedBy::Serial)
    );
    assert!(list.remove(&signed));
    assert_eq!(denied(acceptor.control(), issued.chain()), None);
}

#[test]
fn a_name_that_no_certificate_can_have_is_rejected_as_issuer() {
    for line in [
        "serial:01 issuer:CN = Root",
        "serial:01 issuer:C=DE, CN=Root",
        "serial:01 issuer:cn=Root",
        "serial:01",
    ] {
        let message = DenyEntry::<DnsName>::parse_list(line)
            .unwrap_err()
            .to_string();
        assert!(message.contains("serial:HEX issuer:NAME"), "{message}");
    }
}

#[test]
fn a_key_is_denied_in_each_of_its_encodings() {
    let ca = TestCa::new("Root");
    let leaf = || ca.leaf().dns("client.example");
    let usual = leaf().issue().certificate().spki().to_vec();
    let (x, y) = (&usual[27..59], &usual[59..]);
    let curve = der::oid("1.2.840.10045.3.1.7");
    let ec = |parameters: &[u8], point: &[u8]| {
        let algorithm = der::sequence(&[&der::oid("1.2.840.10045.2.1")[..], parameters]);
        der::sequence(&[algorithm, der::bit_string(0, point)])
    };
    let parity = 2 + (y[31] & 1);
    let compressed = ec(&curve, &[&[parity], x].concat());
    let other_y = ec(&curve, &[&[parity ^ 1], x].concat());
    assert_eq!(ec(&curve, &[&[4], x, y].concat()), usual);
    let with = |spki: &[u8]| leaf().spki_der(spki.to_vec()).issue();

    let rsa = |parameters: &[u8]| {
        let modulus = [&[0xc1][..], &[0x5a; 254], &[1]].concat();
        let key = der::sequence(&[
            der::tlv(2, [&[0], &*modulus].concat()),
            der::integer(65_537),
        ]);
        let algorithm = der::sequence(&[&der::oid("1.2.840.113549.1.1.1")[..], parameters]);
        der::sequence(&[algorithm, der::bit_string(0, key)])
    };
    for (listed, shown) in [
        (&usual, &usual),
        (&usual, &compressed),
        (&compressed, &compressed),
        (&compressed, &usual),
        (&rsa(&[]), &rsa(&der::null())),
        // A peer cannot prove that it owns a key without NULL, so such a key is only listed.
    ] {
        let line = format!("spki:{}", Fingerprint::of(listed));
        assert_eq!(denies(&ca, &line, &with(shown)), Some(DeniedBy::Key));
        assert_eq!(denies(&ca, &line, &with(&other_y)), None, "another key");
    }
    // From a certificate, the key is denied whatever its encoding there.
    for shown in [&usual, &compressed] {
        let list = DenyList::new();
        list.insert(DenyEntry::key_of(&with(&compressed).certificate()));
        let acceptor = acceptor(&ca, policy::allow_any()).deny_list(&list).build();
        let acceptor = acceptor.unwrap();
        assert_eq!(
            denied(acceptor.control(), with(shown).chain()),
            Some(DeniedBy::Key)
        );
    }
}

#[test]
fn digits_after_a_minus_that_fit_two_numbers_deny_both() {
    let ca = TestCa::new("Root");
    let with = |serial: &[u8]| ca.leaf().dns("client.example").serial(serial).issue();
    let line = "serial:-9f0011 issuer:CN=Root";
    for serial in [&[0x9f, 0, 0x11][..], &[0xff, 0x60, 0xff, 0xef]] {
        assert_eq!(denies(&ca, line, &with(serial)), Some(DeniedBy::Serial));
    }
    assert_eq!(denies(&ca, line, &with(&[0, 0x9f, 0, 0x11])), None);
}

/// rustls-webpki accepts a compressed point with aws-lc-rs, so the holder of a denied key can connect with
/// one.
#[tokio::test(start_paused = true)]
async fn a_compressed_point_that_authenticates_is_denied_by_the_usual_key() {
    let ca = TestCa::new("Root");
    let usual = ca.leaf().dns("client.example").issue();
    let spki = usual.certificate().spki().to_vec();
    let algorithm = der::sequence(&[
        der::oid("1.2.840.10045.2.1"),
        der::oid("1.2.840.10045.3.1.7"),
    ]);
    let point = [&[2 + (spki[90] & 1)], &spki[27..59]].concat();
    let compressed = der::sequence(&[algorithm, der::bit_string(0, point)]);
    let shown = ca.leaf().dns("client.example").spki_der(compressed).issue();
    let list = DenyList::new();
    let acceptor = acceptor(&ca, policy::allow_any()).deny_list(&list).build();
    let acceptor = acceptor.unwrap();
    let client = || raw_client(&ca, Version::Tls13, Some(thief(&shown, &usual)));

    let (near, far) = tokio::io::duplex(64 * 1024);
    let connector = tokio_rustls::TlsConnector::from(Arc::new(client()));
    let connected = connector.connect(SERVER.try_into().unwrap(), far);
    let (accepted, _) = tokio::join!(acceptor.accept(near), connected);
    assert!(accepted.is_ok(), "the encoding authenticates");

    list.insert(key(&usual.certificate()));
    let (error, _) = refused_raw_client(&acceptor, client()).await;
    assert_eq!(error.reason(), "deny_listed");
}

/// A pin trusts one encoding only.
#[test]
fn a_pinned_key_stays_exact() {
    let ca = TestCa::new("Root");
    let stranger = TestCa::new("Stranger");
    let pinned = stranger
        .leaf()
        .dns("client.example")
        .key(KeyType::P256)
        .issue();
    let usual = pinned.certificate().spki().to_vec();
    let parity = 2 + (usual[90] & 1);
    let algorithm = der::sequence(&[
        der::oid("1.2.840.10045.2.1"),
        der::oid("1.2.840.10045.3.1.7"),
    ]);
    let point = [&[parity], &usual[27..59]].concat();
    let compressed = der::sequence(&[algorithm, der::bit_string(0, point)]);
    let other = stranger
        .leaf()
        .dns("client.example")
        .spki_der(compressed)
        .issue();
    let trust = ca.trust().pin_spki(pinned.certificate().spki_sha256());
    let acceptor = Acceptor::builder()
        .credentials(ca.leaf().dns(SERVER).issue().credentials())
        .trust(trust)
        .identify(DnsName::extractor())
        .authorize(policy::allow_any())
        .build()
        .unwrap();
    let ask = |issued: &Issued| {
        let admitted = acceptor
            .control()
            .admit_chain(issued.chain(), ConnectionInfo::default());
        admitted.map(drop).map_err(|error| error.reason())
    };
    assert_eq!(ask(&pinned), Ok(()));
    assert_eq!(ask(&other), Err("unknown_issuer"));
}

/// Three entries for one certificate: the last that is removed admits it again, in whatever order they are removed.
#[test]
fn entries_for_one_number_are_removed_one_by_one() {
    let ca = TestCa::new("Root");
    let peer = ca.leaf().dns("client.example").serial(&[5, 1]).issue();
    let id = SerialAndIssuer::of(&peer.certificate()).unwrap();
    let by_der = id.to_string().parse().unwrap();
    let by_name = "serial:0501 issuer:CN=Root".parse().unwrap();
    let entries: [DenyEntry<DnsName>; 3] = [DenyEntry::Serial(id), by_der, by_name];
    let list = DenyList::new();
    let acceptor = acceptor(&ca, policy::allow_any()).deny_list(&list).build();
    let acceptor = acceptor.unwrap();
    let by = || denied(acceptor.control(), peer.chain());
    for first in 0..3 {
        for entry in &entries {
            assert!(!list.contains(entry) && list.insert(entry.clone()));
            assert!(list.contains(entry) && !list.insert(entry.clone()));
        }
        for step in 0..3 {
            assert_eq!(by(), Some(DeniedBy::Serial), "{first} {step}");
            let entry = &entries[(first + step) % 3];
            assert!(list.remove(entry) && !list.contains(entry));
            assert!(!list.remove(entry), "it is not on the list any more");
        }
        assert_eq!(by(), None, "{first}");
        assert!(list.is_empty());
    }
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}
