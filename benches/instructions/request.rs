//! Requests over an open connection: `integration::hyper::Server`, and hyper over tokio-rustls.

use std::convert::Infallible;
use std::io::{Read as _, Write as _};
use std::time::Duration;

use bytes::Bytes;
use countersign::integration::hyper::Server;
use countersign_benches::case::{Kind, Side};
use countersign_benches::clock::timed;
use countersign_benches::comparison::Implementation;
use countersign_benches::fixture::{Counter, Fixture, SERVER_NAME, Verification};
use http::{Request, Response};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ClientConnection;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::runtime::Runtime;
use tokio_rustls::{TlsAcceptor, TlsConnector};

const REQUEST: &[u8] =
    b"GET /orders/17 HTTP/1.1\r\nhost: server.example\r\nuser-agent: bench\r\naccept: */*\r\n\r\n";
const BODY: &[u8] = b"{\"id\":17}";

/// A connection to each server, on a runtime of its own: what runs there is the server's work.
pub(crate) struct Requests {
    ours: Open,
    with_timer: Open,
    without_timer: Open,
}

struct Open {
    runtime: Runtime,
    io: DuplexStream,
    client: ClientConnection,
}

impl Requests {
    pub(crate) fn new(fixture: &Fixture<'_>) -> Self {
        let open = |implementation| Open::new(fixture, implementation);
        Self {
            ours: open(Implementation::Ours),
            with_timer: open(Implementation::Raw),
            without_timer: open(Implementation::NoVerify),
        }
    }

    pub(crate) fn send(&mut self, implementation: Implementation) {
        let open = match implementation {
            Implementation::Ours => &mut self.ours,
            Implementation::Raw => &mut self.with_timer,
            Implementation::NoVerify => &mut self.without_timer,
        };
        open.send();
    }
}

impl Open {
    fn new(fixture: &Fixture<'_>, implementation: Implementation) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime");
        let (near, far) = duplex(64 * 1024);
        let (side, kind) = (Side::Server, Kind::Known);
        if let Implementation::Ours = implementation {
            let acceptor = fixture.acceptor(&Counter::default());
            runtime.spawn(async move {
                let stream = acceptor.accept(near).await.expect("accepted");
                let service = tower::service_fn(async |_| respond());
                Server::new().serve_connection(stream, service).await
            });
        } else {
            let config = fixture.raw_server(side, kind, Verification::Full);
            let mut http1 = http1::Builder::new();
            if let Implementation::Raw = implementation {
                // As in hyper's own examples.
                http1
                    .timer(TokioTimer::new())
                    .header_read_timeout(Duration::from_secs(30));
            }
            runtime.spawn(async move {
                let acceptor = TlsAcceptor::from(std::sync::Arc::new(config));
                let stream = acceptor.accept(near).await.expect("accepted");
                let service = hyper::service::service_fn(async |_: Request<_>| respond());
                http1.serve_connection(TokioIo::new(stream), service).await
            });
        }
        let config = fixture.raw_client(side, kind, Verification::Full);
        let connector = TlsConnector::from(std::sync::Arc::new(config));
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

fn respond() -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::new(Bytes::from_static(BODY))))
}
