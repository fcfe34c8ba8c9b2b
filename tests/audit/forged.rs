//! What a peer cannot make an event say of the connection.

use countersign::audit::{Action, Memory};
use countersign::testing::TestCa;
use countersign::{Acceptor, identity::DnsName, policy};
use rustls::{CipherSuite, ClientConnection, ProtocolVersion};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

use crate::only;
use support::{SERVER, Version, acceptor, connector, handshake, raw_client};

/// A ServerHello of TLS 1.2 in a record of its own: choices that were never made.
fn forged() -> Vec<u8> {
    let mut record = vec![22, 3, 3, 0, 42, 2, 0, 0, 38, 3, 3];
    record.extend([7; 32]);
    record.extend([0, 0xc0, 0x2f, 0]); // TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
    record
}

/// Sends these pieces one after the other, each when the server has read and answered the last.
async fn send(acceptor: &Acceptor<DnsName>, pieces: &[Vec<u8>]) -> &'static str {
    let (near, mut far) = duplex(64 * 1024);
    let client = async {
        for piece in pieces {
            far.write_all(piece).await.unwrap();
            tokio::task::yield_now().await;
        }
        far.shutdown().await.unwrap();
        far.read_to_end(&mut Vec::new()).await.unwrap();
    };
    let (accepted, ()) = tokio::join!(acceptor.accept(near), client);
    accepted.map(drop).unwrap_err().reason()
}

#[tokio::test]
async fn a_client_cannot_forge_the_version_and_cipher_suite_of_its_event() {
    let ca = TestCa::new("Root");
    let trail = Memory::new();
    let acceptor = acceptor(&ca, policy::allow_any())
        .audit(trail.clone())
        .build()
        .unwrap();

    for pieces in [vec![forged()], vec![forged(), forged()]] {
        send(&acceptor, &pieces).await;
        let event = only(&trail);
        assert_eq!(event.action, Action::HandshakeFailed);
        assert_eq!(event.info.version(), None);
        assert_eq!(event.info.cipher_suite(), None);
        assert_eq!(event.info.key_exchange_group(), None);
    }

    // After a real ClientHello, the event has what this server has chosen.
    let config = raw_client(&ca, Version::Tls13, None);
    let mut client = ClientConnection::new(config.into(), SERVER.try_into().unwrap()).unwrap();
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();
    for pieces in [
        vec![hello.clone(), forged()],
        vec![[hello, forged()].concat()],
    ] {
        send(&acceptor, &pieces).await;
        let event = only(&trail);
        assert_eq!(event.action, Action::HandshakeFailed);
        assert_eq!(event.info.version(), Some(ProtocolVersion::TLSv1_3));
        let suite = event.info.cipher_suite().unwrap();
        assert_ne!(suite, CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256);
        assert!(event.info.key_exchange_group().is_some());
    }
}

/// A client reads the choices of the server that it connects to, also if it rejects it.
#[tokio::test]
async fn the_event_of_a_refused_server_has_its_version_and_cipher_suite() {
    let (ca, other) = (TestCa::new("Root"), TestCa::new("Other"));
    let trail = Memory::new();
    let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
    let connector = connector(&other, "client.example")
        .audit(trail.clone())
        .build()
        .unwrap();
    let (_server, client) = handshake(&acceptor, &connector).await;
    client.unwrap_err();
    let event = only(&trail);
    assert_eq!(event.reason, Some("unknown_issuer"));
    assert_eq!(event.info.version(), Some(ProtocolVersion::TLSv1_3));
    assert!(event.info.cipher_suite().is_some());
    assert!(event.info.key_exchange_group().is_some());
}

/// Nor does a server that sends a ServerHello after something else.
#[tokio::test]
async fn a_server_cannot_forge_them_with_a_later_record() {
    let ca = TestCa::new("Root");
    let trail = Memory::new();
    let connector = connector(&ca, "client.example")
        .audit(trail.clone())
        .build()
        .unwrap();
    let (mut near, far) = duplex(64 * 1024);
    let server = async {
        near.write_all(&[vec![21, 3, 3, 0, 2, 2, 40], forged()].concat())
            .await
            .unwrap();
        near.shutdown().await.unwrap();
        near.read_to_end(&mut Vec::new()).await.unwrap();
    };
    let (connected, ()) = tokio::join!(connector.connect(SERVER, far), server);
    connected.map(drop).unwrap_err();
    let event = only(&trail);
    assert_eq!(event.reason, Some("alert_received"));
    assert_eq!(event.info.version(), None);
}
