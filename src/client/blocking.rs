//! A client's handshake without tokio.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::{ClientConnection, Connection};
use rustls_pki_types::ServerName;

use super::{ConnectError, Connector, has_asked};
use crate::ConnectionInfo;
use crate::audit::Stage;
use crate::gate::{Admission, AdmitError};
use crate::side::Side;
use crate::tls::blocking::BlockingHandshake;
use crate::tls::{HandshakeError, PeerAlert, alert};

/// A client's handshake that you drive without tokio, from [`Connector::start`].
///
/// It holds the rustls connection until the server is admitted, because only the handshake shows whether
/// the server asked for our certificate. Every handshake has one event in the
/// [audit trail](crate::audit).
///
/// ```
/// use std::net::TcpStream;
///
/// use countersign::gate::Admission;
/// use countersign::identity::SpiffeId;
/// use countersign::{ClientHandshake, ConnectError, rustls::ClientConnection};
///
/// fn finish(
///     mut handshake: ClientHandshake<SpiffeId>,
///     tcp: &mut TcpStream,
/// ) -> Result<(ClientConnection, Admission<SpiffeId>), ConnectError> {
///     handshake.complete(tcp)?;
///     handshake.admit(tcp.peer_addr().ok())
/// }
/// ```
pub struct ClientHandshake<I: Send + Sync + 'static> {
    handshake: BlockingHandshake<I>,
    server_name: ServerName<'static>,
}

impl<I: Send + Sync + 'static> Connector<I> {
    /// Starts a handshake with the server with this name, for a transport that you drive yourself.
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
        let (mut attempt, server_name) = self.attempt(server_name, ConnectionInfo::default())?;
        attempt.stage = Stage::Handshake;
        let config = Arc::clone(&self.endpoint.snapshot().tls.public);
        let connection = attempt
            .probe
            .with_probe(|| ClientConnection::new(config, server_name.clone()));
        match connection {
            Ok(connection) => Ok(ClientHandshake {
                handshake: BlockingHandshake::new(connection.into(), attempt),
                server_name,
            }),
            Err(error) => {
                let error = ConnectError::from(HandshakeError::Tls(error));
                // A failure is recorded in any case.
                let _ = attempt.finish(Err(&error), &[]);
                Err(error)
            }
        }
    }

    /// Explains the alert that a read of a connection of [`start`](Self::start) has returned.
    ///
    /// With TLS 1.3 a server rejects us after our side of the handshake is complete, so that the first
    /// read fails with rustls' own error. This returns an error around [`HandshakeError::Alert`], which has
    /// the cause and a remedy; any other error is returned unchanged. A [`TlsStream`](crate::TlsStream)
    /// does this without a call.
    pub fn name_alert(&self, error: io::Error) -> io::Error {
        alert::named(error, |alert| {
            PeerAlert::of_handshake(
                alert,
                Side::Server,
                Some(&self.endpoint.snapshot().tls.certificate),
            )
        })
    }
}

impl<I: Send + Sync + 'static> ClientHandshake<I> {
    /// Reads and writes until the handshake is complete, and blocks as the transport does: set the
    /// timeouts of a socket before.
    ///
    /// On a non-blocking transport it fails with [`HandshakeError::Io`] of kind `WouldBlock`; call it
    /// again when the transport is ready.
    ///
    /// # Errors
    /// [`ConnectError`], with errors of the transport in it. Any error but `WouldBlock` is final.
    pub fn complete(&mut self, io: &mut (impl Read + Write)) -> Result<(), ConnectError> {
        self.handshake.complete(io)
    }

    /// Authorizes the server, and returns the connection if it is admitted.
    ///
    /// # Errors
    /// [`ConnectError`]: the server never asked for our certificate, or the gate rejects it. With
    /// an async policy, always [`AdmitError::PolicyIsAsync`].
    pub fn admit(
        self,
        remote_addr: impl Into<Option<SocketAddr>>,
    ) -> Result<(ClientConnection, Admission<I>), ConnectError> {
        let Some((Connection::Client(connection), mut attempt)) = self.handshake.into_parts()
        else {
            return Err(AdmitError::HandshakeIncomplete.into());
        };
        if !has_asked(&connection, &attempt.probe) {
            // A failure is recorded in any case.
            let _ = attempt.finish(Err(&ConnectError::NotAsked), &[]);
            return Err(ConnectError::NotAsked);
        }
        attempt.info = std::mem::take(&mut attempt.info).with_remote_addr(remote_addr);
        let admission = attempt.admit((&connection, &self.server_name))?;
        Ok((connection, admission))
    }
}

impl<I: Send + Sync + 'static> fmt::Debug for ClientHandshake<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientHandshake")
            .field("server_name", &self.server_name)
            .finish_non_exhaustive()
    }
}
