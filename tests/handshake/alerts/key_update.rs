//! A peer that has updated its keys, and asked for new ones of ours, can still read our last record.
//!
//! rustls changes its own keys at once, and keeps its KeyUpdate back until it next sends data: a record
//! that is sealed with the new keys must come after it (RFC 8446 section 4.6.3).

use std::io::{ErrorKind, Read as _};
use std::sync::Arc;

use countersign::identity::DnsName;
use countersign::live::CloseReason;
use countersign::pki::Crl;
use countersign::policy::{DenyEntry, DenyList};
use countersign::testing::{Issued, TestCa};
use countersign::trust::Crls;
use countersign::{Acceptor, Connector, TlsStream, Update, policy};
use rustls::AlertDescription;
use rustls::server::WebPkiClientVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

use support::{
    SERVER, Version, acceptor, connector, connector_with, deny_all, provider, raw_client,
};

type ClientSide = tokio_rustls::client::TlsStream<DuplexStream>;
type ServerSide = tokio_rustls::server::TlsStream<DuplexStream>;
type Stream = TlsStream<DuplexStream, DnsName>;

fn certified(issued: &Issued) -> Arc<CertifiedKey> {
    let provider = provider(Version::Tls13);
    let key = provider.key_provider.load_private_key(issued.key_der());
    Arc::new(CertifiedKey::new(issued.chain().to_vec(), key.unwrap()))
}

/// A plain rustls client of this CA, connected.
async fn call(ca: &TestCa, client: &Issued, io: DuplexStream) -> ClientSide {
    let resolver = Arc::new(SingleCertAndKey::from(certified(client)));
    let config = raw_client(ca, Version::Tls13, Some(resolver));
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    connector
        .connect(SERVER.try_into().unwrap(), io)
        .await
        .unwrap()
}

/// A plain rustls server of this CA, which asks for certificates.
async fn serve(ca: &TestCa, io: DuplexStream) -> ServerSide {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(ca.certificate_der()).unwrap();
    let provider = provider(Version::Tls13);
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let key = certified(&ca.leaf().dns(SERVER).issue());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(rustls::ALL_VERSIONS)
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    acceptor.accept(io).await.unwrap()
}

