//! reqwest over mutual TLS: it shows the certificate and believes whom the connector does, at any time.
//!
//! ```text
//! cargo run --example reqwest_client
//! ```
//!
//! Certificates are made in memory; the connections are real ones, over 127.0.0.1.

use std::error::Error;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use countersign::identity::DnsName;
use countersign::integration::hyper::Server;
use countersign::testing::TestCa;
use countersign::{Acceptor, Connector, Decision, Listener, Peer, Update, policy};

/// Says what went wrong at the bottom.
fn innermost(error: &dyn Error) -> String {
    match error.source() {
        Some(source) => innermost(source),
        None => error.to_string(),
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let ca = TestCa::new("Example CA");
    let listener = Listener::bind(
        Acceptor::builder()
            .credentials(ca.leaf().dns("localhost").issue().credentials())
            .trust(ca.trust())
            .identify(DnsName::extractor())
            .authorize(policy::allow_any())
            .alpn(["h2", "http/1.1"])
            .build()?,
        "127.0.0.1:0",
    )
    .await?;
    let port = listener.local_addr().ok_or("no address")?.port();
    let app = Router::new().route(
        "/",
        get(async |peer: Peer<DnsName>| format!("hello {}", peer.identity())),
    );
    tokio::spawn(Server::new().serve(listener, app));

    // The four decisions are made once, and stay with the connector.
    let connector = Connector::builder()
        .credentials(ca.leaf().dns("worker-1.example").issue().credentials())
        .trust(ca.trust())
        .identify(DnsName::extractor())
        .authorize(policy::exact(["localhost".parse()?]))
        .alpn(["h2", "http/1.1"])
        .build()?;
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(connector.clone().into_authorizing_rustls_config())
        .https_only(true) // a redirect must not lead out of TLS
        .connect_timeout(Duration::from_secs(10))
        .pool_max_idle_per_host(0) // so that each request here shows what a new connection does
        .build()?;
    let url = format!("https://localhost:{port}/");
    let ask = async || match client.get(&url).send().await {
        Ok(response) => response
            .text()
            .await
            .unwrap_or_else(|error| error.to_string()),
        Err(error) => format!("no: {}", innermost(&error)),
    };
    println!("at first:             {}", ask().await);

    let renewed = ca.leaf().dns("worker-2.example").issue();
    connector.update(Update::new().credentials(renewed.credentials()))?;
    println!("with new credentials: {}", ask().await);

    connector.set_policy(|_: &Peer<DnsName>| Decision::deny("the server is under suspicion"));
    println!("by another policy:    {}", ask().await);
    Ok(())
}
