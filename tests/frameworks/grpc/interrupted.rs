//! Calls whose connection drains or is cut: the status of each.

use std::convert::Infallible;
use std::error::Error as _;
use std::future::pending;
use std::time::Duration;

use countersign::identity::DnsName;
use countersign::integration::hyper::{RequestBody, Server};
use countersign::integration::tonic::{CallError, StatusExt as _};
use countersign::pki::Crl;
use countersign::rustls::AlertDescription;
use countersign::testing::{FixedClock, TestCa};
use countersign::trust::Crls;
use countersign::{Acceptor, Decision, Listener, Peer, Update, policy};
use hyper::{Request, Response};
use tokio::time::{Instant, timeout};
use tonic::body::Body;
use tonic::{Code, Status, Streaming};

use crate::serving::{BOTH, By, Grpc, h2};
use countersign_frameworks::invoices::{Invoice, InvoicesClient};
use support::http::{PATIENCE, acceptor, cause, deny_all, name};

/// How a stream of responses ends, after how long.
async fn end(mut watched: Streaming<Invoice>) -> (Status, Duration) {
    let begun = Instant::now();
    let status = timeout(PATIENCE, async {
        loop {
            match watched.message().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("the call ended as if nothing had happened"),
                Err(status) => break status,
            }
        }
    });
    (status.await.expect("the call ends"), begun.elapsed())
}

async fn watch(client: &mut InvoicesClient, every: Duration) -> Streaming<Invoice> {
    let mut watched = client.watch(u64::MAX, every).await.unwrap();
    assert!(watched.message().await.unwrap().is_some());
    watched
}

const EVERY: Duration = Duration::from_millis(10);

/// What a client reads of an alert: in calls of each kind, and in the next call.
fn assert_rejected(status: &Status, alert: AlertDescription, code: Code) {
    assert_eq!(status.code(), code, "{status:?}");
    let name = if alert == AlertDescription::AccessDenied {
        "access_denied"
    } else {
        "certificate_revoked"
    };
    let message = format!("the server rejected us with the alert {name}");
    assert_eq!(status.message(), message);
    assert_eq!(status.reason(), Some("alert_received"));
    let received = status.peer_alert().expect("the alert");
    assert_eq!(received.alert(), alert);
    // By downcasting, too.
    let error = cause::<CallError>(status).expect("our error");
    assert!(matches!(error, CallError::Alert(alert) if alert == received));
    let text = String::from_utf8_lossy(status.details());
    assert!(text.contains(name) && !text.contains("alice"), "{text}");
}

fn revoke(ca: &TestCa, acceptor: &Acceptor<DnsName>) {
    let open = acceptor.control().connections();
    let peer = open.first().expect("a connection").peer();
    let crl = ca
        .crl()
        .revoke(peer.certificate().serial().as_bytes())
        .build();
    let crls = Crls::new([Crl::from_der(&crl).unwrap()]).unwrap();
    acceptor
        .control()
        .update(Update::new().revocation(crls))
        .unwrap();
}

/// A policy that denies, or a CRL that revokes, while calls are in progress.
#[tokio::test]
async fn a_call_that_the_server_cuts_names_the_alert() {
    let ca = TestCa::new("Root");
    for by in BOTH {
        for revoked in [false, true] {
            let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
            let server = Grpc::serve(by, &acceptor).await;
            let mut alice = server.client(&h2(&ca, "alice.example"));
            let streamed = watch(&mut alice, EVERY).await;
            let also = watch(&mut alice.clone(), EVERY).await;
            // A unary call that waits for its message.
            let mut unary = alice.clone();
            let unary = tokio::spawn(async move { unary.watch_one(PATIENCE).await });
            tokio::time::sleep(Duration::from_millis(50)).await;

            let alert = if revoked {
                revoke(&ca, &acceptor);
                AlertDescription::CertificateRevoked
            } else {
                acceptor.control().set_policy(deny_all);
                AlertDescription::AccessDenied
            };
            for watched in [streamed, also] {
                let (status, time) = end(watched).await;
                assert_rejected(&status, alert, Code::PermissionDenied);
                // In a resumed handshake, ours is not presented.
                let own = status.peer_alert().unwrap().own_certificate();
                assert!(own.is_some());
                assert!(time < Duration::from_secs(5), "cut at once, not {time:?}");
            }
            let status = unary.await.unwrap().unwrap_err();
            assert_rejected(&status, alert, Code::PermissionDenied);
            // The next call connects again, and is rejected at its first read.
            let status = alice.create("ACME").await.unwrap_err();
            assert_rejected(&status, alert, Code::PermissionDenied);
        }
    }
}

