//! The sessions that our connector keeps, with a plain rustls server, which resumes whatever it
//! once granted.

use countersign::gate::ServerNameVerification;
use countersign::identity::DnsName;
use countersign::testing::{FixedClock, TestCa};
use countersign::{Connector, policy};

use super::{AN_HOUR, after};
use support::raw_server::RawServer;
use support::{SERVER, VERSIONS, Version, provider};

#[tokio::test(start_paused = true)]
async fn an_expired_servers_session_is_not_offered() {
    for version in VERSIONS {
        let World {
            ca,
            clock,
            server,
            connector,
        } = World::new(version);
        let call = || server.serve(&connector, SERVER);
        assert!(!call().await.unwrap());
        clock.advance(AN_HOUR);
        assert!(call().await.unwrap(), "in the last second");

        clock.advance(AN_HOUR / 3600);
        let error = call().await.unwrap_err();
        assert_eq!(error.reason(), "expired", "the full handshake shows it");
        server.show(&ca.leaf().dns(SERVER).issue());
        assert!(!call().await.unwrap(), "{version:?}: with the new one");
        assert!(call().await.unwrap());
    }
}

/// As an acceptor does: a server that is called every 23 hours proves its key every other time.
#[tokio::test(start_paused = true)]
async fn a_servers_session_ends_a_day_after_its_key_was_proven() {
    for version in VERSIONS {
        let World {
            ca,
            clock,
            server,
            connector,
        } = World::new(version);
        let lasting = ca.leaf().dns(SERVER);
        let lasting = lasting.validity(clock.time(), after(&clock, AN_HOUR * 24 * 30));
        server.show(&lasting.issue());
        for connection in 0..20 {
            let resumed = server.serve(&connector, SERVER).await.unwrap();
            assert_eq!(resumed, connection % 2 == 1, "{version:?} {connection}");
            clock.advance(AN_HOUR * 23);
        }
    }
}

/// While a server changes its certificate, there are sessions of both.
#[tokio::test(start_paused = true)]
async fn nor_is_it_when_its_successor_is_known() {
    let World {
        ca,
        clock,
        server,
        connector,
    } = World::new(Version::Tls13);
    let call = || server.serve(&connector, SERVER);
    assert!(!call().await.unwrap());
    server.show(&ca.leaf().dns(SERVER).issue());
    // There were two tickets, and each of those who resume gets two more.
    let (one, two, three) = tokio::join!(call(), call(), call());
    let resumed = [one.unwrap(), two.unwrap(), three.unwrap()];
    assert_eq!(resumed, [true, true, false]);

    clock.advance(AN_HOUR + AN_HOUR / 3600);
    for _ in 0..8 {
        call().await.unwrap();
    }
    assert!(call().await.unwrap(), "it does resume");
}

#[tokio::test(start_paused = true)]
async fn a_connector_remembers_256_servers() {
    let World {
        server, connector, ..
    } = World::new(Version::Tls13);
    let call = async |number: usize| {
        let name = format!("{number}.example");
        server.serve(&connector, &name).await.unwrap()
    };
    for number in 0..256 {
        assert!(!call(number).await);
    }
    let mut remembered = 0;
    for number in 0..256 {
        remembered += usize::from(call(number).await);
    }
    assert_eq!(remembered, 256);
}

struct World {
    ca: TestCa,
    clock: FixedClock,
    server: RawServer,
    connector: Connector<DnsName>,
}

impl World {
    /// The server's certificate is good for an hour.
    fn new(version: Version) -> Self {
        let (ca, clock) = (TestCa::new("Root"), FixedClock::now());
        let connector = Connector::builder()
            .credentials(ca.leaf().dns("client.example").issue().credentials())
            .trust(ca.trust())
            .identify(DnsName::extractor())
            .authorize(policy::allow_any())
            .server_names(ServerNameVerification::ByPolicy)
            .allow_tls12()
            .crypto_provider(provider(version))
            .clock(clock.clone())
            .build()
            .unwrap();
        let leaf = ca.leaf().dns(SERVER);
        let issued = leaf.validity(clock.time(), after(&clock, AN_HOUR)).issue();
        Self {
            server: RawServer::new(&ca, &issued),
            ca,
            clock,
            connector,
        }
    }
}
