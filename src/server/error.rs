//! Why a connection is not accepted.

use std::borrow::Cow;
use std::io;

use super::proxy_protocol::HeaderError;
use crate::Diagnostic;
use crate::diagnostic::display_diagnostic;
use crate::gate::AdmitError;
use crate::pki::Certificate;
use crate::pki::text::{Brief, Sentence};
use crate::tls::{HandshakeError, is_close};

/// Why a connection was not accepted.
///
/// Match on the variants or on [`reason`](Self::reason). `Display` is one line for the log that
/// names the certificate, the cause and the remedy. The client receives only an alert.
///
/// ```
/// use countersign::{AcceptError, Diagnostic, HandshakeError};
///
/// fn log(error: &AcceptError) {
///     match error {
///         AcceptError::NotAdmitted(error) => println!("{}: {}", error.reason(), error.cause()),
///         AcceptError::Handshake(HandshakeError::Closed { .. }) => {} // a health check
///         other => println!("{other}"),
///     }
/// }
/// # log(&AcceptError::Handshake(HandshakeError::VersionTooOld));
/// ```
#[derive(Debug)]
#[doc(alias = "Refused")]
#[non_exhaustive]
pub enum AcceptError {
    /// The gate does not admit the client: because of its chain, its identity, or the policy.
    NotAdmitted(AdmitError),
    /// The handshake failed for another reason.
    Handshake(HandshakeError),
    /// A listener closed the connection before its handshake was finished.
    Shed(ShedReason),
    /// What precedes TLS failed: a PROXY header, or the application's preamble.
    Preamble(PreambleError),
}

/// Why what precedes TLS on a connection failed: the PROXY header of a
/// [trusted proxy](crate::proxy_protocol), or the application's own preamble.
///
/// ```
/// use countersign::{Diagnostic, PreambleError};
///
/// let error = PreambleError::new("no_starttls", "the client does not ask for TLS")
///     .with_remedy("have it send STARTTLS");
/// assert_eq!(error.reason(), "no_starttls");
/// assert_eq!(error.to_string(), "the client does not ask for TLS; have it send STARTTLS");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct PreambleError {
    reason: &'static str,
    cause: Cow<'static, str>,
    remedy: Cow<'static, str>,
    pub(super) timed_out: bool,
}

impl PreambleError {
    /// With a stable code for programs, in snake case, and its cause for people.
    pub fn new(reason: &'static str, cause: impl Into<Cow<'static, str>>) -> Self {
        Self {
            reason,
            cause: cause.into(),
            remedy: "see what the client sends before TLS".into(),
            timed_out: false,
        }
    }

    /// Sets what to do about it.
    #[must_use]
    pub fn with_remedy(mut self, remedy: impl Into<Cow<'static, str>>) -> Self {
        self.remedy = remedy.into();
        self
    }

    /// The preamble was not finished within the handshake timeout.
    #[cfg(feature = "tokio")]
    pub(super) fn timed_out() -> Self {
        let cause = "the exchange before TLS was not finished within the handshake timeout";
        Self {
            timed_out: true,
            ..Self::new("preamble_timed_out", cause)
                .with_remedy("see what the client waits for, or raise handshake_timeout()")
        }
    }

    /// A stable code for programs.
    pub const fn reason(&self) -> &'static str {
        self.reason
    }
}

impl Diagnostic for PreambleError {
    fn reason(&self) -> &'static str {
        self.reason
    }

    fn cause(&self) -> Cow<'_, str> {
        Sentence(&self.cause).to_string().into()
    }

    fn remedy(&self) -> Cow<'_, str> {
        Sentence(&self.remedy).to_string().into()
    }
}

display_diagnostic!(PreambleError);

impl From<HeaderError> for PreambleError {
    fn from(error: HeaderError) -> Self {
        Self {
            timed_out: error == HeaderError::TimedOut,
            ..Self::new(error.reason(), Diagnostic::cause(&error).into_owned())
                .with_remedy(error.remedy().into_owned())
        }
    }
}

/// The transport failed before TLS: the reason is `preamble_closed` or `preamble_io`.
impl From<io::Error> for PreambleError {
    fn from(error: io::Error) -> Self {
        if is_close(error.kind()) {
            let cause = "the client closed the connection before TLS";
            Self::new("preamble_closed", cause)
        } else {
            let cause = format!("the connection failed before TLS: {}", Brief(&error));
            Self::new("preamble_io", cause).with_remedy("check the network, and try again")
        }
    }
}

