//! Known chains in handshakes, of clients and of servers.

use std::sync::Arc;

use countersign::identity::DnsName;
use countersign::testing::{self, Issued, TestCa};
use countersign::{Acceptor, Connector, Resumption, policy};

use super::support::{Asked, acceptor_with, connector};
use support::{
    Recording, SERVER, VERSIONS, Version, exchange_and_close, handshake, provider, raw_client,
    refused_raw_client, thief,
};

#[tokio::test(start_paused = true)]
async fn a_returning_client_is_not_looked_at_again() {
    let root = TestCa::new("Root");
    let issuing = root.intermediate("Issuing");
    for version in VERSIONS {
        for (capacity, full, resumed) in [(4096, [1, 0, 0], 0), (1, [1, 0, 0], 0), (0, [1; 3], 1)] {
            let asked = Asked::default();
            let seen = Recording::new(policy::allow_any());
            let client = || {
                Connector::builder()
                    .credentials(issuing.leaf().dns("client.example").issue().credentials())
                    .trust(root.trust())
                    .identify(DnsName::extractor())
                    .authorize(policy::allow_any())
                    .allow_tls12()
                    .crypto_provider(provider(version))
                    .build()
                    .unwrap()
            };
            let builder =
                || acceptor_with(&root, &asked, seen.clone()).verification_cache(capacity);
            let acceptor = builder().build().unwrap();
            let one = client();
            for expected in full {
                let (server, client) = handshake(&acceptor, &one).await;
                exchange_and_close(server, client).await;
                assert_eq!(asked.take(), expected, "{capacity}");
            }
            assert_eq!(seen.resumed(), [false; 3], "{version:?}");
            // Another one of the same name is another chain.
            let (server, client) = handshake(&acceptor, &client()).await;
            exchange_and_close(server, client).await;
            assert_eq!(asked.take(), 1);

            // A resumed session restores the chain, and it is known.
            let acceptor = builder().resumption(Resumption::Stateful).build().unwrap();
            for expected in [1, resumed, resumed] {
                let (server, client) = handshake(&acceptor, &one).await;
                exchange_and_close(server, client).await;
                assert_eq!(asked.take(), expected, "{capacity}");
            }
            assert_eq!(seen.resumed()[4..], [false, true, true], "{version:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_known_server_is_not_looked_at_again() {
    let ca = TestCa::new("Root");
    let server = ca.leaf().dns(SERVER).ip([127, 0, 0, 1].into()).issue();
    let acceptor = Acceptor::builder()
        .credentials(server.credentials())
        .trust(ca.trust())
        .identify(DnsName::extractor())
        .authorize(policy::allow_any())
        .allow_tls12()
        .build()
        .unwrap();
    for version in VERSIONS {
        for (capacity, expected) in [(4096, [1, 0, 0]), (0, [1, 1, 1])] {
            let asked = Asked::default();
            let connector = connector(&ca, &asked)
                .crypto_provider(provider(version))
                .verification_cache(capacity)
                .build()
                .unwrap();
            let dial = async |name: &str| {
                let (server, client) = testing::handshake(&acceptor, &connector, name).await;
                let client = client.map_err(|error| error.reason())?;
                exchange_and_close(server, Ok(client)).await;
                Ok(())
            };
            for expected in expected {
                assert_eq!(dial(SERVER).await, Ok(()));
                assert_eq!(asked.take(), expected, "{version:?} {capacity}");
            }
            // The chain is known, and the name is checked every time.
            for _ in 0..2 {
                let refused = Err("name_mismatch");
                assert_eq!(
                    dial("other.example").await,
                    refused,
                    "{version:?} {capacity}"
                );
                assert_eq!(asked.take(), 0);
                assert_eq!(dial("127.0.0.1").await, Ok(()));
                assert_eq!(asked.take(), expected[1]);
            }
        }
    }
}

/// Whoever shows a known chain and does not own its key is refused, however often it was seen.
#[tokio::test(start_paused = true)]
async fn a_known_chain_is_no_proof() {
    let ca = TestCa::new("Root");
    let victim = ca.leaf().dns("victim.example").issue();
    let own = ca.leaf().dns("thief.example").issue();
    let asked = Asked::default();
    let seen = Recording::new(policy::allow_any());
    let acceptor = acceptor_with(&ca, &asked, seen.clone()).build().unwrap();
    let owner = Connector::builder()
        .credentials(victim.credentials())
        .trust(ca.trust())
        .identify(DnsName::extractor())
        .authorize(policy::allow_any())
        .build()
        .unwrap();
    for version in VERSIONS {
        let (server, client) = handshake(&acceptor, &owner).await;
        exchange_and_close(server, client).await;
        for _ in 0..3 {
            let config = raw_client(&ca, version, Some(thief(&victim, &own)));
            let (error, alert) = refused_raw_client(&acceptor, config).await;
            assert_eq!(error.reason(), "key_not_proven", "{version:?}");
            let expected = rustls::Error::AlertReceived(rustls::AlertDescription::DecryptError);
            assert_eq!(alert, expected, "{version:?}");
        }
    }
    assert_eq!(asked.take(), 1, "it was remembered all the time");
    assert_eq!(seen.count(), 2, "the policy saw the owner alone");
}

#[tokio::test(start_paused = true)]
async fn a_known_server_chain_is_no_proof() {
    let ca = TestCa::new("Root");
    let victim = ca.leaf().dns(SERVER).issue();
    let own = ca.leaf().dns("thief.example").issue();
    let raw_server = |signs: &Issued| {
        let config = rustls::ServerConfig::builder_with_provider(provider(Version::Tls13))
            .with_protocol_versions(rustls::ALL_VERSIONS)
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(thief(&victim, signs));
        tokio_rustls::TlsAcceptor::from(Arc::new(config))
    };
    let owner = Acceptor::builder()
        .credentials(victim.credentials())
        .trust(ca.trust())
        .identify(DnsName::extractor())
        .authorize(policy::allow_any())
        .allow_tls12()
        .build()
        .unwrap();
    for version in VERSIONS {
        let asked = Asked::default();
        let connector = connector(&ca, &asked)
            .crypto_provider(provider(version))
            .build()
            .unwrap();
        for _ in 0..3 {
            let (server, client) = handshake(&owner, &connector).await;
            exchange_and_close(server, client).await;
            let (near, far) = tokio::io::duplex(64 * 1024);
            let thief = raw_server(&own);
            let (client, _) = tokio::join!(connector.connect(SERVER, far), thief.accept(near));
            let reason = client.map(drop).unwrap_err().reason();
            assert_eq!(reason, "key_not_proven", "{version:?}");
        }
        assert_eq!(asked.take(), 1, "it was remembered all the time");
    }
}
