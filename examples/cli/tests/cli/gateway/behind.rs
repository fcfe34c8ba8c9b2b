//! The upstream: it returns each request, and sends events on demand.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::routing::{any, get};
use axum::{Json, Router};
use countersign::identity::DnsName;
use countersign::integration::hyper::Server;
use countersign::testing::TestCa;
use countersign::{Acceptor, Listener, Peer, policy};
use http_body_util::BodyExt as _;
use hyper::body::Bytes;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tokio_stream::StreamExt as _;

use super::support::{PATIENCE, name};

type Sender = mpsc::Sender<String>;

#[derive(Clone, Default)]
pub(crate) struct Behind {
    /// The requests that wait for events.
    streams: Arc<Mutex<HashMap<String, Sender>>>,
    /// The number of requests.
    seen: Arc<Mutex<usize>>,
    /// The serial numbers of the requests' certificates.
    serials: Arc<Mutex<Vec<String>>>,
}

impl Behind {
    /// On a loopback address, in the clear.
    pub(crate) async fn plain(&self) -> SocketAddr {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = tcp.local_addr().unwrap();
        let app = self.app();
        tokio::spawn(async move { axum::serve(tcp, app).await.unwrap() });
        address
    }

    /// Over mutual TLS, for the gateway alone.
    pub(crate) async fn mtls(&self, ca: &TestCa) -> (SocketAddr, Acceptor<DnsName>) {
        let acceptor = Acceptor::builder()
            .credentials(ca.leaf().dns("localhost").issue().credentials())
            .trust(ca.trust())
            .identify(DnsName::extractor())
            .authorize(policy::exact([name("gateway.example")]))
            .alpn(["h2", "http/1.1"])
            .build()
            .unwrap();
        let listener = Listener::bind(acceptor.clone(), "127.0.0.1:0");
        let listener = listener.await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(Server::new().serve(listener, self.app()));
        (address, acceptor)
    }

    fn app(&self) -> Router {
        Router::new()
            .route("/v1/events/{id}", get(events))
            .route("/v1/late", any(late))
            .route("/v1/brief", any(brief))
            .route("/mtls/events/{id}", get(events))
            .route("/mtls/brief", any(brief))
            .route("/h2/events/{id}", get(events))
            .route("/h2/brief", any(brief))
            .route("/{*rest}", any(echo))
            .with_state(self.clone())
    }

    pub(crate) fn requests(&self) -> usize {
        *self.seen.lock().unwrap()
    }

    pub(crate) fn serials(&self) -> Vec<String> {
        self.serials.lock().unwrap().clone()
    }

    /// The sender of events to the request with this name.
    pub(crate) async fn stream(&self, id: &str) -> Sender {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(sender) = self.streams.lock().unwrap().remove(id) {
                return sender;
            }
            assert!(Instant::now() < deadline, "no request waits for {id}");
            sleep(Duration::from_millis(2)).await;
        }
    }
}

async fn events(State(behind): State<Behind>, Path(id): Path<String>) -> http::Response<Body> {
    let (sender, events) = mpsc::channel(1);
    behind.streams.lock().unwrap().insert(id, sender);
    let events = tokio_stream::wrappers::ReceiverStream::new(events);
    let frames = events.map(|event| Ok::<_, std::io::Error>(format!("data: {event}\n\n")));
    http::Response::builder()
        .header("content-type", "text/event-stream")
        .body(Body::from_stream(frames))
        .unwrap()
}

async fn late() -> &'static str {
    sleep(PATIENCE).await;
    "late"
}

/// Takes a moment, and notes by which certificate it was asked.
async fn brief(State(behind): State<Behind>, request: Request) -> &'static str {
    if let Some(peer) = request.extensions().get::<Peer<DnsName>>() {
        let serial = peer.certificate().serial().to_string();
        behind.serials.lock().unwrap().push(serial);
    }
    sleep(Duration::from_millis(20)).await;
    "done"
}

/// Everything that arrived.
async fn echo(State(behind): State<Behind>, request: Request) -> Json<Value> {
    *behind.seen.lock().unwrap() += 1;
    let (parts, body) = request.into_parts();
    let body = body.collect().await;
    let listed = |headers: &http::HeaderMap| -> Vec<Value> {
        let headers = headers.iter();
        let listed = headers.map(|(name, value)| json!([name.as_str(), value.to_str().unwrap()]));
        listed.collect()
    };
    let (trailers, bytes) = match body {
        Err(_) => (None, Bytes::from_static(b"broken off")),
        Ok(body) => (body.trailers().map(listed), body.to_bytes()),
    };
    let peer = parts.extensions.get::<Peer<DnsName>>();
    Json(json!({
        "version": format!("{:?}", parts.version),
        "method": parts.method.as_str(),
        "uri": parts.uri.to_string(),
        "headers": listed(&parts.headers),
        "trailers": trailers,
        "body": String::from_utf8_lossy(&bytes),
        "peer": peer.map(|peer| peer.identity().to_string()),
    }))
}
