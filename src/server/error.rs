//! Why accepting failed.

use crate::gate::AdmitError;
use crate::pki::Certificate;
use crate::tls::HandshakeError;

/// Why a connection was not accepted.
///
/// Match on the variants or on [`reason`](Self::reason); `Display` is one line for the log that
/// names the certificate, the cause and the remedy. The client learns nothing but an alert.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcceptError {
    /// The gate refused the client: its chain, its identity, or by policy.
    #[error(transparent)]
    Refused(AdmitError),
    /// The handshake failed for another reason.
    #[error(transparent)]
    Handshake(HandshakeError),
    /// A listener closed the connection before its handshake was over.
    #[error("the connection was closed before its handshake: {0}")]
    Shed(ShedReason),
}

/// Why a listener closes a connection before its handshake is over: before any TLS work, except where
/// it was [`Displaced`](Self::Displaced).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShedReason {
    /// As many handshakes as allowed are under way.
    #[error("too many handshakes are under way; see who stalls, or raise max_handshakes()")]
    TooManyHandshakes,
    /// As many handshakes of its address as allowed are under way.
    #[error(
        "too many handshakes of its address are under way; see what it does, or raise max_handshakes_per_address()"
    )]
    TooManyOfAddress,
    /// Its source has many handshakes in progress, and it was dropped at random:
    /// [`EarlyDrop`](crate::EarlyDrop).
    #[error(
        "its source has many handshakes in progress and new ones are dropped at random; see what it does, or change early_drop(), above all behind a load balancer"
    )]
    EarlyDrop,
    /// No place was free, and its handshake ended to make room for a new connection: it was the oldest
    /// one of the source that held the most places.
    #[error(
        "its handshake made room for another source, since its own held the most places; see what its source does, or raise max_handshakes()"
    )]
    Displaced,
    /// Its address is not admitted.
    #[error("its address is not admitted; to let it in, have admit() take it")]
    AddressNotAdmitted,
}

impl ShedReason {
    /// A stable code for programs.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::TooManyHandshakes => "too_many_handshakes",
            Self::TooManyOfAddress => "too_many_handshakes_of_address",
            Self::EarlyDrop => "early_drop",
            Self::Displaced => "displaced",
            Self::AddressNotAdmitted => "address_not_admitted",
        }
    }
}

impl AcceptError {
    /// A stable code for programs: `"denied"`, `"unknown_issuer"`, `"no_certificate"`,
    /// `"timed_out"`.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Refused(error) => error.reason(),
            Self::Handshake(error) => error.reason(),
            Self::Shed(shed) => shed.reason(),
        }
    }

    /// The certificate that the error is about, where one is known.
    ///
    /// # Security
    /// Unless the refusal came from the identity or the policy, it is *claimed*: the client has
    /// not proven to own its key.
    pub const fn certificate(&self) -> Option<&Certificate> {
        match self {
            Self::Refused(error) => error.certificate(),
            Self::Handshake(HandshakeError::KeyNotProven { certificate }) => Some(certificate),
            Self::Handshake(_) | Self::Shed(_) => None,
        }
    }
}

impl From<AdmitError> for AcceptError {
    fn from(error: AdmitError) -> Self {
        Self::Refused(error)
    }
}

#[cfg(feature = "tokio")]
impl From<crate::tls::Refused> for AcceptError {
    fn from(refused: crate::tls::Refused) -> Self {
        match refused {
            crate::tls::Refused::Gate(error) => Self::Refused(error),
            crate::tls::Refused::Handshake(error) => Self::Handshake(error),
        }
    }
}
