//! What TLS 1.2 lacks, where it is allowed: it must be made up for, or stay off.

use countersign::testing::TestCa;
use countersign::{AcceptError, ConnectError, HandshakeError, policy};
use rustls::{Error, PeerIncompatible};
use support::client_hello::{EXTENDED_MASTER_SECRET, without};
use support::raw::{RawClient, pending};
use support::raw_server::RawServer;
use support::{SERVER, Version, acceptor, connector, provider};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

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
