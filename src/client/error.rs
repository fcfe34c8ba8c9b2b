//! Why connecting failed.

use crate::audit::{Action, AuditEvent, Witness};
use crate::gate::AdmitError;
use crate::pki::Certificate;
use crate::pki::text::Escaped;
use crate::tls::{HandshakeError, Refused};

/// Why a connection was not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The gate refused the server: its chain, its name, its identity, or by policy.
    #[error(transparent)]
    Refused(AdmitError),
    /// The server never asked for our certificate: it does not authenticate its clients.
    #[error(
        "the server did not ask for our certificate, so the connection would not be mutually authenticated; turn on client certificates there"
    )]
    NotAsked,
    /// The name to dial is neither a DNS name nor an IP address.
    #[error(
        "\"{}\" is neither a DNS name nor an IP address; dial one, without a scheme or a port",
        Escaped(name)
    )]
    InvalidServerName {
        /// The name.
        name: String,
    },
    /// The handshake failed for another reason; the server's refusal of us is one.
    #[error(transparent)]
    Handshake(HandshakeError),
}

impl ConnectError {
    /// A stable code for programs: `"name_mismatch"`, `"not_asked"`, `"alert_received"`.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Refused(error) => error.reason(),
            Self::NotAsked => "not_asked",
            Self::InvalidServerName { .. } => "invalid_server_name",
            Self::Handshake(error) => error.reason(),
        }
    }

    /// The certificate that the error is about, where one is known.
    ///
    /// # Security
    /// Unless the refusal came from the identity or the policy, it is *claimed*: the server has
    /// not proven to own its key.
    pub const fn certificate(&self) -> Option<&Certificate> {
        match self {
            Self::Refused(error) => error.certificate(),
            Self::Handshake(HandshakeError::KeyNotProven { certificate }) => Some(certificate),
            _ => None,
        }
    }
}

impl ConnectError {
    /// Records that the attempt failed for a reason of this side's own.
    pub(super) fn record(&self, witness: &mut Witness, fill: impl FnOnce(&mut AuditEvent)) {
        // It has failed in any case.
        let _ = witness.conclude(Action::HandshakeFailed, Some(self.reason()), |event| {
            event.detail = Some(self.to_string());
            fill(event);
        });
    }
}

impl From<AdmitError> for ConnectError {
    fn from(error: AdmitError) -> Self {
        Self::Refused(error)
    }
}

impl From<Refused> for ConnectError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Gate(error) => Self::Refused(error),
            Refused::Handshake(error) => Self::Handshake(error),
        }
    }
}
