//! The one place where a peer becomes admitted: chain → verify → identify → authorize.
//!
//! Both sides and every way in (tokio, blocking rustls, a bare chain from QUIC) pass through
//! [`Gate`]. It does no I/O. Each step takes the proof of the one before as its argument, and the
//! proofs' constructors are private to their modules, so that a skipped step does not compile.

mod admission;
mod alert;
mod audited;
mod error;
mod identified;
#[cfg(feature = "tokio")]
pub(crate) mod live;
#[cfg(feature = "tokio")]
mod open;
mod trusted;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use rustls::client::ClientConnection;
use rustls::server::ServerConnection;
use rustls::time_provider::TimeProvider;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

pub use admission::Admission;
pub(crate) use alert::{alert_name, certificate_error};
pub use error::AdmitError;
pub(crate) use identified::Identified;
#[cfg(feature = "tokio")]
pub use live::{Ended, OpenConnection};
pub(crate) use trusted::{TrustId, Trusted, Verified};

use crate::audit::{Auditor, Witness};
use crate::identity::{IdentityExtractor, extract_caught};
use crate::policy::{self, Denies, Policy, Verdict};
use crate::trust::{ChainError, ChainVerifier};
use crate::{ConnectionInfo, Peer};

/// Decides about every peer of one acceptor or connector.
///
/// `Acceptor::accept` and `Connector::connect` use it; use it yourself with
/// rustls connections that you drive without tokio, and with QUIC.
///
/// # Security
/// [`admit`](Self::admit) trusts rustls that the peer owns the key of the certificate that it
/// presented. That holds for connections made with the configuration of the same acceptor
/// (`Acceptor::rustls_config`); a configuration whose verifier accepts any signature would make
/// every answer worthless.
pub struct Gate<I> {
    inner: Arc<Inner<I>>,
}

struct Inner<I> {
    /// Roots, pins and CRLs: sessions and remembered chains hang on it.
    trusted: ArcSwap<Trusted<I>>,
    server_names: ServerNames,
    extractor: Box<dyn IdentityExtractor<Identity = I>>,
    deny_list: Option<Box<dyn Denies<I>>>,
    authorizer: ArcSwap<Authorizer<I>>,
    clock: Arc<dyn TimeProvider>,
    auditor: Arc<Auditor<I>>,
    /// The connections that are open.
    #[cfg(feature = "tokio")]
    registry: Arc<live::Registry<I>>,
    /// How many may be.
    #[cfg(feature = "tokio")]
    places: Arc<live::Places<I>>,
    #[cfg(feature = "tokio")]
    spawn: arc_swap::ArcSwapOption<open::Spawn>,
    /// How often the policy was replaced: what was asked of an older one counts no more.
    #[cfg(feature = "tokio")]
    policies: std::sync::atomic::AtomicU64,
}

/// How a gate judges: what a builder collects for it.
pub(crate) struct Rules<I> {
    pub(crate) verifier: ChainVerifier,
    /// Of the verification cache; 0 turns it off.
    pub(crate) cache_capacity: usize,
    pub(crate) server_names: ServerNames,
    pub(crate) extractor: Box<dyn IdentityExtractor<Identity = I>>,
    pub(crate) deny_list: Option<Box<dyn Denies<I>>>,
    pub(crate) authorizer: Authorizer<I>,
    pub(crate) clock: Arc<dyn TimeProvider>,
    pub(crate) auditor: Auditor<I>,
    #[cfg(feature = "tokio")]
    pub(crate) connections: live::ConnectionLimits<I>,
}

/// When connections end by themselves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lifetimes {
    /// From the first notice to the cut.
    pub(crate) drain: Duration,
    pub(crate) max_age: Option<Duration>,
}

/// Whether a server's certificate must be valid for the name that was dialled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ServerNames {
    /// It must (RFC 9525).
    #[default]
    Verify,
    /// The policy decides about the identity alone, as with SPIFFE IDs, where certificates carry
    /// no host names.
    LeaveToPolicy,
}

/// The policy in force, in either form.
pub(crate) enum Authorizer<I> {
    Sync(Box<dyn Policy<I>>),
    #[cfg(feature = "tokio")]
    Async {
        policy: Box<dyn policy::DynAsyncPolicy<I>>,
        timeout: Duration,
    },
}

