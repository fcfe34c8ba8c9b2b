//! An API in axum whose routes know who calls, and let each caller do what is its to do.
//!
//! ```text
//! cargo run --example axum_api
//! ```
//!
//! Certificates are made in memory; the connections are real ones, over 127.0.0.1.

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use axum::Router;
use axum::extract::Path;
use axum::routing::{get, post};
use countersign::gate::ServerNameVerification;
use countersign::identity::SpiffeId;
use countersign::integration::hyper::{Client, RequestBody, Server};
use countersign::integration::tower::{AuthorizeRequest, RequestRules};
use countersign::testing::TestCa;
use countersign::{Acceptor, Connector, Listener, Peer, policy};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode};
use tower_layer::Layer as _;

const ORDERS: &str = "spiffe://example.org/ns/orders";

/// A handler is told whom it works for.
async fn create(peer: Peer<SpiffeId>) -> String {
    format!("invoice 7 made for {}", peer.identity())
}

async fn show(peer: Peer<SpiffeId>, Path(id): Path<String>) -> String {
    format!("invoice {id} shown to {}", peer.identity())
}

/// The routes, and around all of them the rules: what none allows is denied.
fn api() -> Result<
    impl tower_service::Service<
        Request<RequestBody>,
        Response = axum::response::Response,
        Error = std::convert::Infallible,
        Future: Send,
    > + Clone
    + Send,
    Box<dyn Error>,
> {
    let routes = Router::new()
        .route("/v1/invoices", post(create))
        .route("/v1/invoices/{id}", get(show))
        .route("/healthz", get(async || "well"));
    let billing = policy::spiffe_patterns(["spiffe://example.org/ns/billing/*"])?;
    let support = policy::spiffe_patterns(["spiffe://example.org/ns/support/*"])?;
    let rules = RequestRules::<SpiffeId>::new()
        .allow("billing", billing, [Method::POST], "/v1/invoices")?
        .allow("support", support, [Method::GET], "/v1/invoices/{id}")?
        .allow("health", policy::allow_any(), [Method::GET], "/healthz")?;
    Ok(AuthorizeRequest::new(rules)
        .on_denied(|denied| println!("   the server logs:  denied: {}", denied.why))
        .layer(routes))
}

/// Who asks for what, and what must come of it.
const VISITS: [(&str, Method, &str, StatusCode); 6] = [
    ("billing", Method::POST, "/v1/invoices", StatusCode::OK),
    ("support", Method::GET, "/v1/invoices/7", StatusCode::OK),
    (
        "support",
        Method::POST,
        "/v1/invoices",
        StatusCode::FORBIDDEN,
    ),
    (
        "shipping",
        Method::GET,
        "/v1/invoices/7",
        StatusCode::FORBIDDEN,
    ),
    (
        "support",
        Method::GET,
        "/v1/invoices/%37",
        StatusCode::FORBIDDEN,
    ),
    ("shipping", Method::GET, "/healthz", StatusCode::OK),
];

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let ca = TestCa::new("Example CA");
    // Every workload of the trust domain may connect; the rules say what it may do.
    let acceptor = Acceptor::builder()
        .credentials(ca.leaf().spiffe(ORDERS).issue().credentials())
        .trust(ca.trust())
        .identify(SpiffeId::extractor())
        .authorize(policy::trust_domain("example.org".parse()?))
        .alpn(["h2", "http/1.1"])
        .build()?;
    let listener = Listener::bind(acceptor, "127.0.0.1:0").await?;
    let address = listener.local_addr().ok_or("no address")?;
    let handle = listener.handle();
    let serving = tokio::spawn(Server::new().serve(listener, api()?));

    let mut as_expected = true;
    for (who, method, path, expected) in VISITS {
        println!("{who} sends {method} {path}");
        let id = format!("spiffe://example.org/ns/{who}/sa/worker");
        let connector = Connector::builder()
            .credentials(ca.leaf().spiffe(&id).issue().credentials())
            .trust(ca.trust())
            .identify(SpiffeId::extractor())
            .authorize(policy::exact([ORDERS.parse()?]))
            .server_names(ServerNameVerification::ByPolicy)
            .alpn(["h2", "http/1.1"])
            .build()?;
        let request = Request::builder()
            .method(method)
            .uri(format!("https://{address}{path}"))
            .body(Empty::<Bytes>::new())?;
        let response = Client::new(connector).request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        let body = String::from_utf8_lossy(&body);
        println!("   the client sees:  {} {body}", status.as_u16());
        as_expected &= status == expected;
    }
    handle.shutdown(Duration::from_secs(5)).await;
    serving.await?;
    Ok(ExitCode::from(u8::from(!as_expected)))
}
