//! rustls connections without tokio: `Acceptor::rustls_config` with `Gate::admit`, and
//! `Connector::start`, beside raw rustls.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use countersign::identity::DnsName;
use countersign::{Acceptor, ClientHandshake, ConnectError, Connector, Gate, HandshakeError};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, ServerConfig, ServerConnection};

use crate::{Kind, Round, SERVER_NAME, Side, Turns, World};

/// Our side and a raw one, each with a raw other end of its own.
pub(crate) struct Pair {
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
        let Self { turns, kind, ends } = self;
        let kind = *kind;
        match ends {
            Ends::Servers { ours, raw } => turns.take(
                || {
                    let server = || Server::gated(&ours.0);
                    talk(server, || RawClient::new(&ours.1), kind).0
                },
                || talk(|| Server::raw(&raw.0), || RawClient::new(&raw.1), kind).0,
            ),
            Ends::Clients { ours, raw } => turns.take(
                || talk(|| Server::raw(&ours.0), || OurClient::new(&ours.1), kind).1,
                || talk(|| Server::raw(&raw.0), || RawClient::new(&raw.1), kind).1,
            ),
        }
    }
}

/// Makes both sides, lets them speak in turns until each is done, and times them.
fn talk<'a, C: Party>(
    server: impl FnOnce() -> Server<'a>,
    client: impl FnOnce() -> C,
    kind: Kind,
) -> Round {
    let (mut near, mut far) = (Pipe::default(), Pipe::default());
    let (mut server_time, mut client_time) = (Duration::ZERO, Duration::ZERO);
    let mut client = timed(&mut client_time, client);
    let mut server = timed(&mut server_time, server);
    let (mut server_done, mut client_done) = (false, false);
    while !(server_done && client_done) {
        client_done = client_done || timed(&mut client_time, || client.turn(&mut far));
        near.incoming.append(&mut far.outgoing);
        server_done = server_done || timed(&mut server_time, || server.turn(&mut near));
        far.incoming.append(&mut near.outgoing);
    }
    let wanted = match kind {
        Kind::Full => HandshakeKind::Full,
        Kind::Resumed => HandshakeKind::Resumed,
    };
    // A number for the wrong kind of handshake would be worse than none.
    assert_eq!(server.connection.handshake_kind(), Some(wanted));
    (server_time, client_time)
}

fn timed<T>(spent: &mut Duration, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    *spent += start.elapsed();
    result
}

trait Party {
    /// Does what can be done with what has come; whether everything is done.
    fn turn(&mut self, pipe: &mut Pipe) -> bool;
}

/// Ends with writing the first byte, ours once the gate has said yes.
struct Server<'a> {
    connection: ServerConnection,
    gate: Option<&'a Gate<DnsName>>,
}

impl<'a> Server<'a> {
    fn gated(acceptor: &'a Acceptor<DnsName>) -> Self {
        Self {
            connection: ServerConnection::new(acceptor.rustls_config()).expect("a connection"),
            gate: Some(acceptor.gate()),
        }
    }

    fn raw(config: &Arc<ServerConfig>) -> Self {
        Self {
            connection: ServerConnection::new(config.clone()).expect("a connection"),
            gate: None,
        }
    }
}

impl Party for Server<'_> {
    fn turn(&mut self, pipe: &mut Pipe) -> bool {
        if !advance(self.connection.complete_io(pipe)) {
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

/// Ends with reading the first byte.
struct RawClient(ClientConnection);

impl RawClient {
    fn new(config: &Arc<ClientConfig>) -> Self {
        let name = SERVER_NAME.try_into().expect("a name");
        Self(ClientConnection::new(config.clone(), name).expect("a connection"))
    }
}

impl Party for RawClient {
    fn turn(&mut self, pipe: &mut Pipe) -> bool {
        if self.0.is_handshaking() || self.0.wants_write() {
            let _ = advance(self.0.complete_io(pipe));
        }
        !self.0.is_handshaking() && read_byte(&mut self.0, pipe)
    }
}

/// Ends with reading the first byte, once the gate has said yes.
enum OurClient {
    Handshaking(Option<ClientHandshake<DnsName>>),
    Admitted(ClientConnection),
}

impl OurClient {
    fn new(connector: &Connector<DnsName>) -> Self {
        Self::Handshaking(Some(connector.start(SERVER_NAME).expect("a connection")))
    }
}

impl Party for OurClient {
    fn turn(&mut self, pipe: &mut Pipe) -> bool {
        if let Self::Handshaking(handshake) = self {
            match handshake.as_mut().expect("in place").complete(pipe) {
                Ok(()) => {
                    let handshake = handshake.take().expect("in place");
                    *self = Self::Admitted(handshake.admit(None).expect("admitted").0);
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

/// Whether it went on to its end, and not only as far as it could.
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
