//! The data that the gate takes from a rustls connection.

use std::net::SocketAddr;

use rustls::client::ClientConnection;
use rustls::server::ServerConnection;
use rustls_pki_types::{CertificateDer, ServerName};

use super::AdmitError;
use crate::ConnectionInfo;

/// A rustls connection that has finished its handshake.
///
/// ```
/// use countersign::gate::{Admission, AdmitError};
/// use countersign::identity::DnsName;
/// use countersign::{Control, pki_types::ServerName, rustls};
///
/// fn admit(
///     control: &Control<DnsName>,
///     connection: &rustls::ClientConnection,
///     server_name: &ServerName<'_>,
/// ) -> Result<Admission<DnsName>, AdmitError> {
///     control.admit((connection, server_name), None)
/// }
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Handshaken<'c> {
    /// A server's connection.
    Server(&'c ServerConnection),
    /// A client's connection, with the name of the server that it connected to.
    Client(&'c ClientConnection, &'c ServerName<'c>),
}

impl<'c> From<&'c ServerConnection> for Handshaken<'c> {
    fn from(connection: &'c ServerConnection) -> Self {
        Self::Server(connection)
    }
}

impl<'c> From<(&'c ClientConnection, &'c ServerName<'c>)> for Handshaken<'c> {
    fn from((connection, server_name): (&'c ClientConnection, &'c ServerName<'c>)) -> Self {
        Self::Client(connection, server_name)
    }
}

impl<'c> Handshaken<'c> {
    pub(crate) fn read(
        self,
        remote_addr: Option<SocketAddr>,
        local_addr: Option<SocketAddr>,
    ) -> Result<(&'c [CertificateDer<'static>], ConnectionInfo), AdmitError> {
        let (state, name): (&rustls::CommonState, _) = match self {
            Self::Server(connection) => (connection, connection.server_name().map(Into::into)),
            Self::Client(connection, server_name) => {
                (connection, Some(server_name.to_str().into_owned()))
            }
        };
        if state.is_handshaking() {
            return Err(AdmitError::HandshakeIncomplete);
        }
        // Without certificates, step 1 rejects the chain.
        let presented = state.peer_certificates().unwrap_or_default();
        let mut info = ConnectionInfo::default()
            .with_tls(state)
            .with_remote_addr(remote_addr)
            .with_local_addr(local_addr);
        if let Some(name) = name {
            info = info.with_server_name(name);
        }
        Ok((presented, info))
    }
}
