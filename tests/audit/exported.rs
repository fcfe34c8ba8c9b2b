//! One event for each handshake of an exported client configuration, on TLS 1.2 as on TLS 1.3.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use countersign::audit::{Action, AuditEvent, Memory};
use countersign::policy::{DenyEntry, DenyList};
use countersign::testing::{Issued, TestCa};
use countersign::{ConnectError, Connector, Decision, Peer, identity::DnsName};
use rustls::crypto::CryptoProvider;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, Signer, SigningKey, SingleCertAndKey};
use rustls::{
    AlertDescription, ClientConfig, ClientConnection, Error, OtherError, ServerConfig,
    ServerConnection, SignatureAlgorithm, SignatureScheme,
};

use support::raw_server::AnyClient;
use support::{SERVER, VERSIONS, Version, connector, deny_all, provider, thief};

struct World {
    trail: Memory,
    denied: DenyList<DnsName>,
    connector: Connector<DnsName>,
    config: Arc<ClientConfig>,
    good: Issued,
}

fn world(version: Version) -> World {
    let ca = TestCa::new("Root");
    let (trail, denied) = (Memory::new(), DenyList::new());
    let connector = connector(&ca, "client.example")
        .deny_list(&denied)
        .allow_tls12()
        .crypto_provider(provider(version))
        .audit(trail.clone())
        .build()
        .unwrap();
    World {
        trail,
        denied,
        config: Arc::new(connector.clone().into_authorizing_rustls_config()),
        connector,
        good: ca.leaf().dns(SERVER).issue(),
    }
}

fn server(shown: Arc<dyn ResolvesServerCert>) -> ServerConnection {
    server_that(Arc::new(AnyClient), shown, provider(Version::Tls13))
}

fn server_that(
    clients: Arc<dyn ClientCertVerifier>,
    shown: Arc<dyn ResolvesServerCert>,
    provider: Arc<CryptoProvider>,
) -> ServerConnection {
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(rustls::ALL_VERSIONS)
        .unwrap()
        .with_client_cert_verifier(clients)
        .with_cert_resolver(shown);
    ServerConnection::new(Arc::new(config)).unwrap()
}

/// Passes flights until there are no more, those of the server changed.
fn drive(
    client: &mut ClientConnection,
    server: &mut ServerConnection,
    change: impl Fn(usize, &mut Vec<u8>),
) -> Result<(), Error> {
    for flight in 0.. {
        let (mut to_server, mut to_client) = (Vec::new(), Vec::new());
        while client.wants_write() {
            client.write_tls(&mut to_server).unwrap();
        }
        server.read_tls(&mut to_server.as_slice()).unwrap();
        let _ = server.process_new_packets(); // the client's error counts
        while server.wants_write() {
            server.write_tls(&mut to_client).unwrap();
        }
        if to_client.is_empty() {
            break;
        }
        change(flight, &mut to_client);
        client.read_tls(&mut to_client.as_slice()).unwrap();
        client.process_new_packets()?;
    }
    Ok(())
}

impl World {
    fn start(&self) -> ClientConnection {
        ClientConnection::new(self.config.clone(), SERVER.try_into().unwrap()).unwrap()
    }

    /// The only event since the last time.
    fn only(&self) -> Arc<AuditEvent> {
        assert_eq!(self.connector.control().stats().in_flight, 0);
        crate::only(&self.trail)
    }
}

#[test]
fn a_handshake_has_one_event_whatever_comes_after_the_proof() {
    for version in VERSIONS {
        let world = world(version);
        let shown = || server(thief(&world.good, &world.good));
        // To its end.
        let mut client = world.start();
        let mut server = shown();
        drive(&mut client, &mut server, |_, _| ()).unwrap();
        assert!(!client.is_handshaking());
        let presented = server.peer_certificates().map(<[_]>::len);
        assert_eq!(
            presented,
            Some(1),
            "our certificate, though none is required"
        );
        drop(client);
        assert_eq!(world.only().action, Action::Admitted);

        // Dropped as soon as the server has proven its key.
        let mut client = world.start();
        drive(&mut client, &mut shown(), |flight, bytes| {
            if flight == 1 {
                bytes.clear();
            }
        })
        .unwrap();
        drop(client);
        assert_eq!(world.only().action, Action::Admitted);
    }

    // The server's Finished is broken. (On TLS 1.3 it is in the record of the certificate.)
    let world = world(Version::Tls12);
    let mut client = world.start();
    let mut server = server(thief(&world.good, &world.good));
    let end = drive(&mut client, &mut server, |flight, bytes| {
        if flight == 1 {
            *bytes.last_mut().unwrap() ^= 1;
        }
    });
    assert_eq!(end, Err(Error::DecryptError));
    drop(client);
    assert_eq!(world.only().action, Action::Admitted);
}

