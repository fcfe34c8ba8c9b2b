//! rustls connections without tokio: `Acceptor::unauthorized_rustls_config` with `Gate::admit`, and
//! `Connector::start`, compared with raw rustls.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::Duration;

use countersign::identity::DnsName;
use countersign::{ClientHandshake, ConnectError, Connector, Control, HandshakeError};
use rustls::{ClientConfig, ClientConnection, ConnectionCommon, HandshakeKind, ServerConnection};

use crate::case::Side;
use crate::clock::timed;
use crate::comparison::{Client, Driver, Server, Spent};
use crate::fixture::SERVER_NAME;

pub struct Blocking;

impl Driver for Blocking {
    /// Makes both sides, and runs them in turns until both are finished.
    fn handshake(&self, server: Server<'_>, client: Client<'_>, resumed: bool) -> Spent {
        let mut spent = Spent {
            server: Duration::ZERO,
            client: Duration::ZERO,
        };
        let mut client = timed(Side::Client, &mut spent.client, || -> Box<dyn Endpoint> {
            match client {
                Client::Ours(connector) => Box::new(OurClient::new(connector)),
                Client::Raw(config) => Box::new(RawClient::new(config)),
            }
        });
        let mut server = timed(Side::Server, &mut spent.server, || AnyServer::new(server));
        let (mut near, mut far) = (Pipe::default(), Pipe::default());
        let (mut server_done, mut client_done) = (false, false);
        while !(server_done && client_done) {
            client_done =
                client_done || timed(Side::Client, &mut spent.client, || client.turn(&mut far));
            near.incoming.append(&mut far.outgoing);
            server_done =
                server_done || timed(Side::Server, &mut spent.server, || server.turn(&mut near));
            far.incoming.append(&mut near.outgoing);
        }
        let wanted = if resumed {
            HandshakeKind::Resumed
        } else {
            HandshakeKind::Full
        };
        assert_eq!(server.connection.handshake_kind(), Some(wanted));
        spent
    }
}

trait Endpoint {
    /// Processes what the pipe contains. Returns whether the handshake is finished.
    fn turn(&mut self, pipe: &mut Pipe) -> bool;
}

/// Writes the first byte at the end; with countersign, after the gate has admitted the client.
struct AnyServer<'a> {
    connection: ServerConnection,
    gate: Option<&'a Control<DnsName>>,
}

impl<'a> AnyServer<'a> {
    fn new(server: Server<'a>) -> Self {
        let (config, gate) = match server {
            Server::Ours(acceptor) => (
                acceptor.unauthorized_rustls_config(),
                Some(acceptor.control()),
            ),
            Server::Raw(config) => (config.clone(), None),
        };
        Self {
            connection: ServerConnection::new(config).expect("a connection"),
            gate,
        }
    }
}

impl Endpoint for AnyServer<'_> {
    fn turn(&mut self, pipe: &mut Pipe) -> bool {
        if !finish(&mut self.connection, pipe) {
            return false;
        }
        if let Some(gate) = self.gate {
            gate.admit(&self.connection, None).expect("admitted");
        }
        self.connection.writer().write_all(&[0]).expect("buffered");
        while self.connection.wants_write() {
            self.connection.write_tls(pipe).expect("written");
        }
        true
    }
}

/// Reads the first byte at the end.
struct RawClient(ClientConnection);

impl RawClient {
    fn new(config: &Arc<ClientConfig>) -> Self {
        let name = SERVER_NAME.try_into().expect("a name");
        Self(ClientConnection::new(config.clone(), name).expect("a connection"))
    }
}

impl Endpoint for RawClient {
    fn turn(&mut self, pipe: &mut Pipe) -> bool {
        finish(&mut self.0, pipe) && read_byte(&mut self.0, pipe)
    }
}

/// Reads the first byte at the end, after the gate has admitted the server.
enum OurClient {
    Handshaking(Option<Box<ClientHandshake<DnsName>>>),
    Admitted(Box<ClientConnection>),
}

impl OurClient {
    fn new(connector: &Connector<DnsName>) -> Self {
        let handshake = connector.start(SERVER_NAME).expect("a connection");
        Self::Handshaking(Some(Box::new(handshake)))
    }
}

impl Endpoint for OurClient {
    fn turn(&mut self, pipe: &mut Pipe) -> bool {
        if let Self::Handshaking(handshake) = self {
            match handshake.as_mut().expect("in place").complete(pipe) {
                Ok(()) => {
                    let handshake = handshake.take().expect("in place");
                    let (connection, _admission) = handshake.admit(None).expect("admitted");
                    *self = Self::Admitted(Box::new(connection));
                }
                Err(ConnectError::Handshake(HandshakeError::Io(error))) if would_block(&error) => {}
                Err(error) => panic!("{error}"),
            }
        }
        match self {
            Self::Handshaking(_) => false,
            Self::Admitted(connection) => read_byte(connection, pipe),
        }
    }
}

/// Continues the handshake as far as possible. Returns whether it is finished.
fn finish<S>(connection: &mut ConnectionCommon<S>, pipe: &mut Pipe) -> bool {
    while connection.is_handshaking() || connection.wants_write() {
        if !advance(connection.complete_io(pipe)) {
            return false;
        }
    }
    true
}

/// Whether the call made progress, and does not have to wait.
fn advance<T>(result: io::Result<T>) -> bool {
    match result {
        Ok(_) => true,
        Err(error) if would_block(&error) => false,
        Err(error) => panic!("{error}"),
    }
}

fn would_block(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

fn read_byte(connection: &mut ClientConnection, pipe: &mut Pipe) -> bool {
    while advance(connection.read_tls(pipe)) {
        connection.process_new_packets().expect("good records");
    }
    let mut byte = [0];
    advance(connection.reader().read_exact(&mut byte))
}

/// One end of a connection in memory, which never blocks.
#[derive(Default)]
struct Pipe {
    incoming: VecDeque<u8>,
    outgoing: VecDeque<u8>,
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.incoming.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.incoming.read(buffer)
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.outgoing.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
