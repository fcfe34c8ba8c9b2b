//! The accepting side.

mod error;
#[cfg(feature = "tokio")]
mod listener;

use std::fmt;
use std::sync::Arc;
#[cfg(feature = "tokio")]
use std::time::Duration;

use rustls::ServerConfig;

pub use error::{AcceptError, ShedReason};
#[cfg(feature = "tokio")]
pub use listener::{EarlyDrop, Incoming, Listener, ListenerBuilder, ListenerHandle, WhenFull};

use crate::audit::Stats;
#[cfg(feature = "tokio")]
use crate::gate::OpenConnection;
use crate::gate::{Authorizer, Gate};
use crate::identity::TrustDomain;
#[cfg(feature = "tokio")]
use crate::peer::Peer;
#[cfg(feature = "tokio")]
use crate::pki::Certificate;
use crate::policy::Policy;
use crate::tls::builder::{Builder, NeedsCredentials, ServerSide};
use crate::tls::{BuildError, BundleChange, Change, ServerCore, Update};
use crate::trust::TrustStore;

/// Accepts TLS connections from peers that prove who they are and whom the policy allows.
///
/// Made by [`Acceptor::builder`]. Cloning is cheap; clones share everything.
///
/// ```no_run
/// use countersign::identity::SpiffeId;
/// use countersign::{Acceptor, Credentials, Decision, Peer, TrustStore};
///
/// # async fn serve(tcp: tokio::net::TcpStream) -> Result<(), Box<dyn std::error::Error>> {
/// let acceptor = Acceptor::builder()
///     .credentials(Credentials::from_pem_files("server.crt", "server.key")?)
///     .trust(TrustStore::from_pem_file("clients-ca.crt")?)
///     .identify(SpiffeId::extractor())
///     .authorize(|peer: &Peer<SpiffeId>| {
///         if peer.identity().path().starts_with("/ns/billing/") {
///             Decision::allow("billing")
///         } else {
///             Decision::deny("only billing may call orders")
///         }
///     })
///     .build()?;
///
/// let stream = acceptor.accept(tcp).await?;
/// println!("hello {}", stream.peer().identity());
/// # Ok(())
/// # }
/// ```
pub struct Acceptor<I> {
    core: Arc<ServerCore<I>>,
    #[cfg(feature = "tokio")]
    keeper: Arc<crate::stream::Keeper>,
}

impl Acceptor<()> {
    /// Starts a builder: it asks for credentials, trust, an extractor and a policy, in this order.
    pub const fn builder() -> NeedsCredentials<ServerSide> {
        NeedsCredentials::new()
    }
}

impl<I: Send + Sync + 'static> Builder<ServerSide, I> {
    /// Checks everything and makes the acceptor.
    ///
    /// # Errors
    /// [`BuildError`]: an empty trust store, a key that the crypto provider cannot use, a
    /// certificate given for a name (SNI) that it is not valid for, a bad ALPN name, no provider.
    pub fn build(self) -> Result<Acceptor<I>, BuildError> {
        let core = self.into_core()?;
        Ok(Acceptor {
            #[cfg(feature = "tokio")]
            keeper: Arc::new(crate::stream::Keeper::new(core.bounds.lifetimes)),
            core: Arc::new(core),
        })
    }
}

