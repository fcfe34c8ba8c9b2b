//! What is recorded of one outcome.

use std::borrow::Cow;
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use rustls_pki_types::CertificateDer;

use crate::peer::ConnectionInfo;
use crate::pki::{Certificate, Fingerprint};

/// The record of one outcome: of an attempt to connect, of a later change of an open connection,
/// or of a reload.
///
/// Text in it that comes from a peer (`identity`, `detail`, the names in certificates) may hold any
/// character: a sink that prints it must escape control characters and bidirectional marks, as the
/// sinks of [`audit`](super) do.
///
/// # Limits
/// When an event is recorded, its own text is cut, visibly (`…(+1,234 bytes)`): `detail` and an identity
/// after 2,048 bytes, the path of a request after 1,024, its method after 64, everything else after 256. As
/// one line it has at most [`MAX_TEXT`](Self::MAX_TEXT) bytes, and as JSON at most
/// [`MAX_JSON`](Self::MAX_JSON), whatever the peer's certificates hold. The certificates themselves are
/// whole: a sink that writes their names has to bound them.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AuditEvent {
    /// Tells it from every other event.
    pub id: EventId,
    /// When it was recorded, by the system's clock.
    pub time: SystemTime,
    /// What happened.
    pub action: Action,
    /// Which of the two sides we are.
    pub side: Side,
    /// The acceptor's or connector's name, if the builder gave it one.
    pub name: Option<Arc<str>>,
    /// The connection's number in this process: that of
    /// [`OpenConnection::id`](crate::gate::OpenConnection::id). `None` where it is about none.
    pub connection: Option<u64>,
    /// How far an attempt came; `None` for other events.
    pub stage: Option<Stage>,
    /// A stable code: that of the error's `reason()`. `None` where nothing is to be explained.
    pub reason: Option<&'static str>,
    /// One line for people: the cause, and the remedy where one is known.
    pub detail: Option<String>,
    /// The policy's rule that allowed the peer, or that denied a request.
    pub rule: Option<Cow<'static, str>>,
    /// Who the peer is, or claims to be.
    pub identity: Option<AuditedIdentity>,
    /// What is known of the connection: addresses, SNI, ALPN, TLS version, cipher suite.
    pub info: ConnectionInfo,
    /// The alert that was sent or received. `None` where a plain close told the peer, or the
    /// transport is not ours.
    pub alert: Option<Alert>,
    /// The generation of trust in force.
    pub generation: u64,
    /// From the start of an attempt to its outcome; of an ended connection, how long it was open; of a
    /// summary, the time that it is about.
    pub duration: Option<Duration>,
    /// What went through an ended connection, TLS' own bytes apart.
    pub traffic: Option<Traffic>,
    /// The request that was denied.
    pub request: Option<AuditedRequest>,
    /// What the peer presented, leaf first; of a connection that was open, the verified path.
    pub certificates: Vec<PresentedCertificate>,
    /// The certificate of ours that is about to expire.
    pub own_certificate: Option<Certificate>,
    /// What a reload has replaced.
    pub reloaded: Vec<String>,
    /// How many events could not be recorded since the last that could.
    pub dropped: Option<u64>,
    /// Of a summary ([`Action::RefusalsSuppressed`]): which refusals it is about, beside their
    /// `reason`, and how many.
    pub suppressed: Option<Suppressed>,
}

/// What happened.
///
/// The first eight are the outcomes of an attempt: each attempt has exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Action {
    /// The peer was verified, identified and allowed.
    Admitted,
    /// The policy or the deny list refused the peer.
    Denied,
    /// The certificate does not say, in one way only, who its holder is.
    NotIdentified,
    /// The peer's chain is missing, malformed, not trusted, expired or revoked.
    ChainRefused,
    /// The TLS handshake failed otherwise.
    HandshakeFailed,
    /// It was not over in time.
    TimedOut,
    /// A listener closed the connection before its handshake was over: before any TLS work, or to make room.
    Shed,
    /// The application gave the attempt up, or a listener that shut down did.
    Abandoned,
    /// An open connection is to come to its end.
    Draining,
    /// An open connection was cut.
    Cut,
    /// A connection was closed.
    Closed,
    /// A request over an admitted connection was denied.
    RequestDenied,
    /// A listener could not accept a connection, and tries again.
    AcceptFailed,
    /// A reload replaced something.
    ReloadApplied,
    /// A reload changed nothing, because what was to be taken is bad; or an update by the application
    /// changed nothing, because it would have rolled a CRL back.
    ReloadRefused,
    /// An update or a reload replaced a CRL with an earlier one of the same issuer and scope, because
    /// [`Revocation::rollback`](crate::trust::Revocation::rollback) allows it.
    CrlRolledBack,
    /// A certificate of ours is about to expire, or has expired.
    CertificateExpiring,
    /// Events before this one could not be recorded.
    EventsDropped,
    /// Refusals of peers that had not proven their key were counted and not recorded singly: there
    /// were more of one reason than the builder's `audit_refusals_per_second`.
    RefusalsSuppressed,
}

