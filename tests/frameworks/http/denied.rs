//! What becomes of a denied request.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::routing::{any, get as route_get};
use countersign::audit::Memory;
use countersign::identity::{CommonName, DnsName};
use countersign::integration::hyper::Client;
use countersign::integration::tower::{
    AuthorizeRequest, AuthorizedRequests, RequestPolicy, RequestRules,
};
use countersign::testing::{self, TestCa};
use countersign::{Decision, Peer, policy};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode};
use tower::ServiceExt as _;
use tower_layer::Layer as _;

use crate::rules::{request, rules};
use support::http::{ALPN, acceptor, connector, get, name, serve, text};
use support::schema;

type Notes = Arc<Mutex<Vec<String>>>;

/// A layer with a note of what was denied, around a router that takes everything.
fn noted(
    policy: impl RequestPolicy<DnsName> + 'static,
) -> (
    AuthorizeRequest<DnsName>,
    AuthorizedRequests<Router, DnsName>,
    Notes,
) {
    let denied = Notes::default();
    let noted = Arc::clone(&denied);
    let layer = AuthorizeRequest::new(policy).on_denied(move |denied| {
        let who = denied.peer.map(|peer| peer.identity().to_string());
        noted.lock().unwrap().push(format!(
            "{} {:?} {} {}",
            denied.reason, who, denied.request.method, denied.request.uri
        ));
    });
    let router = Router::new().fallback(any(async || "reached"));
    (layer.clone(), layer.layer(router), denied)
}

fn from(own: &str, mut request: Request<Empty<Bytes>>) -> Request<Empty<Bytes>> {
    request.extensions_mut().insert(testing::peer(name(own)));
    request
}

#[tokio::test]
async fn a_denied_request_gets_403_without_a_body_and_is_recorded() {
    let (_, service, denied) = noted(rules());
    let good = from("support.example", request(Method::GET, "/v1/invoices/7"));
    let response = service.clone().oneshot(good).await.unwrap();
    assert_eq!(text(response).await, "reached");
    assert_eq!(*denied.lock().unwrap(), Vec::<String>::new());

    let bad = from("support.example", request(Method::DELETE, "/v1/invoices/7"));
    let response = service.oneshot(bad).await.unwrap();
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert!(response.headers().is_empty(), "{:?}", response.headers());
    assert_eq!(text(response).await, "");
    assert_eq!(
        *denied.lock().unwrap(),
        ["denied Some(\"support.example\") DELETE /v1/invoices/7"]
    );
}

