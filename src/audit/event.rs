//! The record of one outcome.

use std::borrow::Cow;
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use rustls_pki_types::CertificateDer;

use crate::peer::ConnectionInfo;
use crate::pki::{Certificate, Fingerprint};
use crate::side::Side;

/// The record of one outcome: of an attempt to connect, of a later change of an open connection,
/// or of a reload.
///
/// ```
/// use countersign::audit::{AuditEvent, Proof};
///
/// fn print(event: &AuditEvent) {
///     let identity = event.identity.as_ref();
///     let proven = identity.filter(|identity| identity.proof == Proof::Proven);
///     println!(
///         "{} {} {:?} {:?}",
///         event.id,
///         event.action.as_str(),
///         event.reason,
///         proven.map(|identity| &identity.text),
///     );
/// }
/// ```
///
/// # Security
/// Text that comes from a peer (`identity`, `detail`, the names in certificates) may have any character.
/// A sink that prints it must escape control characters and bidirectional marks, as the sinks of
/// [`audit`](super) do.
///
/// # Limits
/// When an event is recorded, its own text is cut visibly (`…(+1,234 bytes)`): `detail` and an identity
/// after 2,048 bytes, the identity of a proxy after 160, the path of a request after 1,024, its methods
/// after 64, its MCP name after 128, other text after 256. As
/// one line it has at most [`MAX_TEXT`](Self::MAX_TEXT) bytes, and as JSON at most
/// [`MAX_JSON`](Self::MAX_JSON), for any certificates of a peer. The certificates themselves are
/// not cut: a sink that writes their names must limit them.
#[doc(alias = "audit log")]
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AuditEvent {
    /// Identifies the event.
    pub id: EventId,
    /// When it was recorded, by the system's clock.
    pub time: SystemTime,
    /// What happened.
    pub action: Action,
    /// The side that we are.
    pub side: Side,
    /// The acceptor's or connector's name, if the builder gave it one.
    pub name: Option<Arc<str>>,
    /// The connection's number in this process, as in
    /// [`OpenConnection::id`](crate::live::OpenConnection::id). `None` for events without a connection.
    pub connection: Option<u64>,
    /// The stage that an attempt reached; `None` for other events.
    pub stage: Option<Stage>,
    /// A stable code: the `reason()` of the error. `None` for events without an error.
    pub reason: Option<&'static str>,
    /// One line for people: the cause, and the remedy if one is known.
    pub detail: Option<String>,
    /// The rule that allowed the peer or the request, or that denied a request.
    pub rule: Option<Cow<'static, str>>,
    /// The identity of the peer, proven or claimed.
    pub identity: Option<AuditedIdentity>,
    /// The proxy that vouches for the peer, if one does. The identity is then
    /// [vouched for](Proof::Vouched), or claimed.
    pub vouched_by: Option<AuditedIdentity>,
    /// The known facts of the connection: addresses, SNI, ALPN, TLS version, cipher suite.
    pub info: ConnectionInfo,
    /// The alert that was sent or received. `None` if the connection was closed without an alert, or if
    /// this crate does not drive it.
    pub alert: Option<Alert>,
    /// The generation of trust in force.
    pub generation: u64,
    /// The time from the start of an attempt to its outcome; for a closed connection, the time that it was
    /// open; for a summary, the time that it covers.
    pub duration: Option<Duration>,
    /// The application bytes of a closed connection.
    pub traffic: Option<Traffic>,
    /// The request that was allowed or denied.
    pub request: Option<AuditedRequest>,
    /// The certificates that the peer presented, leaf first; for an open connection, the verified path.
    pub certificates: Vec<PresentedCertificate>,
    /// Our certificate that expires soon.
    pub own_certificate: Option<Certificate>,
    /// The parts that a reload replaced.
    pub reloaded: Vec<String>,
    /// The number of events before this one that could not be recorded.
    pub dropped: Option<u64>,
    /// For a summary ([`Action::RefusalsSuppressed`]): the refusals that it covers. Their reason is
    /// `reason`.
    pub suppressed: Option<Suppressed>,
}

