//! The outcome of an attempt, on either side.

use std::net::SocketAddr;

use countersign::Side;
use countersign::audit::{Action, Alert, Memory, Proof, Stage};
use countersign::pki::Fingerprint;
use countersign::testing::{FixedClock, TestCa};
use countersign::{Connector, policy};
use rustls::client::ResolvesClientCert;

use crate::{identity, only};
use support::{
    SERVER, VERSIONS, Version, acceptor, connector, connector_with, deny_all, handshake, provider,
    raw_client, refused_raw_client, thief,
};

/// The provider's preferred group of TLS 1.2. The FIPS build has no X25519.
fn classical_group() -> &'static str {
    let groups = provider(Version::Tls12).kx_groups.clone();
    let has_x25519 = groups
        .iter()
        .any(|group| group.name() == rustls::NamedGroup::X25519);
    if has_x25519 { "X25519" } else { "secp256r1" }
}

#[tokio::test]
async fn an_admission_is_recorded_in_full() {
    for (version, number, suite, group) in [
        (
            Version::Tls13,
            "1.3",
            "TLS_AES_128_GCM_SHA256",
            "X25519MLKEM768",
        ),
        (
            Version::Tls12,
            "1.2",
            "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
            classical_group(),
        ),
    ] {
        let root = TestCa::new("Root");
        let issuing = root.intermediate("Issuing");
        let (trail, clock) = (Memory::new(), FixedClock::now());
        let acceptor = acceptor(&root, |_: &_| countersign::Decision::allow("a rule"))
            .named("orders")
            .alpn(["h2"])
            .allow_tls12()
            .clock(clock)
            .audit(trail.clone())
            .build()
            .unwrap();
        let leaf = issuing.leaf().dns("client.example").issue();
        let mut connector = Connector::builder()
            .credentials(leaf.credentials())
            .trust(root.trust())
            .identify(countersign::identity::DnsName::extractor())
            .authorize(policy::allow_any())
            .alpn(["h2"]);
        if version == Version::Tls12 {
            connector = connector.allow_tls12().crypto_provider(provider(version));
        }
        let connector = connector.build().unwrap();
        let (near, far) = tokio::io::duplex(64 * 1024);
        let from = SocketAddr::from(([192, 0, 2, 7], 4000));
        let (server, client) = tokio::join!(
            acceptor.accept_from(near, from),
            connector.connect(SERVER, far)
        );
        let (server, _client) = (server.unwrap(), client.unwrap());
        let event = only(&trail);
        assert_eq!(event.action, Action::Admitted);
        assert_eq!((event.side, event.stage), (Side::Server, Some(Stage::Open)));
        assert_eq!(event.name.as_deref(), Some("orders"));
        assert_eq!(event.connection, Some(server.id()));
        assert_eq!(event.rule.as_deref(), Some("a rule"));
        assert_eq!(identity(&event), Some(("client.example", "proven")));
        assert_eq!(event.info, *server.peer().connection());
        assert_eq!(event.info.server_name(), Some(SERVER));
        assert_eq!(
            (event.reason, &event.detail, &event.alert),
            (None, &None, &None)
        );
        assert_eq!(event.generation, 1);
        let presented: Vec<_> = event
            .certificates
            .iter()
            .map(|presented| presented.certificate().unwrap().sha256())
            .collect();
        let sent: Vec<_> = leaf
            .chain()
            .iter()
            .map(|der| Fingerprint::of(der))
            .collect();
        assert_eq!((presented.len(), presented), (2, sent));

        let json: serde_json::Value = serde_json::from_str(&event.to_json()).unwrap();
        assert_eq!(json["tls"]["version"], number);
        assert_eq!(json["tls"]["protocol"]["version"], number);
        assert_eq!(json["tls"]["cipher"], suite);
        assert_eq!(json["tls"]["curve"], group);
        assert_eq!(json["tls"]["next_protocol"], "h2");
        assert_eq!(json["tls"]["client"]["server_name"], SERVER);
        assert_eq!(json["client"]["address"], "192.0.2.7");
        assert_eq!(json["client"]["port"], 4000);
        assert_eq!(json["countersign"]["name"], "orders");
    }
}

#[tokio::test]
async fn a_resumed_session_is_recorded_as_such() {
    let ca = TestCa::new("Root");
    let trail = Memory::new();
    let acceptor = acceptor(&ca, policy::allow_any())
        .audit(trail.clone())
        .build()
        .unwrap();
    let connector = connector(&ca, "client.example").build().unwrap();
    for resumed in [false, true] {
        let (server, client) = handshake(&acceptor, &connector).await;
        support::exchange_and_close(server, client).await;
        let events = trail.take();
        assert_eq!(events[0].action, Action::Admitted);
        assert_eq!(events[0].info.is_resumed(), resumed);
        assert_eq!(identity(&events[0]), Some(("client.example", "proven")));
        assert_eq!(events[0].certificates.len(), 1, "restored");
        assert_eq!(events[1].action, Action::Closed);
    }
    assert_eq!(
        (
            acceptor.control().stats().admitted,
            acceptor.control().stats().resumed
        ),
        (2, 1)
    );
    let stats = acceptor.control().stats();
    assert_eq!((stats.chains_verified, stats.chains_remembered), (1, 1));

    // Judged anew, with what is remembered of it.
    acceptor.control().set_policy(deny_all);
    let (server, _client) = handshake(&acceptor, &connector).await;
    assert_eq!(server.unwrap_err().reason(), "denied");
    let event = only(&trail);
    assert_eq!(
        (event.action, event.info.is_resumed()),
        (Action::Denied, true)
    );
    assert_eq!(identity(&event), Some(("client.example", "proven")));
}

