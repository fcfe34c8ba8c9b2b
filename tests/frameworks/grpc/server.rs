//! Our listener under tonic's server, and its requests.

use std::time::Duration;

use countersign::identity::{DnsName, SpiffeId};
use countersign::integration::tonic::{Channel, RequestExt as _};
use countersign::testing::{self, TestCa};
use countersign::{Listener, policy};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tonic::transport::{Endpoint, Server};
use tonic::{Code, Request};

use crate::serving::{BOTH, By, Grpc, h2};
use countersign_frameworks::invoices::{Invoices, InvoicesClient};
use support::http::{PATIENCE, acceptor, name};

#[tokio::test]
async fn a_handler_knows_its_peer() {
    let ca = TestCa::new("Root");
    for by in BOTH {
        let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
        let server = Grpc::serve(by, &acceptor).await;
        let mut alice = server.client(&h2(&ca, "alice.example"));
        for number in 1..=2 {
            let invoice = alice.create("ACME").await.unwrap();
            assert_eq!(
                (invoice.number, &*invoice.made_by),
                (number, "alice.example")
            );
        }
        let mut bob = server.client(&h2(&ca, "bob.example"));
        let mut watched = bob.watch(3, Duration::ZERO).await.unwrap();
        for number in 1..=3 {
            let invoice = watched.message().await.unwrap().unwrap();
            assert_eq!((invoice.number, &*invoice.made_by), (number, "bob.example"));
        }
        assert_eq!(watched.message().await.unwrap(), None);
        assert_eq!(acceptor.control().connections().len(), 2);
    }
}

#[test]
fn without_a_peer_of_that_type_no_request_is_served() {
    let mut request = Request::new(());
    let status = request.peer::<DnsName>().unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::PermissionDenied, "")
    );
    request
        .extensions_mut()
        .insert(testing::peer(name("alice.example")));
    let status = request.peer::<SpiffeId>().unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    let peer = request.peer::<DnsName>().unwrap();
    assert_eq!(*peer.identity(), name("alice.example"));
}

/// tonic does not wait for handshakes: stalled and rejected ones delay no client.
#[tokio::test]
async fn other_handshakes_delay_no_client() {
    let ca = TestCa::new("Root");
    let builder = acceptor(&ca, policy::exact([name("alice.example")]));
    let acceptor = builder
        .handshake_timeout(Duration::from_secs(300))
        .build()
        .unwrap();
    let server = Grpc::serve(By::Tonic, &acceptor).await;
    let mut stalled = Vec::new();
    for _ in 0..20 {
        stalled.push(TcpStream::connect(server.address).await.unwrap());
    }
    let mut bob = server.client(&h2(&ca, "bob.example"));
    assert!(bob.create("ACME").await.is_err());
    let mut alice = server.client(&h2(&ca, "alice.example"));
    let invoice = timeout(PATIENCE, alice.create("ACME")).await;
    assert_eq!(invoice.unwrap().unwrap().made_by, "alice.example");
    for tcp in &mut stalled {
        let read = timeout(Duration::from_millis(1), tcp.read(&mut [0; 1])).await;
        assert!(read.is_err(), "it still stalls");
    }
}

/// tonic's server ends with the listener, and calls under way finish.
#[tokio::test]
async fn it_shuts_down_with_the_listener() {
    let ca = TestCa::new("Root");
    for by in BOTH {
        let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
        let server = Grpc::serve(by, &acceptor).await;
        let mut alice = server.client(&h2(&ca, "alice.example"));
        let mut watched = alice.watch(3, Duration::from_millis(50)).await.unwrap();
        let handle = server.handle.clone();
        // tonic does not ask its clients to drain, so that they are closed when the time is over.
        let time = match by {
            By::Tonic => Duration::from_secs(2),
            By::Ours => PATIENCE,
        };
        let shutdown = tokio::spawn(async move { handle.shutdown(time).await });
        for number in 1..=3 {
            assert_eq!(watched.message().await.unwrap().unwrap().number, number);
        }
        timeout(PATIENCE, shutdown).await.unwrap().unwrap();
        timeout(PATIENCE, server.task).await.unwrap().unwrap();
        assert_eq!(acceptor.control().connections().len(), 0);
    }
}

/// By tonic's own shutdown and the listener's together: clients get GOAWAY, and those that do not finish are
/// cut.
#[tokio::test]
async fn tonic_shuts_down_in_time() {
    let ca = TestCa::new("Root");
    for (count, ends) in [(10, true), (u64::MAX, false)] {
        let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
        let listener = Listener::bind(acceptor.clone(), "127.0.0.1:0");
        let listener = listener.await.unwrap();
        let (address, handle) = (listener.local_addr().unwrap(), listener.handle());
        let (stop, stopped) = oneshot::channel();
        let signal = async move {
            stopped.await.unwrap();
            let time = if ends {
                PATIENCE
            } else {
                Duration::from_secs(1)
            };
            tokio::spawn(async move { handle.shutdown(time).await });
        };
        let server = Server::builder()
            .add_service(Invoices::<DnsName>::new())
            .serve_with_incoming_shutdown(listener, signal);
        let server = tokio::spawn(server);
        let url = format!("https://localhost:{}", address.port());
        let endpoint = Endpoint::from_shared(url).unwrap();
        let channel = Channel::new(h2(&ca, "alice.example"), endpoint);
        let mut alice = InvoicesClient::new(channel);
        let mut watched = alice.watch(count, Duration::from_millis(20)).await.unwrap();
        assert!(watched.message().await.unwrap().is_some());
        stop.send(()).unwrap();
        let end = timeout(PATIENCE, async {
            loop {
                match watched.message().await {
                    Ok(Some(_)) => {}
                    Ok(None) => break true,
                    Err(_) => break false,
                }
            }
        });
        assert_eq!(end.await.unwrap(), ends);
        timeout(PATIENCE, server).await.unwrap().unwrap().unwrap();
    }
}
