//! The crate axum-server over mutual TLS, without its TLS features.
//!
//! axum-server does not drain connections that countersign is about to close. Prefer
//! `countersign::integration::hyper::Server`.
//!
//! ```text
//! cargo run -p countersign-frameworks --bin axum_server
//! ```

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use axum::middleware::AddExtension;
use axum::routing::get;
use axum::{Extension, Router};
use axum_server::accept::Accept;
use countersign::identity::DnsName;
use countersign::integration::hyper::Client;
use countersign::testing::TestCa;
use countersign::{Acceptor, Connector, Peer, TlsStream, policy};
use http::Request;
use http_body_util::{BodyExt as _, Empty};
use tokio::net::TcpStream;
use tower::Layer as _;

/// Admits each connection, and puts the peer into the extensions of each request.
#[derive(Clone)]
struct MutualTls(Acceptor<DnsName>);

impl<S: Send + 'static> Accept<TcpStream, S> for MutualTls {
    type Stream = TlsStream<TcpStream, DnsName>;
    type Service = AddExtension<S, Peer<DnsName>>;
    type Future = Pin<Box<dyn Future<Output = io::Result<(Self::Stream, Self::Service)>> + Send>>;

    fn accept(&self, tcp: TcpStream, service: S) -> Self::Future {
        let acceptor = self.0.clone();
        Box::pin(async move {
            let stream = acceptor.accept(tcp).await.map_err(io::Error::other)?;
            let peer = Extension(stream.peer().clone());
            Ok((stream, peer.layer(service)))
        })
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let ca = TestCa::new("Example CA");
    let acceptor = Acceptor::builder()
        .credentials(ca.leaf().dns("localhost").issue().credentials())
        .trust(ca.trust())
        .identify(DnsName::extractor())
        .authorize(policy::exact(["alice.example".parse()?]))
        .alpn(["h2", "http/1.1"])
        .build()?;
    let app = Router::new().route(
        "/",
        get(async |peer: Peer<DnsName>| format!("hello {}", peer.identity())),
    );
    let handle = axum_server::Handle::new();
    let server = axum_server::bind(SocketAddr::from(([127, 0, 0, 1], 0)))
        .acceptor(MutualTls(acceptor))
        .handle(handle.clone())
        .serve(app.into_make_service());
    let serving = tokio::spawn(server);
    let address = handle.listening().await.ok_or("not listening")?;

    for name in ["alice.example", "eve.example"] {
        let connector = Connector::builder()
            .credentials(ca.leaf().dns(name).issue().credentials())
            .trust(ca.trust())
            .identify(DnsName::extractor())
            .authorize(policy::allow_any())
            .alpn(["h2", "http/1.1"])
            .build()?;
        let url = format!("https://localhost:{}/", address.port());
        let request = Request::get(url).body(Empty::<axum::body::Bytes>::new())?;
        match Client::new(connector).request(request).await {
            Ok(response) => {
                let body = response.into_body().collect().await?.to_bytes();
                println!("{name}: {}", String::from_utf8_lossy(&body));
            }
            Err(_) => println!("{name}: denied"),
        }
    }
    handle.graceful_shutdown(Some(Duration::from_secs(5)));
    serving.await??;
    Ok(())
}
