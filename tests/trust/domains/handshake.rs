//! Handshakes of members and of impostors.

use countersign::Acceptor;
use countersign::identity::DnsName;
use countersign::policy;
use countersign::testing::TestCa;
use rustls::AlertDescription as A;

use super::support::{Domains, PROD, STAGING, meet, member};
use support::{SERVER, VERSIONS, alert_seen, exchange_and_close};

#[tokio::test(start_paused = true)]
async fn a_root_cannot_issue_ids_of_another_domain() {
    let of = Domains::new();
    let acceptor = of.acceptor(of.trust()).build().unwrap();
    let none = of.prod.leaf().dns("client.example").issue();
    let two = of.prod.leaf().spiffe("spiffe://prod.example/a");
    let two = two.spiffe("spiffe://staging.example/a").issue();
    let namesake = of.prod.same_name_other_key();
    for version in VERSIONS {
        for (issued, reason, alert) in [
            (member(&of.staging, PROD), "unknown_issuer", A::UnknownCA),
            (member(&of.prod, STAGING), "unknown_issuer", A::UnknownCA),
            (member(&namesake, PROD), "bad_signature", A::UnknownCA),
            (
                member(&of.prod, "other.example"),
                "unknown_trust_domain",
                A::UnknownCA,
            ),
            (none.clone(), "no_trust_domain", A::BadCertificate),
            (two.clone(), "no_trust_domain", A::BadCertificate),
        ] {
            let (server, client) = meet(&acceptor, &of.client(&issued, version)).await;
            assert_eq!(server.unwrap_err().reason(), reason, "{version:?}");
            assert_eq!(alert_seen(client).await, alert, "{version:?} {reason}");
        }
        for (ca, domain) in [(&of.prod, PROD), (&of.staging, STAGING)] {
            let client = of.client(&member(ca, domain), version);
            let (server, client) = meet(&acceptor, &client).await;
            let identity = server.as_ref().unwrap().peer().identity().clone();
            assert_eq!(identity.trust_domain().as_str(), domain);
            exchange_and_close(server, client).await;
        }
    }
}

/// The roots are selected by the SPIFFE ID, whichever identity is read afterwards.
#[tokio::test(start_paused = true)]
async fn the_domain_is_selected_for_every_kind_of_identity() {
    let of = Domains::new();
    let acceptor = Acceptor::builder()
        .credentials(member(&of.prod, PROD).credentials())
        .trust(of.trust())
        .identify(DnsName::extractor())
        .authorize(policy::allow_any())
        .build()
        .unwrap();
    let both = |ca: &TestCa| {
        let leaf = ca.leaf().spiffe("spiffe://prod.example/billing");
        leaf.dns("client.example").issue()
    };
    let meet = async |issued| {
        let connector = of.connector(&issued).build().unwrap();
        let (server, _) = countersign::testing::handshake(&acceptor, &connector, SERVER).await;
        server.map(|stream| stream.peer().identity().to_string())
    };
    assert_eq!(meet(both(&of.prod)).await.unwrap(), "client.example");
    let error = meet(both(&of.staging)).await.unwrap_err();
    assert_eq!(error.reason(), "unknown_issuer");
}

/// Servers are verified by their trust domain as well.
#[tokio::test(start_paused = true)]
async fn a_server_of_another_domains_root() {
    let of = Domains::new();
    for version in VERSIONS {
        let client = of.client(&member(&of.staging, STAGING), version);
        for (ca, domain, rejection) in [
            (&of.prod, PROD, None),
            (&of.staging, PROD, Some("unknown_issuer")),
            (&of.prod, "other.example", Some("unknown_trust_domain")),
        ] {
            let acceptor = Acceptor::builder()
                .credentials(member(ca, domain).credentials())
                .trust(of.trust())
                .identify(countersign::identity::SpiffeId::extractor())
                .authorize(policy::allow_any())
                .allow_tls12()
                .build()
                .unwrap();
            let (server, client) = meet(&acceptor, &client).await;
            match rejection {
                None => exchange_and_close(server, client).await,
                Some(reason) => {
                    assert_eq!(client.unwrap_err().reason(), reason);
                    let countersign::AcceptError::Handshake(error) = server.unwrap_err() else {
                        panic!("the server is content with the client")
                    };
                    assert_eq!(error.alert(), Some(A::UnknownCA));
                }
            }
        }
    }
}
