//! Who may call which method, and what those see who may not.

use std::time::Duration;

use countersign::integration::hyper::Client;
use countersign::policy;
use countersign::testing::TestCa;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::{Request, Response};
use tonic::Code;

use crate::serving::{BOTH, By, Grpc, h2};
use countersign_frameworks::invoices::CREATE;
use support::http::{acceptor, connector};

#[tokio::test]
async fn a_call_that_is_denied_has_the_status_of_grpc() {
    let ca = TestCa::new("Root");
    for by in BOTH {
        let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
        let server = Grpc::serve(by, &acceptor).await;
        let mut bob = server.client(&h2(&ca, "bob.example"));
        let status = bob.create("ACME").await.unwrap_err();
        // Nothing of the rule.
        assert_eq!(
            (status.code(), status.message()),
            (Code::PermissionDenied, "")
        );
        // The twins: another method on the same connection, another client.
        let mut watched = bob.watch(1, Duration::ZERO).await.unwrap();
        assert!(watched.message().await.unwrap().is_some());
        let mut alice = server.client(&h2(&ca, "alice.example"));
        assert_eq!(alice.create("ACME").await.unwrap().number, 1);
        assert_eq!(acceptor.control().connections().len(), 2);
    }
}

/// The response on the wire: "Trailers-Only" for clients of gRPC, 403 for all others.
#[tokio::test]
async fn only_grpc_gets_the_status_of_grpc() {
    let ca = TestCa::new("Root");
    let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
    let server = Grpc::serve(By::Ours, &acceptor).await;
    for (alpn, content_type, is_grpc) in [
        ("h2", "application/grpc", true),
        ("h2", "application/grpc+proto", true),
        ("h2", "application/grpc;charset=utf-8", true),
        ("h2", "application/grpc-web", false),
        ("h2", "application/json", false),
        ("h2", "", false),
        ("http/1.1", "application/grpc", false),
    ] {
        let bob = connector(&ca, "bob.example", alpn).build().unwrap();
        let url = format!("https://localhost:{}{CREATE}", server.address.port());
        let request = Request::post(url)
            .header("content-type", content_type)
            .body(Full::new(Bytes::from_static(&[0; 5])))
            .unwrap();
        let response: Response<_> = Client::new(bob).request(request).await.unwrap();
        let status = response.status().as_u16();
        let header = |name| response.headers().get(name).map(|value| value.as_bytes());
        if is_grpc {
            assert_eq!(status, 200, "{content_type}");
            assert_eq!(header("grpc-status"), Some(&b"7"[..]));
            assert_eq!(header("content-type"), Some(&b"application/grpc"[..]));
        } else {
            assert_eq!(status, 403, "{alpn} {content_type}");
            assert_eq!(header("grpc-status"), None);
        }
        let body = response.into_body().collect().await.unwrap();
        assert!(body.trailers().is_none());
        assert_eq!(body.to_bytes(), Bytes::new());
    }
}
