//! axum over mutual TLS: handlers get the peer, and rules authorize each request by method and path.
//!
//! ```text
//! cargo run -p countersign-frameworks --bin axum_api
//! ```

use std::error::Error;
use std::time::Duration;

use axum::Router;
use axum::extract::Path;
use axum::routing::{get, post};
use countersign::gate::ServerNameVerification;
use countersign::identity::SpiffeId;
use countersign::integration::hyper::{Client, Server};
use countersign::integration::tower::{AuthorizeRequest, RequestRules};
use countersign::testing::TestCa;
use countersign::{Acceptor, Connector, Listener, Peer, policy};
use http::{Method, Request};
use http_body_util::{BodyExt as _, Empty};
use tower::Layer as _;

const SERVER: &str = "spiffe://example.org/ns/orders";

async fn create(peer: Peer<SpiffeId>) -> String {
    format!("invoice 7 for {}", peer.identity())
}

async fn show(peer: Peer<SpiffeId>, Path(id): Path<u64>) -> String {
    format!("invoice {id}, read by {}", peer.identity())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let ca = TestCa::new("Example CA");

    // Any workload of the trust domain may connect.
    let acceptor = Acceptor::builder()
        .credentials(ca.leaf().spiffe(SERVER).issue().credentials())
        .trust(ca.trust())
        .identify(SpiffeId::extractor())
        .authorize(policy::trust_domain("example.org".parse()?))
        .alpn(["h2", "http/1.1"])
        .build()?;
    // A request that no rule allows gets 403.
    let billing = policy::spiffe_patterns(["spiffe://example.org/ns/billing/*"])?;
    let support = policy::spiffe_patterns(["spiffe://example.org/ns/support/*"])?;
    let rules = RequestRules::<SpiffeId>::new()
        .allow("billing", billing, [Method::POST], "/v1/invoices")?
        .allow("support", support, [Method::GET], "/v1/invoices/{id}")?
        .allow("health", policy::allow_any(), [Method::GET], "/healthz")?;
    let routes = Router::new()
        .route("/v1/invoices", post(create))
        .route("/v1/invoices/{id}", get(show))
        .route("/healthz", get(async || "ok"));
    let app = AuthorizeRequest::new(rules)
        .on_denied(|denied| println!("denied: {}", denied.why))
        .layer(routes);

    let listener = Listener::bind(acceptor, "127.0.0.1:0").await?;
    let address = listener.local_addr().ok_or("no address")?;
    let handle = listener.handle();
    let serving = tokio::spawn(Server::new().serve(listener, app));

    for (client, method, path) in [
        ("billing", Method::POST, "/v1/invoices"),
        ("support", Method::GET, "/v1/invoices/7"),
        ("support", Method::POST, "/v1/invoices"),
        ("support", Method::GET, "/v1/invoices/%37"),
        ("shipping", Method::GET, "/v1/invoices/7"),
        ("shipping", Method::GET, "/healthz"),
    ] {
        let id = format!("spiffe://example.org/ns/{client}/worker");
        let connector = Connector::builder()
            .credentials(ca.leaf().spiffe(&id).issue().credentials())
            .trust(ca.trust())
            .identify(SpiffeId::extractor())
            .authorize(policy::exact([SERVER.parse()?]))
            .server_names(ServerNameVerification::ByPolicy)
            .alpn(["h2", "http/1.1"])
            .build()?;
        let request = Request::builder()
            .method(method.clone())
            .uri(format!("https://{address}{path}"))
            .body(Empty::<axum::body::Bytes>::new())?;
        let response = Client::new(connector).request(request).await?;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await?.to_bytes();
        let body = String::from_utf8_lossy(&body);
        println!("{client} {method} {path}: {status} {body}");
    }
    handle.shutdown(Duration::from_secs(5)).await;
    serving.await?;
    Ok(())
}
