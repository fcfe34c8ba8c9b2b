//! Rules of method and path, and what becomes of a denied request.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::routing::{any, get as route_get};
use countersign::identity::{CommonName, DnsName};
use countersign::integration::hyper::Client;
use countersign::integration::tower::{
    AuthorizeRequest, AuthorizedRequests, InvalidRule, RequestPolicy, RequestRules,
};
use countersign::testing::{self, TestCa};
use countersign::{Decision, Peer, policy};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode};
use tower::ServiceExt as _;
use tower_layer::Layer as _;

use crate::support::{ALPN, acceptor, connector, get, name, serve, text};

fn who(own: &str) -> policy::Exact<DnsName> {
    policy::exact([name(own)])
}

fn rules() -> RequestRules<DnsName> {
    RequestRules::new()
        .allow(
            "billing",
            who("billing.example"),
            [Method::POST],
            "/v1/invoices",
        )
        .unwrap()
        .allow(
            "support",
            who("support.example"),
            [Method::GET],
            "/v1/invoices/{id}",
        )
        .unwrap()
}

fn request(method: Method, path: &str) -> Request<Empty<Bytes>> {
    let request = Request::builder().method(method).uri(path);
    request.body(Empty::new()).unwrap()
}

/// What a policy says of a request from this peer.
fn decide(rules: &impl RequestPolicy<DnsName>, own: &str, method: Method, path: &str) -> Decision {
    let (parts, _) = request(method, path).into_parts();
    rules.authorize(&testing::peer(name(own)), &parts)
}

#[test]
fn a_rule_is_a_name_a_method_and_a_path() {
    for (own, method, path, expected) in [
        (
            "billing.example",
            Method::POST,
            "/v1/invoices",
            Ok("billing"),
        ),
        (
            "support.example",
            Method::GET,
            "/v1/invoices/7",
            Ok("support"),
        ),
        (
            "support.example",
            Method::GET,
            "/v1/invoices/7?x=/v1/invoices",
            Ok("support"),
        ),
        (
            "support.example",
            Method::POST,
            "/v1/invoices",
            Err("rule \"billing\": the identity is not the one that"),
        ),
        (
            "billing.example",
            Method::GET,
            "/v1/invoices",
            Err("no rule of \"/v1/invoices\" is for GET"),
        ),
        (
            "support.example",
            Method::HEAD,
            "/v1/invoices/7",
            Err("no rule of \"/v1/invoices/{id}\" is for HEAD"),
        ),
        (
            "billing.example",
            Method::POST,
            "/v1",
            Err("no rule is for this path"),
        ),
        (
            "billing.example",
            Method::POST,
            "/",
            Err("no rule is for this path"),
        ),
        (
            "billing.example",
            Method::POST,
            "/v1/invoices/",
            Err("the path has an empty segment (two slashes, or one at the end)"),
        ),
        (
            "support.example",
            Method::GET,
            "/v1/invoices/7/lines",
            Err("no rule is for this path"),
        ),
    ] {
        let decision = decide(&rules(), own, method.clone(), path);
        let said = decision
            .rule()
            .ok_or_else(|| decision.reason().unwrap_or_default());
        match (said, expected) {
            (Err(said), Err(expected)) => {
                assert!(said.starts_with(expected), "{method} {path}: {said}");
            }
            _ => assert_eq!(said, expected, "{method} {path}"),
        }
    }
}

#[test]
fn without_a_rule_nobody_may_do_anything() {
    for path in ["/", "/v1", "/v1/invoices"] {
        let decision = decide(&RequestRules::new(), "a.example", Method::GET, path);
        assert_eq!(decision.reason(), Some("no rule is for this path"));
    }
}

