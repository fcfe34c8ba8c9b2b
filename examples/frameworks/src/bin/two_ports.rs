//! From an old port without client certificates to mutual TLS, in steps that break no client.
//!
//! ```text
//! cargo run -p countersign-frameworks --bin two_ports
//! ```

use std::error::Error;
use std::sync::mpsc;

use axum::Router;
use axum::body::Bytes;
use axum::routing::get;
use countersign::identity::DnsName;
use countersign::integration::hyper::Server;
use countersign::testing::TestCa;
use countersign::{Acceptor, Listener, Peer, policy};
use countersign_frameworks::callers::ask;
use http::Request;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::net::TcpListener;

/// A client of today: on the old port, without a certificate.
async fn ask_old(url: &str) -> Result<String, Box<dyn Error>> {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let Ok(response) = client
        .request(Request::get(url).body(Empty::<Bytes>::new())?)
        .await
    else {
        return Ok("no connection".into());
    };
    let status = response.status().as_u16();
    let body = response.into_body().collect().await?.to_bytes();
    Ok(format!("{status} {}", String::from_utf8_lossy(&body))
        .trim_end()
        .to_owned())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let app = Router::new()
        .route("/orders", get("3 orders"))
        // A route that needs a peer answers 403 on the old port.
        .route(
            "/me",
            get(async |peer: Peer<DnsName>| format!("hello {}", peer.identity())),
        );

    // The old port.
    let old = TcpListener::bind("127.0.0.1:0").await?;
    let old_url = format!("http://{}", old.local_addr()?);
    let old = tokio::spawn(axum::serve(old, app.clone()).into_future());

    // 1. Inventory, and 2. observe: each client that has a certificate may use the new port, and those that the
    // planned policy would deny are reported.
    let planned =
        || Ok::<_, Box<dyn Error>>(policy::exact(["billing.example".parse::<DnsName>()?]));
    let (report, reported) = mpsc::channel();
    let ca = TestCa::new("Example CA");
    let acceptor = Acceptor::builder()
        .credentials(ca.leaf().dns("localhost").issue().credentials())
        .trust(ca.trust())
        .identify(DnsName::extractor())
        .authorize(policy::shadow(
            policy::allow_any(),
            planned()?,
            move |difference| {
                // The receiver is gone at the end of the program.
                let _ = report.send(difference.peer().identity().to_string());
            },
        ))
        .alpn(["h2", "http/1.1"])
        .build()?;
    let listener = Listener::bind(acceptor.clone(), "127.0.0.1:0").await?;
    let port = listener.local_addr().ok_or("no address")?.port();
    let url = format!("https://localhost:{port}");
    tokio::spawn(Server::new().serve(listener, app));

    println!(
        "old port, /orders: {}",
        ask_old(&format!("{old_url}/orders")).await?
    );
    println!(
        "old port, /me: {}",
        ask_old(&format!("{old_url}/me")).await?
    );
    for name in ["billing.example", "reports.example"] {
        println!(
            "new port, {name}: {}",
            ask(&ca, name, &format!("{url}/me")).await?
        );
    }
    for name in reported.try_iter() {
        println!("would be denied: {name}");
    }

    // 3. Enforce.
    acceptor.control().set_policy(planned()?);
    for name in ["billing.example", "reports.example"] {
        println!(
            "enforced, {name}: {}",
            ask(&ca, name, &format!("{url}/me")).await?
        );
    }

    // 4. Close the old port.
    old.abort();
    let _ = old.await; // it was aborted
    println!(
        "old port, /orders: {}",
        ask_old(&format!("{old_url}/orders")).await?
    );
    Ok(())
}
