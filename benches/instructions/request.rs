//! Requests over an open connection: `integration::hyper::Server`, and hyper over tokio-rustls.
//!
//! The reference is hyper in a server as one is written for production, with the least code that does the job:
//!
//! * a timeout for heads, which is hyper's own default and needs a timer;
//! * hyper-util's adapter for services of tower, which clones the service for each request, as `axum::serve` does;
//! * hyper-util's graceful shutdown, which watches the connection;
//! * the peer in the extensions of each request, in an `Arc`: without it, no handler knows who sends the request.
//!
//! `Server` does more for each request: it puts a second value into the extensions, rejects requests that a proxy could
//! read differently, limits pauses of the body and of the client's reads, ends gRPC calls in time, and asks before each
//! read and write whether the peer is still admitted. hyper without these parts is counted too, with its timer and
//! without.

use std::convert::Infallible;
use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use countersign::integration::hyper::Server;
use countersign_benches::case::{Kind, Side};
use countersign_benches::clock::timed;
use countersign_benches::comparison::Implementation;
use countersign_benches::fixture::{Counter, Fixture, SERVER_NAME, Verification};
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use rustls::ClientConnection;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::runtime::Runtime;
use tokio_rustls::{TlsAcceptor, TlsConnector};

const REQUEST: &[u8] =
    b"GET /orders/17 HTTP/1.1\r\nhost: server.example\r\nuser-agent: bench\r\naccept: */*\r\n\r\n";
const BODY: &[u8] = b"{\"id\":17}";

pub(crate) const IMPLEMENTATIONS: [(&str, Implementation); 4] = [
    ("countersign", Implementation::Ours),
    ("hyper in a server", Implementation::Raw),
    ("hyper with its timer", Implementation::Raw),
    ("hyper without a timer", Implementation::Raw),
];

/// A connection to each server, on a runtime of its own: what runs there is the server's work.
pub(crate) struct Requests(Vec<Open>);

struct Open {
    runtime: Runtime,
    io: DuplexStream,
    client: ClientConnection,
}

/// What the application has of a peer, in a server without countersign.
struct RawPeer {
    _certificate: Vec<u8>,
}

impl Requests {
    pub(crate) fn new(fixture: &Fixture<'_>) -> Self {
        let servers = 0..IMPLEMENTATIONS.len();
        Self(servers.map(|server| Open::new(fixture, server)).collect())
    }

    /// To the implementation with this place in [`IMPLEMENTATIONS`].
    pub(crate) fn send(&mut self, server: usize) {
        self.0[server].send();
    }
}

impl Open {
    fn new(fixture: &Fixture<'_>, server: usize) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime");
        let (near, far) = duplex(64 * 1024);
        let (side, kind) = (Side::Server, Kind::Known);
        if server == 0 {
            let acceptor = fixture.acceptor(&Counter::default());
            runtime.spawn(async move {
                let stream = acceptor.accept(near).await.expect("accepted");
                let service = tower::service_fn(async |_| respond());
                Server::new().serve_connection(stream, service).await
            });
        } else {
            let config = fixture.raw_server(side, kind, Verification::Full);
            runtime.spawn(serve_raw(config, near, server));
        }
        let config = fixture.raw_client(side, kind, Verification::Full);
        let connector = TlsConnector::from(Arc::new(config));
        let name = SERVER_NAME.try_into().expect("a name");
        let connected = runtime.block_on(connector.connect(name, far));
        let (io, client) = connected.expect("connected").into_inner();
        Self {
            runtime,
            io,
            client,
        }
    }

    /// Sends a request, and waits for its response. The client's work is not timed.
    fn send(&mut self) {
        let mut bytes = Vec::new();
        let mut writer = self.client.writer();
        writer.write_all(REQUEST).expect("buffered");
        while self.client.wants_write() {
            self.client.write_tls(&mut bytes).expect("written");
        }
        // The pipe has room for it, so this is finished before the runtime runs the server.
        let write = self.io.write_all(&bytes);
        self.runtime.block_on(write).expect("written");
        let mut response = Vec::new();
        while !response.ends_with(BODY) {
            let mut buffer = [0; 4096];
            let mut spent = Duration::ZERO;
            let count = timed(Side::Server, &mut spent, || {
                self.runtime.block_on(self.io.read(&mut buffer))
            });
            let mut read = &buffer[..count.expect("open")];
            while !read.is_empty() {
                self.client.read_tls(&mut read).expect("room");
                self.client.process_new_packets().expect("good records");
            }
            // It ends with an error when there is no more for now.
            let _ = self.client.reader().read_to_end(&mut response);
        }
        assert!(response.starts_with(b"HTTP/1.1 200 OK\r\n"));
    }
}

async fn serve_raw(
    config: rustls::ServerConfig,
    near: DuplexStream,
    server: usize,
) -> Result<(), hyper::Error> {
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let stream = acceptor.accept(near).await.expect("accepted");
    let mut http1 = http1::Builder::new();
    if server < 3 {
        // As in hyper's own examples.
        http1
            .timer(TokioTimer::new())
            .header_read_timeout(Duration::from_secs(30));
    }
    if server > 1 {
        let service = service_fn(async |_: Request<_>| respond());
        return http1.serve_connection(TokioIo::new(stream), service).await;
    }
    let certificates = stream.get_ref().1.peer_certificates();
    let leaf = certificates.and_then(|it| it.first()).expect("a peer");
    let peer = Arc::new(RawPeer {
        _certificate: leaf.to_vec(),
    });
    let service = tower::service_fn(async |_: Request<Incoming>| respond());
    let service = TowerToHyperService::new(service);
    let with_peer = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(Arc::clone(&peer));
        service.call(request)
    });
    let connection = http1.serve_connection(TokioIo::new(stream), with_peer);
    let graceful = GracefulShutdown::new();
    graceful.watch(connection).await
}

fn respond() -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::new(Bytes::from_static(BODY))))
}
