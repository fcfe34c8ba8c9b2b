//! Open connections while the clock gives no time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use countersign::identity::DnsName;
use countersign::policy::{self, DenyEntry, DenyList};
use countersign::testing::{FixedClock, TestCa};
use countersign::{Acceptor, Update};
use rustls::time_provider::TimeProvider;
use rustls_pki_types::UnixTime;
use tokio::io::AsyncReadExt as _;
use tokio::time::{sleep, timeout};

use super::{Stream, close_reason};
use support::{acceptor, connector, handshake};

/// Gives a time, or none, or panics.
#[derive(Clone, Debug)]
struct Clock {
    time: FixedClock,
    state: Arc<AtomicU8>,
}

const WORKS: u8 = 0;
const GIVES_NONE: u8 = 1;
const PANICS: u8 = 2;

impl Clock {
    fn new() -> Self {
        Self {
            time: FixedClock::now(),
            state: Arc::default(),
        }
    }

    fn set(&self, state: u8) {
        self.state.store(state, Ordering::SeqCst);
    }
}

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        match self.state.load(Ordering::SeqCst) {
            WORKS => self.time.current_time(),
            PANICS => std::panic::resume_unwind(Box::new("planned")),
            _ => None,
        }
    }
}

/// An acceptor by this clock, and a connection of a client whose certificate is good for so long.
async fn opened(
    ca: &TestCa,
    clock: &Clock,
    list: &DenyList<DnsName>,
    good_for: u64,
) -> (Acceptor<DnsName>, Stream, Stream) {
    let acceptor = acceptor(ca, policy::allow_any())
        .clock(clock.clone())
        .deny_list(list)
        .build()
        .unwrap();
    let now = clock.time.time();
    let end = UnixTime::since_unix_epoch(Duration::from_secs(now.as_secs() + good_for));
    let leaf = ca.leaf().dns("client.example").validity(now, end).issue();
    let connector = connector(ca, "unused.example").build().unwrap();
    connector
        .control()
        .update(Update::new().credentials(leaf.credentials()))
        .unwrap();
    let (server, client) = handshake(&acceptor, &connector).await;
    (acceptor, server.unwrap(), client.unwrap())
}

const HOUR: u64 = 3600;

#[tokio::test(start_paused = true)]
async fn after_a_minute_without_a_clock_open_connections_drain_and_are_cut() {
    for state in [GIVES_NONE, PANICS] {
        let (ca, clock) = (TestCa::new("Root"), Clock::new());
        let (acceptor, mut server, _client) = opened(&ca, &clock, &DenyList::new(), HOUR).await;
        sleep(Duration::from_secs(5)).await;
        clock.set(state);
        let draining = server.draining();
        let none = timeout(Duration::from_secs(59), draining.clone()).await;
        assert!(none.is_err(), "it may return");
        let why = timeout(Duration::from_secs(4), draining).await.unwrap();
        assert_eq!((why.reason(), why.alert()), ("no_clock", None));
        assert!(why.to_string().contains("a clock() that"), "{why}");
        // The time to finish is as for all others.
        let cut = timeout(Duration::from_secs(32), server.read_u8())
            .await
            .unwrap();
        assert_eq!(close_reason(cut.unwrap_err()).reason(), "no_clock");
        assert!(acceptor.control().connections().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_returns_within_the_minute_changes_nothing() {
    let (ca, clock) = (TestCa::new("Root"), Clock::new());
    let (acceptor, server, _client) = opened(&ca, &clock, &DenyList::new(), HOUR).await;
    for _ in 0..5 {
        clock.set(GIVES_NONE);
        sleep(Duration::from_secs(57)).await;
        clock.set(WORKS);
        sleep(Duration::from_secs(3)).await;
    }
    assert!(server.draining().why().is_none());
    assert_eq!(acceptor.control().connections().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn certificates_expire_on_time_while_the_clock_gives_none() {
    for (good_for, reason) in [(30, Some("expired")), (HOUR, None)] {
        let (ca, clock) = (TestCa::new("Root"), Clock::new());
        let (_acceptor, server, _client) = opened(&ca, &clock, &DenyList::new(), good_for).await;
        clock.set(GIVES_NONE);
        sleep(Duration::from_secs(29)).await;
        assert!(server.draining().why().is_none(), "{good_for}");
        sleep(Duration::from_secs(5)).await;
        let why = server.draining().why().map(|why| why.reason());
        assert_eq!(why, reason, "{good_for}");
    }
}

/// A change of rules during that reaches the affected connections, and no other.
#[tokio::test(start_paused = true)]
async fn a_change_of_rules_without_a_clock_cuts_only_the_affected_connections() {
    let (ca, clock, list) = (TestCa::new("Root"), Clock::new(), DenyList::new());
    let (acceptor, server, _client) = opened(&ca, &clock, &list, HOUR).await;
    clock.set(GIVES_NONE);
    let other = TestCa::new("Other").trust().and(ca.trust());
    acceptor
        .control()
        .update(Update::new().trust(other))
        .unwrap();
    list.insert(DenyEntry::Identity("other.example".parse().unwrap()));
    assert!(server.draining().why().is_none());
    list.insert(DenyEntry::Identity("client.example".parse().unwrap()));
    assert_eq!(server.draining().why().unwrap().reason(), "deny_listed");
    // Nobody new comes in.
    let connector = connector(&ca, "new.example").build().unwrap();
    let (refused, _) = handshake(&acceptor, &connector).await;
    assert!(refused.is_err());
}