impl<I> Gate<I> {
    pub(crate) fn new(rules: Rules<I>) -> Self
    where
        I: Send + Sync + 'static,
    {
        let auditor = Arc::new(rules.auditor);
        let gate = Self {
            inner: Arc::new(Inner {
                trusted: ArcSwap::from_pointee(Trusted::new(rules.verifier, rules.cache_capacity)),
                server_names: rules.server_names,
                extractor: rules.extractor,
                deny_list: rules.deny_list,
                authorizer: ArcSwap::from_pointee(rules.authorizer),
                clock: rules.clock,
                #[cfg(feature = "tokio")]
                registry: Arc::new(live::Registry::new(Arc::clone(&auditor))),
                #[cfg(feature = "tokio")]
                places: Arc::new(live::Places::new(rules.connections)),
                auditor,
                #[cfg(feature = "tokio")]
                spawn: arc_swap::ArcSwapOption::empty(),
                #[cfg(feature = "tokio")]
                policies: std::sync::atomic::AtomicU64::new(0),
            }),
        };
        #[cfg(feature = "tokio")]
        if let Some(list) = &gate.inner.deny_list {
            let inner: Arc<dyn policy::OnChange> = gate.inner.clone();
            list.tell_to(Arc::downgrade(&inner));
        }
        gate
    }

