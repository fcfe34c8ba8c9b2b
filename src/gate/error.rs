//! Why a peer is not admitted.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::Diagnostic;
use crate::audit::RecordError;
use crate::diagnostic::display_diagnostic;
use crate::identity::{IdentityError, IdentityErrorKind};
use crate::pki::Certificate;
use crate::pki::text::Sentence;
use crate::policy::DeniedBy;
use crate::trust::ChainError;

/// Why the gate does not admit a peer.
///
/// The peer receives only a TLS alert: [`alert`](Self::alert). `Display` is one line of at most
/// 4 KiB, as that of [`ChainError`] is.
///
/// ```
/// use countersign::{Certificate, Diagnostic};
/// use countersign::gate::AdmitError;
/// use countersign::testing::TestCa;
///
/// let certificate: Certificate = TestCa::new("Clients").leaf().issue().certificate();
/// let error = AdmitError::Denied {
///     certificate,
///     reason: "only billing may call orders".into(),
/// };
/// assert_eq!(error.reason(), "denied");
/// assert!(error.cause().starts_with("denied by policy: only billing may call orders"));
/// assert_eq!(error.to_string(), format!("{}; {}", error.cause(), error.remedy()));
/// ```
#[derive(Clone)]
#[doc(alias = "forbidden")]
#[doc(alias = "unauthorized")]
#[non_exhaustive]
pub enum AdmitError {
    /// The chain is missing, malformed, or not trusted.
    Chain(ChainError),
    /// The certificate is trusted, but yields no identity, or an ambiguous one.
    Identity {
        /// The peer's certificate.
        certificate: Certificate,
        /// The extractor's error.
        error: IdentityError,
    },
    /// The peer is on the deny list.
    DenyListed {
        /// The peer's certificate.
        certificate: Certificate,
        /// The entry that matches.
        by: DeniedBy,
    },
    /// The policy denied the peer.
    Denied {
        /// The peer's certificate.
        certificate: Certificate,
        /// The policy's reason.
        reason: Cow<'static, str>,
    },
    /// The policy panicked, which counts as a denial.
    PolicyPanicked {
        /// The peer's certificate.
        certificate: Certificate,
    },
    /// The async policy gave no answer in time, which counts as a denial.
    PolicyTimedOut {
        /// The peer's certificate.
        certificate: Certificate,
        /// The policy's time limit.
        timeout: Duration,
    },
    /// The async policy could not decide about an open connection, because the runtime that would
    /// have run it has shut down. That counts as a denial.
    PolicyNotAsked {
        /// The peer's certificate.
        certificate: Certificate,
    },
    /// The peer is allowed, but the limit of open connections of all peers together is reached.
    TooManyConnections {
        /// The peer's certificate.
        certificate: Certificate,
        /// The limit.
        limit: usize,
    },
    /// The peer is allowed, but the limit of open connections of one identity is reached.
    TooManyConnectionsOfIdentity {
        /// The peer's certificate.
        certificate: Certificate,
        /// The limit.
        limit: usize,
    },
    /// Code of the application other than the policy panicked while the peer was authorized, such as
    /// the `Hash` of an identity that is looked up in the deny list. That counts as a denial.
    Panicked {
        /// The peer's certificate.
        certificate: Certificate,
    },
    /// The peer is allowed, but the required audit sink did not record it.
    NotAudited {
        /// The peer's certificate.
        certificate: Certificate,
        /// The audit sink's error.
        error: RecordError,
    },
    /// The policy is async, and the gate was called synchronously.
    PolicyIsAsync,
    /// The gate was called for a connection whose handshake is not finished.
    HandshakeIncomplete,
    /// A client's gate must verify the server's name, and was given none, or one that is neither a
    /// DNS name nor an IP address.
    UnknownServerName,
    /// The clock returned no time.
    NoClock,
    /// No peer is admitted at the moment: a source that must be current is not, or our own identity was
    /// withdrawn.
    Suspended {
        /// Why, with the name of the source.
        why: Arc<str>,
    },
}

impl AdmitError {
    /// A stable code for programs: `"denied"`, `"unknown_issuer"`, `"identity_ambiguous"`.
    pub const fn reason(&self) -> &'static str {
        use IdentityErrorKind as K;

