//! HTTP/3: the same answers, over QUIC.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use countersign::Acceptor;
use countersign::integration::quinn::{Connection, Listener};
use h3::server::RequestResolver;
use http_body_util::BodyExt as _;
use hyper::{Request, Response};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::connections::Shared;
use super::http::Answer;
use crate::http3::ALPN;
use crate::http3::quic::Quic;
use crate::options::Identity;
use crate::terminal::Failure;

/// The time for the client to get the last response and close, after GOAWAY.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// The most of a request's body that is read and discarded.
const MAX_BODY: usize = 64 * 1024;

/// Listens on UDP.
pub(super) fn bind(
    acceptor: &Acceptor<Identity>,
    address: SocketAddr,
    max_handshakes: usize,
) -> Result<Listener<Identity>, Failure> {
    let listener = Listener::builder(acceptor.clone())
        .alpn([ALPN])
        .max_handshakes(max_handshakes)
        .bind(address);
    listener.map_err(|error| format!("cannot serve HTTP/3 on {address}: {error}").into())
}

/// Serves connections until the listener is shut down.
pub(super) async fn serve(mut listener: Listener<Identity>, shared: &Arc<Shared>) {
    while let Some(connection) = listener.accept().await {
        tokio::spawn(handle_connection(connection, Arc::clone(shared)));
    }
    listener.wait_idle().await;
}

async fn handle_connection(connection: Connection<Identity>, shared: Arc<Shared>) {
    let peer = connection.peer().clone();
    let answer = Answer::to(&peer, connection.rule(), &shared);
    let mut draining = connection.draining();
    let quic = Quic::new(connection);
    // The audit trail records how it closed.
    let Ok(mut http) = h3::server::Connection::<_, Bytes>::new(quic).await else {
        return;
    };
    let mut requests = JoinSet::new();
    let mut drains = false;
    while !(drains && requests.is_empty()) {
        tokio::select! {
            accepted = http.accept() => {
                let Ok(Some(request)) = accepted else {
                    return;
                };
                let (answer, peer, shared) = (answer.clone(), peer.clone(), Arc::clone(&shared));
                requests.spawn(async move {
                    let respond =
                        async |request: Request<()>| answer.respond(request, peer, &shared).await;
                    // A client that resets the stream needs no answer.
                    let _ = handle_request(request, respond).await;
                });
            }
            Some(_) = requests.join_next() => {}
            _ = &mut draining, if !drains => {
                drains = true;
                // GOAWAY: the requests in progress finish, and no other begins.
                if http.shutdown(0).await.is_err() {
                    return;
                }
            }
        }
    }
    // Closing abandons what is not delivered, so the client may close first. h3 closes with H3_NO_ERROR.
    let client_closes = async { while let Ok(Some(_)) = http.accept().await {} };
    let _ = timeout(CLOSE_TIMEOUT, client_closes).await;
}

async fn handle_request(
    request: RequestResolver<Quic<Identity>, Bytes>,
    respond: impl AsyncFnOnce(Request<()>) -> Response<http_body_util::Full<Bytes>>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let (request, mut stream) = request.resolve_request().await?;
    let mut received = 0;
    while let Some(data) = stream.recv_data().await? {
        received += data.remaining();
        if received > MAX_BODY {
            break; // nothing here needs a body
        }
    }
    let (head, body) = respond(request).await.into_parts();
    stream.send_response(Response::from_parts(head, ())).await?;
    stream.send_data(body.collect().await?.to_bytes()).await?;
    Ok(stream.finish().await?)
}
