//! Federated domains are added and removed at run time.

use countersign::identity::SpiffeId;
use countersign::testing::TestCa;
use countersign::{Acceptor, TrustStore, Update, policy};
use rustls::AlertDescription as A;

use super::support::{Domains, PROD, Resumed, STAGING, domain, meet, member};
use support::{SERVER, VERSIONS, Version, alert_seen, exchange_and_close, provider};

#[tokio::test(start_paused = true)]
async fn a_federated_domain_is_added() {
    for version in VERSIONS {
        let of = Domains::new();
        let acceptor = of.acceptor(of.trust()).build().unwrap();
        let partner = TestCa::new("Partner Root");
        let client = of.client(&member(&partner, "partner.example"), version);
        let (server, client_side) = meet(&acceptor, &client).await;
        assert_eq!(server.unwrap_err().reason(), "unknown_trust_domain");
        assert_eq!(alert_seen(client_side).await, A::UnknownCA);

        let generation = acceptor
            .control()
            .set_trust_domain(domain("partner.example"), partner.trust());
        assert_eq!(generation.unwrap(), 2);
        let (server, client) = meet(&acceptor, &client).await;
        let identity = server.as_ref().unwrap().peer().identity().clone();
        assert_eq!(identity.as_str(), "spiffe://partner.example/billing");
        exchange_and_close(server, client).await;
    }
}

/// Sessions of its members can no longer be resumed.
#[tokio::test(start_paused = true)]
async fn a_federated_domain_is_removed() {
    for version in VERSIONS {
        let of = Domains::new();
        let resumed = Resumed::default();
        let acceptor = of.acceptor(of.trust()).build().unwrap();
        acceptor.control().set_policy(resumed.policy());
        let staging = of.client(&member(&of.staging, STAGING), version);
        let prod = of.client(&member(&of.prod, PROD), version);
        for client in [&staging, &prod] {
            for _ in 0..2 {
                let (server, client) = meet(&acceptor, client).await;
                exchange_and_close(server, client).await;
            }
        }
        assert_eq!(resumed.take(), [false, true, false, true]);

        acceptor
            .control()
            .remove_trust_domain(&domain(STAGING))
            .unwrap();
        for _ in 0..10 {
            let (server, client) = meet(&acceptor, &staging).await;
            assert_eq!(server.unwrap_err().reason(), "unknown_trust_domain");
            assert_eq!(alert_seen(client).await, A::UnknownCA);
        }
        assert!(resumed.take().is_empty(), "the policy was not asked");
        // The others stay, and see no error.
        for _ in 0..2 {
            let (server, client) = meet(&acceptor, &prod).await;
            exchange_and_close(server, client).await;
        }
        assert_eq!(resumed.take(), [false, true]);

        acceptor
            .control()
            .set_trust_domain(domain(STAGING), of.staging.trust())
            .unwrap();
        let (server, client) = meet(&acceptor, &staging).await;
        exchange_and_close(server, client).await;
        assert_eq!(resumed.take(), [false], "nothing is left of old sessions");
    }
}

