//! What is listed and printed of endpoints and their open connections.

use std::time::Duration;

use countersign::policy;
use countersign::testing::{FixedClock, TestCa};
use support::{acceptor, connector, handshake};

#[tokio::test]
async fn an_open_connection_has_the_time_of_its_handshake_and_its_peer() {
    let ca = TestCa::new("Root");
    let clock = FixedClock::now();
    let opened = clock.time();
    let acceptor = acceptor(&ca, policy::allow_any())
        .clock(clock.clone())
        .build()
        .unwrap();
    let connector = connector(&ca, "client.example").build().unwrap();
    let (server, _client) = handshake(&acceptor, &connector).await;
    let server = server.unwrap();
    clock.advance(Duration::from_secs(60));

    let listed = acceptor.control().connections().remove(0);
    let other = listed.clone();
    assert_eq!((listed.since(), listed.generation()), (opened, 1));
    assert_eq!(listed.peer().identity().as_str(), "client.example");
    assert!(listed.close_reason().is_none());
    let open = format!(
        "OpenConnection {{ id: {}, peer: {:?}, close_reason: None, .. }}",
        listed.id(),
        server.peer()
    );
    assert_eq!(format!("{listed:?}"), open);
    // A clone is the same connection.
    listed.close();
    assert_eq!(other.id(), listed.id());
    let closed = other.close_reason().map(|why| why.reason());
    assert_eq!(closed, Some("ended_by_application"));
    let cut = format!("{other:?}");
    assert!(cut.contains("close_reason: Some(ByApplication)"), "{cut}");
}

/// A log that has an endpoint or a stream in it has no key and no secret of a session.
#[tokio::test]
async fn endpoints_and_streams_print_their_rules_and_no_keys() {
    let ca = TestCa::new("Root");
    let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
    let connector = connector(&ca, "client.example").build().unwrap();
    let gate = "Gate { generation: TrustGeneration { generation: 1, trust: Store(TrustStore { \
                anchors: 1, pinned_certificates: 0, pinned_keys: 0, intermediates: 0 }), .. }";
    let expected = |of: &str, names: &str| {
        format!(
            "{of} {{ endpoint: Endpoint {{ gate: {gate}, server_names: {names}, .. }}, .. }}, .. }}"
        )
    };
    assert_eq!(format!("{acceptor:?}"), expected("Acceptor", "ByPolicy"));
    assert_eq!(format!("{connector:?}"), expected("Connector", "Verify"));

    let (server, _client) = handshake(&acceptor, &connector).await;
    let server = server.unwrap();
    let expected = format!(
        "TlsStream {{ admission: Admission {{ peer: {:?}, rule: \"allow_any\" }}, .. }}",
        server.peer()
    );
    assert_eq!(format!("{server:?}"), expected);
}