    /// Judges the peer of a rustls connection that has finished its handshake.
    ///
    /// A client's connection comes with the name that was dialled:
    /// `gate.admit((&connection, &server_name), address)`.
    ///
    /// The chain is verified here, whether or not a handshake just did so, because a resumed
    /// session skips rustls' verifier.
    ///
    /// The connection is yours: it is neither listed nor judged again when the rules change. Where it
    /// lives long, admit it again from time to time.
    ///
    /// # Errors
    /// [`AdmitError`]: why the peer is refused. With an async policy, always
    /// [`AdmitError::PolicyIsAsync`]; use `admit_async` then.
    pub fn admit<'c>(
        &self,
        connection: impl Into<Handshaken<'c>>,
        remote_addr: impl Into<Option<SocketAddr>>,
    ) -> Result<Admission<I>, AdmitError> {
        let (presented, info) = connection.into().read(remote_addr.into(), None)?;
        self.admit_chain(presented, info)
    }

    /// Judges the peer of a protocol other than TLS over rustls connections, such as QUIC, by the
    /// chain that it presented, leaf first. As with [`admit`](Self::admit), the connection is not
    /// judged again by itself.
    ///
    /// # Errors
    /// As for [`admit`](Self::admit).
    ///
    /// # Security
    /// Call it only after the peer has proven to own the leaf's key.
    pub fn admit_chain(
        &self,
        presented: &[CertificateDer<'_>],
        info: ConnectionInfo,
    ) -> Result<Admission<I>, AdmitError> {
        let mut witness = self.witness(info.clone());
        witness.tells_peer = false; // whoever asks does
        let verified = self.verify_for(presented, &info);
        self.judge_bare(witness, verified, presented, info)
    }

    /// Steps 2 and 3, and the record of what came of it, for a chain of which step 1 is done.
    pub(crate) fn judge_bare(
        &self,
        witness: Witness,
        verified: Result<Verified, AdmitError>,
        presented: &[CertificateDer<'_>],
        info: ConnectionInfo,
    ) -> Result<Admission<I>, AdmitError> {
        let identified = verified.and_then(|verified| self.identify(&verified, presented, info));
        let judged = match identified {
            Ok(identified) => {
                let who = identified.peer.clone();
                let decided = self.authorize(identified);
                decided.map_err(|error| (error, Some(who)))
            }
            Err(error) => Err((error, None)),
        };
        self.audited(witness, presented, judged)
    }

    /// As [`admit`](Self::admit), for either kind of policy.
    ///
    /// # Errors
    /// [`AdmitError`]: why the peer is refused.
    #[cfg(feature = "tokio")]
    pub async fn admit_async<'c>(
        &self,
        connection: impl Into<Handshaken<'c>>,
        remote_addr: impl Into<Option<SocketAddr>>,
    ) -> Result<Admission<I>, AdmitError> {
        let (presented, info) = connection.into().read(remote_addr.into(), None)?;
        self.admit_chain_async(presented, info).await
    }

    /// As [`admit_chain`](Self::admit_chain), for either kind of policy.
    ///
    /// # Errors
    /// [`AdmitError`]: why the peer is refused.
    #[cfg(feature = "tokio")]
    pub async fn admit_chain_async(
        &self,
        presented: &[CertificateDer<'_>],
        info: ConnectionInfo,
    ) -> Result<Admission<I>, AdmitError> {
        let mut witness = self.witness(info.clone());
        witness.tells_peer = false; // whoever asks does
        let verified = self.verify_for(presented, &info);
        let identified = verified.and_then(|verified| self.identify(&verified, presented, info));
        let judged = match identified {
            Ok(identified) => {
                let who = identified.peer.clone();
                let decided = self.authorize_async(identified).await;
                decided.map_err(|error| (error, Some(who)))
            }
            Err(error) => Err((error, None)),
        };
        self.audited(witness, presented, judged)
    }

    /// How often the trust was set: 1 at first, one more with each update of roots, pins, CRLs or
    /// credentials. A new policy or deny list does not count.
    pub fn generation(&self) -> u64 {
        self.inner.trusted.load().generation()
    }

    /// The trust in force.
    pub(crate) fn trusted(&self) -> Arc<Trusted<I>> {
        self.inner.trusted.load_full()
    }

    pub(crate) fn trust_id(&self) -> TrustId {
        self.inner.trusted.load().id()
    }

    /// Starts a new generation of trust. Whoever calls it sees to it that no other call comes
    /// between reading the old one and this.
    ///
    /// Open connections are judged by it when `judge_open` is called.
    pub(crate) fn set_trust(&self, verifier: ChainVerifier) -> u64 {
        let next = self.inner.trusted.load().next(verifier);
        let generation = next.generation();
        self.inner.trusted.store(Arc::new(next));
        generation
    }

    /// Replaces the policy. Open connections are judged by it when `judge_open` is called.
    pub(crate) fn set_authorizer(&self, authorizer: Authorizer<I>) {
        self.inner.authorizer.store(Arc::new(authorizer));
    }

    pub(crate) fn now(&self) -> Result<UnixTime, AdmitError> {
        self.inner.clock.current_time().ok_or(AdmitError::NoClock)
    }

    /// Step 1: the chain leads to somebody whom we trust, and is valid for the name we dialled.
    pub(crate) fn verify(
        &self,
        presented: &[CertificateDer<'_>],
        dialled: Option<&ServerName<'_>>,
        now: UnixTime,
    ) -> Result<Verified, ChainError> {
        let verified = self.inner.trusted.load().verify(presented, now)?;
        self.log().counts().chain(verified.is_remembered());
        if let (Some(name), ServerNames::Verify) = (dialled, self.inner.server_names) {
            ChainVerifier::verify_name(verified.chain().leaf(), name)?;
        }
        Ok(verified)
    }

    pub(crate) fn verify_for(
        &self,
        presented: &[CertificateDer<'_>],
        info: &ConnectionInfo,
    ) -> Result<Verified, AdmitError> {
        let is_client = self.inner.trusted.load().verifier().is_for_servers();
        let must_match = is_client && self.inner.server_names == ServerNames::Verify;
        let dialled = match (must_match, info.server_name()) {
            (false, _) => None,
            (true, Some(name)) => {
                Some(ServerName::try_from(name).map_err(|_| AdmitError::UnknownServerName)?)
            }
            (true, None) => return Err(AdmitError::UnknownServerName),
        };
        Ok(self.verify(presented, dialled.as_ref(), self.now()?)?)
    }

    /// Step 2: the leaf says who that is.
    pub(crate) fn identify<'c>(
        &self,
        verified: &Verified,
        presented: &'c [CertificateDer<'c>],
        info: ConnectionInfo,
    ) -> Result<Identified<'c, I>, AdmitError> {
        let chain = verified.chain();
        let trusted = self.inner.trusted.load();
        let permitted = |name: &str| chain.permits_common_name(name);
        let extract = || extract_caught(&*self.inner.extractor, chain.leaf(), &permitted);
        match trusted.identity(verified, extract) {
            Ok(identity) => Ok(Identified {
                peer: Peer::new(identity, chain.clone(), info),
                presented,
                trust: verified.trust(),
            }),
            Err(error) => Err(AdmitError::Identity {
                certificate: chain.leaf().clone(),
                error,
            }),
        }
    }

    /// Before the policy: nobody has put the peer on the deny list.
    fn check_deny_list(&self, peer: &Peer<I>) -> Result<(), AdmitError> {
        match self
            .inner
            .deny_list
            .as_ref()
            .and_then(|list| list.denies(peer))
        {
            None => Ok(()),
            Some(by) => Err(AdmitError::DenyListed {
                certificate: peer.certificate().clone(),
                by,
            }),
        }
    }

    /// Step 3: the policy says yes.
    pub(crate) fn authorize(
        &self,
        identified: Identified<'_, I>,
    ) -> Result<Admission<I>, AdmitError> {
        self.check_deny_list(&identified.peer)?;
        let began = Instant::now();
        let verdict = match &**self.inner.authorizer.load() {
            Authorizer::Sync(policy) => policy::decide(&**policy, &identified.peer),
            #[cfg(feature = "tokio")]
            Authorizer::Async { .. } => return Err(AdmitError::PolicyIsAsync),
        };
        self.log().counts().policy(began.elapsed());
        self.conclude(verdict, identified)
    }

    /// Step 3, for either kind of policy.
    #[cfg(feature = "tokio")]
    pub(crate) async fn authorize_async(
        &self,
        identified: Identified<'_, I>,
    ) -> Result<Admission<I>, AdmitError> {
        let verdict = self.decide_async(&identified.peer).await?;
        self.conclude(verdict, identified)
    }

    /// What deny list and policy say.
    #[cfg(feature = "tokio")]
    async fn decide_async(&self, peer: &Peer<I>) -> Result<Verdict, AdmitError> {
        self.check_deny_list(peer)?;
        let began = Instant::now();
        // A full clone of the Arc: a guard must not be held across an await.
        let verdict = match &*self.inner.authorizer.load_full() {
            Authorizer::Sync(policy) => policy::decide(&**policy, peer),
            Authorizer::Async { policy, timeout } => {
                policy::decide_in_time(&**policy, peer, *timeout).await
            }
        };
        self.log().counts().policy(began.elapsed());
        Ok(verdict)
    }

    /// Time went by while the policy was asked: what it was asked about must still hold.
    fn conclude(
        &self,
        verdict: Verdict,
        identified: Identified<'_, I>,
    ) -> Result<Admission<I>, AdmitError> {
        let Identified {
            peer,
            presented,
            trust,
        } = identified;
        let admission = Admission::of(verdict, peer)?;
        self.check_facts(admission.peer(), presented, trust)?;
        Ok(admission)
    }

    /// Whether the trust still vouches for a peer that was verified by `trust`, and nobody has put
    /// it on the deny list.
    fn check_facts(
        &self,
        peer: &Peer<I>,
        presented: &[CertificateDer<'_>],
        trust: TrustId,
    ) -> Result<(), AdmitError> {
        if trust != self.trust_id() || !peer.chain().holds_at(self.now()?) {
            self.verify_for(presented, peer.connection())?;
        }
        self.check_deny_list(peer)
    }
}

impl<I> Clone for Gate<I> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
        }
    }
}

