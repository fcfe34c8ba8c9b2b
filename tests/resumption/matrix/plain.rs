//! A plain rustls client.

use countersign::Resumption;
use rustls::{Error, HandshakeKind};

use super::ATTEMPTS;
use support::Version;
use support::causes::{CAUSES, Refusal, World};
use support::raw::{Met, RawClient};

#[tokio::test(start_paused = true)]
async fn tls13_stateful() {
    none_gets_in(Version::Tls13, Resumption::Stateful).await;
}

#[tokio::test(start_paused = true)]
async fn tls13_stateless() {
    none_gets_in(Version::Tls13, Resumption::Stateless).await;
}

#[tokio::test(start_paused = true)]
async fn tls12_stateful() {
    none_gets_in(Version::Tls12, Resumption::Stateful).await;
}

#[tokio::test(start_paused = true)]
async fn tls12_stateless() {
    none_gets_in(Version::Tls12, Resumption::Stateless).await;
}

async fn none_gets_in(version: Version, resumption: Resumption) {
    for cause in CAUSES {
        let world = World::new(cause, resumption);
        let client = RawClient::new(&world.ca, version, Some(&world.client));
        let call = || client.call(&world.acceptor);

        client.sessions.collect();
        while client.sessions.lasts_for() < ATTEMPTS + 2 {
            assert!(!admitted(call().await), "{cause:?}: at first, none resumes");
        }
        client.sessions.spend();
        assert!(admitted(call().await), "{cause:?}: the session is good");

        world.happen();
        for _ in 0..ATTEMPTS {
            let met = call().await;
            assert!(met.1.offered);
            assert_eq!(refused(met), cause.refusal(), "{cause:?}");
        }

        world.make_up();
        let met = call().await;
        assert!(met.1.offered);
        assert_eq!(admitted(met), cause.leaves_the_session(), "{cause:?}");
    }
}

/// Whether the admitted client resumed, on which both sides must agree.
fn admitted((server, client): Met) -> bool {
    let resumed = server.unwrap();
    client.end.unwrap();
    assert_eq!(client.kind == Some(HandshakeKind::Resumed), resumed);
    resumed
}

fn refused((server, client): Met) -> Refusal {
    let Err(Error::AlertReceived(alert)) = client.end else {
        panic!("the client got {:?}", client.end);
    };
    Refusal {
        reason: server.unwrap_err().reason(),
        alert,
        resumed: client.kind.unwrap() == HandshakeKind::Resumed,
    }
}
