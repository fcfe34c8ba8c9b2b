//! The one place where a peer becomes admitted: chain → verify → identify → authorize.
//!
//! Both sides and every way in (tokio, blocking rustls, a bare chain from QUIC) pass through
//! [`Gate`]. It does no I/O. Each step takes the proof of the one before as its argument, and the
//! proofs' constructors are private to their modules, so that a skipped step does not compile.

mod admission;
mod alert;
mod error;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::client::ClientConnection;
use rustls::server::ServerConnection;
use rustls::time_provider::TimeProvider;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

pub use admission::Admission;
pub(crate) use alert::certificate_error;
pub use error::AdmitError;

use crate::identity::{IdentityExtractor, extract_caught};
use crate::policy::{self, Policy};
use crate::trust::{ChainError, ChainVerifier, VerifiedChain};
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
    verifier: ChainVerifier,
    server_names: ServerNames,
    extractor: Box<dyn IdentityExtractor<Identity = I>>,
    authorizer: ArcSwap<Authorizer<I>>,
    clock: Arc<dyn TimeProvider>,
}

/// See [`Gate::id`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GateId(usize);

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
        timeout: std::time::Duration,
    },
}

impl<I> Gate<I> {
    pub(crate) fn new(
        verifier: ChainVerifier,
        server_names: ServerNames,
        extractor: Box<dyn IdentityExtractor<Identity = I>>,
        authorizer: Authorizer<I>,
        clock: Arc<dyn TimeProvider>,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                verifier,
                server_names,
                extractor,
                authorizer: ArcSwap::from_pointee(authorizer),
                clock,
            }),
        }
    }

    /// Judges the peer of a rustls connection that has finished its handshake.
    ///
    /// A client's connection comes with the name that was dialled:
    /// `gate.admit((&connection, &server_name), address)`.
    ///
    /// The chain is verified here, whether or not a handshake just did so, because a resumed
    /// session skips rustls' verifier.
    ///
    /// # Errors
    /// [`AdmitError`]: why the peer is refused. With an async policy, always
    /// [`AdmitError::PolicyIsAsync`]; use `admit_async` then.
    pub fn admit<'c>(
        &self,
        connection: impl Into<Handshaken<'c>>,
        remote_addr: impl Into<Option<SocketAddr>>,
    ) -> Result<Admission<I>, AdmitError> {
        let (presented, info) = connection.into().read(remote_addr.into())?;
        self.admit_chain(presented, info)
    }

    /// Judges the peer of a protocol other than TLS over rustls connections, such as QUIC, by the
    /// chain that it presented, leaf first.
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
        let chain = self.verify_for(presented, &info)?;
        self.authorize(self.identify(chain, info)?)
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
        let (presented, info) = connection.into().read(remote_addr.into())?;
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
        let chain = self.verify_for(presented, &info)?;
        self.authorize_async(self.identify(chain, info)?).await
    }

    /// Tells this gate and its clones from all others, while it lives.
    pub(crate) fn id(&self) -> GateId {
        GateId(Arc::as_ptr(&self.inner).addr())
    }

    /// Replaces the policy for every connection that is judged from now on.
    pub(crate) fn set_authorizer(&self, authorizer: Authorizer<I>) {
        self.inner.authorizer.store(Arc::new(authorizer));
    }

    pub(crate) fn now(&self) -> Result<UnixTime, AdmitError> {
        self.inner.clock.current_time().ok_or(AdmitError::NoClock)
    }

    pub(crate) fn verifier(&self) -> &ChainVerifier {
        &self.inner.verifier
    }

    /// Step 1: the chain leads to somebody whom we trust, and is valid for the name we dialled.
    pub(crate) fn verify(
        &self,
        presented: &[CertificateDer<'_>],
        dialled: Option<&ServerName<'_>>,
        now: UnixTime,
    ) -> Result<VerifiedChain, ChainError> {
        let chain = self.inner.verifier.verify(presented, now)?;
        if let (Some(name), ServerNames::Verify) = (dialled, self.inner.server_names) {
            ChainVerifier::verify_name(chain.leaf(), name)?;
        }
        Ok(chain)
    }

    pub(crate) fn verify_for(
        &self,
        presented: &[CertificateDer<'_>],
        info: &ConnectionInfo,
    ) -> Result<VerifiedChain, AdmitError> {
        let must_match =
            self.inner.verifier.is_for_servers() && self.inner.server_names == ServerNames::Verify;
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
    pub(crate) fn identify(
        &self,
        chain: VerifiedChain,
        info: ConnectionInfo,
    ) -> Result<Peer<I>, AdmitError> {
        match extract_caught(&*self.inner.extractor, chain.leaf()) {
            Ok(identity) => Ok(Peer::new(identity, chain, info)),
            Err(error) => Err(AdmitError::Identity {
                certificate: chain.leaf().clone(),
                error,
            }),
        }
    }

    /// Step 3: the policy says yes.
    pub(crate) fn authorize(&self, peer: Peer<I>) -> Result<Admission<I>, AdmitError> {
        match &**self.inner.authorizer.load() {
            Authorizer::Sync(policy) => Admission::of(policy::decide(&**policy, &peer), peer),
            #[cfg(feature = "tokio")]
            Authorizer::Async { .. } => Err(AdmitError::PolicyIsAsync),
        }
    }

    /// Step 3, for either kind of policy.
    #[cfg(feature = "tokio")]
    pub(crate) async fn authorize_async(&self, peer: Peer<I>) -> Result<Admission<I>, AdmitError> {
        // A full clone of the Arc: a guard must not be held across an await.
        let verdict = match &*self.inner.authorizer.load_full() {
            Authorizer::Sync(policy) => policy::decide(&**policy, &peer),
            Authorizer::Async { policy, timeout } => {
                policy::decide_in_time(&**policy, &peer, *timeout).await
            }
        };
        Admission::of(verdict, peer)
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
            .field("trust", self.inner.verifier.store())
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
    ) -> Result<(&'c [CertificateDer<'static>], ConnectionInfo), AdmitError> {
        let (state, server_name): (&rustls::CommonState, _) = match self {
            Self::Server(connection) => (connection, connection.server_name().map(Into::into)),
            Self::Client(connection, dialled) => (connection, Some(dialled.to_str().into_owned())),
        };
        if state.is_handshaking() {
            return Err(AdmitError::HandshakeIncomplete);
        }
        let presented = state.peer_certificates().ok_or(ChainError::NoCertificate)?;
        let mut info = ConnectionInfo::default()
            .with_tls(state)
            .with_remote_addr(remote_addr);
        if let Some(name) = server_name {
            info = info.with_server_name(name);
        }
        Ok((presented, info))
    }
}
