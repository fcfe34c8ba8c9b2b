//! Credentials and trust are replaced under load, and no request is lost.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use countersign::identity::DnsName;
use countersign::integration::hyper::{Client, RequestBody};
use countersign::testing::{Issued, TestCa};
use countersign::{Connector, Peer, TrustStore, Update, policy};
use http_body_util::{Empty, Full};
use hyper::Response;
use hyper::body::Bytes;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use support::http::{ALPN, PATIENCE, Running, acceptor, connector, get, serve, text};

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
        let service = tower::service_fn(move |request: hyper::Request<RequestBody>| {
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
        acceptor
            .control()
            .update(Update::new().trust(both.clone()))
            .unwrap();
        alice.control().update(Update::new().trust(both)).unwrap();
        for ca in [&old, &old, &new, &new] {
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

/// A server that answers with the serial number of the certificate by which it knows the client, and a
/// client with so many more certificates.
async fn rotating(alpn: &str, more: usize) -> (Running, Connector<DnsName>, Vec<Issued>) {
    let ca = TestCa::new("Root");
    let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
    let service = tower::service_fn(|request: hyper::Request<RequestBody>| {
        let peer = request.extensions().get::<Peer<DnsName>>().unwrap();
        let serial = peer.certificate().serial().to_string();
        async {
            sleep(Duration::from_millis(5)).await;
            Ok::<_, std::convert::Infallible>(Response::new(Full::new(Bytes::from(serial))))
        }
    });
    let server = serve(&acceptor, service).await;
    let alice = connector(&ca, "alice.example", alpn).build().unwrap();
    let issued = (0..more).map(|_| ca.leaf().dns("alice.example").issue());
    (server, alice, issued.collect())
}

/// Asks without a pause until it is aborted or a request is lost.
fn asking(client: &Client<DnsName, Empty<Bytes>>, url: &str) -> JoinHandle<()> {
    let (client, url) = (client.clone(), url.to_owned());
    tokio::spawn(async move {
        loop {
            let response = client.request(get(&url)).await.expect("no request is lost");
            text(response).await;
        }
    })
}

/// Whatever the pool has: connections that idle, that are busy, and that are being made.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_requests_after_an_update_have_the_new_identity() {
    for alpn in ALPN {
        let (server, alice, issued) = rotating(alpn, 40).await;
        let (client, url) = (Client::new(alice.clone()), server.url("/"));
        let busy: Vec<_> = (0..4).map(|_| asking(&client, &url)).collect();
        for own in issued {
            alice
                .control()
                .update(Update::new().credentials(own.credentials()))
                .unwrap();
            let requests: Vec<_> = (0..8)
                .map(|_| {
                    let (client, url) = (client.clone(), url.clone());
                    tokio::spawn(async move { client.request(get(&url)).await })
                })
                .collect();
            for request in requests {
                let response = request.await.unwrap().expect("no request is lost");
                let seen = text(response).await;
                assert_eq!(seen, own.certificate().serial().to_string(), "{alpn}");
            }
        }
        for busy in busy {
            busy.abort();
            let ended = busy.await.unwrap_err();
            assert!(ended.is_cancelled(), "{alpn}: {ended}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_is_lost_under_rotations_every_few_milliseconds() {
    for alpn in ALPN {
        let (server, alice, issued) = rotating(alpn, 100).await;
        let (client, url) = (Client::new(alice.clone()), server.url("/"));
        let busy: Vec<_> = (0..16).map(|_| asking(&client, &url)).collect();
        for own in issued {
            alice
                .control()
                .update(Update::new().credentials(own.credentials()))
                .unwrap();
            sleep(Duration::from_millis(3)).await;
        }
        for busy in busy {
            busy.abort();
            let ended = busy.await.unwrap_err();
            assert!(ended.is_cancelled(), "{alpn}: {ended}");
        }
    }
}

/// hyper notices a connection that was cut only when its task runs; the request after the cut must not wait
/// for that.
#[tokio::test]
async fn a_request_after_a_cut_goes_over_a_new_connection() {
    for alpn in ALPN {
        let (server, alice, _) = rotating(alpn, 0).await;
        let (client, url) = (Client::new(alice.clone()), server.url("/"));
        for _ in 0..20 {
            let response = client.request(get(&url)).await.expect("no request is lost");
            text(response).await;
            assert_eq!(alice.control().close_where(|_| true), 1, "{alpn}");
        }
        // The twin: a connection that stays is used again.
        for _ in 0..2 {
            text(client.request(get(&url)).await.unwrap()).await;
        }
        assert_eq!(alice.control().connections().len(), 1, "{alpn}");
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
    let service = tower::service_fn(move |request: hyper::Request<RequestBody>| {
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