/// The kind of an event.
///
/// The first eight are the outcomes of an attempt: each attempt has exactly one.
///
/// ```
/// use countersign::audit::{Action, Outcome};
///
/// assert!(Action::ChainRefused.ends_attempt());
/// assert_eq!(Action::ChainRefused.outcome(), Some(Outcome::Failure));
/// assert_eq!(Action::Closed.as_str(), "closed");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Action {
    /// The peer was verified, identified and allowed.
    Admitted,
    /// The policy or the deny list denied the peer.
    Denied,
    /// The certificate does not identify its holder unambiguously.
    NotIdentified,
    /// The peer's chain is missing, malformed, not trusted, expired or revoked.
    ChainRefused,
    /// The TLS handshake failed for another reason.
    HandshakeFailed,
    /// The handshake did not finish in time.
    TimedOut,
    /// A listener closed the connection during its handshake: before any TLS work, or to make room.
    Shed,
    /// The application dropped the attempt, or a listener shut down during it.
    Abandoned,
    /// An open connection drains: it should close soon.
    Draining,
    /// An open connection was cut, because its peer is no longer allowed or its time is over.
    Cut,
    /// A connection was closed.
    Closed,
    /// A request over an admitted connection was allowed. Recorded only where
    /// [`AuthorizeRequest::audit_allowed`](crate::integration::tower::AuthorizeRequest::audit_allowed)
    /// asks for it.
    RequestAllowed,
    /// A request over an admitted connection was denied.
    RequestDenied,
    /// A client behind a proxy was verified, identified and allowed, by the word of the proxy
    /// ([`Vouched`](Proof::Vouched)). It is recorded for the first request of each client on each
    /// connection of the proxy, and again when the rules have changed.
    Vouched,
    /// A listener could not accept connections, and retries.
    AcceptFailed,
    /// A reload replaced something.
    ReloadApplied,
    /// A reload changed nothing, because its files are invalid; or an update by the application changed
    /// nothing, because it would have rolled a CRL back.
    ReloadRefused,
    /// The sources of a reload are valid again after a refusal: what they contain is in force. An alert
    /// about [`ReloadRefused`](Self::ReloadRefused) can be resolved.
    ReloadRecovered,
    /// An update or a reload replaced a CRL with an earlier one of the same issuer and scope, because
    /// [`Revocation::rollback`](crate::trust::Revocation::rollback) allows it.
    CrlRolledBack,
    /// A file or a delta CRL was skipped when CRLs were loaded, because an option of a
    /// [`CrlLoader`](crate::trust::CrlLoader) allows it.
    CrlSkipped,
    /// Our own credentials were loaded, but their files are unusual, or peers may reject the certificate.
    CredentialsWarning,
    /// A certificate of ours expires soon, or has expired.
    CertificateExpiring,
    /// Events before this one could not be recorded.
    EventsDropped,
    /// Refusals of peers that had not proven their key were counted and not recorded individually: there
    /// were more of one reason than the builder's `audit_refusals_per_second`.
    RefusalsSuppressed,
}

/// Whether an attempt, a reload or a request succeeded.
///
/// ```
/// use countersign::audit::{Action, Outcome};
///
/// assert_eq!(Action::Admitted.outcome(), Some(Outcome::Success));
/// assert_eq!(Outcome::Success.as_str(), "success");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It succeeded.
    Success,
    /// It failed.
    Failure,
}

/// The stage that an attempt reached, in order.
///
/// ```
/// use countersign::audit::Stage;
///
/// // From `Identity` on, the peer has proven that it owns the key of its certificate.
/// assert!(Stage::Policy > Stage::Proof);
/// assert_eq!(Stage::Proof.as_str(), "proof");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Stage {
    /// The connection was accepted, before TLS.
    Transport,
    /// The TLS handshake.
    Handshake,
    /// The verification of the peer's chain.
    Chain,
    /// The proof that the peer owns its key.
    Proof,
    /// The extraction of the identity.
    Identity,
    /// The decision of the policy.
    Policy,
    /// The connection was open.
    Open,
}

/// The identity of a peer, proven or claimed.
///
/// ```
/// use countersign::audit::{AuditEvent, Proof};
///
/// fn proven_identity(event: &AuditEvent) -> Option<&str> {
///     let identity = event.identity.as_ref()?;
///     (identity.proof == Proof::Proven).then_some(&identity.text)
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditedIdentity {
    /// The identity as text.
    pub text: String,
    /// Whether it is proven.
    pub proof: Proof,
}

/// Whether an identity is proven.
///
/// ```
/// assert_eq!(countersign::audit::Proof::Claimed.as_str(), "claimed");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Proof {
    /// The chain was verified, and the peer has proven that it owns the leaf's key.
    Proven,
    /// The chain was verified, and a trusted proxy states that the client has proven to it that it owns the
    /// leaf's key.
    Vouched,
    /// The identity is only in a certificate that the peer presented. Any peer can present any
    /// certificate.
    Claimed,
}

