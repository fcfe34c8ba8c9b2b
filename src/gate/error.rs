//! Why a peer was refused.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use crate::audit::RecordError;
use crate::diagnostic::Diagnostic as _;
use crate::identity::{IdentityError, IdentityErrorKind};
use crate::pki::Certificate;
use crate::pki::text::Sentence;
use crate::policy::DeniedBy;
use crate::trust::ChainError;

/// Why the gate refused a peer.
///
/// The peer learns nothing of it but the TLS alert. `Display` is one line of at most 4 KiB, as that
/// of [`ChainError`] is.
#[derive(Clone, thiserror::Error)]
#[non_exhaustive]
pub enum AdmitError {
    /// The chain is missing, malformed, or not trusted.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The certificate is trusted but does not say, in one way only, who its holder is.
    #[error("no identity in {certificate}: {}; {}", error.cause(), error.remedy())]
    Identity {
        /// The peer's certificate.
        certificate: Certificate,
        /// What the extractor said.
        error: IdentityError,
    },
    /// The peer is on the deny list.
    #[error(
        "denied by the deny list, which has {by}: {certificate}; take the entry off the list to let it in"
    )]
    DenyListed {
        /// The peer's certificate.
        certificate: Certificate,
        /// What is on the list.
        by: DeniedBy,
    },
    /// The policy denied the peer.
    #[error(
        "denied by policy: {}: {certificate}; to let it in, have the policy allow it",
        Sentence(reason)
    )]
    Denied {
        /// The peer's certificate.
        certificate: Certificate,
        /// The policy's reason.
        reason: Cow<'static, str>,
    },
    /// The policy panicked, which counts as a denial.
    #[error(
        "denied because the policy panicked on {certificate}; see its panic message, and mend it"
    )]
    PolicyPanicked {
        /// The peer's certificate.
        certificate: Certificate,
    },
    /// The async policy gave no answer in time, which counts as a denial.
    #[error(
        "denied because the policy gave no answer within {timeout:?} for {certificate}; see whom it asks, or give it more time"
    )]
    PolicyTimedOut {
        /// The peer's certificate.
        certificate: Certificate,
        /// The time that it had.
        timeout: Duration,
    },
    /// The async policy could not be asked about an open connection, because the runtime that
    /// should have done it has ended; that counts as a denial.
    #[error(
        "denied because the policy could not be asked: the runtime has ended: {certificate}; open the first connection on a runtime that lives as long as the others"
    )]
    PolicyNotAsked {
        /// The peer's certificate.
        certificate: Certificate,
    },
    /// The peer is allowed, and as many connections as allowed are open already, of all peers together.
    #[error(
        "refused because {limit} connections are open, which is the limit: {certificate}; see which peers hold them, or raise max_connections()"
    )]
    TooManyConnections {
        /// The peer's certificate.
        certificate: Certificate,
        /// The limit.
        limit: usize,
    },
    /// The peer is allowed, and its identity has as many connections open as one may have.
    #[error(
        "refused because its identity has {limit} connections open, which is the limit: {certificate}; have it close some, or raise max_connections_per_identity()"
    )]
    TooManyConnectionsOfIdentity {
        /// The peer's certificate.
        certificate: Certificate,
        /// The limit.
        limit: usize,
    },
    /// Code of the application other than the policy panicked while the peer was authorized, such as
    /// the `Hash` of an identity that is looked up in the deny list; that counts as a denial.
    #[error(
        "denied because code of the application panicked while {certificate} was authorized; see its panic message, and mend it"
    )]
    Panicked {
        /// The peer's certificate.
        certificate: Certificate,
    },
    /// The peer would have been admitted, and that could not be recorded: no record, no session.
    #[error(
        "refused because there would be no record of {certificate}: {}; see to the audit sink",
        crate::Diagnostic::cause(error)
    )]
    NotAudited {
        /// The peer's certificate.
        certificate: Certificate,
        /// What the audit sink said.
        error: RecordError,
    },
    /// The policy is async, and the gate was asked synchronously.
    #[error("the policy is asynchronous; ask the gate with admit_async")]
    PolicyIsAsync,
    /// The gate was asked about a connection that is still handshaking.
    #[error("the handshake is not finished: the peer has not proven its key yet; ask when it is")]
    HandshakeIncomplete,
    /// A client's gate must check the server's name and was given none, or one that is neither a
    /// DNS name nor an IP address.
    #[error(
        "the name that was dialled is not known, so the server's certificate cannot be checked against it; give its DNS name or IP address, or choose ServerNameVerification::ByPolicy"
    )]
    UnknownServerName,
    /// The clock gave no time.
    #[error(
        "the clock gave no time, so no validity can be checked; give the builder a clock() that does"
    )]
    NoClock,
}

impl fmt::Debug for AdmitError {
    /// The reason and what `Display` says: what a policy or an extractor says may be as long as a peer
    /// likes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AdmitError({}: {self})", self.reason())
    }
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
        }
    }

    /// The peer's certificate, where it is known. Whether the peer owns its key is proven for the
    /// refusals of identity and policy, and not for those of the chain.
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