impl<I> fmt::Debug for Gate<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate")
            .field("trusted", &self.inner.trusted.load())
            .field("server_names", &self.inner.server_names)
            .finish_non_exhaustive()
    }
}

/// A rustls connection whose peer is to be judged.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Handshaken<'c> {
    /// A server's connection.
    Server(&'c ServerConnection),
    /// A client's connection, with the name that was dialled.
    Client(&'c ClientConnection, &'c ServerName<'c>),
}

impl<'c> From<&'c ServerConnection> for Handshaken<'c> {
    fn from(connection: &'c ServerConnection) -> Self {
        Self::Server(connection)
    }
}

impl<'c> From<(&'c ClientConnection, &'c ServerName<'c>)> for Handshaken<'c> {
    fn from((connection, dialled): (&'c ClientConnection, &'c ServerName<'c>)) -> Self {
        Self::Client(connection, dialled)
    }
}

impl<'c> Handshaken<'c> {
    pub(crate) fn read(
        self,
        remote_addr: Option<SocketAddr>,
        local_addr: Option<SocketAddr>,
    ) -> Result<(&'c [CertificateDer<'static>], ConnectionInfo), AdmitError> {
        let (state, server_name): (&rustls::CommonState, _) = match self {
            Self::Server(connection) => (connection, connection.server_name().map(Into::into)),
            Self::Client(connection, dialled) => (connection, Some(dialled.to_str().into_owned())),
        };
        if state.is_handshaking() {
            return Err(AdmitError::HandshakeIncomplete);
        }
        // Without any, the chain is refused for that.
        let presented = state.peer_certificates().unwrap_or_default();
        let mut info = ConnectionInfo::default()
            .with_tls(state)
            .with_remote_addr(remote_addr)
            .with_local_addr(local_addr);
        if let Some(name) = server_name {
            info = info.with_server_name(name);
        }
        Ok((presented, info))
    }
}