#[test]
fn a_handshake_that_is_given_up_before_the_server_shows_its_certificate_has_no_event() {
    for version in VERSIONS {
        let world = world(version);
        let mut hello = Vec::new();
        world.start().write_tls(&mut hello).unwrap();
        assert!(world.trail.take().is_empty());
        assert_eq!(world.connector.control().stats().in_flight, 0);
    }
}

#[test]
fn a_refused_server_has_one_event() {
    for version in VERSIONS {
        let world = world(version);
        let strange = TestCa::new("Other").leaf().dns(SERVER).issue();
        let mallory = TestCa::new("Other").leaf().dns(SERVER).issue();
        for (shown, action, reason) in [
            (
                thief(&strange, &strange),
                Action::ChainRefused,
                "unknown_issuer",
            ),
            (
                thief(&world.good, &mallory),
                Action::HandshakeFailed,
                "key_not_proven",
            ),
        ] {
            let mut client = world.start();
            drive(&mut client, &mut server(shown), |_, _| ()).unwrap_err();
            drop(client);
            let event = world.only();
            assert_eq!((event.action, event.reason), (action, Some(reason)));
        }
        world.connector.control().set_policy(deny_all);
        let mut client = world.start();
        let good = thief(&world.good, &world.good);
        drive(&mut client, &mut server(good), |_, _| ()).unwrap_err();
        assert_eq!(world.only().action, Action::Denied);

        let key = world.good.certificate().spki_sha256();
        assert!(world.denied.insert(DenyEntry::Key(key)));
        let mut client = world.start();
        let mut server = shown_by(&world.good);
        drive(&mut client, &mut server, |_, _| ()).unwrap_err();
        let event = world.only();
        assert_eq!(event.reason, Some("deny_listed"));
        let mut alert = Vec::new();
        client.write_tls(&mut alert).unwrap();
        server.read_tls(&mut alert.as_slice()).unwrap();
        let received = Err(Error::AlertReceived(AlertDescription::CertificateRevoked));
        assert_eq!(server.process_new_packets().map(drop), received);
    }
}

fn shown_by(issued: &Issued) -> ServerConnection {
    server(thief(issued, issued))
}

/// With each version, and with a HelloRetryRequest, the twin of which is a server that asks.
#[test]
fn a_server_that_does_not_ask_for_our_certificate_has_one_event() {
    let retries = {
        let mut provider = (*provider(Version::Tls13)).clone();
        provider.kx_groups.reverse(); // the client sends no key share for the one that the server prefers
        provider.kx_groups.truncate(1);
        Arc::new(provider)
    };
    for (version, provider) in [
        (Version::Tls12, provider(Version::Tls13)),
        (Version::Tls13, provider(Version::Tls13)),
        (Version::Tls13, retries),
    ] {
        let world = world(version);
        let asked: Arc<AtomicUsize> = Arc::default();
        let count = Arc::clone(&asked);
        world
            .connector
            .control()
            .set_policy(move |_: &Peer<DnsName>| {
                count.fetch_add(1, Ordering::SeqCst);
                Decision::allow("any")
            });
        let shown = || thief(&world.good, &world.good);
        let nobody = WebPkiClientVerifier::no_client_auth();
        let mut client = world.start();
        let mut server = server_that(nobody, shown(), provider.clone());
        let end = drive(&mut client, &mut server, |_, _| ()).unwrap_err();
        let Error::Other(OtherError(cause)) = end else {
            panic!("{end:?}");
        };
        let cause = cause.downcast_ref::<ConnectError>().expect("the cause");
        assert_eq!(cause.reason(), "not_asked");
        assert!(client.is_handshaking());
        let mut alert = Vec::new();
        client.write_tls(&mut alert).unwrap();
        server.read_tls(&mut alert.as_slice()).unwrap();
        let received = Err(Error::AlertReceived(AlertDescription::HandshakeFailure));
        assert_eq!(server.process_new_packets().map(drop), received);
        let event = world.only();
        let outcome = (event.action, event.reason);
        assert_eq!(outcome, (Action::HandshakeFailed, Some("not_asked")));
        assert_eq!(event.certificates.len(), 1);
        assert_eq!(asked.load(Ordering::SeqCst), 0, "the policy was not asked");

        let mut client = world.start();
        let mut server = server_that(Arc::new(AnyClient), shown(), provider);
        drive(&mut client, &mut server, |_, _| ()).unwrap();
        assert!(!client.is_handshaking());
        assert_eq!(world.only().action, Action::Admitted);
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }
}