        match self {
            Self::Chain(error) => error.reason(),
            Self::Identity { error, .. } => match error.kind() {
                K::Missing => "identity_missing",
                K::Ambiguous => "identity_ambiguous",
                K::BadEncoding => "identity_bad_encoding",
                K::BadSyntax => "identity_bad_syntax",
                K::TooLong => "identity_too_long",
                K::Forbidden => "identity_forbidden",
                K::Panicked => "identity_panicked",
            },
            Self::DenyListed { .. } => "deny_listed",
            Self::Denied { .. } => "denied",
            Self::PolicyPanicked { .. } => "policy_panicked",
            Self::PolicyTimedOut { .. } => "policy_timed_out",
            Self::PolicyNotAsked { .. } => "policy_not_asked",
            Self::TooManyConnections { .. } => "too_many_connections",
            Self::TooManyConnectionsOfIdentity { .. } => "too_many_connections_of_identity",
            Self::Panicked { .. } => "authorization_panicked",
            Self::NotAudited { .. } => "not_audited",
            Self::PolicyIsAsync => "policy_is_async",
            Self::HandshakeIncomplete => "handshake_incomplete",
            Self::UnknownServerName => "unknown_server_name",
            Self::NoClock => "no_clock",
            Self::Suspended { .. } => "suspended",
        }
    }

    /// The peer's certificate, where it is known.
    ///
    /// # Security
    /// For [`Chain`](Self::Chain) it is *claimed*: the peer has not proven that it owns the key. For
    /// the other variants it is proven.
    pub const fn certificate(&self) -> Option<&Certificate> {
        match self {
            Self::Chain(error) => error.certificate(),
            Self::Identity { certificate, .. }
            | Self::DenyListed { certificate, .. }
            | Self::Denied { certificate, .. }
            | Self::PolicyPanicked { certificate }
            | Self::PolicyNotAsked { certificate }
            | Self::TooManyConnections { certificate, .. }
            | Self::TooManyConnectionsOfIdentity { certificate, .. }
            | Self::Panicked { certificate }
            | Self::NotAudited { certificate, .. }
            | Self::PolicyTimedOut { certificate, .. } => Some(certificate),
            _ => None,
        }
    }
}

impl Diagnostic for AdmitError {
    fn reason(&self) -> &'static str {
        self.reason()
    }

    fn cause(&self) -> Cow<'_, str> {
        match self {
            Self::Chain(error) => return error.cause(),
            Self::Identity { certificate, error } => {
                format!("no identity in {certificate}: {}", error.cause())
            }
            Self::DenyListed { certificate, by } => {
                format!("denied by the deny list, which has {by}: {certificate}")
            }
            Self::Denied {
                certificate,
                reason,
            } => format!("denied by policy: {}: {certificate}", Sentence(reason)),
            Self::PolicyPanicked { certificate } => {
                format!("denied because the policy panicked on {certificate}")
            }
            Self::PolicyTimedOut {
                certificate,
                timeout,
            } => format!(
                "denied because the policy gave no answer within {timeout:?} for {certificate}"
            ),
            Self::PolicyNotAsked { certificate } => format!(
                "denied because the runtime that would run the policy has shut down: {certificate}"
            ),
            Self::TooManyConnections { certificate, limit } => format!(
                "refused because {limit} connections are open, which is the limit: {certificate}"
            ),
            Self::TooManyConnectionsOfIdentity { certificate, limit } => format!(
                "refused because its identity has {limit} connections open, which is the limit: {certificate}"
            ),
            Self::Panicked { certificate } => format!(
                "denied because code of the application panicked while {certificate} was authorized"
            ),
            Self::NotAudited { certificate, error } => format!(
                "refused because there would be no audit record of {certificate}: {}",
                error.cause()
            ),
            Self::PolicyIsAsync => return "the policy is asynchronous".into(),
            Self::HandshakeIncomplete => {
                return "the handshake is not finished: the peer has not proven its key yet".into();
            }
            Self::UnknownServerName => {
                return "the server name is unknown, so the server's certificate cannot be verified for it"
                    .into();
            }
            Self::NoClock => {
                return "the clock returned no time, so no validity period can be checked".into();
            }
            Self::Suspended { why } => {
                format!("no peer is admitted at the moment: {}", Sentence(why))
            }
        }
        .into()
    }

    fn remedy(&self) -> Cow<'_, str> {
        match self {
            Self::Chain(error) => return error.remedy(),
            Self::Identity { error, .. } => return error.remedy(),
            Self::NotAudited { error, .. } => return error.remedy(),
            Self::DenyListed { .. } => "to admit it, remove the entry from the list",
            Self::Denied { .. } => "to admit it, change the policy so that it allows it",
            Self::PolicyPanicked { .. } => "see its panic message, and correct the policy",
            Self::PolicyTimedOut { .. } => "see what it waits for, or raise its timeout",
            Self::PolicyNotAsked { .. } => {
                "open the first connection on a runtime that lives as long as the others"
            }
            Self::TooManyConnections { .. } => {
                "see which peers hold them, or raise max_connections()"
            }
            Self::TooManyConnectionsOfIdentity { .. } => {
                "have it close some, or raise max_connections_per_identity()"
            }
            Self::Panicked { .. } => "see its panic message, and correct that code",
            Self::PolicyIsAsync => "call Control::admit_async",
            Self::HandshakeIncomplete => "call the gate when the handshake is finished",
            Self::UnknownServerName => {
                "give its DNS name or IP address, or choose ServerNameVerification::ByPolicy"
            }
            Self::NoClock => "give the builder a clock() that returns a time",
            Self::Suspended { .. } => {
                "restore the source: peers are admitted again when it has a current value"
            }
        }
        .into()
    }
}

display_diagnostic!(AdmitError);

impl fmt::Debug for AdmitError {
    /// The reason and the bounded text of `Display`: the text of a policy or an extractor can be of
    /// any length.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AdmitError({}: {self})", self.reason())
    }
}

impl std::error::Error for AdmitError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            // `Display` is that of the error within.
            Self::Chain(error) => std::error::Error::source(error),
            _ => None,
        }
    }
}

impl From<ChainError> for AdmitError {
    fn from(error: ChainError) -> Self {
        Self::Chain(error)
    }
}