/// Whether what was wanted came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It did.
    Success,
    /// It did not.
    Failure,
}

/// The side that we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// We accept.
    Server,
    /// We connect.
    Client,
}

/// How far an attempt came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Stage {
    /// The connection was there, and no TLS yet.
    Transport,
    /// The TLS handshake.
    Handshake,
    /// The peer's chain was judged.
    Chain,
    /// The peer was to prove that it owns its key.
    Proof,
    /// The identity was to be read.
    Identity,
    /// The policy was asked.
    Policy,
    /// The connection was open.
    Open,
}

/// Who a peer is, or claims to be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditedIdentity {
    /// The identity as text.
    pub text: String,
    /// What it is worth.
    pub proof: Proof,
}

/// What an identity is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Proof {
    /// The chain was verified and the peer has proven to own the leaf's key.
    Proven,
    /// It only stands in a certificate that the peer has shown: anybody can show any.
    Claimed,
}

/// An alert that ended an attempt or a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Alert {
    /// We sent it, or did what we could to: who is gone does not get it. The name is RFC 8446's:
    /// `access_denied`.
    Sent(Cow<'static, str>),
    /// It came from the peer.
    Received(Cow<'static, str>),
}

/// Bytes of the application.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Traffic {
    /// From the peer.
    pub received: u64,
    /// To the peer.
    pub sent: u64,
}

/// Refusals that a summary stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Suppressed {
    /// Their outcome.
    pub action: Action,
    /// How many there were.
    pub count: u64,
}

/// A request over an admitted connection.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditedRequest {
    /// The HTTP method.
    pub method: String,
    /// The path as it was sent, without the query.
    pub path: String,
}

/// A certificate as a peer presented it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PresentedCertificate {
    /// It could be read; that says nothing about who made it.
    Read(Certificate),
    /// It is no certificate, or a damaged one.
    Unreadable {
        /// SHA-256 of the bytes.
        sha256: Fingerprint,
        /// How many bytes there are.
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

    /// Whether what was wanted came about: of every attempt, and of reloads and requests; `None`
    /// where nothing was wanted.
    pub const fn outcome(&self) -> Option<Outcome> {
        self.action.outcome()
    }

    /// Takes what the peer presented. Those that were read before are not read again.
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

    /// Takes certificates that were read.
    pub(crate) fn set_certificates(&mut self, certificates: &[Certificate]) {
        let read = certificates.iter().take(Self::MAX_CERTIFICATES).cloned();
        self.certificates = read.map(PresentedCertificate::Read).collect();
    }
}

impl Action {
    /// How many there are.
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
            Self::RequestDenied => "request_denied",
            Self::AcceptFailed => "accept_failed",
            Self::ReloadApplied => "reload_applied",
            Self::ReloadRefused => "reload_refused",
            Self::CrlRolledBack => "crl_rolled_back",
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

    /// Whether what was wanted came about; `None` where nothing was wanted.
    pub const fn outcome(self) -> Option<Outcome> {
        match self {
            Self::Admitted | Self::ReloadApplied => Some(Outcome::Success),
            Self::RequestDenied
            | Self::AcceptFailed
            | Self::ReloadRefused
            | Self::EventsDropped
            | Self::RefusalsSuppressed => Some(Outcome::Failure),
            Self::Draining
            | Self::Cut
            | Self::Closed
            | Self::CrlRolledBack
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

impl Side {
    /// `"server"` or `"client"`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Client => "client",
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
    /// `"proven"` or `"claimed"`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Proven => "proven",
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

    /// The certificate, if it could be read.
    pub const fn certificate(&self) -> Option<&Certificate> {
        match self {
            Self::Read(certificate) => Some(certificate),
            Self::Unreadable { .. } => None,
        }
    }
}

/// The name of an event: 32 hexadecimal digits, half of which the process chose at random and half
/// of which count, so that a gap shows where events of a process were lost.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId(u128);

impl EventId {
    fn next() -> Self {
        static PROCESS: OnceLock<u64> = OnceLock::new();
        static NEXT: AtomicU64 = AtomicU64::new(1);

        // Seeded by the operating system; it names, and keeps no secret.
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