/// A runtime may feed each part of a handshake on another thread, and other handshakes in between.
#[test]
fn a_request_counts_for_its_own_handshake_only() {
    for version in VERSIONS {
        let world = world(version);
        let shown = || thief(&world.good, &world.good);
        let feed = |client: &mut ClientConnection, bytes: &[u8]| {
            client.read_tls(&mut &*bytes).unwrap();
            client.process_new_packets().map(drop)
        };
        let asking: [Arc<dyn ClientCertVerifier>; 2] =
            [Arc::new(AnyClient), WebPkiClientVerifier::no_client_auth()];
        let mut pairs = asking.map(|clients| {
            let server = server_that(clients, shown(), provider(Version::Tls13));
            (world.start(), server)
        });
        let flights = pairs.each_mut().map(|(client, server)| {
            let (mut hello, mut flight) = (Vec::new(), Vec::new());
            client.write_tls(&mut hello).unwrap();
            server.read_tls(&mut hello.as_slice()).unwrap();
            server.process_new_packets().unwrap();
            while server.wants_write() {
                server.write_tls(&mut flight).unwrap();
            }
            flight
        });
        // One byte of each in turn, each on a thread of its own now and then.
        let mut ends = [None, None];
        let longest = flights[0].len().max(flights[1].len());
        for at in 0..longest {
            for (number, (client, _)) in pairs.iter_mut().enumerate() {
                let Some(byte) = flights[number].get(at..=at) else {
                    continue;
                };
                if ends[number].is_some() {
                    continue;
                }
                let fed = if at % 100 == number {
                    std::thread::scope(|scope| {
                        scope.spawn(|| feed(client, byte)).join().expect("no panic")
                    })
                } else {
                    feed(client, byte)
                };
                ends[number] = fed.err();
            }
        }
        assert_eq!(ends[0], None, "{version:?}");
        assert!(matches!(ends[1], Some(Error::Other(_))), "{:?}", ends[1]);
    }
}

/// A key that signs by another algorithm than the certificate and the cipher suite have.
#[derive(Debug)]
struct WrongAlgorithm;

impl SigningKey for WrongAlgorithm {
    fn choose_scheme(&self, _: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        Some(Box::new(Self))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

impl Signer for WrongAlgorithm {
    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(vec![0; 256])
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::RSA_PSS_SHA256
    }
}

/// On TLS 1.2 rustls ends such a handshake between the chain and the signature, and calls no verifier.
#[test]
fn a_server_that_signs_by_the_wrong_algorithm_has_one_event_when_the_next_handshake_begins() {
    for version in VERSIONS {
        let world = world(version);
        let shown = || {
            let key = CertifiedKey::new(world.good.chain().to_vec(), Arc::new(WrongAlgorithm));
            server(Arc::new(SingleCertAndKey::from(key)))
        };
        for _ in 0..3 {
            let mut client = world.start();
            drive(&mut client, &mut shown(), |_, _| ()).unwrap_err();
            drop(client);
            drop(world.start());
            let event = world.only();
            assert_eq!(event.reason, Some("key_not_proven"), "{version:?}");
            assert_eq!(event.certificates.len(), 1);
        }
    }
}

#[test]
fn or_when_its_thread_ends() {
    let world = world(Version::Tls12);
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let key = CertifiedKey::new(world.good.chain().to_vec(), Arc::new(WrongAlgorithm));
            let shown = Arc::new(SingleCertAndKey::from(key));
            let mut client = world.start();
            drive(&mut client, &mut server(shown), |_, _| ()).unwrap_err();
            assert!(world.trail.take().is_empty(), "it is pending");
        });
        thread.join().unwrap(); // also its destructors, for which a scope does not wait
    });
    assert_eq!(world.only().reason, Some("key_not_proven"));
}
