//! Metrics for Prometheus, over plain HTTP on loopback.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use countersign::audit::metrics;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;
use tokio::time::{interval, sleep};

use crate::terminal::Failure;

/// Seconds, from a resumed handshake to the timeout.
const BUCKETS: [f64; 12] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0,
];

/// The endpoint of metrics.
pub(super) struct Endpoint {
    listener: TcpListener,
    address: SocketAddr,
    recorder: PrometheusHandle,
}

impl Endpoint {
    /// Starts to collect metrics.
    pub(super) async fn bind(address: SocketAddr) -> Result<Self, Failure> {
        if !address.ip().is_loopback() {
            return Err(format!(
                "--metrics {address}: only a loopback address may be served without TLS"
            )
            .into());
        }
        let listener = TcpListener::bind(address)
            .await
            .map_err(|error| format!("cannot serve metrics on {address}: {error}"))?;
        let histograms = Matcher::Suffix("_duration_seconds".to_owned());
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(histograms, &BUCKETS)?
            .install_recorder()?;
        metrics::describe();
        Ok(Self {
            address: listener.local_addr()?,
            listener,
            recorder,
        })
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) async fn serve(self) {
        let recorder = self.recorder.clone();
        tokio::spawn(async move {
            // The recorder requires it.
            let mut every = interval(Duration::from_secs(5));
            loop {
                every.tick().await;
                recorder.run_upkeep();
            }
        });
        loop {
            let Ok((tcp, _)) = self.listener.accept().await else {
                sleep(Duration::from_secs(1)).await; // for example without file descriptors
                continue;
            };
            let recorder = self.recorder.clone();
            tokio::spawn(async move {
                let service = service_fn(|request| {
                    let response = respond(&request, &recorder);
                    async { Ok::<_, Infallible>(response) }
                });
                let mut server = hyper::server::conn::http1::Builder::new();
                server.timer(TokioTimer::new());
                // A client that closes early gets no response.
                let _ = server.serve_connection(TokioIo::new(tcp), service).await;
            });
        }
    }
}

fn respond<B>(request: &Request<B>, recorder: &PrometheusHandle) -> Response<Full<Bytes>> {
    let (status, text) = match request.uri().path() {
        "/metrics" => (StatusCode::OK, recorder.render()),
        _ => (
            StatusCode::NOT_FOUND,
            "only /metrics is served here\n".to_owned(),
        ),
    };
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    let prometheus = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, prometheus);
    response
}
