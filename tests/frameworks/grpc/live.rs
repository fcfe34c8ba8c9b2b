//! Open connections under rules that change.

use std::time::Duration;

use countersign::identity::DnsName;
use countersign::policy;
use countersign::testing::TestCa;
use countersign::{Decision, Peer, Update};
use tokio::time::timeout;

use crate::serving::{BOTH, Grpc, h2};
use support::http::{PATIENCE, acceptor, deny_all, is_access_denied, name};

fn deny_bob(peer: &Peer<DnsName>) -> Decision {
    if *peer.identity() == name("bob.example") {
        Decision::deny("bob is under suspicion")
    } else {
        Decision::allow("not bob")
    }
}

/// The server's policy flips while calls are under way on open connections.
#[tokio::test]
async fn a_client_that_the_server_denies_is_cut_during_a_call() {
    let ca = TestCa::new("Root");
    for by in BOTH {
        let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
        let server = Grpc::serve(by, &acceptor).await;
        let mut alice = server.client(&h2(&ca, "alice.example"));
        let mut bob = server.client(&h2(&ca, "bob.example"));
        let every = Duration::from_millis(10);
        let mut of_alice = alice.watch(u64::MAX, every).await.unwrap();
        let mut of_bob = bob.watch(u64::MAX, every).await.unwrap();
        assert!(of_bob.message().await.unwrap().is_some());

        acceptor.control().set_policy(deny_bob);
        let status = timeout(PATIENCE, async {
            loop {
                match of_bob.message().await {
                    Ok(Some(_)) => {}
                    Ok(None) => panic!("the call ended as if nothing had happened"),
                    Err(status) => break status,
                }
            }
        });
        let status = status.await.unwrap();
        assert!(is_access_denied(&status), "{by:?}: {status:?}");
        let status = bob.watch(1, every).await.unwrap_err();
        assert!(is_access_denied(&status), "{by:?}: {status:?}");

        for _ in 0..20 {
            assert!(of_alice.message().await.unwrap().is_some());
        }
        assert_eq!(acceptor.control().connections().len(), 1);
    }
}

/// The client's policy flips: its own side cuts, and the channel connects to no server.
#[tokio::test]
async fn a_server_that_the_client_denies_is_cut_too() {
    let ca = TestCa::new("Root");
    for by in BOTH {
        let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
        let server = Grpc::serve(by, &acceptor).await;
        let connector = h2(&ca, "alice.example");
        let mut alice = server.client(&connector);
        let mut watched = alice
            .watch(u64::MAX, Duration::from_millis(10))
            .await
            .unwrap();
        assert!(watched.message().await.unwrap().is_some());
        assert_eq!(connector.control().connections().len(), 1);

        connector.control().set_policy(deny_all);
        let ended = timeout(PATIENCE, async {
            while watched.message().await.is_ok_and(|more| more.is_some()) {}
        });
        ended.await.unwrap();
        assert!(alice.create("ACME").await.is_err());
        assert_eq!(connector.control().connections().len(), 0);

        connector
            .control()
            .set_policy(policy::exact([name("localhost")]));
        assert_eq!(alice.create("ACME").await.unwrap().made_by, "alice.example");
    }
}

/// With new credentials, the next call goes over a new connection, and those under way finish.
#[tokio::test]
async fn a_connection_that_drains_is_replaced() {
    let ca = TestCa::new("Root");
    for by in BOTH {
        let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
        let server = Grpc::serve(by, &acceptor).await;
        let connector = h2(&ca, "alice.example");
        let mut alice = server.client(&connector);
        // Clones share what comes, too.
        let mut clone = alice.clone();
        let mut watched = alice.watch(20, Duration::from_millis(20)).await.unwrap();
        assert!(watched.message().await.unwrap().is_some());

        let renewed = ca.leaf().dns("renewed.example").issue();
        let update = Update::new().credentials(renewed.credentials());
        connector.control().update(update).unwrap();
        for client in [&mut alice, &mut clone] {
            let mut by_renewed = client.watch(1, Duration::ZERO).await.unwrap();
            let invoice = by_renewed.message().await.unwrap().unwrap();
            assert_eq!(invoice.made_by, "renewed.example");
        }
        assert_eq!(connector.control().connections().len(), 2);
        for _ in 1..20 {
            let invoice = watched.message().await.unwrap().unwrap();
            assert_eq!(invoice.made_by, "alice.example");
        }
        assert_eq!(watched.message().await.unwrap(), None);
    }
}