impl<I: Send + Sync + 'static> Acceptor<I> {
    /// The gate, for connections that are driven without tokio.
    pub fn gate(&self) -> &Gate<I> {
        &self.core.gate
    }

    /// The configuration for a [`rustls::ServerConnection`] that you drive yourself.
    ///
    /// When its handshake is over, ask [`gate().admit`](Gate::admit) before you read or write
    /// anything: the handshake has verified the client's chain and key, but neither its identity
    /// nor the policy.
    ///
    /// ```no_run
    /// use countersign::{Acceptor, identity::SpiffeId};
    ///
    /// fn serve(
    ///     acceptor: &Acceptor<SpiffeId>,
    ///     mut tcp: std::net::TcpStream,
    /// ) -> Result<(), Box<dyn std::error::Error>> {
    ///     let mut connection = rustls::ServerConnection::new(acceptor.unauthorized_rustls_config())?;
    ///     while connection.is_handshaking() {
    ///         connection.complete_io(&mut tcp)?;
    ///     }
    ///     let admission = acceptor.gate().admit(&connection, tcp.peer_addr()?)?;
    ///     println!("hello {}", admission.peer().identity());
    ///     Ok(())
    /// }
    /// ```
    ///
    /// Its secrets cannot be extracted, so that a refusal after the handshake just closes. Of a
    /// handshake that fails, nobody here gets to know: the [audit trail](crate::audit) begins with
    /// [`Gate::admit`]. Its sessions end as all others do ([`Resumption`](crate::Resumption)).
    ///
    /// Ask for it for each connection: after an [`update`](Self::update) an older one still shows
    /// the credentials and names the CAs of its own generation. Clients are judged by today's trust
    /// in any case; once, when you ask, and not again while the connection is open.
    pub fn unauthorized_rustls_config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.core.configs().public)
    }

    /// Replaces trust, CRLs or credentials, in all clones of this acceptor, and gives the number
    /// of the new generation.
    ///
    /// Open connections are re-authorized by it; those whose peers it does not admit are cut at once.
    ///
    /// It takes the time that it takes to verify the signatures of the CRLs, so call it where
    /// blocking is allowed if they are large; nobody waits for it meanwhile.
    ///
    /// # Errors
    /// [`BuildError`]: what does not fit, as [`Update`] has it; then nothing has changed.
    pub fn update(&self, update: Update) -> Result<u64, BuildError> {
        let updated = self.change(update);
        updated.inspect_err(|error| self.core.record_refused(error))
    }

    /// Applies a change as a whole, or not at all; then open connections are re-authorized.
    pub(crate) fn change(&self, change: impl Into<Change<I>>) -> Result<u64, BuildError> {
        self.core.change(change)
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn own_certificates(&self) -> Vec<(Option<String>, Certificate)> {
        self.core.own_certificates()
    }

    /// How often this acceptor has done what, and how things stand. Clones share it.
    pub fn stats(&self) -> Stats {
        self.core.stats()
    }

    /// The connections of this acceptor that are open, the oldest first.
    #[cfg(feature = "tokio")]
    pub fn connections(&self) -> Vec<OpenConnection<I>> {
        self.core.gate.listed()
    }

    /// Ends all open connections to such peers at once, with a goodbye, and says how many those
    /// were. They may come back: whom that is not to be allowed, the policy or the deny list must
    /// know first.
    #[cfg(feature = "tokio")]
    pub fn close_where(&self, which: impl Fn(&Peer<I>) -> bool) -> usize {
        let mut open = self.connections();
        open.retain(|connection| which(connection.peer()));
        open.iter().for_each(OpenConnection::end);
        open.len()
    }

    /// Adds a SPIFFE trust domain with its bundle, or replaces its bundle: an
    /// [`update`](Self::update) of a trust that is
    /// [by trust domain](crate::TrustStore::by_trust_domain).
    ///
    /// # Errors
    /// [`BuildError::Bundle`]: the bundle is empty, or the trust is not by trust domain.
    pub fn set_trust_domain(
        &self,
        domain: TrustDomain,
        bundle: TrustStore,
    ) -> Result<u64, BuildError> {
        self.change_bundles(&|bundles| bundles.with(domain.clone(), bundle.clone()))
    }

    /// Removes a SPIFFE trust domain: its members are strangers from now on.
    ///
    /// # Errors
    /// [`BuildError::Bundle`] when the trust is not by trust domain; [`BuildError::EmptyTrust`]
    /// when it is the last one.
    pub fn remove_trust_domain(&self, domain: &TrustDomain) -> Result<u64, BuildError> {
        self.change_bundles(&|bundles| Ok(bundles.without(domain)))
    }

    fn change_bundles(&self, change: BundleChange<'_>) -> Result<u64, BuildError> {
        self.core.change_bundles(change)
    }

    /// Replaces the policy, in all clones of this acceptor.
    ///
    /// Every connection is authorized by it from now on, those that resume a session
    /// included. Open connections are re-authorized, and cut if they are denied.
    pub fn set_policy(&self, policy: impl Policy<I> + 'static) {
        self.set_authorizer(Authorizer::sync(policy));
    }

    /// As [`set_policy`](Self::set_policy), with a policy that has to ask somebody.
    ///
    /// It is asked about every open connection, 64 at a time; those about which it gives no answer
    /// within `timeout` are cut. Changes of trust, CRLs and deny list do not have it asked again:
    /// they are looked at by themselves, for open connections too.
    #[cfg(feature = "tokio")]
    pub fn set_async_policy(
        &self,
        policy: impl crate::policy::AsyncPolicy<I> + 'static,
        timeout: Duration,
    ) {
        self.set_authorizer(Authorizer::asynchronous(policy, timeout));
    }

    fn set_authorizer(&self, authorizer: Authorizer<I>) {
        // Nothing about a policy alone can fail to fit.
        let _ = self.change(authorizer);
    }
}