/// A refusal: the leaf's name, who signed it, and what the trail says.
struct Refused {
    action: Action,
    stage: Stage,
    reason: &'static str,
    alert: Option<&'static str>,
    identity: Option<(&'static str, Proof)>,
    certificates: usize,
}

#[tokio::test]
async fn a_refusal_has_its_stage_and_the_presented_certificate() {
    let (ca, other) = (TestCa::new("Root"), TestCa::new("Other"));
    let own = ca.leaf().dns("mallory.example").issue();
    let good = ca.leaf().dns("client.example").issue();
    let shows =
        |issued: &countersign::testing::Issued| -> Option<std::sync::Arc<dyn ResolvesClientCert>> {
            Some(thief(issued, issued))
        };
    for version in VERSIONS {
        for (client, refused) in [
            (
                shows(&good),
                Refused {
                    action: Action::Denied,
                    stage: Stage::Policy,
                    reason: "denied",
                    alert: Some("access_denied"),
                    identity: Some(("client.example", Proof::Proven)),
                    certificates: 1,
                },
            ),
            (
                shows(&ca.leaf().common_name("nameless").issue()),
                Refused {
                    action: Action::NotIdentified,
                    stage: Stage::Identity,
                    reason: "identity_missing",
                    alert: Some("access_denied"),
                    identity: None,
                    certificates: 1,
                },
            ),
            (
                shows(&other.leaf().dns("client.example").issue()),
                Refused {
                    action: Action::ChainRefused,
                    stage: Stage::Chain,
                    reason: "unknown_issuer",
                    alert: Some("unknown_ca"),
                    identity: Some(("client.example", Proof::Claimed)),
                    certificates: 1,
                },
            ),
            (
                Some(thief(&good, &own)),
                Refused {
                    action: Action::HandshakeFailed,
                    stage: Stage::Proof,
                    reason: "key_not_proven",
                    alert: Some("decrypt_error"),
                    identity: Some(("client.example", Proof::Claimed)),
                    certificates: 1,
                },
            ),
            (
                None,
                Refused {
                    action: Action::ChainRefused,
                    stage: Stage::Chain,
                    reason: "no_certificate",
                    alert: Some("certificate_required"),
                    identity: None,
                    certificates: 0,
                },
            ),
        ] {
            let trail = Memory::new();
            let acceptor = acceptor(&ca, deny_all)
                .allow_tls12()
                .audit(trail.clone())
                .build()
                .unwrap();
            let config = raw_client(&ca, version, client);
            let (error, _seen) = refused_raw_client(&acceptor, config).await;
            let event = only(&trail);
            let reason = refused.reason;
            assert_eq!((event.reason, error.reason()), (Some(reason), reason));
            assert_eq!(
                (event.action, event.stage),
                (refused.action, Some(refused.stage))
            );
            assert_eq!(event.detail, Some(error.to_string()));
            let alert = refused.alert.map(|name| Alert::Sent(name.into()));
            assert_eq!(event.alert, alert, "{reason} {version:?}");
            let identity = refused.identity.map(|(text, proof)| (text, proof.as_str()));
            assert_eq!(crate::identity(&event), identity, "{reason}");
            assert_eq!(event.certificates.len(), refused.certificates, "{reason}");
            assert_eq!(event.info.server_name(), Some(SERVER), "{reason}: SNI");
            assert_eq!(event.info.version(), Some(version.protocol()), "{reason}");
            assert!(event.info.cipher_suite().is_some(), "{reason}");
            let json: serde_json::Value = serde_json::from_str(&event.to_json()).unwrap();
            let was_over = refused.stage >= Stage::Identity;
            assert_eq!(json["tls"]["established"], was_over, "{reason}");
            assert_eq!(json["tls"]["resumed"].is_boolean(), was_over, "{reason}");
            assert_eq!(event.rule, None);
        }
    }
}

/// What ends before there are keys is seen on the wire.
#[tokio::test]
async fn a_failed_handshake_has_its_alert() {
    let (ca, other) = (TestCa::new("Root"), TestCa::new("Other"));
    let trail = Memory::new();
    let acceptor = acceptor(&ca, policy::allow_any())
        .audit(trail.clone())
        .build()
        .unwrap();

    // The client speaks TLS 1.2 only.
    refused_raw_client(&acceptor, raw_client(&ca, Version::Tls12, None)).await;
    let event = only(&trail);
    assert_eq!(
        (event.action, event.reason),
        (Action::HandshakeFailed, Some("version_too_old"))
    );
    assert_eq!(event.stage, Some(Stage::Handshake));
    assert_eq!(event.alert, Some(Alert::Sent("protocol_version".into())));

    // The client does not know our CA.
    let connector = connector_with(&other, "client.example", policy::allow_any())
        .build()
        .unwrap();
    let (_server, client) = handshake(&acceptor, &connector).await;
    client.unwrap_err();
    let event = only(&trail);
    assert_eq!(
        (event.action, event.reason),
        (Action::HandshakeFailed, Some("alert_received"))
    );
    assert_eq!(event.alert, Some(Alert::Received("unknown_ca".into())));
}

#[tokio::test]
async fn the_client_records_its_side() {
    let (ca, other) = (TestCa::new("Root"), TestCa::new("Other"));
    let trail = Memory::new();
    let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
    let audited = |name: &str| connector(&ca, name).audit(trail.clone());

    let good = audited("client.example").build().unwrap();
    let (_server, client) = handshake(&acceptor, &good).await;
    let event = only(&trail);
    assert_eq!((event.side, event.action), (Side::Client, Action::Admitted));
    assert_eq!(identity(&event), Some((SERVER, "proven")));
    assert_eq!(event.connection, Some(client.unwrap().id()));
    let json: serde_json::Value = serde_json::from_str(&event.to_json()).unwrap();
    assert_eq!(json["server"]["domain"], SERVER);
    assert!(json["tls"]["server"]["x509"].is_object());
    assert_eq!(json["user"], serde_json::Value::Null, "a server is no user");
    trail.take(); // that it ended

    good.control().set_policy(deny_all);
    let (_server, client) = handshake(&acceptor, &good).await;
    client.unwrap_err();
    let event = only(&trail);
    assert_eq!(
        (event.action, event.reason),
        (Action::Denied, Some("denied"))
    );
    assert_eq!(event.alert, Some(Alert::Sent("access_denied".into())));

    let (near, far) = tokio::io::duplex(64 * 1024);
    let good = audited("client.example").build().unwrap();
    let (_server, client) = tokio::join!(acceptor.accept(near), good.connect("other.example", far));
    client.unwrap_err();
    let event = only(&trail);
    assert_eq!(
        (event.action, event.reason),
        (Action::ChainRefused, Some("name_mismatch"))
    );
    assert_eq!(identity(&event), Some((SERVER, "claimed")));
    assert_eq!(event.info.server_name(), Some("other.example"));

    let stranger = connector(&other, "client.example")
        .audit(trail.clone())
        .build()
        .unwrap();
    let (_server, client) = handshake(&acceptor, &stranger).await;
    client.unwrap_err();
    let event = only(&trail);
    assert_eq!(
        (event.action, event.reason),
        (Action::ChainRefused, Some("unknown_issuer"))
    );

    let (_near, far) = tokio::io::duplex(1024);
    good.connect("no name", far).await.unwrap_err();
    let event = only(&trail);
    assert_eq!(event.reason, Some("invalid_server_name"));
    assert_eq!(event.stage, Some(Stage::Transport));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_sends_nothing_is_recorded_as_timed_out() {
    let (ca, trail) = (TestCa::new("Root"), Memory::new());
    let acceptor = acceptor(&ca, policy::allow_any())
        .audit(trail.clone())
        .build()
        .unwrap();
    let (near, _far) = tokio::io::duplex(1024);
    let error = acceptor.accept(near).await.unwrap_err();
    assert_eq!(error.reason(), "timed_out");
    let event = only(&trail);
    let outcome = (event.action, event.reason);
    assert_eq!(outcome, (Action::TimedOut, Some("timed_out")));
    assert_eq!(event.alert, None, "none was sent");
    assert_eq!(acceptor.control().stats().timed_out, 1);

    // The policy takes longer than a handshake may: the client reads why it is not admitted.
    let policy = |_: countersign::Peer<_>| std::future::pending::<countersign::Decision>();
    let an_hour = std::time::Duration::from_secs(3600);
    acceptor.control().set_async_policy(policy, an_hour);
    let connector = connector(&ca, "client.example").build().unwrap();
    let (server, client) = handshake(&acceptor, &connector).await;
    assert_eq!(server.unwrap_err().reason(), "timed_out");
    let event = only(&trail);
    assert_eq!(
        (event.action, event.stage, &event.alert),
        (
            Action::TimedOut,
            Some(Stage::Policy),
            &Some(Alert::Sent("access_denied".into()))
        )
    );
    assert_eq!(identity(&event), Some(("client.example", "proven")));
    let seen = support::alert_seen(client).await;
    assert_eq!(seen, rustls::AlertDescription::AccessDenied);
}

#[test]
fn a_connector_knows_how_long_its_certificate_lasts() {
    let ca = TestCa::new("Root");
    let connector = connector(&ca, "client.example").build().unwrap();
    assert!(connector.control().stats().own_certificate_left.is_some());
}
