//! A server's handshake without tokio.

use std::fmt;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::{Connection, ServerConnection};

use super::{AcceptError, Acceptor};
use crate::ConnectionInfo;
use crate::audit::Stage;
use crate::gate::{Admission, AdmitError};
use crate::tls::HandshakeError;
use crate::tls::blocking::BlockingHandshake;
use crate::tls::probe::HandshakeProbe;

/// A server's handshake that you drive without tokio, from [`Acceptor::start`].
///
/// It holds the rustls connection until the client is admitted. Every handshake has one event in the
/// [audit trail](crate::audit).
///
/// ```
/// use std::net::TcpStream;
///
/// use countersign::gate::Admission;
/// use countersign::identity::SpiffeId;
/// use countersign::{AcceptError, ServerHandshake, rustls::ServerConnection};
///
/// fn finish(
///     mut handshake: ServerHandshake<SpiffeId>,
///     tcp: &mut TcpStream,
/// ) -> Result<(ServerConnection, Admission<SpiffeId>), AcceptError> {
///     handshake.complete(tcp)?;
///     handshake.admit(tcp.peer_addr().ok())
/// }
/// ```
pub struct ServerHandshake<I: Send + Sync + 'static> {
    handshake: BlockingHandshake<I>,
}

impl<I: Send + Sync + 'static> Acceptor<I> {
    /// Starts a handshake with a client, over a transport that you drive yourself.
    ///
    /// ```no_run
    /// use countersign::{Acceptor, identity::SpiffeId};
    ///
    /// fn serve(
    ///     acceptor: &Acceptor<SpiffeId>,
    ///     mut tcp: std::net::TcpStream,
    /// ) -> Result<(), Box<dyn std::error::Error>> {
    ///     tcp.set_read_timeout(Some(std::time::Duration::from_secs(10)))?;
    ///     let remote_addr = tcp.peer_addr()?;
    ///     let mut handshake = acceptor.start()?;
    ///     handshake.complete(&mut tcp)?;
    ///     let (connection, admission) = handshake.admit(remote_addr)?;
    ///     println!("hello {}", admission.peer().identity());
    ///     let stream = rustls::StreamOwned::new(connection, tcp);
    ///     Ok(())
    /// }
    /// ```
    ///
    /// The connection is neither listed nor authorized again when the rules change, and its secrets
    /// cannot be extracted: a client that is rejected after the handshake gets no alert.
    ///
    /// # Errors
    /// [`AcceptError::Handshake`] when rustls cannot make the connection.
    pub fn start(&self) -> Result<ServerHandshake<I>, AcceptError> {
        let snapshot = self.endpoint.snapshot();
        let mut attempt = self.attempt(ConnectionInfo::default());
        attempt.stage = Stage::Handshake;
        attempt.probe = HandshakeProbe::beginning_under(snapshot.trust_id());
        match ServerConnection::new(Arc::clone(&snapshot.tls.public)) {
            Ok(connection) => Ok(ServerHandshake {
                handshake: BlockingHandshake::new(connection.into(), attempt),
            }),
            Err(error) => {
                let error = AcceptError::from(HandshakeError::Tls(error));
                // A failure is recorded in any case.
                let _ = attempt.finish(Err(&error), &[]);
                Err(error)
            }
        }
    }
}

impl<I: Send + Sync + 'static> ServerHandshake<I> {
    /// Reads and writes until the handshake is complete, and blocks as the transport does: set the
    /// timeouts of a socket before.
    ///
    /// On a non-blocking transport it fails with [`HandshakeError::Io`] of kind `WouldBlock`; call it
    /// again when the transport is ready.
    ///
    /// # Errors
    /// [`AcceptError`], with errors of the transport in it. Any error but `WouldBlock` is final.
    pub fn complete(&mut self, io: &mut (impl Read + Write)) -> Result<(), AcceptError> {
        self.handshake.complete(io)
    }

    /// Authorizes the client, and returns the connection if it is admitted.
    ///
    /// # Errors
    /// [`AcceptError::NotAdmitted`]: why the gate rejects the client. With an async policy, always
    /// [`AdmitError::PolicyIsAsync`].
    pub fn admit(
        self,
        remote_addr: impl Into<Option<SocketAddr>>,
    ) -> Result<(ServerConnection, Admission<I>), AcceptError> {
        let Some((Connection::Server(connection), mut attempt)) = self.handshake.into_parts()
        else {
            return Err(AdmitError::HandshakeIncomplete.into());
        };
        attempt.info = std::mem::take(&mut attempt.info).with_remote_addr(remote_addr);
        let admission = attempt.admit(&connection)?;
        Ok((connection, admission))
    }
}

impl<I: Send + Sync + 'static> fmt::Debug for ServerHandshake<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerHandshake").finish_non_exhaustive()
    }
}
