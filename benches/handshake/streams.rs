//! `Acceptor::accept` and `Connector::connect`, compared with tokio-rustls.

use std::sync::Arc;

use countersign::identity::DnsName;
use countersign::{Acceptor, Connector};
use rustls::{ClientConfig, HandshakeKind, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::runtime::Runtime;

use crate::case::Side;
use crate::clock::Timed;
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
        let server = Timed::new(Side::Server, async {
            match server {
                Server::Ours(acceptor) => accept(acceptor, near).await,
                Server::Raw(config) => raw_accept(config, near).await,
            }
        });
        let client = Timed::new(Side::Client, async {
            match client {
                Client::Ours(connector) => connect(connector, far).await,
                Client::Raw(config) => raw_connect(config, far).await,
            }
        });
        let (server, client) = self.0.block_on(async { tokio::join!(server, client) });
        let outcomes = [&server.1, &client.1].map(|(resumed, _stream)| *resumed);
        assert_eq!(outcomes, [resumed; 2], "resumed or not");
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
