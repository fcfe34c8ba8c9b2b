//! The peer in axum's handlers, by either way to serve them.

use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Request};
use axum::routing::get as route_get;
use countersign::identity::{CommonName, DnsName};
use countersign::integration::hyper::Client;
use countersign::integration::tower::{AuthorizeRequest, RequestRules};
use countersign::testing::TestCa;
use countersign::{Acceptor, Listener, Peer, policy};
use hyper::{Method, StatusCode};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tower_layer::Layer as _;

use crate::drain::slow_pieces;
use support::http::{
    ALPN, PATIENCE, acceptor, connector, deny_all, get, is_access_denied, name, serve, text,
};

fn app() -> Router {
    Router::new()
        .route(
            "/",
            route_get(async |peer: Peer<DnsName>| {
                let resumed = peer.connection().is_resumed();
                format!("{} {resumed}", peer.identity())
            }),
        )
        .route(
            "/info",
            route_get(async |ConnectInfo(peer): ConnectInfo<Peer<DnsName>>| {
                peer.identity().to_string()
            }),
        )
        .route(
            "/other",
            route_get(async |peer: Peer<CommonName>| peer.identity().to_string()),
        )
}

async fn listener(acceptor: &Acceptor<DnsName>) -> (Listener<TcpStream, DnsName>, String) {
    let listener = Listener::bind(acceptor.clone(), "127.0.0.1:0")
        .await
        .unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, format!("https://localhost:{port}"))
}

#[tokio::test]
async fn a_handler_has_its_peer_under_axum_serve() {
    let ca = TestCa::new("Root");
    let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
    let (listener, url) = listener(&acceptor).await;
    let make = app().into_make_service_with_connect_info::<Peer<DnsName>>();
    tokio::spawn(async move { axum::serve(listener, make).await });
    for alpn in ALPN {
        let alice = connector(&ca, "alice.example", alpn).build().unwrap();
        for resumed in [false, true] {
            let client = Client::new(alice.clone());
            let response = client.request(get(&url)).await.unwrap();
            assert_eq!(text(response).await, format!("alice.example {resumed}"));
            let response = client.request(get(&format!("{url}/info"))).await.unwrap();
            assert_eq!(text(response).await, "alice.example");
            let response = client.request(get(&format!("{url}/other"))).await.unwrap();
            assert_eq!(response.status(), StatusCode::FORBIDDEN);
            assert_eq!(text(response).await, "");
        }
    }
}

#[tokio::test]
async fn a_handler_has_its_peer_under_our_server() {
    let ca = TestCa::new("Root");
    let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
    let server = serve(&acceptor, app()).await;
    for alpn in ALPN {
        let client = Client::new(connector(&ca, "alice.example", alpn).build().unwrap());
        let response = client.request(get(&server.url("/"))).await.unwrap();
        assert_eq!(text(response).await, "alice.example false");
        let response = client.request(get(&server.url("/other"))).await.unwrap();
        assert_eq!(response.status(), StatusCode::FORBIDDEN);
    }
}

/// Served without connect info, a handler that wants a peer is not reached.
#[tokio::test]
async fn without_a_peer_the_answer_is_403() {
    let ca = TestCa::new("Root");
    let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
    let (listener, url) = listener(&acceptor).await;
    tokio::spawn(async move { axum::serve(listener, app()).await });
    let client = Client::new(connector(&ca, "alice.example", "h2").build().unwrap());
    let response = client.request(get(&url)).await.unwrap();
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert_eq!(text(response).await, "");
}

