//! A peer on the deny list is rejected at its next connection, although all else is in order.

mod printed;
mod second_signature;
mod spellings;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use countersign::gate::AdmitError;
use countersign::identity::{DnsName, SerialAndIssuer};
use countersign::policy::{DeniedBy, DenyEntry, DenyList, IssuerText, SerialText};
use countersign::testing::{Issued, TestCa};
use countersign::{
    AcceptError, Acceptor, Certificate, ConnectError, ConnectionInfo, Connector, Control, Decision,
    HandshakeError, Peer, TrustStore, policy,
};
use rustls::AlertDescription as A;
use rustls_pki_types::CertificateDer;
use support::{
    Recording, SERVER, VERSIONS, Version, acceptor, alert_seen, deny_all, exchange_and_close,
    handshake, provider,
};

fn serial(certificate: &Certificate) -> DenyEntry<DnsName> {
    DenyEntry::Serial(SerialAndIssuer::of(certificate).unwrap())
}

fn key(certificate: &Certificate) -> DenyEntry<DnsName> {
    DenyEntry::Key(certificate.spki_sha256())
}

fn identity(name: &str) -> DenyEntry<DnsName> {
    DenyEntry::Identity(name.parse().unwrap())
}

fn certificate(ca: &TestCa) -> Certificate {
    Certificate::from_der(&ca.certificate_der()).unwrap()
}

fn client(ca: &TestCa, issued: &Issued, version: Version) -> Connector<DnsName> {
    Connector::builder()
        .credentials(issued.credentials())
        .trust(ca.trust())
        .identify(DnsName::extractor())
        .authorize(policy::allow_any())
        .allow_tls12()
        .crypto_provider(provider(version))
        .build()
        .unwrap()
}

