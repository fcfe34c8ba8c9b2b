//! The accepting side.

#[cfg(feature = "tokio")]
mod accept;
mod blocking;
mod error;
mod failure;
#[cfg(feature = "tokio")]
mod listener;
pub mod proxy_protocol;

use std::fmt;
use std::sync::Arc;

use rustls::ServerConfig;

pub use blocking::ServerHandshake;
pub use error::{AcceptError, PreambleError, ShedReason};
#[cfg(feature = "tokio")]
pub use listener::{
    DirectTls, EarlyDrop, Incoming, Listener, ListenerBuilder, ListenerHandle, Preamble,
    RawConnection, WhenFull,
};
#[cfg(all(feature = "quinn", feature = "tokio"))]
pub(crate) use listener::{Entry, OnRefused, Sources, Stop, notify, until};

use crate::ConnectionInfo;
use crate::endpoint::builder::{Builder, NeedsCredentials, build_endpoint};
use crate::endpoint::{Control, Controlled, Endpoint, ServerSide};
use crate::tls::{Attempt, BuildError, Current};

/// Accepts TLS connections from peers that prove their identity and that the policy allows.
///
/// Made by [`Acceptor::builder`]. Cloning is cheap; clones share everything.
///
/// ```no_run
/// use countersign::identity::SpiffeId;
/// use countersign::{Acceptor, Credentials, Decision, TrustStore};
///
/// # async fn serve(tcp: tokio::net::TcpStream) -> Result<(), Box<dyn std::error::Error>> {
/// let acceptor = Acceptor::builder()
///     .credentials(Credentials::from_pem_files("server.crt", "server.key")?)
///     .trust(TrustStore::from_pem_file("clients-ca.crt")?)
///     .identify(SpiffeId::extractor())
///     .authorize_fn(|peer| {
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
    endpoint: Arc<Endpoint<ServerSide, I>>,
    control: Control<I>,
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
    pub fn build(mut self) -> Result<Acceptor<I>, BuildError> {
        let follow = self.follow.take();
        let endpoint = build_endpoint(self)?;
        let controlled: Arc<dyn Controlled<I>> = endpoint.clone();
        let control = Control::new(controlled);
        if let Some(follow) = follow {
            follow(&control);
        }
        Ok(Acceptor { endpoint, control })
    }
}

impl<I: Send + Sync + 'static> Acceptor<I> {
    /// Replaces the rules of this acceptor and of all its clones, lists and closes its connections, and
    /// admits clients of connections that you drive yourself.
    pub const fn control(&self) -> &Control<I> {
        &self.control
    }

    /// Whether all its cryptography is that of a FIPS 140-3 module: see [`Control::is_fips`].
    pub fn is_fips(&self) -> bool {
        self.control.is_fips()
    }

    /// The configuration for a [`rustls::ServerConnection`] that you drive yourself.
    ///
    /// **Its handshake authorizes no client.** It verifies the client's chain and key, but neither its
    /// identity nor the policy. When the handshake is complete, call [`control().admit`](Control::admit)
    /// before you read or write anything. [`start`](Self::start) does this in one piece.
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
    ///     let admission = acceptor.control().admit(&connection, tcp.peer_addr()?)?;
    ///     println!("hello {}", admission.peer().identity());
    ///     Ok(())
    /// }
    /// ```
    ///
    /// Its secrets cannot be extracted, so that a rejection after the handshake closes without an alert. A
    /// handshake that fails has no event: the [audit trail](crate::audit) begins with [`Control::admit`].
    /// Its sessions expire as all others do ([`Resumption`](crate::Resumption)).
    ///
    /// Call this for each connection: after an [`update`](Control::update) an older configuration still
    /// presents the credentials and names the CAs of its own generation. Clients are verified by the trust in
    /// force in any case, and authorized once, when you call `admit`. Handshakes fail once the acceptor
    /// and its [`Control`]s are dropped.
    #[doc(alias = "ServerConfig")]
    pub fn unauthorized_rustls_config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.endpoint.snapshot().tls.public)
    }

    /// Its part that other transports than TCP need.
    #[cfg(all(feature = "quinn", feature = "tokio"))]
    pub(crate) const fn endpoint(&self) -> &Arc<Endpoint<ServerSide, I>> {
        &self.endpoint
    }

    pub(crate) fn attempt(&self, info: ConnectionInfo) -> Attempt<I> {
        let endpoint: Arc<dyn Current<I>> = self.endpoint.clone();
        Attempt::start(endpoint, info)
    }
}

impl<I> Clone for Acceptor<I> {
    fn clone(&self) -> Self {
        Self {
            endpoint: Arc::clone(&self.endpoint),
            control: self.control.clone(),
        }
    }
}

impl<I> fmt::Debug for Acceptor<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptor")
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}
