//! reqwest over mutual TLS: each request follows the certificates and the rules in force.
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
use countersign::integration::reqwest::Client;
use countersign::testing::TestCa;
use countersign::{Acceptor, Connector, Decision, Listener, Peer, Update, policy};

async fn fetch(client: &Client<DnsName>, url: &str) -> Result<String, reqwest::Error> {
    client.current()?.get(url).send().await?.text().await
}

async fn ask(client: &Client<DnsName>, url: &str) -> String {
    fetch(client, url).await.unwrap_or_else(|error| {
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
    let client = Client::configured(connector.clone(), |settings| {
        settings.timeout(Duration::from_secs(30))
    })?;

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
