//! How long a session lasts: as long as what it was granted on. After that a full handshake takes
//! its place, and no side sees an error.

mod connectors;
mod exported;

use std::time::Duration;

use countersign::pki::Crl;
use countersign::testing::{FixedClock, Issued, TestCa};
use countersign::trust::Crls;
use countersign::{Resumption, Update, policy};
use rustls::HandshakeKind;
use rustls_pki_types::UnixTime;
use support::raw::{Met, RawClient};
use support::{VERSIONS, acceptor};

const KINDS: [Resumption; 2] = [Resumption::Stateful, Resumption::Stateless];
const AN_HOUR: Duration = Duration::from_secs(3600);

#[tokio::test(start_paused = true)]
async fn a_session_ends_with_the_certificate() {
    for (version, kind) in all() {
        let (ca, clock) = (TestCa::new("Root"), FixedClock::now());
        let acceptor = acceptor(&ca, policy::allow_any())
            .allow_tls12()
            .clock(clock.clone())
            .resumption(kind)
            .build()
            .unwrap();
        let client = RawClient::new(&ca, version, Some(&good_for_an_hour(&ca, &clock)));
        client.sessions.collect();
        for _ in 0..2 {
            assert!(!resumed(client.call(&acceptor).await));
        }
        client.sessions.spend();

        clock.advance(AN_HOUR);
        client.sessions.collect_and_spend();
        assert!(resumed(client.call(&acceptor).await), "in the last second");

        // Nor is what a resumed connection was granted good for longer.
        client.sessions.spend();
        clock.advance(Duration::from_secs(1));
        client.show(&ca.leaf().dns("client.example").issue());
        for _ in 0..client.sessions.lasts_for().min(5) {
            let met = client.call(&acceptor).await;
            assert!(met.1.offered);
            assert!(!resumed(met), "{version:?} {kind:?}");
        }
    }
}

/// The key is to be proven anew now and then, however long the certificate lasts.
#[tokio::test(start_paused = true)]
async fn a_session_ends_a_day_after_the_key_was_proven() {
    for (version, kind) in all() {
        let (ca, clock) = (TestCa::new("Root"), FixedClock::now());
        let acceptor = acceptor(&ca, policy::allow_any())
            .allow_tls12()
            .clock(clock.clone())
            .resumption(kind)
            .build()
            .unwrap();
        let (now, week) = (clock.time(), 7 * 86400);
        let end = UnixTime::since_unix_epoch(Duration::from_secs(now.as_secs() + week));
        let lasting = ca.leaf().dns("client.example").validity(now, end).issue();
        let client = RawClient::new(&ca, version, Some(&lasting));
        client.sessions.collect();
        assert!(!resumed(client.call(&acceptor).await));
        clock.advance(AN_HOUR * 24);
        client.sessions.collect_and_spend();
        assert!(
            resumed(client.call(&acceptor).await),
            "{version:?} {kind:?}"
        );
        // What that granted lasts no longer.
        client.sessions.spend();
        clock.advance(Duration::from_secs(1));
        for _ in 0..client.sessions.lasts_for().min(5) {
            let met = client.call(&acceptor).await;
            assert!(met.1.offered);
            assert!(!resumed(met), "{version:?} {kind:?}");
        }
    }
}

/// A session granted under a CRL that is now stale is checked against the next one, or rejected.
#[tokio::test(start_paused = true)]
async fn a_session_ends_with_the_crl() {
    for (version, kind) in all() {
        let (ca, clock) = (TestCa::new("Root"), FixedClock::now());
        let crl = ca.crl().next_update(after(&clock, AN_HOUR)).build();
        let crls = Crls::new([Crl::from_der(&crl).unwrap()]).unwrap();
        let acceptor = acceptor(&ca, policy::allow_any())
            .allow_tls12()
            .clock(clock.clone())
            .revocation(crls)
            .resumption(kind)
            .build()
            .unwrap();
        let issued = ca.leaf().dns("client.example").issue();
        let client = RawClient::new(&ca, version, Some(&issued));
        client.sessions.collect();
        for _ in 0..2 {
            assert!(!resumed(client.call(&acceptor).await));
        }
        client.sessions.spend();

        clock.advance(AN_HOUR - Duration::from_secs(1));
        assert!(resumed(client.call(&acceptor).await), "in the last second");

        clock.advance(Duration::from_secs(1));
        let (server, seen) = client.call(&acceptor).await;
        assert!(seen.offered);
        assert_eq!(seen.kind, Some(HandshakeKind::Full), "{version:?} {kind:?}");
        assert_eq!(server.unwrap_err().reason(), "crl_expired");
    }
}

#[tokio::test(start_paused = true)]
async fn an_update_ends_every_session() {
    for (version, kind) in all() {
        let ca = TestCa::new("Root");
        let acceptor = acceptor(&ca, policy::allow_any())
            .allow_tls12()
            .resumption(kind)
            .build()
            .unwrap();
        let issued = ca.leaf().dns("client.example").issue();
        let client = RawClient::new(&ca, version, Some(&issued));
        for _ in 0..3 {
            client.sessions.collect();
            for _ in 0..2 {
                assert!(!resumed(client.call(&acceptor).await));
            }
            client.sessions.spend();
            assert!(resumed(client.call(&acceptor).await), "it is good");

            acceptor.control().update(Update::new()).unwrap();
            let met = client.call(&acceptor).await;
            assert!(met.1.offered);
            assert!(!resumed(met), "{version:?} {kind:?}");
            client.sessions.forget();
        }
    }
}

/// A client that believes the hint does not even try in vain.
#[tokio::test(start_paused = true)]
async fn a_ticket_is_for_no_longer_than_the_certificate() {
    for version in VERSIONS {
        let (ca, clock) = (TestCa::new("Root"), FixedClock::now());
        let acceptor = acceptor(&ca, policy::allow_any())
            .allow_tls12()
            .clock(clock.clone())
            .resumption(Resumption::Stateless)
            .build()
            .unwrap();
        let hint = async |issued: &Issued| {
            let client = RawClient::new(&ca, version, Some(issued));
            client.sessions.collect();
            assert!(!resumed(client.call(&acceptor).await));
            // Only rustls' Debug shows it.
            let said = client.sessions.debug();
            let (_, hint) = said.split_once("lifetime_secs: ").unwrap();
            let digits: String = hint.chars().take_while(char::is_ascii_digit).collect();
            Duration::from_secs(digits.parse().unwrap())
        };
        let issued = good_for_an_hour(&ca, &clock);
        assert_eq!(hint(&issued).await, AN_HOUR);
        clock.advance(AN_HOUR / 4);
        assert_eq!(hint(&issued).await, AN_HOUR * 3 / 4, "{version:?}");
        let long = ca.leaf().dns("client.example").issue();
        assert_eq!(hint(&long).await, AN_HOUR * 12, "when the keys are gone");
    }
}

fn all() -> impl Iterator<Item = (support::Version, Resumption)> {
    VERSIONS
        .into_iter()
        .flat_map(|version| KINDS.map(|kind| (version, kind)))
}

fn good_for_an_hour(ca: &TestCa, clock: &FixedClock) -> Issued {
    ca.leaf()
        .dns("client.example")
        .validity(clock.time(), after(clock, AN_HOUR))
        .issue()
}

fn after(clock: &FixedClock, time: Duration) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(clock.time().as_secs()) + time)
}

/// Whether the client, which was admitted, resumed.
fn resumed((server, client): Met) -> bool {
    client.end.unwrap();
    server.unwrap()
}