#[cfg(feature = "tokio")]
mod accept {
    use std::net::SocketAddr;

    use tokio::io::{AsyncRead, AsyncWrite};

    use super::{AcceptError, Acceptor, Arc};
    use crate::audit::{Action, Witness};
    use crate::gate::Handshaken;
    use crate::gate::live::Connection;
    use crate::stream::handshake::{Attempt, admit, refuse};
    use crate::stream::info_of;
    use crate::tls::{self, capture::Capture};
    use crate::{ConnectionInfo, TlsStream};

    impl<I: Send + Sync + 'static> Acceptor<I> {
        /// The open connections that a listener has yielded.
        pub(super) fn opened_by(&self, listener: u64) -> Vec<Arc<Connection<I>>> {
            let mut open = self.core.gate.open_connections();
            open.retain(|connection| connection.listener() == Some(listener));
            open
        }

        /// Accepts one connection: handshake, identity, policy.
        ///
        /// The peer's address is taken from a [`tokio::net::TcpStream`]; for another transport see
        /// [`accept_from`](Self::accept_from). The whole attempt is bounded by the handshake
        /// timeout; a refused peer gets its alert, and one second to read it.
        ///
        /// Run it on a task of its own: inside the accept loop, one slow client would keep all
        /// others waiting.
        ///
        /// # Errors
        /// [`AcceptError`]: why there is no connection.
        pub async fn accept<IO>(&self, io: IO) -> Result<TlsStream<IO, I>, AcceptError>
        where
            IO: AsyncRead + AsyncWrite + Unpin + 'static,
        {
            let mut witness = self.core.gate.witness(info_of(&io));
            self.attempt(io, &mut witness).await
        }

        /// As [`accept`](Self::accept), with the address of the peer, for example from a proxy
        /// protocol header.
        ///
        /// # Errors
        /// [`AcceptError`]: why there is no connection.
        pub async fn accept_from<IO>(
            &self,
            io: IO,
            remote_addr: impl Into<Option<SocketAddr>>,
        ) -> Result<TlsStream<IO, I>, AcceptError>
        where
            IO: AsyncRead + AsyncWrite + Unpin,
        {
            let info = ConnectionInfo::default().with_remote_addr(remote_addr);
            let mut witness = self.core.gate.witness(info);
            self.attempt(io, &mut witness).await
        }

        /// Sees a connection that a listener has accepted.
        pub(super) fn witness(&self, info: ConnectionInfo) -> Witness {
            self.core.gate.witness(info)
        }

        pub(super) async fn attempt<IO>(
            &self,
            io: IO,
            witness: &mut Witness,
        ) -> Result<TlsStream<IO, I>, AcceptError>
        where
            IO: AsyncRead + AsyncWrite + Unpin,
        {
            let core = &*self.core;
            let gate = &core.gate;
            let attempt = Attempt::start(&core.bounds);
            let mut capture = Capture::beginning_under(gate.trust_id());
            let handshake = tokio_rustls::TlsAcceptor::from(core.configs().private.clone())
                .accept(attempt.watch(io))
                .into_fallible();
            let tls = attempt
                .drive(handshake, gate, witness, &mut capture)
                .await?;

            let connection = Handshaken::Server(tls.get_ref().1);
            let peer = tls::identify(gate, &mut capture, witness, connection);
            let judged = attempt.judge(gate, &self.keeper, peer, witness, &capture);
            match judged.await {
                Ok(admitted) => Ok(admit(tls.into(), admitted, &capture)),
                Err(refused) => {
                    refuse(tls.into(), &refused).await;
                    Err(refused.into())
                }
            }
        }

        /// Records that a listener closed a connection before it was accepted.
        pub(super) fn record_shed(witness: &mut Witness, error: &AcceptError) {
            // It is closed in any case.
            let _ = witness.conclude(Action::Shed, Some(error.reason()), |event| {
                event.detail = Some(error.to_string());
            });
        }
    }
}

impl<I> Clone for Acceptor<I> {
    fn clone(&self) -> Self {
        Self {
            core: Arc::clone(&self.core),
            #[cfg(feature = "tokio")]
            keeper: Arc::clone(&self.keeper),
        }
    }
}

impl<I> fmt::Debug for Acceptor<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptor")
            .field("gate", &self.core.gate)
            .finish_non_exhaustive()
    }
}
