//! How many connections may be open, in all and per identity.

use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use countersign::audit::Memory;
use countersign::identity::{DnsName, IdentityExtractor as _};
use countersign::testing::{self, TestCa};
use countersign::{Acceptor, Certificate, Connector, Decision, Listener, Peer, policy};
use rustls::AlertDescription;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use support::{SERVER, acceptor, alert_seen, connector, handshake};

/// Asserts that the server rejects for this reason, and that the client gets this alert.
async fn is_refused(
    acceptor: &Acceptor<DnsName>,
    connector: &Connector<DnsName>,
    reason: &str,
    alert: AlertDescription,
) {
    let (server, client) = handshake(acceptor, connector).await;
    let refused = server.expect_err("refused");
    assert_eq!(refused.reason(), reason, "{refused}");
    assert!(refused.certificate().is_some());
    assert_eq!(alert_seen(client).await, alert);
}

#[tokio::test]
async fn beyond_the_limit_peers_are_rejected_until_a_connection_is_dropped() {
    let ca = TestCa::new("Root");
    let audit = Memory::default();
    let acceptor = acceptor(&ca, policy::allow_any())
        .audit(audit.clone())
        .max_connections(2)
        .build()
        .unwrap();
    let connector = connector(&ca, "client.example").build().unwrap();
    let (reason, alert) = ("too_many_connections", AlertDescription::InternalError);
    let (first, _client) = handshake(&acceptor, &connector).await;
    let (second, _other) = handshake(&acceptor, &connector).await;
    let (first, mut second) = (first.unwrap(), second.unwrap());
    is_refused(&acceptor, &connector, reason, alert).await;
    is_refused(&acceptor, &connector, reason, alert).await;
    drop(first);
    let (third, _client) = handshake(&acceptor, &connector).await;
    let third = third.unwrap();
    is_refused(&acceptor, &connector, reason, alert).await;

    // A connection that was cut holds its place until the application drops it.
    assert_eq!(acceptor.control().close_where(|_| true), 2);
    second.read_u8().await.unwrap_err();
    is_refused(&acceptor, &connector, reason, alert).await;
    drop((second, third));
    let (last, _client) = handshake(&acceptor, &connector).await;
    last.unwrap();

    let events = audit.events();
    let refused = events.iter().filter(|event| event.reason == Some(reason));
    let alerts: Vec<_> = refused.map(|event| format!("{:?}", event.alert)).collect();
    assert_eq!(alerts, [r#"Some(Sent("internal_error"))"#; 4]);
}

#[tokio::test]
async fn each_identity_has_a_limit_of_its_own() {
    let ca = TestCa::new("Root");
    let acceptor = acceptor(&ca, policy::allow_any())
        .max_connections_per_identity(1)
        .build()
        .unwrap();
    let alice = connector(&ca, "alice.example").build().unwrap();
    let bob = connector(&ca, "bob.example").build().unwrap();
    // By another certificate of the same identity, too.
    let renewed = connector(&ca, "alice.example").build().unwrap();
    let (reason, alert) = (
        "too_many_connections_of_identity",
        AlertDescription::AccessDenied,
    );
    let (of_alice, _client) = handshake(&acceptor, &alice).await;
    let of_alice = of_alice.unwrap();
    is_refused(&acceptor, &alice, reason, alert).await;
    is_refused(&acceptor, &renewed, reason, alert).await;
    let (of_bob, _client) = handshake(&acceptor, &bob).await;
    let _of_bob = of_bob.unwrap();
    drop(of_alice);
    let (again, _client) = handshake(&acceptor, &renewed).await;
    again.unwrap();
}

/// An identity of which every one has the same hash.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Colliding(String);

impl Hash for Colliding {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u8(0);
    }
}

#[tokio::test]
async fn identities_are_told_apart_by_equality_and_not_by_their_hash() {
    let ca = TestCa::new("Root");
    let acceptor = Acceptor::builder()
        .credentials(ca.leaf().dns(SERVER).issue().credentials())
        .trust(ca.trust())
        .identify(|certificate: &Certificate| {
            let name = DnsName::extractor().extract(certificate)?;
            Ok(Colliding(name.to_string()))
        })
        .authorize(policy::allow_any())
        .max_connections_per_identity(1)
        .build()
        .unwrap();
    let [alice, bob] =
        ["alice.example", "bob.example"].map(|name| connector(&ca, name).build().unwrap());
    let (of_alice, _client) = testing::handshake(&acceptor, &alice, SERVER).await;
    let (of_bob, _other) = testing::handshake(&acceptor, &bob, SERVER).await;
    let (_of_alice, _of_bob) = (of_alice.unwrap(), of_bob.unwrap());
    for full in [&alice, &bob] {
        let (server, _client) = testing::handshake(&acceptor, full, SERVER).await;
        let reason = server.unwrap_err().reason();
        assert_eq!(reason, "too_many_connections_of_identity");
    }
}

/// Of two places of an identity, one that is given back can be taken once.
#[tokio::test]
async fn an_identity_has_as_many_places_as_the_limit_says() {
    let ca = TestCa::new("Root");
    let acceptor = acceptor(&ca, policy::allow_any())
        .max_connections_per_identity(2)
        .build()
        .unwrap();
    let alice = connector(&ca, "alice.example").build().unwrap();
    let (reason, alert) = (
        "too_many_connections_of_identity",
        AlertDescription::AccessDenied,
    );
    let (first, _one) = handshake(&acceptor, &alice).await;
    let mut held = first.unwrap();
    for _ in 0..3 {
        let (second, _two) = handshake(&acceptor, &alice).await;
        let second = second.unwrap();
        is_refused(&acceptor, &alice, reason, alert).await;
        drop(std::mem::replace(&mut held, second));
    }
}

#[tokio::test]
async fn a_peer_that_is_denied_takes_no_place() {
    let ca = TestCa::new("Root");
    let only_alice = |peer: &Peer<DnsName>| {
        if peer.identity().as_str() == "alice.example" {
            Decision::allow("alice")
        } else {
            Decision::deny("not alice")
        }
    };
    let acceptor = acceptor(&ca, only_alice)
        .max_connections(1)
        .max_connections_per_identity(1)
        .build()
        .unwrap();
    let mallory = connector(&ca, "mallory.example").build().unwrap();
    let denied = AlertDescription::AccessDenied;
    for _ in 0..3 {
        is_refused(&acceptor, &mallory, "denied", denied).await;
    }
    let alice = connector(&ca, "alice.example").build().unwrap();
    let (of_alice, _client) = handshake(&acceptor, &alice).await;
    let of_alice = of_alice.unwrap();
    // The policy's answer comes first.
    is_refused(&acceptor, &mallory, "denied", denied).await;
    drop(of_alice);
}

/// Of 64 peers that are allowed at the same time, as many are admitted as the limit says, through a listener.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_peers_do_not_exceed_a_limit() {
    const PEERS: usize = 64;

    let ca = TestCa::new("Root");
    let acceptor = acceptor(&ca, policy::allow_any())
        .max_connections(5)
        .build()
        .unwrap();
    // All of them have their answers at about the same time.
    acceptor.control().set_async_policy(
        async |_: Peer<DnsName>| {
            tokio::time::sleep(Duration::from_millis(20)).await;
            Decision::allow("asked")
        },
        Duration::from_secs(30),
    );
    let (report, mut reported) = tokio::sync::mpsc::unbounded_channel();
    let mut listener = Listener::builder(acceptor.clone())
        .on_refused(move |_, error| report.send(error.reason()).unwrap())
        .bind("127.0.0.1:0")
        .await
        .unwrap();
    let address = listener.local_addr().unwrap();
    let connector = connector(&ca, "client.example").build().unwrap();
    let open = Arc::new(Mutex::new(Vec::new()));
    let held = Arc::clone(&open);
    let serving = tokio::spawn(async move {
        while let Some(stream) = listener.accept().await {
            held.lock().unwrap().push(stream);
        }
    });
    let mut clients = JoinSet::new();
    for _ in 0..PEERS {
        let connector = connector.clone();
        clients.spawn(async move {
            let tcp = TcpStream::connect(address).await.unwrap();
            connector.connect(SERVER, tcp).await
        });
    }
    // Those that are admitted stay.
    let clients = clients.join_all().await;
    for _ in 0..PEERS - 5 {
        let reason = reported.recv().await.unwrap();
        assert_eq!(reason, "too_many_connections");
    }
    assert_eq!(acceptor.control().connections().len(), 5);
    assert_eq!(acceptor.control().stats().admitted, 5);
    drop(clients);
    serving.abort();
    assert!(serving.await.unwrap_err().is_cancelled());
    open.lock().unwrap().clear();
    let (again, _client) = handshake(&acceptor, &connector).await;
    again.unwrap();
}