/// As in axum's router: and it counts alone.
#[test]
fn the_most_specific_pattern_counts() {
    let rules = RequestRules::new()
        .allow("all", policy::allow_any(), [Method::GET], "/v1/{*rest}")
        .unwrap()
        .allow("admin", who("admin.example"), [Method::GET], "/v1/admin")
        .unwrap()
        .allow(
            "auditor",
            who("auditor.example"),
            [Method::GET],
            "/v1/admin",
        )
        .unwrap();
    let rule = |own, path| {
        let decision = decide(&rules, own, Method::GET, path);
        decision.rule().map(str::to_owned)
    };
    assert_eq!(rule("a.example", "/v1/x/y").as_deref(), Some("all"));
    assert_eq!(rule("a.example", "/v1/admin"), None);
    assert_eq!(rule("admin.example", "/v1/admin").as_deref(), Some("admin"));
    assert_eq!(
        rule("auditor.example", "/v1/admin").as_deref(),
        Some("auditor")
    );
    assert_eq!(rule("admin.example", "/v1/admin/x").as_deref(), Some("all"));
    let both = decide(&rules, "a.example", Method::GET, "/v1/admin");
    let why = both.reason().unwrap();
    assert!(
        why.contains("rule \"admin\": ") && why.contains("; rule \"auditor\": "),
        "{why}"
    );
}

#[test]
fn a_pattern_that_could_not_be_meant_is_an_error() {
    let allow = |rules: RequestRules<DnsName>, pattern| {
        rules.allow("r", policy::allow_any(), [Method::GET], pattern)
    };
    for (pattern, says) in [
        ("", "must begin with a slash"),
        ("v1", "must begin with a slash"),
        ("/v1/", "no request could match it"),
        ("//v1", "no request could match it"),
        ("/v1/../x", "no request could match it"),
        ("/v1/%69d", "no request could match it"),
        ("/v1/a;b", "no request could match it"),
        ("/v1/é", "no request could match it"),
        ("/v1/a b", "no request could match it"),
        ("/v1/*", "{*name} for all that follow"),
        ("/v1/a*", "{*name} for all that follow"),
        ("/v1/inv-{id}", "is a whole segment"),
        ("/v1/{id}.json", "is a whole segment"),
        ("/v1/{id", "is a whole segment"),
        ("/v1/{{id}}", "a parameter has a name"),
        ("/v1/{}", "a parameter has a name"),
        ("/v1/{*}", "a parameter has a name"),
        ("/v1/{*rest}/x", "stands at the end"),
    ] {
        let error = allow(RequestRules::new(), pattern).unwrap_err();
        assert!(
            matches!(error, InvalidRule::Pattern { .. }),
            "{pattern}: {error:?}"
        );
        assert!(error.to_string().contains(says), "{pattern}: {error}");
    }
    for (first, second) in [
        ("/v1/admin", "/v1/Admin"),
        ("/v1/{id}/x", "/V1/{other}/x"),
        ("/v1/{id}", "/v1/{*rest}"),
    ] {
        let error = allow(allow(RequestRules::new(), first).unwrap(), second).unwrap_err();
        assert!(matches!(error, InvalidRule::Conflict { .. }), "{error:?}");
    }
    // The names of parameters make no difference.
    let twice = allow(
        allow(RequestRules::new(), "/v1/{id}").unwrap(),
        "/v1/{number}",
    )
    .unwrap();
    assert!(decide(&twice, "a.example", Method::GET, "/v1/7").is_allowed());

    let none = RequestRules::<DnsName>::new().allow("r", policy::allow_any(), [], "/v1");
    assert!(matches!(none, Err(InvalidRule::NoMethod { rule }) if rule == "r"));
}

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
async fn a_denied_request_gets_403_and_no_word_and_is_told_to_us() {
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
    let (_, service, denied) = noted(|_: &Peer<DnsName>, _: &_| Decision::allow("everybody"));
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
async fn a_policy_can_be_replaced_while_it_is_asked() {
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

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn an_event_names_the_rule_that_denied() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer({
            let log = log.clone();
            move || log.clone()
        })
        .finish();
    tracing::subscriber::with_default(subscriber, || {
        let layer = AuthorizeRequest::<DnsName>::new(rules());
        let service = layer.layer(tower::service_fn(|_| async {
            Ok::<_, std::convert::Infallible>(hyper::Response::new(String::new()))
        }));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        for (own, path) in [
            ("support.example", "/v1/invoices/7"), // allowed: no event
            ("eve.example", "/v1/invoices/7"),
        ] {
            let request = from(own, request(Method::GET, path));
            runtime.block_on(service.clone().oneshot(request)).unwrap();
        }
    });
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    for part in [
        "WARN",
        "request denied",
        "method=GET",
        "path=/v1/invoices/7",
        "reason=\"denied\"",
        "why=rule \"support\": ",
        "certificate=",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
}
