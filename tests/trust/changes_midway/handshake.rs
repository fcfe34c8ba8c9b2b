//! Before each record of a handshake in small pieces.

use std::cell::Cell;

use countersign::identity::DnsName;
use countersign::pki::Crl;
use countersign::testing::TestCa;
use countersign::trust::Crls;
use countersign::{AcceptError, Acceptor, Connector, Update, policy};
use rustls::{AlertDescription, Error};
use tokio::io::{AsyncReadExt as _, duplex};

use support::raw::{RawClient, Seen, serve};
use support::raw_server::RawServer;
use support::wire::{self, carry};
use support::{SERVER, VERSIONS, Version, acceptor, connector, provider};

/// Small enough that a certificate takes several records.
const PIECE: usize = 96;

#[tokio::test(start_paused = true)]
async fn a_client_that_is_no_longer_trusted_is_rejected() {
    for version in VERSIONS {
        for resumes in [false, true] {
            for number in 0.. {
                let ca = TestCa::new("Root");
                let other = TestCa::new("Another Root");
                let (acceptor, client) = meet_first(&ca, version, resumes).await;
                let update = || Update::new().trust(other.trust());
                let met = meet(&acceptor, &client, number, update).await;
                if !met.changed {
                    assert_eq!(met.server.unwrap(), resumes);
                    met.client.end.unwrap();
                    assert!(number > 2, "the handshake had so few records");
                    break;
                }
                let at = format!("{version:?}, record {number}");
                assert_eq!(met.server.unwrap_err().reason(), "unknown_issuer", "{at}");
                let alert = Error::AlertReceived(AlertDescription::UnknownCA);
                assert_eq!(met.client.end, Err(alert), "{at}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_revoked_is_rejected() {
    for version in VERSIONS {
        for number in 0.. {
            let ca = TestCa::new("Root");
            let acceptor = acceptor(&ca, policy::allow_any())
                .allow_tls12()
                .build()
                .unwrap();
            let issued = ca.leaf().dns("client.example").issue();
            let client = piecemeal(RawClient::new(&ca, version, Some(&issued)));
            let crl = ca.crl().revoke(issued.serial()).build();
            let crls = || Crls::new([Crl::from_der(&crl).unwrap()]).unwrap();
            let update = || Update::new().revocation(crls());
            let met = meet(&acceptor, &client, number, update).await;
            if !met.changed {
                assert!(!met.server.unwrap());
                assert!(number > 2, "the handshake had so few records");
                break;
            }
            let at = format!("{version:?}, record {number}");
            assert_eq!(met.server.unwrap_err().reason(), "revoked", "{at}");
            let alert = Error::AlertReceived(AlertDescription::CertificateRevoked);
            assert_eq!(met.client.end, Err(alert), "{at}");
        }
    }
}

/// Who is still trusted comes in; but what began under the old trust, or was shown the old
/// credentials, gives no session for the new.
#[tokio::test(start_paused = true)]
async fn no_session_comes_of_it() {
    for version in VERSIONS {
        for resumes in [false, true] {
            for number in 0.. {
                let ca = TestCa::new("Root");
                let (acceptor, client) = meet_first(&ca, version, resumes).await;
                let server = ca.leaf().dns(SERVER).issue();
                let update = || Update::new().credentials(server.credentials());
                client.sessions.collect_and_spend();
                let met = meet(&acceptor, &client, number, update).await;
                met.server.unwrap();
                met.client.end.unwrap();

                client.sessions.spend();
                let (server, seen) = client.call(&acceptor).await;
                assert!(seen.offered);
                let resumed = server.unwrap();
                assert_eq!(resumed, !met.changed, "{version:?}, record {number}");
                if !met.changed {
                    assert!(number > 2, "the handshake had so few records");
                    break;
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_no_longer_trusted_is_rejected() {
    for version in VERSIONS {
        for resumes in [false, true] {
            for number in 0.. {
                let ca = TestCa::new("Root");
                let other = TestCa::new("Another Root");
                let mut server = RawServer::new(&ca, &ca.leaf().dns(SERVER).issue());
                server.config.max_fragment_size = Some(PIECE);
                let connector = connector(&ca, "client.example")
                    .allow_tls12()
                    .crypto_provider(provider(version))
                    .build()
                    .unwrap();
                if resumes {
                    assert!(!server.serve(&connector, SERVER).await.unwrap());
                }
                let update = || Update::new().trust(other.trust());
                match connect(&connector, &server, number, update).await {
                    (true, result) => {
                        let at = format!("{version:?}, record {number}");
                        assert_eq!(result.unwrap_err(), "unknown_issuer", "{at}");
                    }
                    (false, result) => {
                        assert_eq!(result.unwrap(), resumes);
                        assert!(number > 2, "the handshake had so few records");
                        break;
                    }
                }
            }
        }
    }
}

/// An acceptor, and a client that has been there before if it is to resume.
async fn meet_first(
    ca: &TestCa,
    version: Version,
    resumes: bool,
) -> (Acceptor<DnsName>, RawClient) {
    let acceptor = acceptor(ca, policy::allow_any())
        .allow_tls12()
        .build()
        .unwrap();
    let issued = ca.leaf().dns("client.example").issue();
    let client = piecemeal(RawClient::new(ca, version, Some(&issued)));
    if resumes {
        client.sessions.collect();
        client.call(&acceptor).await.0.unwrap();
        client.sessions.spend();
    }
    (acceptor, client)
}

fn piecemeal(mut client: RawClient) -> RawClient {
    client.config.max_fragment_size = Some(PIECE);
    client
}

struct Met {
    server: Result<bool, AcceptError>,
    client: Seen,
    /// Whether the update came before the acceptor had decided.
    changed: bool,
}

/// Has the client call the acceptor, which is updated before this record of the client's.
async fn meet(
    acceptor: &Acceptor<DnsName>,
    client: &RawClient,
    number: usize,
    update: impl Fn() -> Update,
) -> Met {
    let (near, from_server) = duplex(64 * 1024);
    let (from_client, far) = duplex(64 * 1024);
    let (decided, changed) = (Cell::new(false), Cell::new(false));
    let change = |at| {
        if at == number && !decided.get() {
            acceptor.control().update(update()).unwrap();
            changed.set(true);
        }
    };
    let serve = async {
        let result = serve(acceptor, near).await;
        decided.set(true);
        result
    };
    let (server, client, ()) = tokio::join!(
        serve,
        client.drive(far),
        carry(from_client, from_server, wire::From::Client, change)
    );
    Met {
        server,
        client,
        changed: changed.get(),
    }
}

/// Has the connector call the server, and updates it before this record of the server's. Whether
/// that came before the connector had decided, and whether it resumed, or its reason not to.
async fn connect(
    connector: &Connector<DnsName>,
    server: &RawServer,
    number: usize,
    update: impl Fn() -> Update,
) -> (bool, Result<bool, &'static str>) {
    let (near, from_server) = duplex(64 * 1024);
    let (from_client, far) = duplex(64 * 1024);
    let (decided, changed) = (Cell::new(false), Cell::new(false));
    let change = |at| {
        if at == number && !decided.get() {
            connector.control().update(update()).unwrap();
            changed.set(true);
        }
    };
    let client = async {
        let result = connector.connect(SERVER, far).await;
        decided.set(true);
        let mut stream = result.map_err(|error| error.reason())?;
        assert_eq!(stream.read_u8().await.unwrap(), b's');
        Ok(stream.peer().connection().is_resumed())
    };
    let (_, result, ()) = tokio::join!(
        server.greet(near),
        client,
        carry(from_client, from_server, wire::From::Server, change)
    );
    (changed.get(), result)
}
