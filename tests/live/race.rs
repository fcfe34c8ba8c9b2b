//! Rules that change while a connection opens: none slips through.

mod midway;
mod stress;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use countersign::identity::DnsName;
use countersign::live::CloseReason;
use countersign::testing::TestCa;
use countersign::{Decision, Peer, TlsStream, Update, policy};
use midway::{Moment, Side, What, World};
use tokio::io::{AsyncReadExt as _, DuplexStream};
use tokio::time::timeout;

type Stream = TlsStream<DuplexStream, DnsName>;

const SIDES: [Side; 2] = [Side::Server, Side::Client];
const MOMENTS: [Moment; 3] = [Moment::Extractor, Moment::Policy, Moment::Conclusion];
const CHANGES: [(What, &str); 5] = [
    (What::Policy, "denied"),
    (What::AsyncPolicy, "denied"),
    (What::DenyList, "deny_listed"),
    (What::Trust, "unknown_issuer"),
    (What::Crls, "revoked"),
];

/// What a read of a stream that was cut says.
fn close_reason(error: io::Error) -> CloseReason {
    assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted, "{error}");
    error.downcast::<CloseReason>().expect("it says why")
}

/// Whoever is asked about a connection changes the rules itself, and then says yes: that yes is by
/// rules that are no more.
#[tokio::test(start_paused = true)]
async fn a_change_while_a_connection_opens_reaches_it() {
    let mut slipped = Vec::new();
    for (side, is_async, is_first) in every_kind() {
        for moment in MOMENTS {
            for (what, reason) in CHANGES {
                let case =
                    format!("{side:?}, async: {is_async}, first: {is_first}, {moment:?}, {what:?}");
                let world = World::new(side, is_async);
                let earlier = match is_first {
                    true => None,
                    false => Some(world.open().await),
                };
                world.change(moment, what, true);
                let opened = world.open().await;
                assert!(!world.is_to_change(), "{case}");
                match opened.watched {
                    Ok(_) => {
                        slipped.push(case);
                        continue;
                    }
                    Err(error) => assert_eq!(error, reason, "{case}"),
                }
                if let Some(mut earlier) = earlier {
                    let stream = earlier.watched.as_mut().expect(&case);
                    let read = timeout(Duration::from_secs(10), stream.read_u8()).await;
                    let why = close_reason(read.expect(&case).unwrap_err());
                    assert_eq!(why.reason(), reason, "{case}");
                }
                assert_eq!(world.count(), 0, "{case}");
            }
        }
    }
    assert!(slipped.is_empty(), "slipped through: {slipped:#?}");
}

/// The same changes, but they do not concern the peer.
#[tokio::test(start_paused = true)]
async fn a_change_that_does_not_concern_it_leaves_a_connection_alone() {
    for (side, is_async, is_first) in every_kind() {
        for moment in MOMENTS {
            for (what, _) in CHANGES {
                let case =
                    format!("{side:?}, async: {is_async}, first: {is_first}, {moment:?}, {what:?}");
                let world = World::new(side, is_async);
                let earlier = match is_first {
                    true => None,
                    false => Some(world.open().await),
                };
                world.change(moment, what, false);
                let opened = world.open().await;
                assert!(!world.is_to_change(), "{case}");
                let stream = opened.watched.as_ref().expect(&case);
                let new_policy = matches!(what, What::Policy | What::AsyncPolicy);
                let rule = if new_policy { "after" } else { "before" };
                assert_eq!(stream.rule(), rule, "{case}: who admitted it");
                tokio::time::sleep(Duration::from_secs(5)).await; // every policy has decided
                assert_eq!(world.count(), if is_first { 1 } else { 2 }, "{case}");
                drop(earlier);
            }
        }
    }
}

fn every_kind() -> impl Iterator<Item = (Side, bool, bool)> {
    let sides = SIDES.into_iter();
    sides.flat_map(|side| {
        let kinds = [(false, true), (false, false), (true, true), (true, false)];
        kinds.map(|(is_async, is_first)| (side, is_async, is_first))
    })
}

/// The rules change while the policy runs. A synchronous policy decides by the rules that are in force
/// together; an asynchronous one, which takes time, until it is replaced.
#[tokio::test(start_paused = true)]
async fn a_synchronous_policy_is_asked_again_when_the_trust_changes() {
    for (is_async, times) in [(false, 2), (true, 1)] {
        let ca = TestCa::new("Root");
        let acceptor = support::acceptor(&ca, policy::allow_any()).build().unwrap();
        let asked: Arc<AtomicUsize> = Arc::default();
        let decide = {
            let (asked, acceptor) = (Arc::clone(&asked), acceptor.clone());
            move || {
                if asked.fetch_add(1, Ordering::SeqCst) == 0 {
                    acceptor.control().update(Update::new()).unwrap();
                }
                Decision::allow("any")
            }
        };
        if is_async {
            acceptor.control().set_async_policy(
                move |_: Peer<DnsName>| std::future::ready(decide()),
                Duration::from_secs(5),
            );
        } else {
            acceptor
                .control()
                .set_policy(move |_: &Peer<DnsName>| decide());
        }
        let connector = support::connector(&ca, "client.example").build().unwrap();
        let (server, client) = support::handshake(&acceptor, &connector).await;
        let (_server, _client) = (server.unwrap(), client.unwrap());
        assert_eq!(asked.load(Ordering::SeqCst), times, "async: {is_async}");
        // The chain was verified in the handshake, and by the new trust.
        let stats = acceptor.control().stats();
        assert_eq!((stats.chains_verified, stats.chains_remembered), (2, 0));

        // A new policy decides once about each open connection.
        let next: Arc<AtomicUsize> = Arc::default();
        let count = Arc::clone(&next);
        acceptor.control().set_policy(move |_: &Peer<DnsName>| {
            count.fetch_add(1, Ordering::SeqCst);
            Decision::allow("any")
        });
        tokio::time::sleep(Duration::from_secs(5)).await; // every policy has decided
        assert_eq!(next.load(Ordering::SeqCst), 1, "async: {is_async}");
    }
}
