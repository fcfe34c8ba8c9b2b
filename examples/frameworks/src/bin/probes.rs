//! A service that only speaks mutual TLS, and the probes of Kubernetes on a port of their own.
//!
//! The kubelet has no client certificate. Its port is plain HTTP, serves no route of the application, and answers
//! from the state of the service.
//!
//! ```text
//! cargo run -p countersign-frameworks --bin probes
//! ```

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::routing::get;
use countersign::identity::DnsName;
use countersign::integration::hyper::Server;
use countersign::testing::TestCa;
use countersign::{Acceptor, Listener, Peer, policy};
use countersign_frameworks::callers::ask;
use http::{Request, StatusCode};
use http_body_util::Empty;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::net::TcpListener;

/// `/livez`: the process answers. `/readyz`: it takes new connections, and its certificate is valid.
fn probes(acceptor: Acceptor<DnsName>, stopping: Arc<AtomicBool>) -> Router {
    let ready = async move || {
        let left = acceptor.control().stats().own_certificate_left;
        let is_valid = left.is_some_and(|left| left > Duration::ZERO);
        if is_valid && !stopping.load(Ordering::SeqCst) {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        }
    };
    Router::new()
        .route("/livez", get(StatusCode::OK))
        .route("/readyz", get(ready))
}

/// What the kubelet does.
async fn probe(url: &str) -> Result<u16, Box<dyn Error>> {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let request = Request::get(url).body(Empty::<Bytes>::new())?;
    Ok(client.request(request).await?.status().as_u16())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let ca = TestCa::new("Example CA");
    let acceptor = Acceptor::builder()
        .credentials(ca.leaf().dns("localhost").issue().credentials())
        .trust(ca.trust())
        .identify(DnsName::extractor())
        .authorize(policy::exact(["billing.example".parse()?]))
        .alpn(["h2", "http/1.1"])
        .build()?;

    // The probes' port: in a pod 0.0.0.0:8081, which no Service and no Ingress names.
    let stopping = Arc::new(AtomicBool::new(false));
    let plain = TcpListener::bind("127.0.0.1:0").await?;
    let plain_url = format!("http://{}", plain.local_addr()?);
    tokio::spawn(axum::serve(plain, probes(acceptor.clone(), Arc::clone(&stopping))).into_future());

    let app = Router::new().route(
        "/orders",
        get(async |peer: Peer<DnsName>| format!("3 orders for {}", peer.identity())),
    );
    let listener = Listener::bind(acceptor, "127.0.0.1:0").await?;
    let handle = listener.handle();
    let port = listener.local_addr().ok_or("no address")?.port();
    let url = format!("https://localhost:{port}/orders");
    let serving = tokio::spawn(Server::new().serve(listener, app));

    println!("billing: {}", ask(&ca, "billing.example", &url).await?);
    println!("eve: {}", ask(&ca, "eve.example", &url).await?);
    for path in ["/livez", "/readyz", "/orders"] {
        println!(
            "probe {path}: {}",
            probe(&format!("{plain_url}{path}")).await?
        );
    }

    // SIGTERM: first not ready, so that no new client comes; then drain.
    stopping.store(true, Ordering::SeqCst);
    println!(
        "stopping, probe /readyz: {}",
        probe(&format!("{plain_url}/readyz")).await?
    );
    println!(
        "stopping, probe /livez: {}",
        probe(&format!("{plain_url}/livez")).await?
    );
    handle.shutdown(Duration::from_secs(5)).await;
    serving.await?;
    println!("stopped");
    Ok(())
}
