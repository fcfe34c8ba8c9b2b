//! The connections of the server.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use countersign::integration::http::ProxiedIdentity;
use countersign::integration::hyper::{RequestBody, Server};
use countersign::integration::quinn;
use countersign::{Acceptor, Listener, TlsStream};
use hyper::Request;
use tokio::net::TcpStream;
use tower::service_fn;

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
    listener: Listener<TcpStream, Identity>,
    http3: Option<quinn::Listener<Identity>>,
    shared: Shared,
    stop: impl Future<Output = ()>,
) {
    let handle = listener.handle();
    let http3_handle = http3.as_ref().map(quinn::Listener::handle);
    let shared = Arc::new(shared);
    // On a thread of the runtime: this one would be woken for each connection.
    let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
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
    let _ = tokio::join!(accepting, http3, stopping);
}

async fn accept(mut listener: Listener<TcpStream, Identity>, shared: Arc<Shared>) {
    let server = Arc::new(Server::new());
    while let Some(stream) = listener.accept().await {
        tokio::spawn(handle_connection(
            stream,
            Arc::clone(&server),
            Arc::clone(&shared),
        ));
    }
}

async fn handle_connection(
    stream: TlsStream<TcpStream, Identity>,
    server: Arc<Server>,
    shared: Arc<Shared>,
) {
    let peer = stream.peer().clone();
    let answer = Answer::to(&peer, stream.rule(), &shared);
    let service = service_fn(move |request: Request<RequestBody>| {
        let (answer, peer, shared) = (answer.clone(), peer.clone(), Arc::clone(&shared));
        async move { Ok::<_, Infallible>(answer.respond(request, peer, &shared).await) }
    });
    // The audit trail records how it closed.
    let _ = server.serve_connection(stream, service).await;
}
