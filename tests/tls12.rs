//! What TLS 1.2 lacks, where it is allowed: it must be made up for, or stay off.
#![allow(clippy::unwrap_used)] // helpers of tests, too

#[path = "common/client_hello.rs"]
mod client_hello;
mod common;
#[path = "common/programs.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod programs;
#[path = "common/raw.rs"]
mod raw;
#[path = "common/raw_server.rs"]
mod raw_server;

use std::io::Read as _;
use std::net::TcpListener;

use client_hello::{EXTENDED_MASTER_SECRET, without};
use common::{SERVER, Version, acceptor, connector, provider};
use countersign::testing::TestCa;
use countersign::{AcceptError, ConnectError, HandshakeError, policy};
use programs::{PATIENCE, command, has_openssl};
use raw::{RawClient, pending};
use raw_server::RawServer;
use rustls::{AlertDescription, Error, PeerIncompatible, ServerConnection, Stream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
use tokio::time::timeout;

/// Without it, two sessions can be made to have the same secrets (RFC 7627).
#[tokio::test(start_paused = true)]
async fn an_acceptor_requires_extended_master_secret() {
    const HANDSHAKE: u8 = 22;
    const ALERT: [u8; 7] = [21, 3, 3, 0, 2, 2, 40]; // fatal, handshake_failure

    let ca = TestCa::new("Root");
    let acceptor = acceptor(&ca, policy::allow_any())
        .allow_tls12()
        .build()
        .unwrap();
    let client = RawClient::new(&ca, Version::Tls12, None);
    let answer = async |hello: Vec<u8>| {
        let (near, mut far) = duplex(64 * 1024);
        let client = async {
            far.write_all(&hello).await.unwrap();
            far.shutdown().await.unwrap();
            let mut answer = Vec::new();
            far.read_to_end(&mut answer).await.unwrap();
            answer
        };
        tokio::join!(acceptor.accept(near), client)
    };

    let hello = pending(&mut client.start());
    let (error, said) = answer(without(&hello, EXTENDED_MASTER_SECRET)).await;
    let Err(AcceptError::Handshake(HandshakeError::Tls(error))) = error else {
        panic!("{error:?}");
    };
    let required = PeerIncompatible::ExtendedMasterSecretExtensionRequired;
    assert_eq!(error, Error::PeerIncompatible(required));
    assert_eq!(said, ALERT);

    let (error, said) = answer(hello).await;
    assert_eq!(error.unwrap_err().reason(), "closed", "it left");
    assert_eq!(said[0], HANDSHAKE);
}

#[tokio::test(start_paused = true)]
async fn a_connector_requires_extended_master_secret() {
    let ca = TestCa::new("Root");
    let mut server = RawServer::new(&ca, &ca.leaf().dns(SERVER).issue());
    // The connector alone requires it. (rustls' FIPS build requires it on both sides.)
    server.config.require_ems = false;
    let connector = connector(&ca, "client.example")
        .allow_tls12()
        .crypto_provider(provider(Version::Tls12))
        .build()
        .unwrap();

    let (near, mut ours) = duplex(64 * 1024);
    let (mut theirs, far) = duplex(64 * 1024);
    let wire = async {
        let mut hello = vec![0; 16 * 1024];
        let length = ours.read(&mut hello).await.unwrap();
        let hello = without(&hello[..length], EXTENDED_MASTER_SECRET);
        theirs.write_all(&hello).await.unwrap();
        let _ = tokio::io::copy_bidirectional(&mut ours, &mut theirs).await;
    };
    let (_, error, ()) = tokio::join!(server.greet(far), connector.connect(SERVER, near), wire);
    let Err(ConnectError::Handshake(HandshakeError::Tls(error))) = error else {
        panic!("{error:?}");
    };
    let required = PeerIncompatible::ExtendedMasterSecretExtensionRequired;
    assert_eq!(error, Error::PeerIncompatible(required));

    assert!(!server.serve(&connector, SERVER).await.unwrap());
}

/// Who a client is was decided once; it does not become somebody else.
#[tokio::test]
async fn a_client_cannot_renegotiate() {
    if !has_openssl() {
        return;
    }
    let ca = TestCa::new("Root");
    let folder = tempfile::tempdir().unwrap();
    let issued = ca.leaf().dns("client.example").issue();
    let file = folder.path().join("client.pem");
    std::fs::write(&file, issued.key_pem() + &issued.chain_pem()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut openssl = command("openssl")
        .args(["s_client", "-tls1_2"])
        .args(["-connect", &format!("127.0.0.1:{port}")])
        .args(["-cert".as_ref(), file.as_os_str()])
        .spawn()
        .unwrap();
    let mut orders = openssl.stdin.take().unwrap();

    let (heard, hears) = tokio::sync::oneshot::channel();
    let server = tokio::task::spawn_blocking(move || {
        let acceptor = acceptor(&ca, policy::allow_any())
            .allow_tls12()
            .build()
            .unwrap();
        let (mut tcp, _) = listener.accept().unwrap();
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut connection = ServerConnection::new(acceptor.unauthorized_rustls_config()).unwrap();
        while connection.is_handshaking() {
            connection.complete_io(&mut tcp).unwrap();
        }
        acceptor.gate().admit(&connection, None).unwrap();
        let mut said = [0; 6];
        Stream::new(&mut connection, &mut tcp)
            .read_exact(&mut said)
            .unwrap();
        heard.send(said).unwrap();
        loop {
            if let Err(error) = connection.complete_io(&mut tcp) {
                return error;
            }
        }
    });
    let client = async {
        orders.write_all(b"hello\n").await.unwrap();
        assert_eq!(&hears.await.unwrap(), b"hello\n");
        orders.write_all(b"R\n").await.unwrap(); // s_client's order to renegotiate
        openssl.wait_with_output().await.unwrap()
    };
    let both = async { tokio::join!(server, client) };
    let (error, client) = timeout(PATIENCE, both).await.unwrap();
    let left = Error::AlertReceived(AlertDescription::HandshakeFailure);
    assert_eq!(error.unwrap().downcast::<Error>().unwrap(), left);
    let said = String::from_utf8_lossy(&client.stderr);
    assert!(said.contains("no renegotiation"), "{said}");
}
