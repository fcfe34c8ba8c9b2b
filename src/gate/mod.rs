//! The one place where a peer becomes admitted: chain → verify → identify → authorize.
//!
//! Both sides and every way in (tokio, blocking rustls, a bare chain from QUIC) pass through
//! [`Gate`]. It does no I/O. Each step takes the proof of the one before as its argument, and the
//! proofs' constructors are private to their modules, so that a skipped step does not compile.

mod admission;
mod alert;
mod audited;
mod deciding;
mod epoch;
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
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::client::ClientConnection;
use rustls::server::ServerConnection;
use rustls::time_provider::TimeProvider;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

pub use admission::Admission;
pub(crate) use alert::{alert_name, certificate_error};
pub(crate) use epoch::Changed;
pub use error::AdmitError;
pub(crate) use identified::Identified;
#[cfg(feature = "tokio")]
pub use live::{CloseReason, OpenConnection};
pub(crate) use trusted::{GenerationId, TrustGeneration, Verified};

use crate::audit::{Auditor, Witness};
use crate::identity::{IdentityExtractor, extract_caught};
use crate::pki::contained::Contained;
#[cfg(feature = "tokio")]
use crate::policy;
use crate::policy::{Denies, Policy};
use crate::trust::{ChainError, ChainVerifier};
use crate::{Certificate, ConnectionInfo, Peer};

/// Decides about every peer of one acceptor or connector.
///
/// `Acceptor::accept` and `Connector::connect` use it; use it yourself with
/// rustls connections that you drive without tokio, and with QUIC.
///
/// # Security
/// [`admit`](Self::admit) trusts rustls that the peer owns the key of the certificate that it
/// presented. That holds for connections made with the configuration of the same acceptor
/// (`Acceptor::unauthorized_rustls_config`); a configuration whose verifier accepts any signature would make
/// every answer worthless.
pub struct Gate<I> {
    inner: Arc<Inner<I>>,
}

struct Inner<I> {
    /// Roots, pins and CRLs: sessions and remembered chains hang on it.
    trusted: ArcSwap<TrustGeneration<I>>,
    server_names: ServerNameVerification,
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
    /// Ties together what is in force together.
    epochs: epoch::Epochs,
}

/// How a gate judges: what a builder collects for it.
pub(crate) struct Rules<I> {
    pub(crate) verifier: ChainVerifier,
    /// Of the verification cache; 0 turns it off.
    pub(crate) cache_capacity: usize,
    pub(crate) server_names: ServerNameVerification,
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
pub enum ServerNameVerification {
    /// It must (RFC 9525).
    #[default]
    Verify,
    /// The policy decides about the identity alone, as with SPIFFE IDs, where certificates carry
    /// no host names.
    ByPolicy,
}

/// The policy in force, in either form.
pub(crate) enum Authorizer<I> {
    Sync(Contained<Box<dyn Policy<I>>>),
    #[cfg(feature = "tokio")]
    Async {
        policy: Contained<Box<dyn policy::DynAsyncPolicy<I>>>,
        timeout: Duration,
    },
}

impl<I> Authorizer<I> {
    pub(crate) fn sync(policy: impl Policy<I> + 'static) -> Self {
        Self::Sync(Contained::new(Box::new(policy)))
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn asynchronous(
        policy: impl policy::AsyncPolicy<I> + 'static,
        timeout: Duration,
    ) -> Self {
        Self::Async {
            policy: Contained::new(Box::new(policy)),
            timeout,
        }
    }
}

impl<I> Gate<I> {
    pub(crate) fn new(rules: Rules<I>) -> Self
    where
        I: Send + Sync + 'static,
    {
        let auditor = Arc::new(rules.auditor);
        let gate = Self {
            inner: Arc::new(Inner {
                trusted: ArcSwap::from_pointee(TrustGeneration::new(
                    rules.verifier,
                    rules.cache_capacity,
                )),
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
                epochs: epoch::Epochs::default(),
            }),
        };
        #[cfg(feature = "tokio")]
        if let Some(list) = &gate.inner.deny_list {
            let inner: Arc<dyn policy::OnChange> = gate.inner.clone();
            list.notify_on_change(Arc::downgrade(&inner));
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
    pub(crate) fn trusted(&self) -> Arc<TrustGeneration<I>> {
        self.inner.trusted.load_full()
    }

    pub(crate) fn trust_id(&self) -> GenerationId {
        self.inner.trusted.load().id()
    }

    /// Puts everything of one change in force at once, by `swap`, which can neither fail nor wait
    /// nor run code of the application. What it returns is what was in force; it is for the caller
    /// to drop, since that runs such code.
    ///
    /// Open connections are judged by it when `judge_open` is called.
    pub(crate) fn commit<T>(&self, changed: Changed, swap: impl FnOnce() -> T) -> T {
        self.inner.epochs.begin(changed, swap)
    }

    /// The next generation of trust. Whoever calls it sees to it that no other call comes between
    /// this and the swap.
    pub(crate) fn next_trusted(&self, verifier: ChainVerifier) -> Arc<TrustGeneration<I>> {
        Arc::new(self.inner.trusted.load().next(verifier))
    }

    /// Within a `commit`.
    pub(crate) fn swap_trusted(&self, next: Arc<TrustGeneration<I>>) -> Arc<TrustGeneration<I>> {
        self.inner.trusted.swap(next)
    }

    /// Within a `commit`.
    pub(crate) fn swap_authorizer(&self, next: Arc<Authorizer<I>>) -> Arc<Authorizer<I>> {
        self.inner.authorizer.swap(next)
    }

    pub(crate) fn now(&self) -> Result<UnixTime, AdmitError> {
        self.inner.clock.current_time().ok_or(AdmitError::NoClock)
    }

    /// Step 1: the chain leads to a root that we trust, and is valid for the name we connected to.
    pub(crate) fn verify(
        &self,
        presented: &[CertificateDer<'_>],
        dialled: Option<&ServerName<'_>>,
        now: UnixTime,
    ) -> Result<Verified, ChainError> {
        self.verify_and_keep(presented, dialled, now, &mut Vec::new())
    }

    /// As [`verify`](Self::verify); `read` gets the certificates that were read for it.
    pub(crate) fn verify_and_keep(
        &self,
        presented: &[CertificateDer<'_>],
        dialled: Option<&ServerName<'_>>,
        now: UnixTime,
        read: &mut Vec<Certificate>,
    ) -> Result<Verified, ChainError> {
        let verified = self.inner.trusted.load().verify(presented, now, read)?;
        self.log().counts().chain(verified.is_remembered());
        if let (Some(name), ServerNameVerification::Verify) = (dialled, self.inner.server_names) {
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
        let must_match = is_client && self.inner.server_names == ServerNameVerification::Verify;
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