#[tokio::test]
async fn a_denied_client_reaches_no_handler_of_axum_serve() {
    let ca = TestCa::new("Root");
    let only_bob = policy::exact([name("bob.example")]);
    let acceptor = acceptor(&ca, only_bob).build().unwrap();
    let (listener, url) = listener(&acceptor).await;
    let make = app().into_make_service_with_connect_info::<Peer<DnsName>>();
    tokio::spawn(async move { axum::serve(listener, make).await });
    for alpn in ALPN {
        let alice = Client::new(connector(&ca, "alice.example", alpn).build().unwrap());
        let error = alice.request(get(&url)).await.unwrap_err();
        assert!(is_access_denied(&error), "{error:?}");
        let bob = Client::new(connector(&ca, "bob.example", alpn).build().unwrap());
        let response = bob.request(get(&url)).await.unwrap();
        assert_eq!(text(response).await, "bob.example false");
        // Denied while it is connected.
        acceptor.control().set_policy(deny_all);
        assert!(bob.request(get(&url)).await.is_err());
        acceptor
            .control()
            .set_policy(policy::exact([name("bob.example")]));
    }
}

/// Silent connections delay no other handshake, and `axum::serve` never sees them.
#[tokio::test]
async fn a_stalled_handshake_delays_no_client() {
    let ca = TestCa::new("Root");
    let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
    let (listener, url) = listener(&acceptor).await;
    let address = listener.local_addr().unwrap();
    let make = app().into_make_service_with_connect_info::<Peer<DnsName>>();
    tokio::spawn(async move { axum::serve(listener, make).await });
    let mut stalled = Vec::new();
    for _ in 0..50 {
        stalled.push(TcpStream::connect(address).await.unwrap());
    }
    let client = Client::new(connector(&ca, "alice.example", "h2").build().unwrap());
    let response = timeout(Duration::from_secs(5), client.request(get(&url))).await;
    assert_eq!(
        text(response.unwrap().unwrap()).await,
        "alice.example false"
    );
}

/// axum's own graceful shutdown, with a request under way.
#[tokio::test]
async fn axum_serve_shuts_down_gracefully() {
    for alpn in ALPN {
        let ca = TestCa::new("Root");
        let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
        let (listener, url) = listener(&acceptor).await;
        let (finish, body) = slow_pieces();
        let body = std::sync::Arc::new(std::sync::Mutex::new(Some(body)));
        let app = Router::new().fallback(move || {
            let body = body.lock().unwrap().take().expect("one request");
            async { axum::body::Body::new(body) }
        });
        let make = app.into_make_service_with_connect_info::<Peer<DnsName>>();
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = axum::serve(listener, make).with_graceful_shutdown(async {
            let _ = stopped.await;
        });
        let serving = tokio::spawn(serving.into_future());
        let client = Client::new(connector(&ca, "alice.example", alpn).build().unwrap());
        let response = client.request(get(&url)).await.unwrap();
        stop.send(()).unwrap();
        finish.send("finished".into()).unwrap();
        drop(finish);
        assert_eq!(text(response).await, "begun finished");
        timeout(PATIENCE, serving).await.unwrap().unwrap().unwrap();
        assert!(
            client.request(get(&url)).await.is_err(),
            "no listener is left"
        );
    }
}

/// With rules, around the whole router.
#[tokio::test]
async fn rules_find_the_peer_of_axum_serve() {
    let ca = TestCa::new("Root");
    let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
    let (listener, url) = listener(&acceptor).await;
    let alice = policy::exact([name("alice.example")]);
    let rules = RequestRules::new().allow("alice", alice, [Method::GET], "/info");
    let app = AuthorizeRequest::new(rules.unwrap()).layer(app());
    let make =
        axum::ServiceExt::<Request>::into_make_service_with_connect_info::<Peer<DnsName>>(app);
    tokio::spawn(async move { axum::serve(listener, make).await });
    for (own, path, status) in [
        ("alice.example", "/info", StatusCode::OK),
        ("alice.example", "/", StatusCode::FORBIDDEN),
        ("bob.example", "/info", StatusCode::FORBIDDEN),
    ] {
        let client = Client::new(connector(&ca, own, "h2").build().unwrap());
        let response = client.request(get(&format!("{url}{path}"))).await.unwrap();
        assert_eq!(response.status(), status, "{own} {path}");
    }
}