#[tokio::test]
async fn a_request_without_a_peer_is_denied() {
    let (_, service, denied) = noted(|_: &Peer<DnsName>, _: &_| Decision::allow("all peers"));
    // None at all, and one of another type.
    let none = request(Method::GET, "/");
    let mut other = request(Method::GET, "/");
    let common_name = TestCa::new("CA")
        .leaf()
        .common_name("x")
        .issue()
        .certificate();
    let common_name =
        countersign::identity::IdentityExtractor::extract(&CommonName::extractor(), &common_name);
    other
        .extensions_mut()
        .insert(testing::peer(common_name.unwrap()));
    for request in [none, other] {
        let response = service.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::FORBIDDEN);
    }
    assert_eq!(*denied.lock().unwrap(), ["no_peer None GET /"; 2]);
    let good = from("a.example", request(Method::GET, "/"));
    let response = service.oneshot(good).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_policy_that_panics_denies_and_so_does_a_hook_that_does() {
    let (_, service, denied) = noted(|_: &Peer<DnsName>, _: &_| -> Decision { panic!("oh") });
    let response = service
        .oneshot(from("a.example", request(Method::GET, "/")))
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert_eq!(
        *denied.lock().unwrap(),
        ["policy_panicked Some(\"a.example\") GET /"]
    );

    let layer = AuthorizeRequest::<DnsName>::new(rules()).on_denied(|_| panic!("oh"));
    let service = layer.layer(Router::<()>::new().fallback(any(async || "reached")));
    let response = service
        .oneshot(from("a.example", request(Method::GET, "/")))
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_policy_can_be_replaced_while_it_decides() {
    let (layer, service, _) = noted(rules());
    let status = || async {
        let request = from("support.example", request(Method::GET, "/v1/invoices/7"));
        service.clone().oneshot(request).await.unwrap().status()
    };
    assert_eq!(status().await, StatusCode::OK);
    layer.set_policy(RequestRules::new());
    assert_eq!(status().await, StatusCode::FORBIDDEN);
    layer.set_policy(rules());
    assert_eq!(status().await, StatusCode::OK);
}

/// Both versions of HTTP, the real thing from end to end.
#[tokio::test]
async fn clients_get_what_their_rules_say() {
    let ca = TestCa::new("Root");
    let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
    let router = Router::new()
        .route(
            "/v1/invoices",
            route_get(async || "all").post(async || "made"),
        )
        .route("/v1/invoices/{id}", route_get(async || "one"));
    let server = serve(&acceptor, AuthorizeRequest::new(rules()).layer(router)).await;
    for alpn in ALPN {
        let client = |own| Client::new(connector(&ca, own, alpn).build().unwrap());
        let (billing, support) = (client("billing.example"), client("support.example"));
        let mut post = get(&server.url("/v1/invoices"));
        *post.method_mut() = Method::POST;
        assert_eq!(
            text(billing.request(post.clone()).await.unwrap()).await,
            "made"
        );
        let one = get(&server.url("/v1/invoices/7"));
        assert_eq!(
            text(support.request(one.clone()).await.unwrap()).await,
            "one"
        );
        for (client, request) in [
            (&billing, one),
            (&support, post),
            (&support, get(&server.url("/v1/invoices"))),
            (&support, get(&server.url("/v1/invoices/7/"))),
            (&support, get(&server.url("/nowhere"))),
        ] {
            let response = client.request(request).await.unwrap();
            assert_eq!(response.status(), StatusCode::FORBIDDEN);
            assert_eq!(response.collect().await.unwrap().to_bytes(), "");
        }
    }
}

#[tokio::test]
async fn a_denied_request_is_in_the_audit_trail() {
    let ca = TestCa::new("Root");
    let trail = Memory::new();
    let acceptor = acceptor(&ca, policy::allow_any())
        .audit(trail.clone())
        .build()
        .unwrap();
    let layer = AuthorizeRequest::new(rules()).audit(&acceptor);
    let service = layer.layer(Router::new().fallback(any(async || "reached")));
    let good = from("support.example", request(Method::GET, "/v1/invoices/7"));
    let response = service.clone().oneshot(good).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(trail.take().len(), 0);

    let bad = from("eve.example", request(Method::GET, "/v1/invoices/7?q=1"));
    let response = service.clone().oneshot(bad).await.unwrap();
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    let without_peer = request(Method::GET, "/v1/invoices/7");
    service.oneshot(without_peer).await.unwrap();
    let [denied, nameless] = &trail.take()[..] else {
        panic!("one event each");
    };
    let schema = schema::of_events();
    let json = schema::assert_valid(&schema, denied);
    assert_eq!(json["event"]["action"], "request_denied");
    assert_eq!(json["event"]["outcome"], "failure");
    assert_eq!(json["http"]["request"]["method"], "GET");
    assert_eq!(json["url"]["path"], "/v1/invoices/7");
    assert_eq!(json["user"]["name"], "eve.example");
    let why = json["error"]["message"].as_str().unwrap();
    assert!(why.contains("rule \"support\": "), "{why}");
    let json = schema::assert_valid(&schema, nameless);
    assert_eq!(json["event"]["reason"], "no_peer");
    assert_eq!(acceptor.control().stats().requests_denied, 2);
}
