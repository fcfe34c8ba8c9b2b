//! `Acceptor::accept` and `Connector::connect`, beside tokio-rustls.

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

use crate::{Kind, Round, SERVER_NAME, Side, Turns, World};

/// Our side and a raw one, each with a raw other end of its own.
pub(crate) struct Pair {
    runtime: Runtime,
    turns: Turns,
    kind: Kind,
    ends: Ends,
}

enum Ends {
    Servers {
        ours: (Acceptor<DnsName>, Arc<ClientConfig>),
        raw: (Arc<ServerConfig>, Arc<ClientConfig>),
    },
    Clients {
        ours: (Arc<ServerConfig>, Connector<DnsName>),
        raw: (Arc<ServerConfig>, Arc<ClientConfig>),
    },
}

impl Pair {
    pub(crate) fn new(world: &World, side: Side, kind: Kind) -> Self {
        let raw_server = || world.raw_server(side, kind);
        let raw_client = || world.raw_client(side, kind);
        let raw = (raw_server(), raw_client());
        let mut pair = Self {
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build()
                .expect("a runtime"),
            turns: Turns::new(),
            kind: Kind::Full,
            ends: match side {
                Side::Server => Ends::Servers {
                    ours: (world.acceptor(), raw_client()),
                    raw,
                },
                Side::Client => Ends::Clients {
                    ours: (raw_server(), world.connector()),
                    raw,
                },
            },
        };
        // The first handshake is full, and brings the tickets for those after it.
        pair.round();
        pair.kind = kind;
        pair
    }

    pub(crate) fn round(&mut self) -> Round {
        let Self {
            runtime,
            turns,
            kind,
            ends,
        } = self;
        let kind = *kind;
        match ends {
            Ends::Servers { ours, raw } => turns.take(
                || {
                    let (near, far) = duplex(64 * 1024);
                    let server = Timed::new(accept(&ours.0, near));
                    let client = Timed::new(raw_connect(&ours.1, far));
                    let (server, _) = runtime.block_on(async { tokio::join!(server, client) });
                    server.time_if(kind)
                },
                || raw_round(runtime, raw).0.time_if(kind),
            ),
            Ends::Clients { ours, raw } => turns.take(
                || {
                    let (near, far) = duplex(64 * 1024);
                    let server = Timed::new(raw_accept(&ours.0, near));
                    let client = Timed::new(connect(&ours.1, far));
                    let (_, client) = runtime.block_on(async { tokio::join!(server, client) });
                    client.time_if(kind)
                },
                || raw_round(runtime, raw).1.time_if(kind),
            ),
        }
    }
}

fn raw_round(
    runtime: &Runtime,
    (server, client): &(Arc<ServerConfig>, Arc<ClientConfig>),
) -> (Spent, Spent) {
    let (near, far) = duplex(64 * 1024);
    let server = Timed::new(raw_accept(server, near));
    let client = Timed::new(raw_connect(client, far));
    runtime.block_on(async { tokio::join!(server, client) })
}

/// Whether a session was resumed, and the stream, so that it is dropped after the timing.
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

/// Sums up the time inside a future's polls: on one thread, the time that it works.
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
    type Output = Spent;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Spent> {
        let start = Instant::now();
        let poll = self.future.as_mut().poll(cx);
        self.spent += start.elapsed();
        poll.map(|(resumed, _stream)| Spent {
            time: self.spent,
            resumed,
        })
    }
}

struct Spent {
    time: Duration,
    resumed: bool,
}

impl Spent {
    /// A number for the wrong kind of handshake would be worse than none.
    fn time_if(&self, kind: Kind) -> Duration {
        assert_eq!(self.resumed, kind == Kind::Resumed, "{kind} was wanted");
        self.time
    }
}
