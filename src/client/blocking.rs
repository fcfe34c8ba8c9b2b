//! A client's handshake without tokio.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::SocketAddr;

use rustls::ClientConnection;
use rustls_pki_types::ServerName;

use super::{ConnectError, Connector};
use crate::ConnectionInfo;
use crate::audit::{Stage, Witness};
use crate::gate::Admission;
use crate::tls::capture::{Capture, record_received};
use crate::tls::{self, HandshakeError, PeerAlert, Refused, alert};
use crate::trust::Usage;

/// A client's handshake that you drive without tokio; made by [`Connector::start`].
///
/// It wraps the rustls connection until the gate has admitted the server, because only it can see
/// whether the server asked for our certificate.
pub struct ClientHandshake<I> {
    connector: Connector<I>,
    connection: ClientConnection,
    dialled: ServerName<'static>,
    capture: Capture,
    witness: Witness,
}

impl<I: Send + Sync + 'static> Connector<I> {
    /// Starts a handshake with the server of this name, for a transport that you drive yourself.
    ///
    /// ```no_run
    /// use countersign::{Connector, identity::SpiffeId};
    ///
    /// fn call(
    ///     connector: &Connector<SpiffeId>,
    ///     mut tcp: std::net::TcpStream,
    /// ) -> Result<(), Box<dyn std::error::Error>> {
    ///     let remote_addr = tcp.peer_addr()?;
    ///     let mut handshake = connector.start("orders.internal")?;
    ///     handshake.complete(&mut tcp)?;
    ///     let (connection, admission) = handshake.admit(remote_addr)?;
    ///     println!("talking to {}", admission.peer().identity());
    ///     let stream = rustls::StreamOwned::new(connection, tcp);
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// [`ConnectError::InvalidServerName`].
    pub fn start(&self, server_name: &str) -> Result<ClientHandshake<I>, ConnectError> {
        let (mut witness, dialled) = self.begin(server_name, ConnectionInfo::default())?;
        let mut capture = Capture::default();
        let connection = capture
            .enter(|| ClientConnection::new(self.core.configs().public.clone(), dialled.clone()))
            .map_err(|error| {
                let error = ConnectError::Handshake(HandshakeError::Tls(error));
                error.record(&mut witness, |_| ());
                error
            })?;
        witness.stage = Stage::Handshake;
        Ok(ClientHandshake {
            connector: self.clone(),
            connection,
            dialled,
            capture,
            witness,
        })
    }
}

impl<I: Send + Sync + 'static> Connector<I> {
    /// Puts words to the alert that a read of a connection of [`start`](Self::start) gave.
    ///
    /// With TLS 1.3 a server refuses us after our side of the handshake is over: the refusal comes
    /// with the first read, as rustls' own error. It comes back as one around
    /// [`HandshakeError::Alert`], which says what it means and what to do; any other error comes
    /// back as it is. (Our [`TlsStream`](crate::TlsStream) does so by itself.)
    pub fn name_alert(&self, error: io::Error) -> io::Error {
        alert::named(error, |alert| {
            PeerAlert::of_handshake(alert, Usage::Server, Some(&self.core.configs().certificate))
        })
    }
}

impl<I: Send + Sync + 'static> ClientHandshake<I> {
    /// Reads and writes until the handshake is over, and blocks as the transport does: give a
    /// socket its timeouts before.
    ///
    /// On a non-blocking transport it fails with [`HandshakeError::Io`] of kind `WouldBlock`, and
    /// is called again when the transport is ready.
    ///
    /// # Errors
    /// [`ConnectError`], and the transport's own errors in it.
    pub fn complete(&mut self, io: &mut (impl Read + Write)) -> Result<(), ConnectError> {
        let connection = &mut self.connection;
        let result = self.capture.enter(|| {
            while connection.is_handshaking() || connection.wants_write() {
                connection.complete_io(&mut Watched(&mut *io))?;
            }
            io::Result::Ok(())
        });
        result.map_err(|error| {
            let may_go_on = error.kind() == io::ErrorKind::WouldBlock;
            let error = HandshakeError::from_io(error, &self.capture);
            let refused = Refused::of(error, &self.capture);
            if !may_go_on {
                let gate = self.connector.gate();
                refused.record(gate, &mut self.witness, None, &self.capture);
            }
            refused.into()
        })
    }

    /// Judges the server, and gives out the connection if it is admitted.
    ///
    /// # Errors
    /// [`ConnectError`]: the server never asked for our certificate, or the gate refuses it. With
    /// an async policy, always
    /// [`AdmitError::PolicyIsAsync`](crate::gate::AdmitError::PolicyIsAsync).
    pub fn admit(
        mut self,
        remote_addr: impl Into<Option<SocketAddr>>,
    ) -> Result<(ClientConnection, Admission<I>), ConnectError> {
        let (gate, witness) = (self.connector.gate(), &mut self.witness);
        witness.tells_peer = false; // the handshake is over, and the transport is not ours
        self.connector
            .was_asked(&self.connection, witness, &self.capture)?;
        witness.info = std::mem::take(&mut witness.info).with_remote_addr(remote_addr);
        let connection = (&self.connection, &self.dialled);
        let peer = tls::identify(gate, &mut self.capture, witness, connection)?;
        let (who, presented) = (peer.peer().clone(), peer.presented());
        let judged = gate.authorize(peer).and_then(|admission| {
            gate.record_admitted(witness, &admission, presented)?;
            Ok(admission)
        });
        match judged {
            Ok(admission) => Ok((self.connection, admission)),
            Err(error) => {
                gate.record_refused(witness, &error, Some(&who), (presented, &[]));
                Err(error.into())
            }
        }
    }
}

impl<I> fmt::Debug for ClientHandshake<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientHandshake")
            .field("dialled", &self.dialled)
            .finish_non_exhaustive()
    }
}

/// Notes what comes from the server.
struct Watched<'a, IO>(&'a mut IO);

impl<IO: Read> Read for Watched<'_, IO> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.0.read(buffer)?;
        record_received(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }
}

impl<IO: Write> Write for Watched<'_, IO> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
