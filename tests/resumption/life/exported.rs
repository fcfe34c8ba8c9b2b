//! The sessions of handshakes that the application drives, with `Acceptor::unauthorized_rustls_config`.

use std::time::Duration;

use countersign::identity::DnsName;
use countersign::testing::{FixedClock, TestCa};
use countersign::{Acceptor, Resumption, Update, policy};
use rustls::{HandshakeKind, ProtocolVersion};
use tokio::io::{AsyncWriteExt as _, DuplexStream};

use super::{AN_HOUR, after, all};
use support::raw::RawClient;
use support::{Version, acceptor};

const A_DAY: Duration = Duration::from_secs(86400);

/// Connects to an application that drives rustls; whether the client resumed. The client keeps the
/// sessions of this connection, and no older ones.
async fn call(client: &RawClient, acceptor: &Acceptor<DnsName>) -> bool {
    let serve = async |io: DuplexStream| {
        let tls = tokio_rustls::TlsAcceptor::from(acceptor.unauthorized_rustls_config());
        let mut stream = tls.accept(io).await.unwrap();
        let connection = stream.get_ref().1;
        if connection.protocol_version() == Some(ProtocolVersion::TLSv1_3) {
            client.sessions.forget(); // the new ones are on their way
        }
        let admitted = acceptor.control().admit(connection, None).unwrap();
        assert_eq!(admitted.peer().identity().as_str(), "client.example");
        let resumed = connection.handshake_kind() == Some(HandshakeKind::Resumed);
        stream.write_all(b"s").await.unwrap();
        stream.shutdown().await.unwrap();
        resumed
    };
    let (resumed, seen) = client.meet(serve).await;
    seen.end.unwrap();
    resumed
}

/// A client whose certificate lasts for a month.
fn world(version: Version, kind: Resumption) -> (FixedClock, Acceptor<DnsName>, RawClient) {
    let (clock, acceptor, client, _) = world_of_two(version, kind);
    (clock, acceptor, client)
}

/// Two clients with the same certificate.
fn world_of_two(
    version: Version,
    kind: Resumption,
) -> (FixedClock, Acceptor<DnsName>, RawClient, RawClient) {
    let (ca, clock) = (TestCa::new("Root"), FixedClock::now());
    let acceptor = acceptor(&ca, policy::allow_any())
        .allow_tls12()
        .clock(clock.clone())
        .resumption(kind)
        .build()
        .unwrap();
    let leaf = ca.leaf().dns("client.example");
    let lasting = leaf.validity(clock.time(), after(&clock, A_DAY * 30));
    let issued = lasting.issue();
    let client = || {
        let client = RawClient::new(&ca, version, Some(&issued));
        client.sessions.collect_and_spend();
        client
    };
    (clock, acceptor, client(), client())
}

