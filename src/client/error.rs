//! Why a connection is not made.

use std::borrow::Cow;

use crate::Diagnostic;
use crate::diagnostic::display_diagnostic;
use crate::gate::AdmitError;
use crate::pki::Certificate;
use crate::pki::text::Escaped;
use crate::tls::HandshakeError;

/// Why a connection was not made.
///
/// Match on the variants or on [`reason`](Self::reason). `Display` is one line for the log that
/// names the certificate, the cause and the remedy.
///
/// ```
/// use countersign::{ConnectError, HandshakeError};
///
/// /// Whether a later attempt can succeed without a change of configuration.
/// fn is_worth_a_retry(error: &ConnectError) -> bool {
///     matches!(
///         error,
///         ConnectError::Handshake(
///             HandshakeError::Closed { .. } | HandshakeError::TimedOut { .. } | HandshakeError::Io(_)
///         )
///     )
/// }
///
/// assert!(!is_worth_a_retry(&ConnectError::NotAsked));
/// ```
#[derive(Debug)]
#[doc(alias = "Refused")]
#[non_exhaustive]
pub enum ConnectError {
    /// The gate does not admit the server: because of its chain, its name, its identity, or the policy.
    NotAdmitted(AdmitError),
    /// The server did not request our certificate: it does not authenticate its clients.
    NotAsked,
    /// The server name is neither a DNS name nor an IP address.
    InvalidServerName {
        /// The name.
        name: String,
    },
    /// The handshake failed for another reason. One of them is that the server rejected us.
    Handshake(HandshakeError),
}

impl ConnectError {
    /// A stable code for programs: `"name_mismatch"`, `"not_asked"`, `"alert_received"`.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::NotAdmitted(error) => error.reason(),
            Self::NotAsked => "not_asked",
            Self::InvalidServerName { .. } => "invalid_server_name",
            Self::Handshake(error) => error.reason(),
        }
    }

    /// The certificate that the error is about, where one is known.
    ///
    /// # Security
    /// Unless the refusal is that of the identity or the policy, it is *claimed*: the server has
    /// not proven that it owns the key.
    pub const fn certificate(&self) -> Option<&Certificate> {
        match self {
            Self::NotAdmitted(error) => error.certificate(),
            Self::Handshake(HandshakeError::KeyNotProven { certificate }) => Some(certificate),
            _ => None,
        }
    }
}

impl Diagnostic for ConnectError {
    fn reason(&self) -> &'static str {
        self.reason()
    }

    fn cause(&self) -> Cow<'_, str> {
        match self {
            Self::NotAdmitted(error) => error.cause(),
            Self::NotAsked => {
                "the server did not ask for our certificate, so the connection would not be mutually authenticated"
                    .into()
            }
            Self::InvalidServerName { name } => format!(
                "\"{}\" is neither a DNS name nor an IP address",
                Escaped(name)
            )
            .into(),
            Self::Handshake(error) => error.cause(),
        }
    }

    fn remedy(&self) -> Cow<'_, str> {
        match self {
            Self::NotAdmitted(error) => error.remedy(),
            Self::NotAsked => "turn on client certificates there".into(),
            Self::InvalidServerName { .. } => "give such a name, without a scheme or a port".into(),
            Self::Handshake(error) => error.remedy(),
        }
    }
}

display_diagnostic!(ConnectError);

impl std::error::Error for ConnectError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            // `Display` is that of the error within.
            Self::NotAdmitted(error) => std::error::Error::source(error),
            Self::Handshake(error) => std::error::Error::source(error),
            Self::NotAsked | Self::InvalidServerName { .. } => None,
        }
    }
}

impl From<AdmitError> for ConnectError {
    fn from(error: AdmitError) -> Self {
        Self::NotAdmitted(error)
    }
}

impl From<HandshakeError> for ConnectError {
    fn from(error: HandshakeError) -> Self {
        Self::Handshake(error)
    }
}
