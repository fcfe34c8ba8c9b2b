//! The connections of the server.

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use countersign::integration::http::ProxiedIdentity;
use countersign::integration::quinn;
use countersign::{Acceptor, Listener, TlsStream};
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::TcpStream;

use super::http::Answer;
use crate::options::{AllowList, Identity};

/// The time for requests and handshakes in flight when the server stops.
const DRAIN_TIME: Duration = Duration::from_secs(10);

/// The state that connections share.
pub(super) struct Shared {
    pub(super) acceptor: Acceptor<Identity>,
    /// The clients that `GET /connections` answers.
    pub(super) admins: Option<AllowList>,
    /// The proxies that vouch for clients.
    pub(super) proxied: Option<ProxiedIdentity<Identity>>,
    /// Whether the answer has the client's address: with PROXY headers.
    pub(super) shows_address: bool,
}

/// Serves connections until `stop` resolves, then finishes those that are open.
pub(super) async fn serve(
    mut listener: Listener<TcpStream, Identity>,
    http3: Option<quinn::Listener<Identity>>,
    shared: Shared,
    stop: impl Future<Output = ()>,
) {
    let handle = listener.handle();
    let http3_handle = http3.as_ref().map(quinn::Listener::handle);
    let shared = Arc::new(shared);
    let accepting = async {
        while let Some(stream) = listener.accept().await {
            tokio::spawn(handle_connection(stream, Arc::clone(&shared)));
        }
    };
    let stopping = async {
        stop.await;
        // It aborts what takes longer.
        let http3 = async {
            if let Some(handle) = http3_handle {
                handle.shutdown(DRAIN_TIME).await;
            }
        };
        tokio::join!(handle.shutdown(DRAIN_TIME), http3);
    };
    let http3 = async {
        if let Some(listener) = http3 {
            super::http3::serve(listener, &shared).await;
        }
    };
    tokio::join!(accepting, http3, stopping);
}

async fn handle_connection(stream: TlsStream<TcpStream, Identity>, shared: Arc<Shared>) {
    let peer = stream.peer().clone();
    let answer = Answer::to(&peer, stream.rule(), &shared);
    let draining = stream.draining();
    let service = service_fn(|request: Request<Incoming>| {
        let (answer, peer, shared) = (answer.clone(), peer.clone(), Arc::clone(&shared));
        async move { Ok::<_, Infallible>(answer.respond(request, peer, &shared).await) }
    });
    let mut server = auto::Builder::new(TokioExecutor::new());
    // With a timer, hyper limits the time for a request's head.
    server.http1().timer(TokioTimer::new());
    let mut connection = pin!(server.serve_connection(TokioIo::new(stream), service));
    // The audit trail records how it closed.
    tokio::select! {
        _ = connection.as_mut() => {}
        _ = draining => {
            connection.as_mut().graceful_shutdown(); // with HTTP/2, GOAWAY
            let _ = connection.await;
        }
    }
}
