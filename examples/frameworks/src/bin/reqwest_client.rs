//! reqwest over mutual TLS: it presents and verifies certificates as the connector does at the time.
//!
//! ```text
//! cargo run -p countersign-frameworks --bin reqwest_client
//! ```

use std::error::Error;
use std::iter::successors;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use countersign::identity::DnsName;
use countersign::integration::hyper::Server;
use countersign::testing::TestCa;
use countersign::{Acceptor, Connector, Decision, Listener, Peer, Update, policy};

async fn ask(client: &reqwest::Client, url: &str) -> String {
    let response = match client.get(url).send().await {
        Ok(response) => response.text().await,
        Err(error) => Err(error),
    };
    response.unwrap_or_else(|error| {
        let first: &(dyn Error + 'static) = &error;
        let last = successors(Some(first), |&error| error.source()).last();
        last.unwrap_or(first).to_string()
    })
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let ca = TestCa::new("Example CA");
    let connector = Connector::builder()
        .credentials(ca.leaf().dns("worker-1.example").issue().credentials())
        .trust(ca.trust())
        .identify(DnsName::extractor())
        .authorize(policy::exact(["localhost".parse()?]))
        .alpn(["h2", "http/1.1"])
        .build()?;
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(connector.clone().into_authorizing_rustls_config())
        .https_only(true) // a redirect must not leave TLS
        .connect_timeout(Duration::from_secs(10))
        .pool_max_idle_per_host(0) // a new connection for each request
        .build()?;

    let url = serve(&ca).await?;
    println!("first:           {}", ask(&client, &url).await);

    let renewed = ca.leaf().dns("worker-2.example").issue();
    connector
        .control()
        .update(Update::new().credentials(renewed.credentials()))?;
    println!("new certificate: {}", ask(&client, &url).await);

    connector
        .control()
        .set_policy(|_: &Peer<DnsName>| Decision::deny("the server is compromised"));
    println!("new policy:      {}", ask(&client, &url).await);
    Ok(())
}

/// A server for the client; it returns its URL.
async fn serve(ca: &TestCa) -> Result<String, Box<dyn Error>> {
    let acceptor = Acceptor::builder()
        .credentials(ca.leaf().dns("localhost").issue().credentials())
        .trust(ca.trust())
        .identify(DnsName::extractor())
        .authorize(policy::allow_any())
        .alpn(["h2", "http/1.1"])
        .build()?;
    let listener = Listener::bind(acceptor, "127.0.0.1:0").await?;
    let port = listener.local_addr().ok_or("no address")?.port();
    let app = Router::new().route(
        "/",
        get(async |peer: Peer<DnsName>| format!("hello {}", peer.identity())),
    );
    tokio::spawn(Server::new().serve(listener, app));
    Ok(format!("https://localhost:{port}/"))
}