/// The alert that closed an attempt or a connection.
///
/// ```
/// use countersign::audit::Alert;
///
/// let sent = Alert::Sent("access_denied".into());
/// assert_ne!(sent, Alert::Received("access_denied".into()));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Alert {
    /// We sent it, or tried to: a peer that has closed does not receive it. The name is that of RFC 8446:
    /// `access_denied`.
    Sent(Cow<'static, str>),
    /// The peer sent it.
    Received(Cow<'static, str>),
}

/// The application bytes of a connection, without the bytes of TLS itself.
///
/// ```
/// use countersign::audit::AuditEvent;
///
/// fn total(event: &AuditEvent) -> u64 {
///     event.traffic.map_or(0, |traffic| traffic.received + traffic.sent)
/// }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Traffic {
    /// From the peer.
    pub received: u64,
    /// To the peer.
    pub sent: u64,
}

/// The refusals that a summary covers.
///
/// ```
/// use countersign::audit::{Action, AuditEvent};
///
/// /// The refused attempts that an event reports.
/// fn refusals(event: &AuditEvent) -> u64 {
///     match event.suppressed {
///         Some(suppressed) => suppressed.count,
///         None => u64::from(event.action.ends_attempt() && event.action != Action::Admitted),
///     }
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Suppressed {
    /// Their outcome.
    pub action: Action,
    /// Their number.
    pub count: u64,
}

/// A request over an admitted connection.
///
/// ```
/// use countersign::audit::AuditEvent;
///
/// fn denied_request(event: &AuditEvent) -> Option<String> {
///     let request = event.request.as_ref()?;
///     Some(format!("{} {}", request.method, request.path))
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditedRequest {
    /// The HTTP method.
    pub method: String,
    /// The path as it was sent, without the query.
    pub path: String,
    /// The `Mcp-Method` header of a Model Context Protocol request, such as `tools/call`.
    pub mcp_method: Option<String>,
    /// Its `Mcp-Name` header, decoded: the name of a tool or a prompt, or the URI of a resource.
    pub mcp_name: Option<String>,
}

/// A certificate as a peer presented it.
///
/// ```
/// use countersign::audit::{AuditEvent, PresentedCertificate};
///
/// fn issuers(event: &AuditEvent) -> Vec<String> {
///     let presented = event.certificates.iter();
///     let readable = presented.filter_map(PresentedCertificate::certificate);
///     readable.map(|certificate| certificate.issuer().to_string()).collect()
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[doc(alias = "client certificate")]
#[doc(alias = "peer certificate")]
pub enum PresentedCertificate {
    /// It could be parsed. This does not mean that it is trusted.
    Read(Certificate),
    /// It is not a certificate, or it is damaged.
    Unreadable {
        /// SHA-256 of the bytes.
        sha256: Fingerprint,
        /// Its length in bytes.
        length: usize,
    },
}

impl AuditEvent {
    pub(super) fn new(action: Action, side: Side, name: Option<Arc<str>>) -> Self {
        Self {
            id: EventId::next(),
            time: SystemTime::now(),
            action,
            side,
            name,
            connection: None,
            stage: None,
            reason: None,
            detail: None,
            rule: None,
            identity: None,
            vouched_by: None,
            info: ConnectionInfo::default(),
            alert: None,
            generation: 0,
            duration: None,
            traffic: None,
            request: None,
            certificates: Vec::new(),
            own_certificate: None,
            reloaded: Vec::new(),
            dropped: None,
            suppressed: None,
        }
    }

    /// Whether the attempt, the reload or the request succeeded; `None` for other events.
    pub const fn outcome(&self) -> Option<Outcome> {
        self.action.outcome()
    }

    /// Sets the certificates that the peer presented. Known ones are not parsed again.
    pub(crate) fn set_presented(
        &mut self,
        presented: &[CertificateDer<'_>],
        known: &[Certificate],
    ) {
        self.certificates = presented
            .iter()
            .take(Self::MAX_CERTIFICATES)
            .map(|der| PresentedCertificate::of(der, known))
            .collect();
    }

    /// Sets parsed certificates.
    pub(crate) fn set_certificates(&mut self, certificates: &[Certificate]) {
        let read = certificates.iter().take(Self::MAX_CERTIFICATES).cloned();
        self.certificates = read.map(PresentedCertificate::Read).collect();
    }
}

impl Action {
    /// The number of actions.
    pub(super) const COUNT: usize = Self::RefusalsSuppressed.index() + 1;

    pub(super) const fn index(self) -> usize {
        self as usize
    }