#[tokio::test(start_paused = true)]
async fn a_client_that_connects_every_23_hours_proves_its_key_every_other_time() {
    for (version, kind) in all() {
        let (clock, acceptor, client) = world(version, kind);
        for connection in 0..20 {
            let resumed = call(&client, &acceptor).await;
            assert_eq!(resumed, connection % 2 == 1, "{version:?} {kind:?}");
            clock.advance(AN_HOUR * 23);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_resumed_connection_grants_sessions_until_the_end_of_the_day() {
    for (version, kind) in all() {
        let (clock, acceptor, client) = world(version, kind);
        assert!(!call(&client, &acceptor).await);
        for _ in 0..24 {
            clock.advance(AN_HOUR);
            assert!(call(&client, &acceptor).await, "{version:?} {kind:?}");
        }
        clock.advance(AN_HOUR / 3600);
        assert!(!call(&client, &acceptor).await, "{version:?} {kind:?}");
        assert!(call(&client, &acceptor).await, "and so the next day");
    }
}

/// A stolen session, without the key, ends although the key's owner connects again and again.
#[tokio::test(start_paused = true)]
async fn another_proof_of_the_same_key_does_not_prolong_a_session() {
    for (version, kind) in all() {
        let (clock, acceptor, taken, owner) = world_of_two(version, kind);
        assert!(!call(&taken, &acceptor).await);
        clock.advance(AN_HOUR * 20);
        assert!(!call(&owner, &acceptor).await, "it has no session");
        clock.advance(AN_HOUR * 3);
        assert!(call(&taken, &acceptor).await, "{version:?} {kind:?}");
        assert!(call(&owner, &acceptor).await, "{version:?} {kind:?}");
        clock.advance(AN_HOUR + AN_HOUR / 3600);
        assert!(!call(&taken, &acceptor).await, "{version:?} {kind:?}");
    }
}

/// A session is known at both doors of an acceptor, and neither makes it younger.
#[tokio::test(start_paused = true)]
async fn the_time_of_the_proof_crosses_from_one_door_to_the_other() {
    for (version, kind) in all() {
        for exported_first in [false, true] {
            let (clock, acceptor, client) = world(version, kind);
            let call = async |exported: bool| {
                if exported {
                    return call(&client, &acceptor).await;
                }
                let (resumed, seen) = client.call(&acceptor).await;
                seen.end.unwrap();
                resumed.unwrap()
            };
            assert!(!call(exported_first).await);
            clock.advance(AN_HOUR * 23);
            assert!(call(!exported_first).await, "{version:?} {kind:?}");
            clock.advance(AN_HOUR + AN_HOUR / 3600);
            for _ in 0..3 {
                client.sessions.spend();
                assert!(!call(exported_first).await, "{version:?} {kind:?}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_update_ends_the_sessions_of_both_doors() {
    for (version, kind) in all() {
        let (_clock, acceptor, client) = world(version, kind);
        assert!(!call(&client, &acceptor).await);
        assert!(call(&client, &acceptor).await);
        acceptor.control().update(Update::new()).unwrap();
        assert!(!call(&client, &acceptor).await, "{version:?} {kind:?}");
        assert!(call(&client, &acceptor).await, "a new one");
    }
}

/// The owner of the key proves it at the exported door, which does not prolong a session that the acceptor
/// granted before.
#[tokio::test(start_paused = true)]
async fn a_proof_at_the_exported_door_does_not_prolong_an_older_session() {
    for (version, kind) in all() {
        let (clock, acceptor, taken, owner) = world_of_two(version, kind);
        assert!(!call_itself(&taken, &acceptor).await);
        clock.advance(AN_HOUR * 10);
        assert!(!call(&owner, &acceptor).await, "it has no session");
        clock.advance(AN_HOUR * 13);
        assert!(call(&taken, &acceptor).await, "{version:?} {kind:?}");
        clock.advance(AN_HOUR + AN_HOUR / 3600);
        assert!(!call(&taken, &acceptor).await, "{version:?} {kind:?}");
    }
}

/// The acceptor knows the connection that a session is for, so that an older proof does not shorten it.
#[tokio::test(start_paused = true)]
async fn a_session_of_the_acceptor_lasts_for_a_day_after_its_own_proof() {
    for (version, kind) in all() {
        let (clock, acceptor, first, second) = world_of_two(version, kind);
        assert!(!call_itself(&first, &acceptor).await);
        clock.advance(AN_HOUR * 20);
        assert!(!call_itself(&second, &acceptor).await);
        for _ in 0..2 {
            clock.advance(AN_HOUR * 12);
            assert!(
                call_itself(&second, &acceptor).await,
                "{version:?} {kind:?}"
            );
        }
        clock.advance(AN_HOUR / 3600);
        assert!(
            !call_itself(&second, &acceptor).await,
            "{version:?} {kind:?}"
        );
    }
}

/// Connects to the acceptor itself; whether the client resumed.
async fn call_itself(client: &RawClient, acceptor: &Acceptor<DnsName>) -> bool {
    let (resumed, seen) = client.call(acceptor).await;
    seen.end.unwrap();
    resumed.unwrap()
}
