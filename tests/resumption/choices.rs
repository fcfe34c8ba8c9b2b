//! Whether sessions are resumed, who keeps them, and what is never on.

mod early_data;

use countersign::identity::DnsName;
use countersign::testing::TestCa;
use countersign::{Acceptor, Connector, Resumption, policy};
use rustls::client::TicketRequest;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::ServerSessionMemoryCache;
use support::raw::{Met, RawClient};
use support::raw_server::RawServer;
use support::{SERVER, VERSIONS, Version, acceptor, connector, provider};

#[tokio::test(start_paused = true)]
async fn off_gives_no_session() {
    for version in VERSIONS {
        for choice in [Resumption::Off, Resumption::Stateful, Resumption::Stateless] {
            let ca = TestCa::new("Root");
            let acceptor = with(&ca, choice);
            let client = member(&ca, version);
            client.sessions.collect_and_spend();
            assert!(!resumed(client.call(&acceptor).await));
            assert_eq!(client.sessions.lasts_for() > 0, choice != Resumption::Off);
            let met = client.call(&acceptor).await;
            assert_eq!(met.1.offered, choice != Resumption::Off);
            assert_eq!(resumed(met), choice != Resumption::Off, "{version:?}");
        }
    }
}

/// Nor does it when rustls is configured to, and the client asks for it.
#[tokio::test(start_paused = true)]
async fn off_cannot_be_customized_away() {
    for version in VERSIONS {
        for choice in [Resumption::Off, Resumption::Stateful] {
            let ca = TestCa::new("Root");
            let acceptor = acceptor(&ca, policy::allow_any())
                .allow_tls12()
                .resumption(choice)
                .customize_rustls(|config| {
                    config.session_storage = ServerSessionMemoryCache::new(64);
                    config.ticketer = Ticketer::new().unwrap();
                    config.send_tls13_tickets = 4;
                    config.max_tls13_tickets = 4;
                })
                .build()
                .unwrap();
            let mut client = member(&ca, version);
            client.config.send_ticket_request = Some(TicketRequest {
                new_session_count: 3,
                resumption_count: 3,
            });
            client.sessions.collect();
            assert!(!resumed(client.call(&acceptor).await));
            let has_sessions = client.sessions.lasts_for() > 0;
            assert_eq!(has_sessions, choice != Resumption::Off, "{version:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_connector_with_off_offers_none() {
    for version in VERSIONS {
        for choice in [Resumption::Off, Resumption::Stateful, Resumption::Stateless] {
            let ca = TestCa::new("Root");
            let server = RawServer::new(&ca, &ca.leaf().dns(SERVER).issue());
            let connector: Connector<DnsName> = connector(&ca, "client.example")
                .allow_tls12()
                .crypto_provider(provider(version))
                .resumption(choice)
                .customize_rustls(|config| {
                    config.resumption = rustls::client::Resumption::in_memory_sessions(64);
                })
                .build()
                .unwrap();
            assert!(!server.serve(&connector, SERVER).await.unwrap());
            let resumed = server.serve(&connector, SERVER).await.unwrap();
            assert_eq!(resumed, choice != Resumption::Off, "{version:?}");
        }
    }
}

/// An acceptor with tickets keeps nothing; one without keeps 4,096 sessions.
#[tokio::test(start_paused = true)]
async fn tickets_take_no_place() {
    const AT_ONCE: usize = 64;

    for (choice, remembers) in [(Resumption::Stateful, false), (Resumption::Stateless, true)] {
        let ca = TestCa::new("Root");
        let acceptor = acceptor(&ca, policy::allow_any())
            .resumption(choice)
            .customize_rustls(|config| config.send_tls13_tickets = AT_ONCE)
            .build()
            .unwrap();
        let config = acceptor.unauthorized_rustls_config();
        assert_eq!(config.ticketer.enabled(), remembers);
        assert_eq!(config.session_storage.can_cache(), !remembers);

        let client = member(&ca, Version::Tls13);
        client.sessions.collect();
        for _ in 0..2 {
            assert!(!resumed(client.call(&acceptor).await));
        }
        client.sessions.spend();
        assert!(resumed(client.call(&acceptor).await), "it was not long ago");
        let others = member(&ca, Version::Tls13);
        for _ in 0..4096 / AT_ONCE {
            assert!(!resumed(others.call(&acceptor).await));
        }
        let met = client.call(&acceptor).await;
        assert!(met.1.offered);
        assert_eq!(resumed(met), remembers, "{choice:?}");
    }
}

/// A client resumes as many connections at once as it had before, with one ticket for each.
#[tokio::test(start_paused = true)]
async fn as_many_connections_are_resumed_at_once_as_there_were_before() {
    for choice in [Resumption::Stateful, Resumption::Stateless] {
        let ca = TestCa::new("Root");
        let acceptor = with(&ca, choice);
        let connector = connector(&ca, "client.example").build().unwrap();
        let connect_eight = async || {
            let mut open = Vec::new();
            for _ in 0..8 {
                let (server, client) = support::handshake(&acceptor, &connector).await;
                open.push((server.unwrap(), client.unwrap()));
            }
            let mut resumed = 0;
            for (server, client) in open {
                resumed += usize::from(server.peer().connection().is_resumed());
                support::exchange_and_close(Ok(server), Ok(client)).await; // here the client reads its ticket
            }
            resumed
        };
        assert_eq!(connect_eight().await, 0, "{choice:?}");
        for _ in 0..3 {
            assert_eq!(connect_eight().await, 8, "{choice:?}");
        }
    }
}

/// A connection gets one ticket, or as many as its client asks for, up to four (RFC 9149).
#[tokio::test(start_paused = true)]
async fn a_client_gets_the_tickets_that_it_asks_for() {
    for choice in [Resumption::Stateful, Resumption::Stateless] {
        let ca = TestCa::new("Root");
        let acceptor = with(&ca, choice);
        for (asked, gets) in [(None, 1), (Some(0), 0), (Some(3), 3), (Some(200), 4)] {
            let mut client = member(&ca, Version::Tls13);
            client.config.send_ticket_request = asked.map(|count| TicketRequest {
                new_session_count: count,
                resumption_count: 1,
            });
            client.sessions.collect();
            assert!(!resumed(client.call(&acceptor).await));
            assert_eq!(client.sessions.lasts_for(), gets, "{choice:?} {asked:?}");
            if gets > 0 {
                client.sessions.collect_and_spend();
                assert!(resumed(client.call(&acceptor).await));
                assert_eq!(client.sessions.lasts_for(), gets, "one went, and one came");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn no_acceptor_takes_anothers_session() {
    for version in VERSIONS {
        for choice in [Resumption::Stateful, Resumption::Stateless] {
            let ca = TestCa::new("Root");
            let (one, other) = (with(&ca, choice), with(&ca, choice));
            let client = member(&ca, version);
            client.sessions.collect();
            for _ in 0..2 {
                assert!(!resumed(client.call(&one).await));
            }
            client.sessions.spend();
            let met = client.call(&other).await;
            assert!(met.1.offered);
            assert!(!resumed(met), "{version:?} {choice:?}");
            assert!(resumed(client.call(&one.clone()).await), "but a clone does");
        }
    }
}

/// Another server uses our session store, and asks for no certificate.
#[tokio::test(start_paused = true)]
async fn a_client_that_has_proven_no_key_gets_no_session() {
    for version in VERSIONS {
        for choice in [Resumption::Stateful, Resumption::Stateless] {
            let ca = TestCa::new("Root");
            let acceptor = with(&ca, choice);
            let ours = acceptor.unauthorized_rustls_config();
            let mut lax = RawServer::for_everybody(&ca.leaf().dns(SERVER).issue());
            lax.config.session_storage = ours.session_storage.clone();
            lax.config.ticketer = ours.ticketer.clone();

            let client = RawClient::new(&ca, version, None);
            client.sessions.collect();
            for _ in 0..2 {
                client.meet(|io| lax.greet(io)).await.1.end.unwrap();
            }
            client.sessions.spend();
            let (server, seen) = client.call(&acceptor).await;
            assert_eq!(server.unwrap_err().reason(), "no_certificate");
            assert_eq!(seen.kind, Some(rustls::HandshakeKind::Full));
            let alert = rustls::AlertDescription::CertificateRequired;
            assert_eq!(seen.end, Err(rustls::Error::AlertReceived(alert)));
        }
    }
}

fn with(ca: &TestCa, choice: Resumption) -> Acceptor<DnsName> {
    acceptor(ca, policy::allow_any())
        .allow_tls12()
        .resumption(choice)
        .build()
        .unwrap()
}

fn member(ca: &TestCa, version: Version) -> RawClient {
    let issued = ca.leaf().dns("client.example").issue();
    RawClient::new(ca, version, Some(&issued))
}

/// Whether the client, which was admitted, resumed.
fn resumed((server, client): Met) -> bool {
    client.end.unwrap();
    server.unwrap()
}