/// What the peer's read gives: the alert, or `None` for close_notify.
fn alert(read: std::io::Result<u8>) -> Option<AlertDescription> {
    let error = read.expect_err("the connection is over");
    if error.kind() == ErrorKind::UnexpectedEof {
        return None;
    }
    match error.downcast::<rustls::Error>() {
        Ok(rustls::Error::AlertReceived(alert)) => Some(alert),
        other => panic!("the peer cannot read our alert: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_updates_its_keys_right_after_its_finished_reads_its_refusal() {
    let ca = TestCa::new("Root");
    let client = ca.leaf().dns("client.example").issue();
    let acceptor = acceptor(&ca, deny_all).build().unwrap();
    for updates in 0..4 {
        let (near, far) = duplex(64 * 1024);
        let peer = async {
            let mut peer = call(&ca, &client, far).await;
            // In one flight with the Finished: the server has not run since.
            for _ in 0..updates {
                peer.get_mut().1.refresh_traffic_keys().unwrap();
            }
            peer.flush().await.unwrap();
            alert(peer.read_u8().await)
        };
        let (refused, seen) = tokio::join!(acceptor.accept(near), peer);
        assert_eq!(refused.map(drop).unwrap_err().reason(), "denied");
        assert_eq!(seen, Some(AlertDescription::AccessDenied), "{updates}");
    }
}

/// What an application changes so that an open connection is cut, and the alert for it.
type Change = fn(&World);
struct World {
    ca: TestCa,
    client: Issued,
    acceptor: Acceptor<DnsName>,
    denied: DenyList<DnsName>,
}

const CHANGES: [(Change, Option<AlertDescription>); 4] = [
    (
        |world| world.acceptor.control().set_policy(deny_all),
        Some(AlertDescription::AccessDenied),
    ),
    (
        |world| {
            let crl = world.ca.crl().number(2).revoke(world.client.serial());
            let crls = Crls::new([Crl::from_der(&crl.build()).unwrap()]).unwrap();
            world
                .acceptor
                .control()
                .update(Update::new().revocation(crls))
                .unwrap();
        },
        Some(AlertDescription::CertificateRevoked),
    ),
    (
        |world| {
            let name = "client.example".parse().unwrap();
            world.denied.replace([DenyEntry::Identity(name)]);
        },
        Some(AlertDescription::AccessDenied),
    ),
    // Without a refusal: close_notify.
    (
        |world| {
            world.acceptor.control().close_where(|_| true);
        },
        None,
    ),
];

fn world() -> World {
    let ca = TestCa::new("Root");
    let denied = DenyList::new();
    let crls = Crls::new([Crl::from_der(&ca.crl().build()).unwrap()]).unwrap();
    let acceptor = acceptor(&ca, policy::allow_any())
        .revocation(crls)
        .deny_list(&denied)
        .build()
        .unwrap();
    World {
        client: ca.leaf().dns("client.example").issue(),
        ca,
        acceptor,
        denied,
    }
}

/// An open connection whose client has updated its keys so often since.
async fn opened(world: &World, updates: usize) -> (Stream, ClientSide) {
    let (near, far) = duplex(64 * 1024);
    let (server, client) = tokio::join!(
        world.acceptor.accept(near),
        call(&world.ca, &world.client, far)
    );
    let (mut server, mut client) = (server.unwrap(), client);
    for _ in 0..updates {
        client.get_mut().1.refresh_traffic_keys().unwrap();
    }
    client.write_all(b"c").await.unwrap();
    client.flush().await.unwrap();
    assert_eq!(server.read_u8().await.unwrap(), b'c');
    (server, client)
}

#[tokio::test(start_paused = true)]
async fn a_client_that_has_updated_its_keys_reads_why_it_is_cut() {
    for (change, expected) in CHANGES {
        for updates in 0..4 {
            // A stream that waits in a read, and one that is dropped.
            for dropped in [false, true] {
                let world = world();
                let (mut server, mut client) = opened(&world, updates).await;
                change(&world);
                let seen = if dropped {
                    drop(server);
                    client.read_u8().await
                } else {
                    let (cut, seen) = tokio::join!(server.read_u8(), client.read_u8());
                    let why = cut
                        .unwrap_err()
                        .downcast::<CloseReason>()
                        .expect("it says why");
                    assert_eq!(why.alert(), expected);
                    seen
                };
                assert_eq!(alert(seen), expected, "{updates} {dropped}");
            }
        }
    }
}

/// What was written before the cut comes first, then the KeyUpdate, then the alert.
#[tokio::test(start_paused = true)]
async fn what_was_written_before_the_cut_is_read_before_the_alert() {
    let world = world();
    let (near, far) = duplex(4096); // takes less than is written
    let (server, client) = tokio::join!(
        world.acceptor.accept(near),
        call(&world.ca, &world.client, far)
    );
    let (mut server, mut client) = (server.unwrap(), client);
    let written = [7; 20_000];
    assert_eq!(server.write(&written).await.unwrap(), written.len());
    client.get_mut().1.refresh_traffic_keys().unwrap();
    let talk = async {
        client.write_all(b"c").await.unwrap();
        client.flush().await.unwrap();
    };
    let (byte, ()) = tokio::join!(server.read_u8(), talk);
    assert_eq!(byte.unwrap(), b'c');
    world.acceptor.control().set_policy(deny_all);
    let read = async {
        let mut read = Vec::new();
        let end = loop {
            if let Err(error) = client.read_buf(&mut read).await {
                break error;
            }
        };
        // tokio-rustls gives an alert at once, also if data came with it.
        let rest = client.get_mut().1.reader().read_to_end(&mut read);
        assert!(rest.is_ok() || rest.is_err_and(|error| error.kind() == ErrorKind::WouldBlock));
        assert_eq!(read, written);
        Err(end)
    };
    let (cut, seen) = tokio::join!(server.read_u8(), read);
    assert!(cut.is_err());
    assert_eq!(alert(seen), Some(AlertDescription::AccessDenied));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_has_updated_its_keys_reads_why_it_is_cut() {
    let ca = TestCa::new("Root");
    for updates in 0..4 {
        let connector: Connector<DnsName> =
            connector_with(&ca, "client.example", policy::allow_any())
                .build()
                .unwrap();
        let (near, far) = duplex(64 * 1024);
        let (client, mut server) = tokio::join!(connector.connect(SERVER, far), serve(&ca, near));
        let mut client = client.unwrap();
        for _ in 0..updates {
            server.get_mut().1.refresh_traffic_keys().unwrap();
        }
        server.write_all(b"s").await.unwrap();
        server.flush().await.unwrap();
        assert_eq!(client.read_u8().await.unwrap(), b's');
        connector.control().set_policy(deny_all);
        let (cut, seen) = tokio::join!(client.read_u8(), server.read_u8());
        assert!(cut.unwrap_err().downcast::<CloseReason>().is_ok());
        assert_eq!(
            alert(seen),
            Some(AlertDescription::AccessDenied),
            "{updates}"
        );
    }
}

/// The positive twin: an admitted stream goes on after KeyUpdates from both ends.
#[tokio::test(start_paused = true)]
async fn an_admitted_stream_continues_after_key_updates() {
    let world = world();
    let (mut server, mut client) = opened(&world, 3).await;
    for _ in 0..3 {
        client.get_mut().1.refresh_traffic_keys().unwrap();
        client.write_all(b"c").await.unwrap();
        client.flush().await.unwrap();
        assert_eq!(server.read_u8().await.unwrap(), b'c');
        server.write_all(b"s").await.unwrap();
        server.flush().await.unwrap();
        assert_eq!(client.read_u8().await.unwrap(), b's');
    }
    let closing = async {
        server.shutdown().await.unwrap();
        alert(client.read_u8().await)
    };
    assert_eq!(closing.await, None);

    // And one that never updated its keys; its connector is ours.
    let connector = connector(&world.ca, "client.example").build().unwrap();
    let (server, client) = support::handshake(&world.acceptor, &connector).await;
    support::exchange_and_close(server, client).await;
}

/// After a cut, nothing is left to do where no runtime is.
#[test]
fn a_cut_stream_can_be_dropped_without_a_runtime() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let world = world();
    let (server, mut client) = runtime.block_on(opened(&world, 1));
    runtime.block_on(async { world.acceptor.control().set_policy(deny_all) });
    drop(server);
    let seen = runtime.block_on(client.read_u8());
    assert_eq!(alert(seen), Some(AlertDescription::AccessDenied));
}
