//! Faults of the agent: the last good identity stays, and what fails is seen.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use countersign::pki_types::UnixTime;
use countersign::reload::Reload;
use countersign::testing::TestCa;

use crate::agent::Agent;
use crate::messages::{X509Response, X509Svid};
use crate::workload::{BILLING, ORDERS, acceptor, connector, folder, meet, until};

#[tokio::test]
async fn an_agent_that_is_killed_and_comes_back_at_a_replaced_socket() {
    let (folder, ca) = (folder(), TestCa::new("One"));
    let path = folder.path().join("a");
    let given = X509Response::issue(ORDERS, &ca);
    let mut agent = Agent::giving(&path, given.clone());
    let peers = Agent::giving(folder.path().join("b"), X509Response::issue(BILLING, &ca));
    let (acceptor, connector) = (acceptor(&agent).await, connector(&peers).await);
    let handle = Reload::of(&acceptor).start().await.unwrap();
    let own = || handle.status().certificates[0].certificate.sha256();
    let (before, applied) = (own(), handle.status().applied);

    agent.kill();
    until("seen", || {
        let error = handle.status().last_error;
        error.is_some_and(|refusal| refusal.error.reason() == "agent_unreachable")
    })
    .await;
    let status = handle.status();
    assert!(status.streams[0].error.is_some() && status.suspended.is_none());
    let (server, client) = meet(&acceptor, &connector).await;
    assert!(server.is_ok() && client.is_ok());

    // The same identity from another agent is not applied again: no connection drains for it.
    let agent = Agent::giving(&path, given);
    until("back", || handle.status().streams[0].error.is_none()).await;
    until("recovered", || handle.status().last_error.is_none()).await;
    assert_eq!((own(), handle.status().applied), (before, applied));

    agent.give(X509Response::issue(ORDERS, &ca));
    until("renewed", || own() != before).await;
    let (server, client) = meet(&acceptor, &connector).await;
    assert!(server.is_ok() && client.is_ok());
}

#[tokio::test]
async fn an_outage_lasts_until_the_svid_expires() {
    let (folder, ca) = (folder(), TestCa::new("One"));
    let now = UnixTime::now().as_secs();
    let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    let short = ca
        .leaf()
        .spiffe(ORDERS)
        .validity(at(now - 60), at(now + 8))
        .issue();
    let short = X509Response::of(X509Svid::of(ORDERS, &short, &ca));
    let path = folder.path().join("a");
    let mut agent = Agent::giving(&path, short);
    let peers = Agent::giving(folder.path().join("b"), X509Response::issue(BILLING, &ca));
    let (acceptor, connector) = (acceptor(&agent).await, connector(&peers).await);
    let handle = Reload::of(&acceptor).start().await.unwrap();
    agent.kill();
    assert!(handle.status().suspended.is_none());
    until("expired", || handle.status().suspended.is_some()).await;
    assert!(UnixTime::now().as_secs() > now + 8, "not before");
    let why = handle.status().suspended.unwrap();
    assert!(
        why.contains("has expired, and the agent gave no other"),
        "{why}"
    );
    let (server, _) = meet(&acceptor, &connector).await;
    // The client may see first that our certificate has expired.
    assert!(server.is_err());

    let _agent = Agent::giving(&path, X509Response::issue(ORDERS, &ca));
    until("resumed", || handle.status().suspended.is_none()).await;
    let (server, client) = meet(&acceptor, &connector).await;
    assert!(server.is_ok() && client.is_ok());
}

/// Updates come faster than they can be applied, and each is whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_updates_a_millisecond_under_handshakes() {
    let (folder, ca) = (folder(), TestCa::new("One"));
    let agent = Agent::giving(folder.path().join("a"), X509Response::issue(ORDERS, &ca));
    let (acceptor, connector) = (acceptor(&agent).await, connector(&agent).await);
    let given: Vec<_> = (0..20).map(|_| X509Response::issue(ORDERS, &ca)).collect();
    let updates = async {
        for number in 0..2_000 {
            agent.give(given[number % given.len()].clone());
            if number % 2 == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    };
    let handshakes = async {
        for _ in 0..50 {
            let (server, client) = meet(&acceptor, &connector).await;
            assert!(server.is_ok() && client.is_ok());
        }
    };
    tokio::join!(updates, handshakes);
}

#[tokio::test]
async fn nothing_is_left_when_the_acceptor_is_dropped() {
    let (folder, ca) = (folder(), TestCa::new("One"));
    let agent = Agent::giving(folder.path().join("a"), X509Response::issue(ORDERS, &ca));
    let followed = acceptor(&agent).await;
    let reloaded = acceptor(&agent).await;
    let handle = Reload::of(&reloaded).start().await.unwrap();
    until("two streams", || agent.streams.load(Ordering::SeqCst) == 2).await;
    let start = Instant::now();
    drop(followed);
    until("one stream", || agent.streams.load(Ordering::SeqCst) == 1).await;
    drop((reloaded, handle));
    until("no stream", || agent.streams.load(Ordering::SeqCst) == 0).await;
    assert!(start.elapsed() < Duration::from_secs(30));
}
