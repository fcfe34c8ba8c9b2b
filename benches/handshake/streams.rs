//! `Acceptor::accept` and `Connector::connect`, compared with tokio-rustls.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use countersign::identity::DnsName;
use countersign::{Acceptor, Connector};
use rustls::{ClientConfig, HandshakeKind, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::runtime::Runtime;

use crate::comparison::{Client, Driver, Server, Spent};
use crate::fixture::SERVER_NAME;

pub struct Streams(Runtime);

impl Default for Streams {
    fn default() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime");
        Self(runtime)
    }
}

impl Driver for Streams {
    fn handshake(&self, server: Server<'_>, client: Client<'_>, resumed: bool) -> Spent {
        let (near, far) = duplex(64 * 1024);
        let server = Timed::new(async {
            match server {
                Server::Ours(acceptor) => accept(acceptor, near).await,
                Server::Raw(config) => raw_accept(config, near).await,
            }
        });
        let client = Timed::new(async {
            match client {
                Client::Ours(connector) => connect(connector, far).await,
                Client::Raw(config) => raw_connect(config, far).await,
            }
        });
        let (server, client) = self.0.block_on(async { tokio::join!(server, client) });
        assert_eq!([server.1, client.1], [resumed; 2], "resumed or not");
        Spent {
            server: server.0,
            client: client.0,
        }
    }
}

/// Whether a session was resumed, and the stream, which is dropped after the timing.
type Outcome = (bool, Box<dyn AsyncWrite>);

async fn accept(acceptor: &Acceptor<DnsName>, io: DuplexStream) -> Outcome {
    let mut stream = acceptor.accept(io).await.expect("accepted");
    stream.write_u8(0).await.expect("written");
    stream.flush().await.expect("flushed");
    let resumed = stream.peer().connection().is_resumed();
    (resumed, Box::new(stream))
}

async fn raw_accept(config: &Arc<ServerConfig>, io: DuplexStream) -> Outcome {
    let acceptor = tokio_rustls::TlsAcceptor::from(config.clone());
    let mut stream = acceptor.accept(io).await.expect("accepted");
    stream.write_u8(0).await.expect("written");
    stream.flush().await.expect("flushed");
    let resumed = stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed);
    (resumed, Box::new(stream))
}

async fn connect(connector: &Connector<DnsName>, io: DuplexStream) -> Outcome {
    let mut stream = connector.connect(SERVER_NAME, io).await.expect("connected");
    stream.read_u8().await.expect("read");
    let resumed = stream.peer().connection().is_resumed();
    (resumed, Box::new(stream))
}

async fn raw_connect(config: &Arc<ClientConfig>, io: DuplexStream) -> Outcome {
    let connector = tokio_rustls::TlsConnector::from(config.clone());
    let name = SERVER_NAME.try_into().expect("a name");
    let mut stream = connector.connect(name, io).await.expect("connected");
    stream.read_u8().await.expect("read");
    let resumed = stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed);
    (resumed, Box::new(stream))
}

/// Sums up the time inside a future's polls.
struct Timed<F> {
    future: Pin<Box<F>>,
    spent: Duration,
}

impl<F> Timed<F> {
    fn new(future: F) -> Self {
        Self {
            future: Box::pin(future),
            spent: Duration::ZERO,
        }
    }
}

impl<F: Future<Output = Outcome>> Future for Timed<F> {
    type Output = (Duration, bool);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let start = Instant::now();
        let poll = self.future.as_mut().poll(cx);
        self.spent += start.elapsed();
        poll.map(|(resumed, _stream)| (self.spent, resumed))
    }
}
