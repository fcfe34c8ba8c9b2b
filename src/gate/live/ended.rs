//! Why an open connection was ended.

use std::time::Duration;

use rustls::AlertDescription;
use rustls_pki_types::UnixTime;

use crate::gate::AdmitError;
use crate::pki::Certificate;
use crate::pki::time::Rfc3339;

/// Why we ended, or are about to end, a connection that was open.
///
/// Reads and writes of such a stream fail with an [`std::io::Error`] of kind
/// [`ConnectionAborted`](std::io::ErrorKind::ConnectionAborted) around this.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CloseReason {
    /// By today's rules the gate would not admit the peer.
    #[error("the connection was cut, because its peer is no longer admitted: {0}")]
    Refused(AdmitError),
    /// A certificate of the peer's path expired while the connection was open.
    #[error(
        "the connection was ended, because its peer's chain expired at {}: {certificate}",
        Rfc3339(*not_after)
    )]
    Expired {
        /// The peer's certificate.
        certificate: Certificate,
        /// When the first certificate of its path expired.
        not_after: UnixTime,
    },
    /// The clock of the acceptor or connector has given no time for this long, so that no
    /// certificate can be seen to expire.
    #[error(
        "the connection was ended, because the clock has given no time for {missing:?}; see to the clock() of the builder"
    )]
    NoClock {
        /// For how long, when the connection was asked to drain.
        missing: Duration,
    },
    /// It was open for as long as a connection may be.
    #[error("the connection was ended after its maximum age of {max_age:?}")]
    MaxAge {
        /// The limit in force.
        max_age: Duration,
    },
    /// A connector got new credentials: a new connection is to use them.
    #[error("the connection was ended, because our credentials were replaced")]
    CredentialsReplaced,
    /// The application ended it.
    #[error("the connection was ended by the application")]
    ByApplication,
    /// The listener shut down, and the time for finishing was over.
    #[error("the connection was ended, because the listener shut down")]
    ShutDown,
}

impl CloseReason {
    /// A stable code for programs.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Refused(error) => error.reason(),
            Self::Expired { .. } => "expired",
            Self::NoClock { .. } => "no_clock",
            Self::MaxAge { .. } => "max_age",
            Self::CredentialsReplaced => "credentials_replaced",
            Self::ByApplication => "ended_by_application",
            Self::ShutDown => "shut_down",
        }
    }

    /// The fatal alert that tells the peer; `None` where a plain goodbye (close_notify) does.
    pub fn alert(&self) -> Option<AlertDescription> {
        match self {
            Self::Refused(error) => Some(error.alert()),
            Self::Expired { .. } => Some(AlertDescription::CertificateExpired),
            _ => None,
        }
    }
}
