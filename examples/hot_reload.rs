//! A server that takes new files while it runs: its certificate, and who may call.
//!
//! ```text
//! cargo run --example hot_reload
//! ```
//!
//! Certificates are made in memory and written to a folder; the connections are real ones, over 127.0.0.1.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use countersign::gate::ServerNameVerification;
use countersign::identity::SpiffeId;
use countersign::integration::hyper::{Client, Server};
use countersign::reload::{Reload, Source};
use countersign::testing::{Issued, TestCa};
use countersign::{Acceptor, Connector, Credentials, Listener, Peer, TrustStore, policy};
use http_body_util::{BodyExt as _, Empty};
use hyper::Request;
use hyper::body::Bytes;

const ORDERS: &str = "spiffe://example.org/ns/orders";

fn write(folder: &Path, own: &Issued) -> std::io::Result<()> {
    fs::write(folder.join("tls.crt"), own.chain_pem())?;
    fs::write(folder.join("tls.key"), own.key_pem())
}

/// Asks once, and tells what came of it.
async fn ask(client: &Client<SpiffeId, Empty<Bytes>>, url: &str) -> String {
    let request = Request::get(url).body(Empty::new());
    let Ok(request) = request else {
        return "no URL".into();
    };
    match client.request(request).await {
        Err(_) => "cut off, or not let in".into(),
        Ok(response) => {
            let server = response.extensions().get::<Peer<SpiffeId>>();
            let serial = server.map(|server| server.certificate().serial().to_string());
            let body = response.into_body().collect().await;
            let body = body.map(|body| body.to_bytes()).unwrap_or_default();
            format!(
                "{} (the server's certificate is number {})",
                String::from_utf8_lossy(&body),
                serial.unwrap_or_default()
            )
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let ca = TestCa::new("Example CA");
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    let own = |serial: &[u8]| ca.leaf().spiffe(ORDERS).serial(serial).issue();
    write(folder, &own(&[1]))?;
    fs::write(folder.join("ca.crt"), ca.pem())?;
    fs::write(
        folder.join("callers.txt"),
        "spiffe://example.org/ns/billing/*\n",
    )?;

    let file = |name: &str| folder.join(name);
    let callers = |text: String| policy::spiffe_patterns(text.lines());
    let acceptor = Acceptor::builder()
        .credentials(Credentials::from_pem_files(
            file("tls.crt"),
            file("tls.key"),
        )?)
        .trust(TrustStore::from_pem_file(file("ca.crt"))?)
        .identify(SpiffeId::extractor())
        .authorize(callers(fs::read_to_string(file("callers.txt"))?)?)
        .alpn(["h2", "http/1.1"])
        .build()?;
    let reload = Reload::of(&acceptor)
        .credentials(Source::pem_files(file("tls.crt"), file("tls.key")))
        .trust(Source::<TrustStore>::pem_file(file("ca.crt")))
        .policy(Source::text_file(file("callers.txt")).try_map(callers))
        .start()
        .await?;

    let listener = Listener::bind(acceptor, "127.0.0.1:0").await?;
    let url = format!("https://{}/", listener.local_addr().ok_or("no address")?);
    let handle = listener.handle();
    let app = Router::new().route(
        "/",
        get(async |peer: Peer<SpiffeId>| format!("hello {}", peer.identity().path())),
    );
    let serving = tokio::spawn(Server::new().serve(listener, app));

    let connector = Connector::builder()
        .credentials(
            ca.leaf()
                .spiffe("spiffe://example.org/ns/billing/worker")
                .issue()
                .credentials(),
        )
        .trust(ca.trust())
        .identify(SpiffeId::extractor())
        .authorize(policy::exact([ORDERS.parse()?]))
        .server_names(ServerNameVerification::ByPolicy)
        .alpn(["h2"])
        .build()?;
    let client = Client::new(connector.clone());
    println!("at first:               {}", ask(&client, &url).await);

    // Changed files are noticed within ten seconds by themselves; here, at once.
    write(folder, &own(&[2]))?;
    reload.reload_now().await?;
    println!("the open connection:    {}", ask(&client, &url).await);
    let new_client = Client::new(connector.clone());
    println!("a new connection:       {}", ask(&new_client, &url).await);

    // A key that does not fit: nothing changes, and whoever asked is told.
    fs::write(file("tls.key"), own(&[3]).key_pem())?;
    let refused = match reload.reload_now().await {
        Ok(_) => "taken".to_owned(),
        Err(error) => error.reason().to_owned(),
    };
    println!("half a new certificate: {refused}");
    println!("the server goes on:     {}", ask(&client, &url).await);
    write(folder, &own(&[4]))?;

    // Who is not on the list any more is cut off, in the middle of its connection.
    fs::write(file("callers.txt"), "spiffe://example.org/ns/support/*\n")?;
    reload.reload_now().await?;
    println!("billing is off the list: {}", ask(&client, &url).await);

    handle.shutdown(Duration::from_secs(5)).await;
    serving.await?;
    Ok(())
}
