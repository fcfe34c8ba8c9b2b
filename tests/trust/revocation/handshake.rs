//! What a revoked peer sees of it.

use std::time::Duration;

use countersign::identity::DnsName;
use countersign::testing::{FixedClock, Issued, TestCa};
use countersign::trust::{Revocation, UnknownStatus};
use countersign::{Acceptor, Connector, Update, policy};
use rustls::AlertDescription as A;

use super::support::{crls, hours, serial};
use support::{
    SERVER, VERSIONS, Version, acceptor, alert_seen, connector, exchange_and_close, handshake,
    provider,
};

fn client(ca: &TestCa, issued: &Issued, version: Version) -> Connector<DnsName> {
    Connector::builder()
        .credentials(issued.credentials())
        .trust(ca.trust())
        .identify(DnsName::extractor())
        .authorize(policy::allow_any())
        .allow_tls12()
        .crypto_provider(provider(version))
        .build()
        .unwrap()
}

/// Rejected for this reason and with this alert; or, without them, admitted.
async fn assert_verdict(
    acceptor: &Acceptor<DnsName>,
    client: &Connector<DnsName>,
    refusal: Option<(&str, A)>,
) {
    let (server, client) = handshake(acceptor, client).await;
    match refusal {
        None => exchange_and_close(server, client).await,
        Some((reason, alert)) => {
            assert_eq!(server.unwrap_err().reason(), reason);
            assert_eq!(alert_seen(client).await, alert, "{reason}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_gets_the_alert_of_its_status() {
    let root = TestCa::new("Root");
    let issuing = root.intermediate("Issuing");
    let leaf = || issuing.leaf().dns("client.example").issue();
    let (good, revoked) = (leaf(), leaf());
    let stale = || issuing.crl().this_update(hours(-9)).next_update(hours(-8));
    let of_issuing = || issuing.crl().revoke(revoked.serial());
    let lists = |list| Revocation::new(crls([root.crl(), list]));
    let is_revoked = Some(("revoked", A::CertificateRevoked));
    // Our lack of a list is no fault of the client's.
    let is_unknown = Some(("unknown_revocation_status", A::CertificateUnknown));
    let is_stale = Some(("crl_expired", A::CertificateUnknown));
    let unknown = Revocation::new(crls([root.crl()]));
    let of_root = root.crl().revoke(&serial(&issuing));
    for (choices, of_revoked, of_good) in [
        (lists(of_issuing()), is_revoked, None),
        (unknown.clone(), is_unknown, is_unknown),
        (unknown.unknown_status(UnknownStatus::Allow), None, None),
        (lists(stale()), is_stale, is_stale),
        (
            lists(stale()).grace(Duration::from_secs(9 * 3600)),
            None,
            None,
        ),
        (
            Revocation::new(crls([of_root, issuing.crl()])),
            is_revoked,
            is_revoked,
        ),
    ] {
        let acceptor = acceptor(&root, policy::allow_any())
            .revocation(choices)
            .allow_tls12()
            .build()
            .unwrap();
        for version in VERSIONS {
            for (issued, expected) in [(&revoked, of_revoked), (&good, of_good)] {
                let client = client(&root, issued, version);
                assert_verdict(&acceptor, &client, expected).await;
            }
        }
    }
}

/// A list takes effect on the next connection, one that would resume a session included, and so
/// does one that lifts a revocation.
#[tokio::test(start_paused = true)]
async fn a_new_list_takes_effect_at_once() {
    for version in VERSIONS {
        let ca = TestCa::new("Root");
        let issued = ca.leaf().dns("client.example").issue();
        let acceptor = acceptor(&ca, policy::allow_any())
            .revocation(crls([ca.crl()]))
            .allow_tls12()
            .build()
            .unwrap();
        let client = client(&ca, &issued, version);
        assert_eq!(acceptor.control().generation(), 1);
        let is_revoked = Some(("revoked", A::CertificateRevoked));
        for (list, refusal) in [
            (ca.crl().number(2).revoke(issued.serial()), is_revoked),
            (ca.crl().number(3), None),
            (ca.crl().number(4).revoke(issued.serial()), is_revoked),
        ] {
            if refusal.is_some() {
                for _ in 0..2 {
                    assert_verdict(&acceptor, &client, None).await;
                }
            }
            acceptor
                .control()
                .update(Update::new().revocation(crls([list])))
                .unwrap();
            assert_verdict(&acceptor, &client, refusal).await;
        }
        assert_eq!(acceptor.control().generation(), 4);
    }
}

/// Nothing is loaded: the time alone makes a list stale, for remembered chains and
/// sessions, too.
#[tokio::test(start_paused = true)]
async fn a_list_goes_stale_under_a_running_acceptor() {
    for version in VERSIONS {
        let ca = TestCa::new("Root");
        let clock = FixedClock::at(hours(0));
        let acceptor = acceptor(&ca, policy::allow_any())
            .revocation(crls([ca.crl().next_update(hours(2))]))
            .clock(clock.clone())
            .allow_tls12()
            .build()
            .unwrap();
        let client = client(&ca, &ca.leaf().dns("client.example").issue(), version);
        for _ in 0..2 {
            assert_verdict(&acceptor, &client, None).await;
        }
        clock.advance(Duration::from_secs(2 * 3600 - 1));
        assert_verdict(&acceptor, &client, None).await;
        clock.advance(Duration::from_secs(1));
        let is_stale = Some(("crl_expired", A::CertificateUnknown));
        assert_verdict(&acceptor, &client, is_stale).await;
        acceptor
            .control()
            .update(Update::new().revocation(crls([ca.crl()])))
            .unwrap();
        assert_verdict(&acceptor, &client, None).await;
    }
}

/// The same for servers, as a connector sees them.
#[tokio::test(start_paused = true)]
async fn a_revoked_server_gets_the_alert_too() {
    let ca = TestCa::new("Root");
    let server = ca.leaf().dns(SERVER).issue();
    let acceptor = Acceptor::builder()
        .credentials(server.credentials())
        .trust(ca.trust())
        .identify(DnsName::extractor())
        .authorize(policy::allow_any())
        .allow_tls12()
        .build()
        .unwrap();
    let stranger = TestCa::new("Stranger");
    for version in VERSIONS {
        for (list, reason, alert) in [
            (
                ca.crl().revoke(server.serial()),
                "revoked",
                A::CertificateRevoked,
            ),
            (
                stranger.crl(),
                "unknown_revocation_status",
                A::CertificateUnknown,
            ),
        ] {
            let connector = connector(&ca, "client.example")
                .revocation(crls([list]))
                .allow_tls12()
                .crypto_provider(provider(version))
                .build()
                .unwrap();
            let (server, client) = handshake(&acceptor, &connector).await;
            assert_eq!(client.unwrap_err().reason(), reason);
            let countersign::AcceptError::Handshake(error) = server.unwrap_err() else {
                panic!("the server is content with the client")
            };
            assert_eq!(error.alert(), Some(alert));

            connector
                .control()
                .update(Update::new().revocation(crls([ca.crl()])))
                .unwrap();
            let (server, client) = handshake(&acceptor, &connector).await;
            exchange_and_close(server, client).await;
        }
    }
}
