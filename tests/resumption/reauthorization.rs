//! A resumed session is authorized like a new connection, by the current rules.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use countersign::identity::DnsName;
use countersign::pki::Crl;
use countersign::testing::{FixedClock, TestCa};
use countersign::trust::Crls;
use countersign::{Decision, Peer, Update, policy};
use support::{
    Recording, VERSIONS, acceptor, connector, connector_with, deny_all, exchange_and_close,
    handshake, provider,
};

#[tokio::test(start_paused = true)]
async fn the_policy_authorizes_a_resumed_session_by_the_current_rules() {
    for version in VERSIONS {
        let ca = TestCa::new("Root");
        let seen = Recording::new(policy::allow_any());
        let acceptor = acceptor(&ca, seen.clone()).allow_tls12().build().unwrap();
        let connector = connector(&ca, "client.example")
            .allow_tls12()
            .crypto_provider(provider(version))
            .build()
            .unwrap();
        for _ in 0..3 {
            let (server, client) = handshake(&acceptor, &connector).await;
            exchange_and_close(server, client).await;
        }
        assert_eq!(
            seen.resumed(),
            [false, true, true],
            "{version:?}: once per connection"
        );

        let deny = Recording::new(deny_all);
        acceptor.control().set_policy(deny.clone());
        let (server, _client) = handshake(&acceptor, &connector).await;
        assert_eq!(server.unwrap_err().reason(), "denied");
        assert_eq!(
            deny.resumed(),
            [true],
            "{version:?}: it was a resumed session"
        );

        acceptor.control().set_policy(seen.clone());
        let (server, client) = handshake(&acceptor, &connector).await;
        exchange_and_close(server, client).await;
    }
}

/// The restored chain is verified again, although rustls' verifier is not called.
#[tokio::test(start_paused = true)]
async fn a_session_does_not_outlive_its_certificate() {
    for version in VERSIONS {
        let ca = TestCa::new("Root");
        let clock = FixedClock::now();
        let seen = Recording::new(policy::allow_any());
        let acceptor = acceptor(&ca, seen.clone())
            .allow_tls12()
            .clock(clock.clone())
            .build()
            .unwrap();
        let not_before = clock.time();
        let expires = rustls_pki_types::UnixTime::since_unix_epoch(Duration::from_secs(
            not_before.as_secs() + 3600,
        ));
        let connector = countersign::Connector::builder()
            .credentials(
                ca.leaf()
                    .dns("client.example")
                    .validity(not_before, expires)
                    .issue()
                    .credentials(),
            )
            .trust(ca.trust())
            .identify(DnsName::extractor())
            .authorize(policy::allow_any())
            .allow_tls12()
            .crypto_provider(provider(version))
            .build()
            .unwrap();
        let (server, client) = handshake(&acceptor, &connector).await;
        exchange_and_close(server, client).await;
        clock.advance(Duration::from_secs(3600));
        let (server, client) = handshake(&acceptor, &connector).await;
        exchange_and_close(server, client).await;
        assert_eq!(seen.resumed(), [false, true], "{version:?}");

        clock.advance(Duration::from_secs(1));
        let (server, _client) = handshake(&acceptor, &connector).await;
        assert_eq!(server.unwrap_err().reason(), "expired", "{version:?}");
        assert_eq!(
            seen.count(),
            2,
            "the policy was not asked about an expired certificate"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_connector_authorizes_a_resumed_server_too() {
    for version in VERSIONS {
        let ca = TestCa::new("Root");
        let acceptor = acceptor(&ca, policy::allow_any())
            .allow_tls12()
            .build()
            .unwrap();
        let welcome = Arc::new(AtomicBool::new(true));
        let changeable = {
            let welcome = welcome.clone();
            move |_: &Peer<DnsName>| match welcome.load(Ordering::SeqCst) {
                true => Decision::allow("for now"),
                false => Decision::deny("no more"),
            }
        };
        let seen = Recording::new(changeable);
        let connector = connector_with(&ca, "client.example", seen.clone())
            .allow_tls12()
            .crypto_provider(provider(version))
            .build()
            .unwrap();
        let (server, client) = handshake(&acceptor, &connector).await;
        exchange_and_close(server, client).await;
        welcome.store(false, Ordering::SeqCst);
        let (_server, client) = handshake(&acceptor, &connector).await;
        assert_eq!(client.unwrap_err().reason(), "denied");
        assert_eq!(seen.resumed(), [false, true], "{version:?}");
    }
}

/// A session was granted by the rules of its time: under others it is not even offered.
#[tokio::test(start_paused = true)]
async fn a_connector_offers_no_session_from_before_a_change() {
    for version in VERSIONS {
        let ca = TestCa::new("Root");
        let acceptor = acceptor(&ca, policy::allow_any())
            .allow_tls12()
            .build()
            .unwrap();
        let seen = Recording::new(policy::allow_any());
        let connector = connector_with(&ca, "client.example", seen.clone())
            .allow_tls12()
            .crypto_provider(provider(version))
            .build()
            .unwrap();
        let twice = async || {
            for _ in 0..2 {
                let (server, client) = handshake(&acceptor, &connector).await;
                exchange_and_close(server, client).await;
            }
        };
        twice().await;
        connector.control().set_policy(seen.clone());
        twice().await;
        let leaf = ca.leaf().dns("client.example").issue();
        for update in [
            Update::new().trust(ca.trust()),
            Update::new().credentials(leaf.credentials()),
            Update::new()
                .revocation(Crls::new([Crl::from_der(&ca.crl().build()).unwrap()]).unwrap()),
        ] {
            connector.control().update(update).unwrap();
            twice().await;
        }
        assert_eq!(
            seen.resumed(),
            [false, true].repeat(5),
            "{version:?}: at first, then after each change"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn two_acceptors_share_no_sessions() {
    for version in VERSIONS {
        let ca = TestCa::new("Root");
        let seen = Recording::new(policy::allow_any());
        let build = || acceptor(&ca, seen.clone()).allow_tls12().build().unwrap();
        let (one, other) = (build(), build());
        let connector = connector(&ca, "client.example")
            .allow_tls12()
            .crypto_provider(provider(version))
            .build()
            .unwrap();
        for acceptor in [&one, &other] {
            let (server, client) = handshake(acceptor, &connector).await;
            exchange_and_close(server, client).await;
        }
        assert_eq!(seen.resumed(), [false, false], "{version:?}");
    }
}