/// Why a listener closes a connection before its handshake is finished: before any TLS work, except
/// for [`Displaced`](Self::Displaced).
///
/// ```
/// use countersign::{AcceptError, Diagnostic, ShedReason};
///
/// let error = AcceptError::Shed(ShedReason::TooManyHandshakes);
/// assert_eq!(error.reason(), "too_many_handshakes");
/// assert_eq!(error.remedy(), "see which peers stall, or raise max_handshakes()");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[doc(alias = "load shedding")]
#[doc(alias = "rate limit")]
#[non_exhaustive]
pub enum ShedReason {
    /// The limit of concurrent handshakes is reached.
    TooManyHandshakes,
    /// The limit of concurrent handshakes of one address is reached.
    TooManyOfAddress,
    /// Its source has many handshakes in progress, and it was dropped at random:
    /// [`EarlyDrop`](crate::EarlyDrop).
    EarlyDrop,
    /// The limit of concurrent handshakes was reached, and this one was closed to make room for a new
    /// connection: it was the oldest one of the source that had the most.
    Displaced,
    /// Its address is not admitted.
    AddressNotAdmitted,
}

impl ShedReason {
    /// A stable code for programs.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::TooManyHandshakes => "too_many_handshakes",
            Self::TooManyOfAddress => "too_many_handshakes_of_address",
            Self::EarlyDrop => "early_drop",
            Self::Displaced => "displaced",
            Self::AddressNotAdmitted => "address_not_admitted",
        }
    }
}

impl Diagnostic for ShedReason {
    fn reason(&self) -> &'static str {
        self.reason()
    }

    fn cause(&self) -> Cow<'_, str> {
        match self {
            Self::TooManyHandshakes => "too many handshakes are in progress",
            Self::TooManyOfAddress => "too many handshakes of its address are in progress",
            Self::EarlyDrop => {
                "its source has many handshakes in progress and new ones are dropped at random"
            }
            Self::Displaced => {
                "its handshake made room for another source, since its own had the most"
            }
            Self::AddressNotAdmitted => "its address is not admitted",
        }
        .into()
    }

    fn remedy(&self) -> Cow<'_, str> {
        match self {
            Self::TooManyHandshakes => "see which peers stall, or raise max_handshakes()",
            Self::TooManyOfAddress => {
                "see what its peers do, or raise max_handshakes_per_address()"
            }
            Self::EarlyDrop => {
                "see what its source does, or change early_drop(), above all behind a load balancer"
            }
            Self::Displaced => "see what its source does, or raise max_handshakes()",
            Self::AddressNotAdmitted => "to admit it, change the closure given to admit()",
        }
        .into()
    }
}

display_diagnostic!(ShedReason);

impl AcceptError {
    /// A stable code for programs: `"denied"`, `"unknown_issuer"`, `"no_certificate"`,
    /// `"timed_out"`.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::NotAdmitted(error) => error.reason(),
            Self::Handshake(error) => error.reason(),
            Self::Shed(shed) => shed.reason(),
            Self::Preamble(error) => error.reason(),
        }
    }

    /// The certificate that the error is about, where one is known.
    ///
    /// # Security
    /// Unless the refusal is that of the identity or the policy, it is *claimed*: the client has
    /// not proven that it owns the key.
    pub const fn certificate(&self) -> Option<&Certificate> {
        match self {
            Self::NotAdmitted(error) => error.certificate(),
            Self::Handshake(HandshakeError::KeyNotProven { certificate }) => Some(certificate),
            Self::Handshake(_) | Self::Shed(_) | Self::Preamble(_) => None,
        }
    }
}

impl Diagnostic for AcceptError {
    fn reason(&self) -> &'static str {
        self.reason()
    }

    fn cause(&self) -> Cow<'_, str> {
        match self {
            Self::NotAdmitted(error) => error.cause(),
            Self::Handshake(error) => error.cause(),
            Self::Shed(shed) => format!(
                "the connection was closed before its handshake: {}",
                shed.cause()
            )
            .into(),
            Self::Preamble(error) => Diagnostic::cause(error),
        }
    }

    fn remedy(&self) -> Cow<'_, str> {
        match self {
            Self::NotAdmitted(error) => error.remedy(),
            Self::Handshake(error) => error.remedy(),
            Self::Shed(shed) => shed.remedy(),
            Self::Preamble(error) => error.remedy(),
        }
    }
}

display_diagnostic!(AcceptError);

impl std::error::Error for AcceptError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            // `Display` is that of the error within.
            Self::NotAdmitted(error) => std::error::Error::source(error),
            Self::Handshake(error) => std::error::Error::source(error),
            Self::Shed(_) | Self::Preamble(_) => None,
        }
    }
}

impl From<PreambleError> for AcceptError {
    fn from(error: PreambleError) -> Self {
        Self::Preamble(error)
    }
}

impl From<AdmitError> for AcceptError {
    fn from(error: AdmitError) -> Self {
        Self::NotAdmitted(error)
    }
}

impl From<HandshakeError> for AcceptError {
    fn from(error: HandshakeError) -> Self {
        Self::Handshake(error)
    }
}