/// The alert of an earlier connection explains no later call.
#[tokio::test]
async fn a_client_that_is_admitted_again_calls() {
    let ca = TestCa::new("Root");
    for by in BOTH {
        let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
        let server = Grpc::serve(by, &acceptor).await;
        let mut alice = server.client(&h2(&ca, "alice.example"));
        let watched = watch(&mut alice, EVERY).await;
        acceptor.control().set_policy(deny_all);
        let (status, _) = end(watched).await;
        assert_eq!(status.code(), Code::PermissionDenied);

        let alice_is_back = |peer: &Peer<DnsName>| match peer.identity().as_str() {
            "alice.example" => Decision::allow("alice"),
            _ => Decision::deny("not alice"),
        };
        acceptor.control().set_policy(alice_is_back);
        let again = watch(&mut alice, EVERY).await;
        assert_eq!(alice.create("ACME").await.unwrap().number, 1);
        // Closed by the application: without an alert.
        assert_eq!(acceptor.control().close_where(|_| true), 1);
        let (status, _) = end(again).await;
        assert_eq!(status.code(), Code::Unavailable, "{by:?}: {status:?}");
        assert_eq!(status.reason(), Some("connection_lost"));
        assert_eq!(status.message(), "the connection closed during the call");
        assert!(status.peer_alert().is_none());
        let error = status.source().unwrap().downcast_ref();
        assert!(matches!(error, Some(CallError::Lost(_))), "{status:?}");
    }
}

/// The client's own rules, or its own drain time, close the connection.
#[tokio::test]
async fn a_call_that_our_side_cuts_names_our_reason() {
    let ca = TestCa::new("Root");
    for by in BOTH {
        let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
        let server = Grpc::serve(by, &acceptor).await;
        let connector = h2(&ca, "alice.example");
        let mut alice = server.client(&connector);
        let watched = watch(&mut alice, EVERY).await;
        connector.control().set_policy(deny_all);
        let (status, _) = end(watched).await;
        assert_eq!(status.code(), Code::Unavailable);
        assert_eq!(
            status.message(),
            "our side closed the connection: denied",
            "{status:?}"
        );
        assert_eq!(status.reason(), Some("denied"));
        let error = status.source().unwrap().downcast_ref();
        let Some(CallError::Closed(why)) = error else {
            panic!("{status:?}");
        };
        assert_eq!(why.reason(), "denied");
        assert!(status.peer_alert().is_none());
    }
}

/// A drained connection: our server ends its calls in time, and tonic's is cut.
#[tokio::test]
async fn a_call_on_a_connection_that_drains_ends_with_the_reason() {
    let ca = TestCa::new("Root");
    for by in BOTH {
        let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
        let server = Grpc::serve(by, &acceptor).await;
        let mut alice = server.client(&h2(&ca, "alice.example"));
        // One that pauses, one that never does, and one that ends within the time.
        let slow = watch(&mut alice, Duration::from_millis(20)).await;
        let fast = watch(&mut alice, Duration::ZERO).await;
        let mut short = alice.watch(3, EVERY).await.unwrap();
        let handle = server.handle.clone();
        let shutdown = tokio::spawn(async move { handle.shutdown(Duration::from_secs(2)).await });
        for _ in 0..3 {
            assert!(short.message().await.unwrap().is_some());
        }
        assert_eq!(short.message().await.unwrap(), None);
        let (slow, fast) = tokio::join!(end(slow), end(fast));
        for (status, time) in [slow, fast] {
            assert_eq!(status.code(), Code::Unavailable, "{by:?}: {status:?}");
            assert!(
                time >= Duration::from_secs(1),
                "{by:?}: not before {time:?}"
            );
            match by {
                By::Ours => {
                    assert_eq!(status.message(), "shut_down");
                    assert_eq!(status.reason(), Some("shut_down"));
                    // It is the server's status, and the connection is still open.
                    assert!(status.source().is_none());
                    assert!(
                        time < Duration::from_secs(2),
                        "before the cut, not {time:?}"
                    );
                }
                By::Tonic => assert_eq!(status.reason(), Some("connection_lost")),
            }
        }
        timeout(PATIENCE, shutdown).await.unwrap().unwrap();
    }
}