    /// A stable code for programs: `"admitted"`, `"chain_refused"`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admitted => "admitted",
            Self::Denied => "denied",
            Self::NotIdentified => "not_identified",
            Self::ChainRefused => "chain_refused",
            Self::HandshakeFailed => "handshake_failed",
            Self::TimedOut => "timed_out",
            Self::Shed => "shed",
            Self::Abandoned => "abandoned",
            Self::Draining => "draining",
            Self::Cut => "cut",
            Self::Closed => "closed",
            Self::RequestAllowed => "request_allowed",
            Self::RequestDenied => "request_denied",
            Self::Vouched => "vouched",
            Self::AcceptFailed => "accept_failed",
            Self::ReloadApplied => "reload_applied",
            Self::ReloadRefused => "reload_refused",
            Self::ReloadRecovered => "reload_recovered",
            Self::CrlRolledBack => "crl_rolled_back",
            Self::CrlSkipped => "crl_skipped",
            Self::CredentialsWarning => "credentials_warning",
            Self::CertificateExpiring => "certificate_expiring",
            Self::EventsDropped => "events_dropped",
            Self::RefusalsSuppressed => "refusals_suppressed",
        }
    }

    /// Whether it is the outcome of an attempt to connect.
    pub const fn ends_attempt(self) -> bool {
        matches!(
            self,
            Self::Admitted
                | Self::Denied
                | Self::NotIdentified
                | Self::ChainRefused
                | Self::HandshakeFailed
                | Self::TimedOut
                | Self::Shed
                | Self::Abandoned
        )
    }

    /// Whether the attempt, the reload or the request succeeded; `None` for other events.
    pub const fn outcome(self) -> Option<Outcome> {
        match self {
            Self::Admitted
            | Self::Vouched
            | Self::RequestAllowed
            | Self::ReloadApplied
            | Self::ReloadRecovered => Some(Outcome::Success),
            Self::RequestDenied
            | Self::AcceptFailed
            | Self::ReloadRefused
            | Self::EventsDropped
            | Self::RefusalsSuppressed => Some(Outcome::Failure),
            Self::Draining
            | Self::Cut
            | Self::Closed
            | Self::CrlRolledBack
            | Self::CrlSkipped
            | Self::CredentialsWarning
            | Self::CertificateExpiring => None,
            _ => Some(Outcome::Failure),
        }
    }
}

impl Outcome {
    /// `"success"` or `"failure"`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
        }
    }
}

impl Stage {
    /// A stable code for programs: `"handshake"`, `"policy"`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Transport => "transport",
            Self::Handshake => "handshake",
            Self::Chain => "chain",
            Self::Proof => "proof",
            Self::Identity => "identity",
            Self::Policy => "policy",
            Self::Open => "open",
        }
    }
}

impl Proof {
    /// `"proven"`, `"vouched"` or `"claimed"`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Proven => "proven",
            Self::Vouched => "vouched",
            Self::Claimed => "claimed",
        }
    }
}

impl PresentedCertificate {
    fn of(der: &CertificateDer<'_>, known: &[Certificate]) -> Self {
        let read = match known.iter().find(|known| known.der() == der) {
            Some(known) => Some(known.clone()),
            None => Certificate::from_der(der).ok(),
        };
        match read {
            Some(certificate) => Self::Read(certificate),
            None => Self::Unreadable {
                sha256: Fingerprint::of(der),
                length: der.len(),
            },
        }
    }

    /// The certificate, if it could be parsed.
    pub const fn certificate(&self) -> Option<&Certificate> {
        match self {
            Self::Read(certificate) => Some(certificate),
            Self::Unreadable { .. } => None,
        }
    }
}

/// The identifier of an event: 32 hexadecimal digits. One half is random for each process, the other
/// half is a counter, so that a gap shows lost events of a process.
///
/// ```
/// use std::collections::HashSet;
///
/// use countersign::audit::{AuditEvent, EventId};
///
/// /// Whether an event is new, where a transport may deliver it twice.
/// fn is_new(seen: &mut HashSet<EventId>, event: &AuditEvent) -> bool {
///     seen.insert(event.id)
/// }
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId(u128);

impl EventId {
    fn next() -> Self {
        static PROCESS: OnceLock<u64> = OnceLock::new();
        static NEXT: AtomicU64 = AtomicU64::new(1);

        // Seeded by the operating system. It identifies, and protects nothing.
        let process = *PROCESS.get_or_init(|| RandomState::new().hash_one(std::process::id()));
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self(u128::from(process) << 64 | u128::from(number))
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventId({self})")
    }
}
