//! 0-RTT, which could be replayed, is never on.

use std::io::Write as _;

use countersign::testing::TestCa;
use countersign::{Resumption, policy};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt, DuplexStream, duplex};

use super::{member, resumed, with};
use support::raw::{RawClient, pending, talk};
use support::raw_server::RawServer;
use support::{SERVER, VERSIONS, Version, acceptor, connector};

#[test]
fn it_cannot_be_customized_on() {
    for choice in [Resumption::Stateful, Resumption::Stateless, Resumption::Off] {
        let acceptor = acceptor(&TestCa::new("Root"), policy::allow_any())
            .resumption(choice)
            .customize_rustls(|config| {
                config.max_early_data_size = 1024;
                config.send_half_rtt_data = true;
            })
            .build()
            .unwrap();
        let config = acceptor.unauthorized_rustls_config();
        assert_eq!(config.max_early_data_size, 0);
        assert!(!config.send_half_rtt_data);
    }
}

#[tokio::test(start_paused = true)]
async fn an_acceptor_invites_none() {
    for version in VERSIONS {
        let ca = TestCa::new("Root");
        let acceptor = with(&ca, Resumption::Stateful);
        let client = eager(&ca, version);
        client.sessions.collect();
        assert!(!resumed(client.call(&acceptor).await));
        client.sessions.spend();
        assert!(client.start().early_data().is_none());
        assert_eq!(client.sessions.offered(), 1, "{version:?}: it would resume");
    }
}

#[tokio::test(start_paused = true)]
async fn an_acceptor_takes_none() {
    let ca = TestCa::new("Root");
    for choice in [Resumption::Stateful, Resumption::Stateless] {
        let acceptor = with(&ca, choice);
        let client = eager(&ca, Version::Tls13);
        client.sessions.collect();
        assert!(!resumed(client.call(&acceptor).await));
        client.sessions.spend();
        client.sessions.forge_early_data();

        let (near, far) = duplex(64 * 1024);
        let server = async {
            let mut stream = acceptor.accept(near).await.unwrap();
            assert!(stream.peer().connection().is_resumed());
            AsyncWriteExt::write_all(&mut stream, b"s").await.unwrap();
            let mut heard = Vec::new();
            stream.read_to_end(&mut heard).await.unwrap();
            heard
        };
        let (heard, accepted) = tokio::join!(server, speak_early(&client, far));
        assert!(!accepted);
        assert_eq!(heard, b"late", "{choice:?}");
    }
}

/// The same client with a server that does take early data.
#[tokio::test(start_paused = true)]
async fn another_server_may_take_it() {
    let ca = TestCa::new("Root");
    let server = eager_server(&ca);
    let client = eager(&ca, Version::Tls13);
    client.sessions.collect();
    assert_eq!(client.meet(|io| server.greet(io)).await.0, None);
    client.sessions.spend();
    let (near, far) = duplex(64 * 1024);
    let (early, accepted) = tokio::join!(server.greet(near), speak_early(&client, far));
    assert!(accepted);
    assert_eq!(early.unwrap(), b"early");
}

#[tokio::test(start_paused = true)]
async fn a_connector_sends_none() {
    let ca = TestCa::new("Root");
    let server = eager_server(&ca);
    let connector = connector(&ca, "client.example")
        .customize_rustls(|config| config.enable_early_data = true)
        .build()
        .unwrap();
    assert!(!server.serve(&connector, SERVER).await.unwrap());
    let (near, far) = duplex(64 * 1024);
    let client = async {
        let mut stream = connector.connect(SERVER, far).await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), b's');
        stream.peer().connection().is_resumed()
    };
    let (early, resumed) = tokio::join!(server.greet(near), client);
    assert!(resumed);
    assert_eq!(early, None, "not even an empty one");
}

fn eager(ca: &TestCa, version: Version) -> RawClient {
    let mut client = member(ca, version);
    client.config.enable_early_data = true;
    client
}

fn eager_server(ca: &TestCa) -> RawServer {
    let mut server = RawServer::new(ca, &ca.leaf().dns(SERVER).issue());
    server.config.max_early_data_size = 1024;
    server
}

/// Sends `early` before the handshake and `late` after it. Whether the early data was accepted.
async fn speak_early(client: &RawClient, mut io: DuplexStream) -> bool {
    let mut connection = client.start();
    connection
        .early_data()
        .expect("the session allows it")
        .write_all(b"early")
        .unwrap();
    talk(&mut connection, &mut io).await.unwrap();
    connection.writer().write_all(b"late").unwrap();
    connection.send_close_notify();
    let last = pending(&mut connection);
    // The other server does not wait for it.
    let _ = AsyncWriteExt::write_all(&mut io, &last).await;
    connection.is_early_data_accepted()
}