/// Expiry and age, with time to drain.
#[tokio::test]
async fn expiry_and_age_are_named_by_the_server() {
    let ca = TestCa::new("Root");
    for reason in ["expired", "max_age"] {
        let clock = FixedClock::now();
        let mut builder = acceptor(&ca, policy::allow_any())
            .clock(clock.clone())
            .drain_time(Duration::from_secs(1));
        if reason == "max_age" {
            builder = builder.max_connection_age(Duration::from_millis(300));
        }
        let acceptor = builder.build().unwrap();
        let server = Grpc::serve(By::Ours, &acceptor).await;
        let mut alice = server.client(&h2(&ca, "alice.example"));
        let watched = watch(&mut alice, EVERY).await;
        if reason == "expired" {
            clock.advance(Duration::from_secs(100 * 365 * 24 * 3600));
        }
        let (status, _) = end(watched).await;
        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
        assert_eq!((status.message(), status.reason()), (reason, Some(reason)));
        if reason == "max_age" {
            // A new connection serves.
            assert_eq!(alice.create("ACME").await.unwrap().number, 1);
        } else {
            let status = alice.create("ACME").await.unwrap_err();
            assert_eq!(status.code(), Code::Unavailable, "{status:?}");
            let alert = status.peer_alert().expect("the alert").alert();
            assert_eq!(alert, AlertDescription::CertificateExpired);
        }
    }
}

/// A call without a response yet: "Trailers-Only" for gRPC. Another request is cut.
#[tokio::test]
async fn a_call_without_a_response_yet_ends_too() {
    let ca = TestCa::new("Root");
    let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
    let listener = Listener::bind(acceptor, "127.0.0.1:0").await.unwrap();
    let (address, handle) = (listener.local_addr().unwrap(), listener.handle());
    let silent = tower::service_fn(|_: Request<RequestBody>| {
        pending::<Result<Response<Body>, Infallible>>()
    });
    tokio::spawn(Server::new().serve(listener, silent));
    let client = countersign::integration::hyper::Client::new(h2(&ca, "alice.example"));
    let requests: Vec<_> = ["application/grpc", "application/json"]
        .map(|content_type| {
            let client = client.clone();
            let request = Request::post(format!("https://localhost:{}/x", address.port()))
                .header("content-type", content_type)
                .body(http_body_util::Empty::<hyper::body::Bytes>::new())
                .unwrap();
            tokio::spawn(async move { client.request(request).await })
        })
        .into();
    tokio::time::sleep(Duration::from_millis(300)).await;
    handle.shutdown(Duration::from_secs(1)).await;
    let mut responses = Vec::new();
    for request in requests {
        responses.push(timeout(PATIENCE, request).await.unwrap().unwrap());
    }
    assert!(responses.pop().unwrap().is_err(), "no response to others");
    let response = responses.pop().unwrap().unwrap();
    assert_eq!(response.status().as_u16(), 200);
    let headers = response.headers();
    assert_eq!(headers["content-type"], "application/grpc");
    let status = Status::from_header_map(headers).unwrap();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(
        (status.message(), status.reason()),
        ("shut_down", Some("shut_down"))
    );
}

/// A client whose request is denied reads the server's own status.
#[tokio::test]
async fn a_status_of_the_server_stays_as_it_is() {
    let ca = TestCa::new("Root");
    for by in BOTH {
        let acceptor = acceptor(&ca, policy::exact([name("bob.example")]))
            .build()
            .unwrap();
        let server = Grpc::serve(by, &acceptor).await;
        let mut bob = server.client(&h2(&ca, "bob.example"));
        let status = bob.create("ACME").await.unwrap_err();
        assert_eq!(
            (status.code(), status.message(), status.reason()),
            (Code::PermissionDenied, "", None)
        );
        assert!(status.peer_alert().is_none() && status.source().is_none());
    }
}
