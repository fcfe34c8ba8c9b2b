//! The accepting side.

mod error;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;

pub use error::AcceptError;

use crate::gate::{Authorizer, Gate};
use crate::policy::Policy;
use crate::tls::builder::{Builder, NeedsCredentials, ServerSide};
use crate::tls::{BuildError, ServerConfigs};

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
    gate: Gate<I>,
    configs: ServerConfigs,
    handshake_timeout: Duration,
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
        let parts = self.into_acceptor_parts()?;
        Ok(Acceptor {
            gate: parts.gate,
            configs: parts.configs,
            handshake_timeout: parts.handshake_timeout,
        })
    }
}

impl<I: Send + Sync + 'static> Acceptor<I> {
    /// The gate, for connections that are driven without tokio.
    pub const fn gate(&self) -> &Gate<I> {
        &self.gate
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
    ///     let mut connection = rustls::ServerConnection::new(acceptor.rustls_config())?;
    ///     while connection.is_handshaking() {
    ///         connection.complete_io(&mut tcp)?;
    ///     }
    ///     let admission = acceptor.gate().admit(&connection, tcp.peer_addr()?)?;
    ///     println!("hello {}", admission.peer().identity());
    ///     Ok(())
    /// }
    /// ```
    ///
    /// Its secrets cannot be extracted, so that a refusal after the handshake just closes.
    pub fn rustls_config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.configs.public)
    }

    /// Replaces the policy, in all clones of this acceptor.
    ///
    /// Every connection that is judged from now on is judged by it, those that resume a session
    /// included. Connections that were admitted before stay open.
    pub fn set_policy(&self, policy: impl Policy<I> + 'static) {
        self.gate.set_authorizer(Authorizer::Sync(Box::new(policy)));
    }

    /// As [`set_policy`](Self::set_policy), with a policy that has to ask somebody.
    #[cfg(feature = "tokio")]
    pub fn set_async_policy(
        &self,
        policy: impl crate::policy::AsyncPolicy<I> + 'static,
        timeout: Duration,
    ) {
        self.gate.set_authorizer(Authorizer::Async {
            policy: Box::new(policy),
            timeout,
        });
    }
}

#[cfg(feature = "tokio")]
mod accept {
    use std::any::Any;
    use std::net::SocketAddr;

    use tokio::io::{AsyncRead, AsyncWrite};

    use super::{AcceptError, Acceptor};
    use crate::TlsStream;
    use crate::gate::Handshaken;
    use crate::stream::Wire;
    use crate::stream::handshake::{Attempt, admit, refuse};
    use crate::tls::{self, capture::Capture};

    impl<I: Send + Sync + 'static> Acceptor<I> {
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
            let remote_addr = (&io as &dyn Any)
                .downcast_ref::<tokio::net::TcpStream>()
                .and_then(|tcp| tcp.peer_addr().ok());
            self.accept_from(io, remote_addr).await
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
            let remote_addr = remote_addr.into();
            let result = self.attempt(io, remote_addr).await;
            match &result {
                Ok(stream) => tracing::debug!(
                    remote = ?remote_addr,
                    certificate = %stream.peer().certificate(),
                    rule = stream.rule(),
                    "client admitted"
                ),
                Err(error) => tracing::warn!(
                    remote = ?remote_addr,
                    reason = error.reason(),
                    %error,
                    "client refused"
                ),
            }
            result
        }

        async fn attempt<IO>(
            &self,
            io: IO,
            remote_addr: Option<SocketAddr>,
        ) -> Result<TlsStream<IO, I>, AcceptError>
        where
            IO: AsyncRead + AsyncWrite + Unpin,
        {
            let attempt = Attempt::start(self.handshake_timeout);
            let mut capture = Capture::default();
            let handshake = tokio_rustls::TlsAcceptor::from(self.configs.private.clone())
                .accept(Wire::watching(io))
                .into_fallible();
            let tls = attempt
                .drive(handshake, &mut capture)
                .await
                .map_err(|error| AcceptError::of(error, &mut capture))?;

            let connection = Handshaken::Server(tls.get_ref().1);
            let peer = tls::identify(&self.gate, &mut capture, connection, remote_addr);
            let tls = tls.into();
            match attempt.judge(&self.gate, peer, &capture).await {
                Ok(admission) => Ok(admit(tls, admission)),
                Err(refused) => {
                    refuse(tls, &refused).await;
                    Err(refused.into())
                }
            }
        }
    }
}

impl<I> Clone for Acceptor<I> {
    fn clone(&self) -> Self {
        Self {
            gate: self.gate.clone(),
            configs: self.configs.clone(),
            handshake_timeout: self.handshake_timeout,
        }
    }
}

impl<I> fmt::Debug for Acceptor<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptor")
            .field("gate", &self.gate)
            .finish_non_exhaustive()
    }
}