/// `None` when it is admitted; otherwise what is on the list.
fn denied(gate: &Control<DnsName>, chain: &[CertificateDer<'_>]) -> Option<DeniedBy> {
    let info = ConnectionInfo::default().with_server_name(SERVER);
    match gate.admit_chain(chain, info) {
        Ok(_) => None,
        Err(AdmitError::DenyListed { by, certificate }) => {
            assert_eq!(certificate.der(), &chain[0]);
            Some(by)
        }
        Err(other) => panic!("{other}"),
    }
}

/// Each entry denies full and resumed handshakes, with its own alert, until it is removed. The session can
/// then be resumed again.
#[tokio::test(start_paused = true)]
async fn an_entry_takes_effect_on_the_next_connection() {
    let ca = TestCa::new("Root");
    let issued = ca.leaf().dns("client.example").issue();
    let certificate = issued.certificate();
    for (entry, by, alert, words) in [
        (
            serial(&certificate),
            DeniedBy::Serial,
            A::CertificateRevoked,
            "has the serial number of a certificate of its chain",
        ),
        (
            key(&certificate),
            DeniedBy::Key,
            A::CertificateRevoked,
            "has a key of its chain",
        ),
        (
            identity("client.example"),
            DeniedBy::Identity,
            A::AccessDenied,
            "has its identity",
        ),
    ] {
        for version in VERSIONS {
            let list = DenyList::new();
            let seen = Recording::new(policy::allow_any());
            let acceptor = acceptor(&ca, seen.clone())
                .deny_list(&list)
                .allow_tls12()
                .build()
                .unwrap();
            let denied = async |client: &Connector<DnsName>| {
                let (server, client) = handshake(&acceptor, client).await;
                let error = server.unwrap_err();
                assert_eq!(error.reason(), "deny_listed", "{version:?}");
                assert!(error.to_string().contains(words), "{error}");
                let AcceptError::NotAdmitted(AdmitError::DenyListed { by: actual, .. }) = error
                else {
                    panic!("{error}")
                };
                assert_eq!(actual, by);
                assert_eq!(alert_seen(client).await, alert, "{version:?}");
            };
            let client = || client(&ca, &issued, version);
            let returning = client();
            let (server, client_side) = handshake(&acceptor, &returning).await;
            exchange_and_close(server, client_side).await;

            assert!(list.insert(entry.clone()));
            denied(&returning).await;
            denied(&client()).await;
            assert_eq!(seen.count(), 1, "the policy is not asked about the denied");

            assert!(list.remove(&entry));
            for client in [&returning, &client()] {
                let (server, client) = handshake(&acceptor, client).await;
                exchange_and_close(server, client).await;
            }
            assert_eq!(seen.resumed(), [false, true, false], "{version:?}");
        }
    }
}

/// What an entry does not match: a similar peer is admitted.
#[test]
fn an_entry_matches_nothing_else() {
    let root = TestCa::new("Root");
    let other_root = TestCa::new("Other Root");
    let trust = root.trust().and(other_root.trust());
    let of_serial =
        |ca: &TestCa, number: &[u8], name: &str| ca.leaf().dns(name).serial(number).issue();
    let target = of_serial(&root, &[5, 1], "client.example");
    let same_number = of_serial(&other_root, &[5, 1], "client.example");
    let same_name = of_serial(&root, &[5, 2], "client.example");
    let other_name = of_serial(&root, &[5, 3], "clients.example");
    // Another certificate for the target's key.
    let spki = target.certificate().spki().to_vec();
    let same_key = root.leaf().dns("other.example").spki_der(spki).issue();

    let list = DenyList::new();
    let acceptor = Acceptor::builder()
        .credentials(root.leaf().dns(SERVER).issue().credentials())
        .trust(trust)
        .identify(DnsName::extractor())
        .authorize(policy::allow_any())
        .deny_list(&list)
        .build()
        .unwrap();
    let verdicts = || {
        [&target, &same_number, &same_name, &other_name, &same_key]
            .map(|peer| denied(acceptor.control(), peer.chain()))
    };
    assert_eq!(verdicts(), [None; 5]);
    let certificate = target.certificate();
    let text = SerialAndIssuer::of(&certificate).unwrap().to_string();
    for (entry, expected) in [
        (
            serial(&certificate),
            [Some(DeniedBy::Serial), None, None, None, None],
        ),
        // As it is written in a file.
        (
            DenyEntry::Serial(text.parse().unwrap()),
            [Some(DeniedBy::Serial), None, None, None, None],
        ),
        (
            key(&certificate),
            [Some(DeniedBy::Key), None, None, None, Some(DeniedBy::Key)],
        ),
        (
            identity("client.example"),
            [
                Some(DeniedBy::Identity),
                Some(DeniedBy::Identity),
                Some(DeniedBy::Identity),
                None,
                None,
            ],
        ),
    ] {
        list.replace([entry]);
        assert_eq!(verdicts(), expected);
    }
    list.replace([]);
    assert_eq!(verdicts(), [None; 5]);
}

#[tokio::test(start_paused = true)]
async fn an_intermediate_is_denied_with_all_below_it() {
    let root = TestCa::new("Root");
    let denied_ca = root.intermediate("Denied");
    let lower = denied_ca.intermediate("Lower");
    let sibling = root.intermediate("Sibling");
    let leaf = |ca: &TestCa| ca.leaf().dns("client.example").issue();
    let list = DenyList::new();
    let acceptor = acceptor(&root, policy::allow_any())
        .deny_list(&list)
        .build()
        .unwrap();
    // It is not on the path of a peer that merely sends it along.
    let mut beside = leaf(&root).chain().to_vec();
    beside.push(denied_ca.certificate_der());
    for (entry, by) in [
        (serial(&certificate(&denied_ca)), DeniedBy::Serial),
        (key(&certificate(&denied_ca)), DeniedBy::Key),
    ] {
        list.replace([entry]);
        for (chain, expected) in [
            (leaf(&denied_ca).chain(), Some(by)),
            (leaf(&lower).chain(), Some(by)),
            (leaf(&sibling).chain(), None),
            (leaf(&root).chain(), None),
            (&beside, None),
        ] {
            assert_eq!(denied(acceptor.control(), chain), expected);
        }
        let client = client(&root, &leaf(&denied_ca), Version::Tls13);
        let (server, client) = handshake(&acceptor, &client).await;
        assert_eq!(server.unwrap_err().reason(), "deny_listed");
        assert_eq!(alert_seen(client).await, A::CertificateRevoked);
    }
    // An authority that two roots certified is denied by its key, whichever path is taken.
    list.replace([key(&certificate(&denied_ca))]);
    let renewed = denied_ca.cross_signed_by(&root);
    assert_eq!(
        denied(acceptor.control(), leaf(&renewed).chain()),
        Some(DeniedBy::Key)
    );
    list.replace([serial(&certificate(&denied_ca))]);
    assert_eq!(denied(acceptor.control(), leaf(&renewed).chain()), None);
}

/// Of several entries, the identity decides the alert: a new certificate would not help the peer.
#[test]
fn several_entries_for_one_peer() {
    let ca = TestCa::new("Root");
    let peer = ca.leaf().dns("client.example").issue();
    let list = DenyList::new();
    let acceptor = acceptor(&ca, deny_all).deny_list(&list).build().unwrap();
    let says = || denied(acceptor.control(), peer.chain());
    let entries = [
        key(&peer.certificate()),
        serial(&peer.certificate()),
        identity("client.example"),
    ];
    for (entry, by) in entries
        .iter()
        .zip([DeniedBy::Key, DeniedBy::Serial, DeniedBy::Identity])
    {
        list.insert(entry.clone());
        assert_eq!(says(), Some(by), "the policy would deny as well");
    }
    for (entry, by) in entries.iter().rev().zip([DeniedBy::Serial, DeniedBy::Key]) {
        list.remove(entry);
        assert_eq!(says(), Some(by));
    }
    list.remove(&entries[0]);
    let rejected = acceptor
        .control()
        .admit_chain(peer.chain(), ConnectionInfo::default());
    assert_eq!(
        rejected.unwrap_err().reason(),
        "denied",
        "by the policy now"
    );
}

/// The text of every serial number is an entry that denies its certificate, and no other.
#[test]
fn the_text_of_an_unusual_serial_number_reads_back() {
    let ca = TestCa::new("Root");
    let of = |content: &[u8]| {
        let leaf = ca.leaf().dns("client.example").serial(content);
        leaf.issue().certificate()
    };
    let other = of(&[7]);
    for content in [
        &[0x9f, 0, 0x11, 0x22][..], // negative
        &[0xff],
        &[0x80],
        &[0],
        &[0x7f; 32],
        &[&[0][..], &[0xff; 20]].concat(),
    ] {
        let certificate = of(content);
        let id = SerialAndIssuer::of(&certificate).unwrap();
        assert_eq!(id.to_string().parse(), Ok(id.clone()));
        let list: DenyList<DnsName> = DenyList::new();
        let entries = [
            DenyEntry::Serial(id.clone()),
            id.to_string().parse().unwrap(),
            format!("serial:{} issuer:CN=Root", certificate.serial())
                .parse()
                .unwrap(),
        ];
        for entry in entries {
            list.replace([entry]);
            let acceptor = acceptor(&ca, policy::allow_any())
                .deny_list(&list)
                .build()
                .unwrap();
            let by = |certificate: &Certificate| {
                denied(acceptor.control(), &[certificate.der().clone()])
            };
            assert_eq!(by(&certificate), Some(DeniedBy::Serial), "{content:x?}");
            assert_eq!(by(&other), None, "{content:x?}");
        }
    }
}

#[test]
fn a_list_is_a_set() {
    let ca = TestCa::new("Root");
    let one = ca.leaf().dns("client.example").issue().certificate();
    let list = DenyList::new();
    assert!(list.is_empty());
    let entries = [serial(&one), key(&one), identity("client.example")];
    for (count, entry) in (1..).zip(&entries) {
        assert!(!list.contains(entry));
        assert!(list.insert(entry.clone()));
        assert!(!list.insert(entry.clone()), "it is there already");
        assert!(list.contains(entry));
        assert_eq!(list.len(), count);
    }
    // All clones are one list.
    let clone = list.clone();
    assert!(clone.remove(&entries[1]));
    assert!(!list.remove(&entries[1]), "it is gone already");
    assert_eq!((list.len(), clone.len()), (2, 2));
    // Those that are not in the new ones are gone.
    clone.replace([entries[1].clone(), entries[1].clone()]);
    assert_eq!(list.len(), 1);
    assert!(list.contains(&entries[1]) && !list.contains(&entries[0]));
    list.replace([]);
    assert!(clone.is_empty());
    let serial = DenyEntry::NamedSerial {
        serial: SerialText::parse("1234").unwrap(),
        issuer: IssuerText::Printed("CN=Root".into()),
    };
    assert!(list.insert(serial.clone()) && list.insert(identity("other.example")));
    assert_eq!((list.len(), list.is_empty()), (2, false));
    assert!(list.remove(&serial));
    assert_eq!((list.len(), list.is_empty()), (1, false));
    // Its names stay with it.
    list.insert(identity("client.example"));
    assert!(!format!("{list:?}").contains("client"));
}

/// One list for several acceptors and connectors.
#[test]
fn acceptors_and_connectors_can_share_a_list() {
    let ca = TestCa::new("Root");
    let peer = ca.leaf().dns(SERVER).issue();
    let list = DenyList::new();
    let with_list = || acceptor(&ca, policy::allow_any()).deny_list(&list).build();
    let (one, two) = (with_list().unwrap(), with_list().unwrap());
    let without = acceptor(&ca, policy::allow_any()).build().unwrap();
    let connector = support::connector(&ca, "client.example")
        .deny_list(&list)
        .build()
        .unwrap();
    let gates = [
        one.control(),
        two.control(),
        connector.control(),
        without.control(),
    ];
    let verdicts = || gates.map(|gate| denied(gate, peer.chain()));
    assert_eq!(verdicts(), [None; 4]);
    list.insert(key(&peer.certificate()));
    let by = Some(DeniedBy::Key);
    assert_eq!(verdicts(), [by, by, by, None]);
}

/// A pinned certificate can be denied while the pin remains.
#[test]
fn a_pin_does_not_help() {
    let peer = TestCa::new("unused").leaf().dns("client.example");
    let peer = peer.common_name("client").self_signed();
    let ca = TestCa::new("Root");
    let list = DenyList::new();
    for trust in [
        TrustStore::empty().pin(&peer.certificate()),
        TrustStore::empty().pin_spki(peer.certificate().spki_sha256()),
    ] {
        let acceptor = Acceptor::builder()
            .credentials(ca.leaf().dns(SERVER).issue().credentials())
            .trust(trust)
            .identify(DnsName::extractor())
            .authorize(policy::allow_any())
            .deny_list(&list)
            .build()
            .unwrap();
        for (entry, by) in [
            (serial(&peer.certificate()), DeniedBy::Serial),
            (key(&peer.certificate()), DeniedBy::Key),
            (identity("client.example"), DeniedBy::Identity),
        ] {
            list.replace([entry]);
            assert_eq!(denied(acceptor.control(), peer.chain()), Some(by));
        }
        list.replace([]);
        assert_eq!(denied(acceptor.control(), peer.chain()), None);
    }
}

/// A peer that is denied while a slow policy runs is not admitted. The policy does not run for a peer that
/// is on the list already.
#[tokio::test(start_paused = true)]
async fn the_list_is_checked_again_after_a_slow_policy() {
    let ca = TestCa::new("Root");
    let issued = ca.leaf().dns("client.example").issue();
    for version in VERSIONS {
        for (name, is_denied) in [("client.example", true), ("other.example", false)] {
            let list = DenyList::new();
            let asked = Arc::new(AtomicUsize::new(0));
            let acceptor = acceptor(&ca, policy::allow_any())
                .deny_list(&list)
                .allow_tls12()
                .build()
                .unwrap();
            let thinking = {
                let (list, asked) = (list.clone(), asked.clone());
                move |_: Peer<DnsName>| {
                    let (list, asked) = (list.clone(), asked.clone());
                    async move {
                        asked.fetch_add(1, Ordering::SeqCst);
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        list.insert(identity(name));
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        Decision::allow("after some thought")
                    }
                }
            };
            acceptor
                .control()
                .set_async_policy(thinking, Duration::from_secs(1));
            let client = client(&ca, &issued, version);
            for times in 1..=2 {
                let (server, client) = handshake(&acceptor, &client).await;
                if is_denied {
                    assert_eq!(server.unwrap_err().reason(), "deny_listed");
                    assert_eq!(alert_seen(client).await, A::AccessDenied);
                    assert_eq!(asked.load(Ordering::SeqCst), 1, "{version:?}");
                } else {
                    exchange_and_close(server, client).await;
                    // That the list has changed is no reason to ask it again.
                    assert_eq!(asked.load(Ordering::SeqCst), times, "{version:?}");
                }
            }
        }
    }
}

/// The connector's list, and the alert that the server sees.
#[tokio::test(start_paused = true)]
async fn a_denied_server_sees_the_alert() {
    let ca = TestCa::new("Root");
    let server = ca.leaf().dns(SERVER).issue();
    let acceptor = Acceptor::builder()
        .credentials(server.credentials())
        .trust(ca.trust())
        .identify(DnsName::extractor())
        .authorize(policy::allow_any())
        .allow_tls12()
        .build()
        .unwrap();
    for version in VERSIONS {
        let list = DenyList::new();
        let connector = support::connector(&ca, "client.example")
            .deny_list(&list)
            .allow_tls12()
            .crypto_provider(provider(version))
            .build()
            .unwrap();
        for (entry, alert) in [
            (serial(&server.certificate()), A::CertificateRevoked),
            (key(&server.certificate()), A::CertificateRevoked),
            (identity(SERVER), A::AccessDenied),
        ] {
            let (server, client) = handshake(&acceptor, &connector).await;
            exchange_and_close(server, client).await;
            list.insert(entry);
            let (near, far) = tokio::io::duplex(64 * 1024);
            let serve = async {
                match acceptor.accept(near).await {
                    Err(AcceptError::Handshake(error)) => error.alert(),
                    Err(other) => panic!("the server is not content: {other}"),
                    Ok(mut stream) => {
                        let read = tokio::io::AsyncReadExt::read_u8(&mut stream).await;
                        let error = read.expect_err("the client is not content");
                        error.downcast::<HandshakeError>().unwrap().alert()
                    }
                }
            };
            // Should it be admitted, the server sees it go.
            let connect = async { connector.connect(SERVER, far).await.map(drop) };
            let (client, seen) = tokio::join!(connect, serve);
            let error = client.unwrap_err();
            assert_eq!(error.reason(), "deny_listed", "{version:?}");
            assert!(matches!(error, ConnectError::NotAdmitted(_)), "{error}");
            assert_eq!(seen, Some(alert), "{version:?}");
            list.replace([]);
        }
    }
}
