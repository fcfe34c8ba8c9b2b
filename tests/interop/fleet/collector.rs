//! A collector of OpenTelemetry: it keeps the log records that it gets.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use support::programs::PATIENCE;
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};

#[derive(Clone, Default)]
pub(crate) struct Collector(Arc<Mutex<Vec<Value>>>);

impl Collector {
    pub(crate) async fn start(&self) -> SocketAddr {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = tcp.local_addr().unwrap();
        let collector = self.clone();
        tokio::spawn(async move {
            while let Ok((connection, _)) = tcp.accept().await {
                let collector = collector.clone();
                let service = service_fn(move |request| {
                    let collector = collector.clone();
                    async move { Ok::<_, Infallible>(collector.take(request).await) }
                });
                tokio::spawn(
                    http1::Builder::new().serve_connection(TokioIo::new(connection), service),
                );
            }
        });
        address
    }

    async fn take(&self, request: Request<Incoming>) -> Response<Empty<Bytes>> {
        assert_eq!(request.uri().path(), "/v1/logs");
        assert_eq!(request.headers()["content-type"], "application/json");
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let batch: Value = serde_json::from_slice(&body).unwrap();
        for resource in batch["resourceLogs"].as_array().unwrap() {
            let attributes = &resource["resource"]["attributes"];
            assert_eq!(attributes[0]["value"]["stringValue"], "fleet");
            for scope in resource["scopeLogs"].as_array().unwrap() {
                for record in scope["logRecords"].as_array().unwrap() {
                    let time = record["timeUnixNano"].as_str().unwrap();
                    assert!(time.parse::<u64>().unwrap() > 0);
                    let event = record["body"]["stringValue"].as_str().unwrap();
                    self.0
                        .lock()
                        .unwrap()
                        .push(serde_json::from_str(event).unwrap());
                }
            }
        }
        Response::new(Empty::new())
    }

    /// Waits for an event of this action about this identity.
    pub(crate) async fn has(&self, action: &str, identity: &str) {
        let deadline = Instant::now() + PATIENCE;
        let is_it = |event: &Value| {
            event["event"]["action"] == action
                && event["countersign"]["identity"]["value"] == identity
        };
        loop {
            if self.0.lock().unwrap().iter().any(is_it) {
                return;
            }
            let events = self.0.lock().unwrap().len();
            assert!(
                Instant::now() < deadline,
                "no {action} of {identity} among {events} events"
            );
            sleep(Duration::from_millis(10)).await;
        }
    }
}
