//! Credentials and trust are replaced under load, and no request is lost.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use countersign::identity::DnsName;
use countersign::integration::hyper::Client;
use countersign::testing::TestCa;
use countersign::{Peer, TrustStore, Update, policy};
use http_body_util::Full;
use hyper::Response;
use hyper::body::{Bytes, Incoming};
use tokio::time::{Instant, sleep};

use crate::support::{ALPN, PATIENCE, acceptor, connector, get, serve, text};

type Serials = Arc<Mutex<BTreeSet<String>>>;

/// Eight at a time ask without a pause, while both sides get new certificates four times, from a new
/// authority half-way, and each answer takes a while.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_is_lost_while_everything_is_replaced() {
    for alpn in ALPN {
        let (old, new) = (TestCa::new("Old Root"), TestCa::new("New Root"));
        let acceptor = acceptor(&old, policy::allow_any()).build().unwrap();
        let clients = Serials::default();
        let seen = Arc::clone(&clients);
        let service = tower::service_fn(move |request: hyper::Request<Incoming>| {
            let peer = request.extensions().get::<Peer<DnsName>>().unwrap();
            let serial = peer.certificate().serial().to_string();
            seen.lock().unwrap().insert(serial);
            async {
                sleep(Duration::from_millis(20)).await;
                Ok::<_, std::convert::Infallible>(Response::new(Full::new(Bytes::from("done"))))
            }
        });
        let server = serve(&acceptor, service).await;
        let alice = connector(&old, "alice.example", alpn)
            .drain_time(Duration::from_millis(1500))
            .build()
            .unwrap();
        let client = Client::new(alice.clone());

        let stop = Arc::new(AtomicBool::new(false));
        let asking: Vec<_> = (0..8)
            .map(|_| {
                let (client, stop) = (client.clone(), Arc::clone(&stop));
                let url = server.url("/");
                tokio::spawn(async move {
                    let mut count = 0;
                    while !stop.load(Ordering::SeqCst) {
                        let response = client.request(get(&url)).await.expect("no request is lost");
                        assert_eq!(text(response).await, "done");
                        count += 1;
                    }
                    count
                })
            })
            .collect();

        let both = TrustStore::from_der([old.certificate_der(), new.certificate_der()]).unwrap();
        acceptor.update(Update::new().trust(both.clone())).unwrap();
        alice.update(Update::new().trust(both)).unwrap();
        for ca in [&old, &old, &new, &new] {
            let own = ca.leaf().dns("alice.example").issue();
            let serial = own.certificate().serial().to_string();
            alice
                .update(Update::new().credentials(own.credentials()))
                .unwrap();
            let server_own = ca.leaf().dns("localhost").issue();
            acceptor
                .update(Update::new().credentials(server_own.credentials()))
                .unwrap();
            let deadline = Instant::now() + PATIENCE;
            while !clients.lock().unwrap().contains(&serial) {
                assert!(Instant::now() < deadline, "the new certificate is not used");
                sleep(Duration::from_millis(10)).await;
            }
        }
        // Long enough for what is left of the old ones to be cut.
        sleep(Duration::from_millis(2700)).await;
        stop.store(true, Ordering::SeqCst);
        let mut count = 0;
        for asking in asking {
            count += asking.await.unwrap();
        }
        assert!(count > 100, "{alpn}: only {count} requests were made");
    }
}

/// HTTP/2 connections that grow too old get GOAWAY, and the client goes on with new ones.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_is_lost_when_connections_grow_old() {
    let ca = TestCa::new("Root");
    let acceptor = acceptor(&ca, policy::allow_any())
        .max_connection_age(Duration::from_millis(500))
        .build()
        .unwrap();
    let connections = Serials::default();
    let seen = Arc::clone(&connections);
    let service = tower::service_fn(move |request: hyper::Request<Incoming>| {
        let peer = request.extensions().get::<Peer<DnsName>>().unwrap();
        let address = peer.connection().remote_addr().unwrap().to_string();
        seen.lock().unwrap().insert(address);
        async {
            sleep(Duration::from_millis(20)).await;
            Ok::<_, std::convert::Infallible>(Response::new(Full::new(Bytes::from("done"))))
        }
    });
    let server = serve(&acceptor, service).await;
    let client = Client::new(connector(&ca, "alice.example", "h2").build().unwrap());
    let deadline = Instant::now() + PATIENCE;
    // Age is looked at each second.
    while connections.lock().unwrap().len() < 3 {
        assert!(Instant::now() < deadline, "the old connections stay");
        let requests: Vec<_> = (0..8)
            .map(|_| {
                let (client, url) = (client.clone(), server.url("/"));
                tokio::spawn(async move { client.request(get(&url)).await })
            })
            .collect();
        for request in requests {
            let response = request.await.unwrap().expect("no request is lost");
            assert_eq!(text(response).await, "done");
        }
    }
}
