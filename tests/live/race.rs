//! Rules that change while a connection opens: none slips through.

mod midway;
mod stress;

use std::io;
use std::time::Duration;

use countersign::TlsStream;
use countersign::identity::DnsName;
use countersign::live::CloseReason;
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
