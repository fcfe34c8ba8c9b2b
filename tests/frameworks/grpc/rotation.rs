//! Credentials are replaced under load, and no call is lost.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use countersign::testing::TestCa;
use countersign::{Update, policy};
use tokio::time::{Instant, sleep};

use crate::serving::{BOTH, Grpc};
use support::http::{PATIENCE, acceptor, connector};

/// Eight call without a pause over one channel, and four more watch, each time for a while, while both
/// sides get new certificates six times. What is left of old connections is cut a second later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_is_lost_while_credentials_are_replaced() {
    let ca = TestCa::new("Root");
    for by in BOTH {
        let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
        let server = Grpc::serve(by, &acceptor).await;
        let alice = connector(&ca, "alice.example", "h2")
            .drain_time(Duration::from_secs(2))
            .build()
            .unwrap();
        let client = server.client(&alice);
        let stop = Arc::new(AtomicBool::new(false));
        let calling: Vec<_> = (0..12)
            .map(|number| {
                let (mut client, stop) = (client.clone(), Arc::clone(&stop));
                tokio::spawn(async move {
                    let mut count = 0;
                    while !stop.load(Ordering::SeqCst) {
                        if number < 8 {
                            client.create("ACME").await.expect("no call is lost");
                        } else {
                            let every = Duration::from_millis(10);
                            let watched = client.watch(20, every).await;
                            let mut watched = watched.expect("no call is lost");
                            while watched.message().await.expect("no call is lost").is_some() {}
                        }
                        count += 1;
                    }
                    count
                })
            })
            .collect();

        let mut seen = BTreeSet::new();
        for _ in 0..6 {
            let own = ca.leaf().dns("alice.example").issue();
            let serial = own.certificate().serial().to_string();
            alice
                .control()
                .update(Update::new().credentials(own.credentials()))
                .unwrap();
            let server_own = ca.leaf().dns("localhost").issue();
            acceptor
                .control()
                .update(Update::new().credentials(server_own.credentials()))
                .unwrap();
            let deadline = Instant::now() + PATIENCE;
            while !seen.contains(&serial) {
                assert!(Instant::now() < deadline, "the new certificate is not used");
                sleep(Duration::from_millis(10)).await;
                let open = acceptor.control().connections();
                let serials = open.iter().map(|connection| {
                    let certificate = connection.peer().certificate();
                    certificate.serial().to_string()
                });
                seen.extend(serials);
            }
        }
        // Long enough for what is left of the old ones to be cut.
        sleep(Duration::from_millis(2500)).await;
        assert_eq!(alice.control().connections().len(), 1, "{by:?}");
        stop.store(true, Ordering::SeqCst);
        let mut count = 0;
        for calling in calling {
            count += calling.await.unwrap();
        }
        assert!(count > 100, "{by:?}: only {count} calls were made");
    }
}