/// A bundle is replaced as a whole: the old root is not trusted any more.
#[tokio::test(start_paused = true)]
async fn a_domains_root_is_replaced() {
    for version in VERSIONS {
        let of = Domains::new();
        let acceptor = of.acceptor(of.trust()).build().unwrap();
        let successor = TestCa::new("New Staging Root");
        let old = of.client(&member(&of.staging, STAGING), version);
        let new = of.client(&member(&successor, STAGING), version);
        let (server, client) = meet(&acceptor, &old).await;
        exchange_and_close(server, client).await;
        assert_eq!(
            meet(&acceptor, &new).await.0.unwrap_err().reason(),
            "unknown_issuer"
        );
        acceptor
            .control()
            .set_trust_domain(domain(STAGING), successor.trust())
            .unwrap();
        assert_eq!(
            meet(&acceptor, &old).await.0.unwrap_err().reason(),
            "unknown_issuer"
        );
        let (server, client) = meet(&acceptor, &new).await;
        exchange_and_close(server, client).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_leaves_everything_as_it_was() {
    let of = Domains::new();
    let resumed = Resumed::default();
    let acceptor = of
        .acceptor(of.trust().without(&domain(STAGING)))
        .build()
        .unwrap();
    acceptor.control().set_policy(resumed.policy());
    let client = of.client(&member(&of.prod, PROD), Version::Tls13);
    let (server, client_side) = meet(&acceptor, &client).await;
    exchange_and_close(server, client_side).await;

    let root = || of.staging.trust();
    for (result, reason) in [
        (
            acceptor
                .control()
                .set_trust_domain(domain(PROD), TrustStore::empty()),
            "empty_trust_bundle",
        ),
        (
            acceptor.control().remove_trust_domain(&domain(PROD)),
            "empty_trust",
        ),
        (
            acceptor
                .control()
                .update(Update::new().trust(TrustStore::by_trust_domain())),
            "empty_trust",
        ),
        (
            acceptor
                .control()
                .update(Update::new().trust(TrustStore::empty())),
            "empty_trust",
        ),
    ] {
        assert_eq!(result.unwrap_err().reason(), reason);
        assert_eq!(acceptor.control().generation(), 1);
    }
    let (server, client_side) = meet(&acceptor, &client).await;
    exchange_and_close(server, client_side).await;
    assert_eq!(resumed.take(), [false, true], "even its session is resumed");

    // The twins: another domain first, and then this one may go.
    acceptor
        .control()
        .set_trust_domain(domain(STAGING), root())
        .unwrap();
    acceptor
        .control()
        .remove_trust_domain(&domain(PROD))
        .unwrap();
    assert_eq!(acceptor.control().generation(), 3);
    let (server, _) = meet(&acceptor, &client).await;
    assert_eq!(server.unwrap_err().reason(), "unknown_trust_domain");
    acceptor
        .control()
        .remove_trust_domain(&domain(STAGING))
        .unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn one_store_for_all_peers_has_no_domains() {
    let of = Domains::new();
    let acceptor = of.acceptor(of.prod.trust()).build().unwrap();
    for result in [
        acceptor
            .control()
            .set_trust_domain(domain(STAGING), of.staging.trust()),
        acceptor.control().remove_trust_domain(&domain(PROD)),
    ] {
        let error = result.unwrap_err();
        assert_eq!(error.reason(), "not_by_trust_domain");
        assert!(error.to_string().contains("TrustStore::by_trust_domain()"));
    }
    let client = of.client(&member(&of.prod, PROD), Version::Tls13);
    let (server, client) = meet(&acceptor, &client).await;
    exchange_and_close(server, client).await;
    // The one can become the other.
    acceptor
        .control()
        .update(Update::new().trust(of.trust()))
        .unwrap();
    acceptor
        .control()
        .remove_trust_domain(&domain(STAGING))
        .unwrap();
}

/// The connector's methods of the same names.
#[tokio::test(start_paused = true)]
async fn a_connector_federates_too() {
    for version in VERSIONS {
        let of = Domains::new();
        let partner = TestCa::new("Partner Root");
        let acceptor = Acceptor::builder()
            .credentials(member(&partner, "partner.example").credentials())
            .trust(of.trust())
            .identify(SpiffeId::extractor())
            .authorize(policy::allow_any())
            .allow_tls12()
            .build()
            .unwrap();
        let resumed = Resumed::default();
        let connector = of
            .connector(&member(&of.prod, PROD))
            .crypto_provider(provider(version))
            .build()
            .unwrap();
        connector.control().set_policy(resumed.policy());
        let rejected = async || {
            let (_, client) = countersign::testing::handshake(&acceptor, &connector, SERVER).await;
            client.map(drop).unwrap_err().reason()
        };
        assert_eq!(rejected().await, "unknown_trust_domain");
        let root = partner.trust();
        connector
            .control()
            .set_trust_domain(domain("partner.example"), root)
            .unwrap();
        for _ in 0..2 {
            let (server, client) = meet(&acceptor, &connector).await;
            exchange_and_close(server, client).await;
        }
        assert_eq!(resumed.take(), [false, true]);
        connector
            .control()
            .remove_trust_domain(&domain("partner.example"))
            .unwrap();
        assert_eq!(rejected().await, "unknown_trust_domain");
        assert!(resumed.take().is_empty());

        let error = connector
            .control()
            .set_trust_domain(domain(PROD), TrustStore::empty());
        assert_eq!(error.unwrap_err().reason(), "empty_trust_bundle");
        connector
            .control()
            .remove_trust_domain(&domain(PROD))
            .unwrap();
        let error = connector.control().remove_trust_domain(&domain(STAGING));
        assert_eq!(error.unwrap_err().reason(), "empty_trust");
    }
}
