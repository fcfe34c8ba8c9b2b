//! Why an open connection is closed.

use std::borrow::Cow;
use std::time::Duration;

use rustls::AlertDescription;
use rustls_pki_types::UnixTime;

use crate::Diagnostic;
use crate::diagnostic::display_diagnostic;
use crate::gate::AdmitError;
use crate::pki::Certificate;
use crate::pki::time::Rfc3339;

/// Why we closed, or are about to close, an open connection.
///
/// Reads and writes of such a stream fail with an [`std::io::Error`] of kind
/// [`ConnectionAborted`](std::io::ErrorKind::ConnectionAborted) that contains this.
///
/// ```
/// use std::io;
///
/// use countersign::live::CloseReason;
///
/// /// Whether we closed the connection, and not the peer or the network.
/// fn closed_by_us(error: &io::Error) -> Option<&CloseReason> {
///     error.get_ref()?.downcast_ref()
/// }
///
/// let error = io::Error::new(io::ErrorKind::ConnectionAborted, CloseReason::ShutDown);
/// assert_eq!(closed_by_us(&error).map(CloseReason::reason), Some("shut_down"));
/// ```
#[derive(Clone, Debug, thiserror::Error)]
#[doc(alias = "disconnect")]
#[non_exhaustive]
pub enum CloseReason {
    /// The rules have changed, and the gate no longer admits the peer.
    NotAdmitted(AdmitError),
    /// A certificate of the peer's path expired while the connection was open.
    Expired {
        /// The peer's certificate.
        certificate: Certificate,
        /// When the first certificate of its path expired.
        not_after: UnixTime,
    },
    /// The clock of the acceptor or connector has returned no time for this long, so that the expiry of
    /// certificates cannot be checked.
    NoClock {
        /// For how long, when the connection was asked to drain.
        missing: Duration,
    },
    /// The connection reached its maximum age.
    MaxAge {
        /// The limit in force.
        max_age: Duration,
    },
    /// A connector has new credentials, and new connections use them.
    CredentialsReplaced,
    /// The application closed it.
    ByApplication,
    /// The listener shut down, and the time to drain was over.
    ShutDown,
}

impl CloseReason {
    /// A stable code for programs.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::NotAdmitted(error) => error.reason(),
            Self::Expired { .. } => "expired",
            Self::NoClock { .. } => "no_clock",
            Self::MaxAge { .. } => "max_age",
            Self::CredentialsReplaced => "credentials_replaced",
            Self::ByApplication => "ended_by_application",
            Self::ShutDown => "shut_down",
        }
    }

    /// The fatal alert that is sent to the peer; `None` where it is close_notify.
    pub fn alert(&self) -> Option<AlertDescription> {
        match self {
            Self::NotAdmitted(error) => Some(error.alert()),
            Self::Expired { .. } => Some(AlertDescription::CertificateExpired),
            _ => None,
        }
    }
}

impl Diagnostic for CloseReason {
    fn reason(&self) -> &'static str {
        self.reason()
    }

    fn cause(&self) -> Cow<'_, str> {
        match self {
            Self::NotAdmitted(error) => format!(
                "the connection was closed, because its peer is no longer admitted: {}",
                error.cause()
            ),
            Self::Expired {
                certificate,
                not_after,
            } => format!(
                "the connection was closed, because its peer's chain expired at {}: {certificate}",
                Rfc3339(*not_after)
            ),
            Self::NoClock { missing } => format!(
                "the connection was closed, because the clock has returned no time for {missing:?}"
            ),
            Self::MaxAge { max_age } => {
                format!("the connection was closed after its maximum age of {max_age:?}")
            }
            Self::CredentialsReplaced => {
                return "the connection was closed, because our credentials were replaced".into();
            }
            Self::ByApplication => return "the connection was closed by the application".into(),
            Self::ShutDown => {
                return "the connection was closed, because the listener shut down".into();
            }
        }
        .into()
    }

    fn remedy(&self) -> Cow<'_, str> {
        match self {
            Self::NotAdmitted(error) => return error.remedy(),
            Self::Expired { .. } => "renew the certificate, and connect again",
            Self::NoClock { .. } => "give the builder a clock() that returns a time",
            Self::MaxAge { .. } => "connect again, or raise max_connection_age()",
            Self::CredentialsReplaced => "connect again, with the new ones",
            Self::ByApplication => "see why the application closes it, or connect again",
            Self::ShutDown => "connect again when the service runs",
        }
        .into()
    }
}

display_diagnostic!(CloseReason);
