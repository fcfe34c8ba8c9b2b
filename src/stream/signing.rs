//! Drives handshakes whose signature may take its time.
//!
//! rustls has no asynchronous signer: it asks for the signature inside the call that feeds it bytes, and that
//! call can neither wait nor be repeated. So the connection itself is moved to a thread for blocking work for
//! the calls that may sign, and comes back with the result. Bytes are read and written here, and the transport
//! stays here: when the deadline comes first, the transport is closed at once, and the connection and its
//! place in the lane are dropped when the signer returns.
//!
//! A server's lane is that of the certificate for the client's name, so the ClientHello is read first.

use std::future::{pending, poll_fn};
use std::io::{self, ErrorKind};
use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::{AlertDescription, Connection, HandshakeKind, ProtocolVersion};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use super::Wire;
use crate::pki::{Lane, SigningError, with_deadline};
use crate::tls::ServerConfigs;
use crate::tls::probe::HandshakeProbe;

/// What rustls reads at once.
const CHUNK: usize = 4096;

/// A handshake that begins.
pub(crate) enum Start {
    Client(Box<Connection>, Lane),
    Server(Arc<ServerConfigs>),
}

/// What a handshake waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waiting {
    Peer,
    /// Other signatures of the same key come first.
    Place,
    Signature,
}

/// One handshake.
pub(super) struct Steps<'a, IO> {
    pub(super) wire: &'a mut Wire<IO>,
    pub(super) probe: &'a mut HandshakeProbe,
    pub(super) deadline: Instant,
    pub(super) waiting: &'a mut Waiting,
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Steps<'_, IO> {
    /// Drives the handshake until it is complete. If it fails, an alert was sent as far as the transport
    /// took it at once.
    pub(super) async fn run(mut self, start: Start) -> io::Result<Connection> {
        match start {
            Start::Client(connection, lane) => {
                self.complete(*connection, Some(lane), Vec::new()).await
            }
            Start::Server(configs) => {
                let (connection, lane, rest) = self.answer_hello(&configs).await?;
                self.complete(connection, lane, rest).await
            }
        }
    }

    /// Reads the ClientHello, chooses the key by it, and answers, which signs. Returns what was read after
    /// the ClientHello, too.
    async fn answer_hello(
        &mut self,
        configs: &ServerConfigs,
    ) -> io::Result<(Connection, Option<Lane>, Vec<u8>)> {
        let mut acceptor = rustls::server::Acceptor::default();
        let mut unread = Vec::new();
        let accepted = loop {
            if unread.is_empty() {
                unread = self.read().await?;
            }
            let mut bytes = &*unread;
            acceptor.read_tls(&mut bytes)?;
            unread = bytes.to_vec();
            match acceptor.accept() {
                Ok(Some(accepted)) => break accepted,
                Ok(None) => {}
                Err((error, mut alert)) => {
                    let mut records = Vec::new();
                    alert.write_all(&mut records)?; // into memory
                    return Err(self.fail(error, &records).await);
                }
            }
        };
        let lane = configs.lane(accepted.client_hello().server_name());
        let config = Arc::clone(&configs.private);
        let answered = self.step(lane.as_ref(), move || accepted.into_connection(config));
        match answered.await {
            Ok(connection) => Ok((connection.into(), lane, unread)),
            Err((error, mut alert)) => {
                let mut records = Vec::new();
                alert.write_all(&mut records)?; // into memory
                if SigningError::inside(&error).is_some() {
                    // A ServerHello was written into it before, which the client must not see: after
                    // that, the alert would have to be encrypted.
                    records = in_the_clear(AlertDescription::InternalError);
                }
                Err(self.fail(error, &records).await)
            }
        }
    }

    async fn complete(
        &mut self,
        mut connection: Connection,
        lane: Option<Lane>,
        mut unread: Vec<u8>,
    ) -> io::Result<Connection> {
        loop {
            let records = pending_records(&mut connection)?;
            self.write(&records).await?;
            if !connection.is_handshaking() {
                return Ok(connection);
            }
            if unread.is_empty() {
                unread = self.read().await?;
            }
            let bytes = std::mem::take(&mut unread);
            let lane = lane.as_ref().filter(|_| may_sign(&connection));
            let fed = self.step(lane, move || {
                let result = feed(&mut connection, &bytes);
                (connection, result)
            });
            let result;
            (connection, result) = fed.await;
            match result {
                Ok(()) => {}
                Err(Fed::Io(error)) => return Err(error),
                Err(Fed::Tls(error)) => {
                    let records = alert_of(&mut connection, &error)?;
                    return Err(self.fail(error, &records).await);
                }
            }
        }
    }

    /// Runs a call that feeds the connection: with a lane on a thread for blocking work, else here.
    async fn step<T: Send + 'static>(
        &mut self,
        lane: Option<&Lane>,
        call: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        let Some(lane) = lane else {
            return self.probe.with_probe(call);
        };
        *self.waiting = Waiting::Place;
        let place = lane.enter().await;
        *self.waiting = Waiting::Signature;
        // What is known so far stays here, in case the deadline comes first.
        let mut probe = self.probe.clone();
        let deadline = self.deadline.into_std();
        let called = spawn_blocking(move || {
            let _place = place;
            let result = with_deadline(deadline, || probe.with_probe(call));
            (result, probe)
        });
        match called.await {
            Ok((result, probe)) => {
                *self.probe = probe;
                *self.waiting = Waiting::Peer;
                result
            }
            Err(error) => match error.try_into_panic() {
                Ok(panic) => resume_unwind(panic),
                Err(_) => pending().await, // the runtime shuts down, and drops this future
            },
        }
    }

    async fn read(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; CHUNK];
        let mut buffer = ReadBuf::new(&mut bytes);
        let (wire, probe) = (&mut *self.wire, &mut *self.probe);
        poll_fn(|cx| probe.with_probe(|| Pin::new(&mut *wire).poll_read(cx, &mut buffer))).await?;
        let count = buffer.filled().len();
        if count == 0 {
            let error = "the peer closed the transport during the handshake";
            return Err(io::Error::new(ErrorKind::UnexpectedEof, error));
        }
        bytes.truncate(count);
        Ok(bytes)
    }

    async fn write(&mut self, mut records: &[u8]) -> io::Result<()> {
        poll_fn(|cx| self.poll_write(cx, &mut records)).await
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, records: &mut &[u8]) -> Poll<io::Result<()>> {
        let wire = &mut *self.wire;
        self.probe.with_probe(|| {
            while !records.is_empty() {
                let count = ready!(Pin::new(&mut *wire).poll_write(cx, records))?;
                match records.get(count..) {
                    Some(rest) if count > 0 => *records = rest,
                    _ => return Poll::Ready(Err(ErrorKind::WriteZero.into())),
                }
            }
            Pin::new(&mut *wire).poll_flush(cx)
        })
    }

    /// Writes the final records without waiting, and makes the error.
    async fn fail(&mut self, error: rustls::Error, mut records: &[u8]) -> io::Error {
        // The error of the handshake is the outcome, whatever becomes of its alert.
        poll_fn(|cx| {
            let _ = self.poll_write(cx, &mut records);
            Poll::Ready(())
        })
        .await;
        io::Error::new(ErrorKind::InvalidData, error)
    }
}

