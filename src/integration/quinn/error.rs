//! Why a connection is closed, and why a socket is not bound.

use std::borrow::Cow;
use std::io;

use crate::Diagnostic;
use crate::diagnostic::display_diagnostic;
use crate::live::CloseReason;
use crate::pki::text::Brief;
use crate::{HandshakeError, PeerAlert};

/// Why a QUIC connection is closed.
///
/// The errors of its streams are [`io::Error`]s that contain the same: a [`CloseReason`], a
/// [`HandshakeError::Alert`] or an error of quinn.
///
/// ```
/// use countersign::Diagnostic;
/// use countersign::integration::quinn::ConnectionError;
/// use countersign::live::CloseReason;
///
/// let error = ConnectionError::Cut(CloseReason::ShutDown);
/// assert_eq!(error.reason(), "shut_down");
/// assert_eq!(error.remedy(), "connect again when the service runs");
/// ```
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectionError {
    /// We closed it: the peer is no longer admitted, or its time is over.
    Cut(CloseReason),
    /// The peer rejected us.
    Alert(PeerAlert),
    /// The peer or the application closed it, or it was lost.
    Lost(quinn::ConnectionError),
}

impl ConnectionError {
    /// A stable code for programs: `"deny_listed"`, `"alert_received"`, `"closed"`, `"timed_out"`, `"io"`.
    pub const fn reason(&self) -> &'static str {
        use quinn::ConnectionError as E;

        match self {
            Self::Cut(why) => why.reason(),
            Self::Alert(_) => "alert_received",
            Self::Lost(E::TimedOut) => "timed_out",
            Self::Lost(
                E::ConnectionClosed(_) | E::ApplicationClosed(_) | E::Reset | E::LocallyClosed,
            ) => "closed",
            Self::Lost(_) => "io",
        }
    }
}

impl Diagnostic for ConnectionError {
    fn reason(&self) -> &'static str {
        self.reason()
    }

    fn cause(&self) -> Cow<'_, str> {
        match self {
            Self::Cut(why) => why.cause(),
            Self::Alert(alert) => alert.cause(),
            Self::Lost(error) => format!("the QUIC connection is closed: {}", Brief(error)).into(),
        }
    }

    fn remedy(&self) -> Cow<'_, str> {
        match self {
            Self::Cut(why) => why.remedy(),
            Self::Alert(alert) => alert.remedy(),
            Self::Lost(quinn::ConnectionError::TimedOut) => {
                "see whether the peer and the network are up, or set keep_alive_interval() of the transport"
                    .into()
            }
            Self::Lost(_) => "see the peer's log, or connect again".into(),
        }
    }
}

display_diagnostic!(ConnectionError);

/// For a cut, and for an alert, as the streams of TCP have it.
impl From<ConnectionError> for io::Error {
    fn from(error: ConnectionError) -> Self {
        match error {
            ConnectionError::Cut(why) => Self::new(io::ErrorKind::ConnectionAborted, why),
            ConnectionError::Alert(alert) => Self::new(
                io::ErrorKind::ConnectionAborted,
                HandshakeError::Alert(alert),
            ),
            ConnectionError::Lost(error) => error.into(),
        }
    }
}

/// Why a listener or a client does not get its socket.
///
/// ```
/// use countersign::Diagnostic;
/// use countersign::integration::quinn::BindError;
///
/// assert_eq!(BindError::NoAlpn.reason(), "quic_without_alpn");
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// No application protocol is set, which QUIC requires (RFC 9001 section 8.1).
    NoAlpn,
    /// An application protocol is empty, or longer than 255 bytes.
    InvalidAlpn,
    /// The crypto provider lacks what QUIC needs: TLS_AES_128_GCM_SHA256 with QUIC's keys.
    NoCipherSuite,
    /// The address is in use, or is no address of this machine.
    Io(io::Error),
}

impl BindError {
    /// A stable code for programs.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::NoAlpn => "quic_without_alpn",
            Self::InvalidAlpn => "invalid_alpn",
            Self::NoCipherSuite => "no_quic_cipher_suite",
            Self::Io(_) => "io",
        }
    }
}

impl Diagnostic for BindError {
    fn reason(&self) -> &'static str {
        self.reason()
    }

    fn cause(&self) -> Cow<'_, str> {
        match self {
            Self::NoAlpn => "QUIC needs an application protocol (ALPN), and none is set".into(),
            Self::InvalidAlpn => "an ALPN protocol name must have 1 to 255 bytes".into(),
            Self::NoCipherSuite => {
                "the crypto provider has no TLS_AES_128_GCM_SHA256 for QUIC".into()
            }
            Self::Io(error) => format!("the socket could not be bound: {}", Brief(error)).into(),
        }
    }

    fn remedy(&self) -> Cow<'_, str> {
        match self {
            Self::NoAlpn => "name it with alpn() of this builder, such as h3",
            Self::InvalidAlpn => "remove the empty or longer one",
            Self::NoCipherSuite => "give the builder another crypto_provider()",
            Self::Io(_) => "choose a free address of this machine",
        }
        .into()
    }
}

display_diagnostic!(BindError);

impl From<io::Error> for BindError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}
