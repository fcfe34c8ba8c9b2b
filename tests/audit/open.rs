//! What happens to a connection that is open.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use countersign::audit::{Action, Alert, AuditEvent, Memory, Stage};
use countersign::policy::{DenyEntry, DenyList};
use countersign::testing::{FixedClock, TestCa};
use countersign::{Incoming, Listener, Update, policy};
use rustls_pki_types::UnixTime;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::sleep;

use crate::{identity, schema};
use support::sent::{from, sent};
use support::{SERVER, acceptor, connector, deny_all, handshake};

fn actions(events: &[Arc<AuditEvent>]) -> Vec<(Action, Option<&'static str>)> {
    let schema = schema::of_events();
    let valid = events.iter().inspect(|event| {
        schema::assert_valid(&schema, event);
    });
    valid.map(|event| (event.action, event.reason)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_closed_event_has_duration_and_traffic() {
    let ca = TestCa::new("Root");
    let trail = Memory::new();
    let acceptor = acceptor(&ca, policy::allow_any())
        .audit(trail.clone())
        .build()
        .unwrap();
    let connector = connector(&ca, "client.example").build().unwrap();
    let (server, client) = handshake(&acceptor, &connector).await;
    let (mut server, mut client) = (server.unwrap(), client.unwrap());
    assert_eq!(acceptor.control().stats().open, 1);
    client.write_all(b"five!").await.unwrap();
    client.flush().await.unwrap();
    server.read_exact(&mut [0; 5]).await.unwrap();
    server.write_all(b"seven!!").await.unwrap();
    server.shutdown().await.unwrap();
    let id = server.id();
    drop(server);

    let events = trail.take();
    assert_eq!(
        actions(&events),
        [(Action::Admitted, None), (Action::Closed, Some("closed"))]
    );
    let ended = &events[1];
    assert_eq!(ended.connection, Some(id));
    assert_eq!(identity(ended), Some(("client.example", "proven")));
    let traffic = ended.traffic.unwrap();
    assert_eq!((traffic.received, traffic.sent), (5, 7));
    assert!(ended.duration.is_some());
    let json: serde_json::Value = serde_json::from_str(&ended.to_json()).unwrap();
    assert_eq!(
        (&json["client"]["bytes"], &json["server"]["bytes"]),
        (&5.into(), &7.into())
    );
    assert_eq!(acceptor.control().stats().open, 0);
}

/// With TLS 1.3, the alert of a server that rejects us comes after our side of the handshake.
#[tokio::test(start_paused = true)]
async fn a_client_that_is_rejected_late_records_the_alert() {
    let ca = TestCa::new("Root");
    let trail = Memory::new();
    let acceptor = acceptor(&ca, deny_all).build().unwrap();
    let connector = connector(&ca, "client.example")
        .audit(trail.clone())
        .build()
        .unwrap();
    let (_server, client) = handshake(&acceptor, &connector).await;
    let mut client = client.unwrap();
    client.read_u8().await.unwrap_err();
    drop(client);
    let events = trail.take();
    assert_eq!(
        actions(&events),
        [
            (Action::Admitted, None),
            (Action::Closed, Some("alert_received"))
        ]
    );
    assert_eq!(
        events[1].alert,
        Some(Alert::Received("access_denied".into()))
    );
    let detail = events[1].detail.as_ref().unwrap();
    assert!(
        detail.starts_with("the server refused our certificate"),
        "{detail}"
    );
}

#[tokio::test(start_paused = true)]
async fn each_change_of_the_rules_is_recorded_with_its_reason() {
    let ca = TestCa::new("Root");
    let (trail, denied) = (Memory::new(), DenyList::new());
    let acceptor = acceptor(&ca, policy::allow_any())
        .deny_list(&denied)
        .audit(trail.clone())
        .build()
        .unwrap();
    let connector = connector(&ca, "client.example").build().unwrap();
    for (reason, alert, change) in [
        (
            "denied",
            Some("access_denied"),
            &(|| acceptor.control().set_policy(deny_all)) as &dyn Fn(),
        ),
        ("deny_listed", Some("access_denied"), &|| {
            denied.insert(DenyEntry::Identity("client.example".parse().unwrap()));
        }),
        ("unknown_issuer", Some("unknown_ca"), &|| {
            let other = TestCa::new("Other").trust();
            acceptor
                .control()
                .update(Update::new().trust(other))
                .unwrap();
        }),
        ("ended_by_application", None, &|| {
            assert_eq!(acceptor.control().close_where(|_| true), 1);
        }),
    ] {
        acceptor.control().set_policy(policy::allow_any());
        denied.replace([]);
        acceptor
            .control()
            .update(Update::new().trust(ca.trust()))
            .unwrap();
        let (server, client) = handshake(&acceptor, &connector).await;
        let (mut server, _client) = (server.unwrap(), client.unwrap());
        trail.take();
        change();
        server.read_u8().await.unwrap_err();
        drop(server);
        let events = trail.take();
        assert_eq!(
            actions(&events),
            [(Action::Cut, Some(reason)), (Action::Closed, Some(reason))]
        );
        let alert = alert.map(|name| Alert::Sent(name.into()));
        assert_eq!(events[0].alert, alert, "{reason}");
        assert_eq!(identity(&events[0]), Some(("client.example", "proven")));
        assert!(events[0].detail.is_some());
    }
    assert_eq!(acceptor.control().stats().cut, 4);
}

#[tokio::test(start_paused = true)]
async fn who_expires_drains_and_is_cut_then() {
    let ca = TestCa::new("Root");
    let (trail, clock) = (Memory::new(), FixedClock::now());
    let end = clock.time().as_secs() + 60;
    let end = UnixTime::since_unix_epoch(Duration::from_secs(end));
    let acceptor = acceptor(&ca, policy::allow_any())
        .clock(clock.clone())
        .drain_time(Duration::from_secs(10))
        .audit(trail.clone())
        .build()
        .unwrap();
    let leaf = ca.leaf().dns("client.example");
    let leaf = leaf
        .validity(UnixTime::since_unix_epoch(Duration::ZERO), end)
        .issue();
    let connector = connector(&ca, "ignored.example").build().unwrap();
    connector
        .control()
        .update(Update::new().credentials(leaf.credentials()))
        .unwrap();
    let (server, client) = handshake(&acceptor, &connector).await;
    let (mut server, _client) = (server.unwrap(), client.unwrap());
    clock.advance(Duration::from_secs(61));
    sleep(Duration::from_secs(15)).await;
    server.read_u8().await.unwrap_err();
    drop(server);
    assert_eq!(
        actions(&trail.take()),
        [
            (Action::Admitted, None),
            (Action::Draining, Some("expired")),
            (Action::Cut, Some("expired")),
            (Action::Closed, Some("expired")),
        ]
    );
}

/// What a listener has taken has an outcome, also if its task never ran.
#[tokio::test]
async fn every_connection_of_a_listener_is_recorded() {
    const SENT: usize = 120;

    for shuts_down in [false, true] {
        let ca = TestCa::new("Root");
        let trail = Memory::new();
        let acceptor = acceptor(&ca, policy::allow_any())
            .audit(trail.clone())
            .build()
            .unwrap();
        let (sender, incoming) = sent();
        let taken = Arc::new(AtomicUsize::new(0));
        let listener = Listener::builder(acceptor.clone()).listen(Counted {
            incoming,
            taken: taken.clone(),
        });
        let _clients: Vec<_> = (0..SENT)
            .map(|number| from(&sender, [192, 0, 2, number as u8]))
            .collect();
        // Once: it takes some, and their tasks have not run.
        tokio::task::yield_now().await;
        if shuts_down {
            listener.handle().shutdown(Duration::ZERO).await;
        }
        drop(listener);
        let all_told = async {
            while acceptor.control().stats().in_flight > 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), all_told)
            .await
            .unwrap();
        let taken = taken.load(Ordering::SeqCst);
        assert!(taken > 0);
        assert_eq!(trail.take().len(), taken);
        assert_eq!(acceptor.control().stats().attempts(), taken as u64);
    }
}

struct Counted<S> {
    incoming: S,
    taken: Arc<AtomicUsize>,
}

impl<S: Incoming> Incoming for Counted<S> {
    type Io = S::Io;

    async fn accept(&mut self) -> std::io::Result<(S::Io, Option<std::net::SocketAddr>)> {
        let accepted = self.incoming.accept().await?;
        self.taken.fetch_add(1, Ordering::SeqCst);
        Ok(accepted)
    }
}

/// Who gives up while the policy thinks has been identified.
#[tokio::test(start_paused = true)]
async fn who_gives_up_while_the_policy_thinks_is_named() {
    let ca = TestCa::new("Root");
    let trail = Memory::new();
    let acceptor = countersign::Acceptor::builder()
        .credentials(ca.leaf().dns(SERVER).issue().credentials())
        .trust(ca.trust())
        .identify(countersign::identity::DnsName::extractor())
        .authorize_async(
            |_: countersign::Peer<_>| std::future::pending::<countersign::Decision>(),
            Duration::from_secs(60),
        )
        .audit(trail.clone())
        .build()
        .unwrap();
    let connector = connector(&ca, "client.example").build().unwrap();
    let gone = tokio::time::timeout(Duration::from_secs(1), handshake(&acceptor, &connector));
    assert!(gone.await.is_err());
    let events = trail.take();
    assert_eq!(actions(&events), [(Action::Abandoned, Some("abandoned"))]);
    assert_eq!(events[0].stage, Some(Stage::Policy));
    assert_eq!(identity(&events[0]), Some(("client.example", "proven")));
    assert_eq!(events[0].certificates.len(), 1);
}

/// A listener that shuts down closes handshakes that are in progress, and each of them is recorded.
#[tokio::test(start_paused = true)]
async fn connections_that_a_shutdown_closes_are_recorded() {
    let ca = TestCa::new("Root");
    let trail = Memory::new();
    let acceptor = acceptor(&ca, policy::allow_any())
        .audit(trail.clone())
        .build()
        .unwrap();
    let (sender, incoming) = sent();
    let listener = Listener::builder(acceptor.clone()).listen(incoming);
    let silent: Vec<_> = (1..=3)
        .map(|last| from(&sender, [192, 0, 2, last]))
        .collect();
    sleep(Duration::from_millis(10)).await; // they have their places
    assert_eq!(acceptor.control().stats().in_flight, 3);
    listener.handle().shutdown(Duration::ZERO).await;
    let events = trail.take();
    assert_eq!(
        actions(&events),
        [(Action::Abandoned, Some("abandoned")); 3]
    );
    let clients: std::collections::BTreeSet<_> = events
        .iter()
        .map(|event| event.info.remote_addr())
        .collect();
    assert_eq!(clients.len(), 3);
    assert_eq!(acceptor.control().stats().in_flight, 0);
    drop(silent);
}