/// Whether feeding this connection may sign. A server signs when it answers a ClientHello, a client when it
/// has read the server's flight.
fn may_sign(connection: &Connection) -> bool {
    match (connection, connection.handshake_kind()) {
        (Connection::Client(_), kind) => kind != Some(HandshakeKind::Resumed),
        (Connection::Server(_), kind) => {
            matches!(kind, None | Some(HandshakeKind::FullWithHelloRetryRequest))
        }
    }
}

enum Fed {
    Io(io::Error),
    Tls(rustls::Error),
}

fn feed(connection: &mut Connection, mut bytes: &[u8]) -> Result<(), Fed> {
    while !bytes.is_empty() {
        if connection.read_tls(&mut bytes).map_err(Fed::Io)? == 0 {
            break; // after close_notify
        }
        connection.process_new_packets().map_err(Fed::Tls)?;
    }
    Ok(())
}

fn pending_records(connection: &mut Connection) -> io::Result<Vec<u8>> {
    let mut records = Vec::new();
    while connection.wants_write() {
        if connection.write_tls(&mut records)? == 0 {
            break;
        }
    }
    Ok(records)
}

/// The records for a peer whose handshake has failed with this error.
fn alert_of(connection: &mut Connection, error: &rustls::Error) -> io::Result<Vec<u8>> {
    if SigningError::inside(error).is_none() {
        return pending_records(connection); // with rustls' own alert
    }
    let is_tls13 = connection.protocol_version() == Some(ProtocolVersion::TLSv1_3);
    if is_tls13 && matches!(connection, Connection::Client(_)) {
        // The keys of the handshake are in use, and rustls seals no other alert with them.
        connection.send_close_notify();
        return pending_records(connection);
    }
    Ok(in_the_clear(AlertDescription::InternalError))
}

/// A fatal alert before there are keys (RFC 8446 sections 5.1 and 6).
fn in_the_clear(alert: AlertDescription) -> Vec<u8> {
    vec![0x15, 3, 3, 0, 2, 2, alert.into()]
}
