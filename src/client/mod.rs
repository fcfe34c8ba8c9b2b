//! The connecting side.

mod blocking;
mod error;
mod exported;

use std::fmt;
use std::sync::Arc;
#[cfg(feature = "tokio")]
use std::time::Duration;

use rustls::ClientConnection;
use rustls_pki_types::ServerName;

pub use blocking::ClientHandshake;
pub use error::ConnectError;

use crate::ConnectionInfo;
use crate::audit::{Alert, Stats, Witness};
use crate::gate::{Authorizer, Gate};
#[cfg(feature = "tokio")]
use crate::gate::{CloseReason, OpenConnection};
use crate::identity::TrustDomain;
#[cfg(feature = "tokio")]
use crate::peer::Peer;
#[cfg(feature = "tokio")]
use crate::pki::Certificate;
use crate::policy::Policy;
use crate::tls::builder::{Builder, ClientSide, NeedsCredentials};
use crate::tls::capture::Capture;
use crate::tls::{BuildError, BundleChange, Change, ClientCore, Update};
use crate::trust::TrustStore;

/// Makes TLS connections to servers that prove who they are, whom the policy allows, and that ask
/// for our certificate.
///
/// Made by [`Connector::builder`]. Cloning is cheap; clones share everything.
///
/// ```no_run
/// use countersign::identity::SpiffeId;
/// use countersign::gate::ServerNameVerification;
/// use countersign::{Connector, Credentials, TrustStore, policy};
///
/// # async fn call(tcp: tokio::net::TcpStream) -> Result<(), Box<dyn std::error::Error>> {
/// let orders: SpiffeId = "spiffe://example.org/ns/orders".parse()?;
/// let connector = Connector::builder()
///     .credentials(Credentials::from_pem_files("client.crt", "client.key")?)
///     .trust(TrustStore::from_pem_file("servers-ca.crt")?)
///     .identify(SpiffeId::extractor())
///     .authorize(policy::exact([orders]))
///     .server_names(ServerNameVerification::ByPolicy)
///     .build()?;
///
/// let stream = connector.connect("orders.internal", tcp).await?;
/// println!("talking to {}", stream.peer().identity());
/// # Ok(())
/// # }
/// ```
pub struct Connector<I> {
    core: Arc<ClientCore<I>>,
    #[cfg(feature = "tokio")]
    keeper: Arc<crate::stream::Keeper>,
}

impl Connector<()> {
    /// Starts a builder: it asks for credentials, trust, an extractor and a policy, in this order.
    pub const fn builder() -> NeedsCredentials<ClientSide> {
        NeedsCredentials::new()
    }
}

impl<I: Send + Sync + 'static> Builder<ClientSide, I> {
    /// Checks everything and makes the connector.
    ///
    /// # Errors
    /// [`BuildError`]: an empty trust store, a key that the crypto provider cannot use, a bad ALPN
    /// name, no provider.
    pub fn build(self) -> Result<Connector<I>, BuildError> {
        let core = self.into_core()?;
        Ok(Connector {
            #[cfg(feature = "tokio")]
            keeper: Arc::new(crate::stream::Keeper::new(core.bounds.lifetimes)),
            core: Arc::new(core),
        })
    }
}

impl<I: Send + Sync + 'static> Connector<I> {
    /// The gate, for a bare chain from another protocol such as QUIC.
    pub fn gate(&self) -> &Gate<I> {
        &self.core.gate
    }

    /// Replaces trust, CRLs or credentials, in all clones of this connector, and gives the number
    /// of the new generation.
    ///
    /// Open connections are re-authorized by it; those whose peers it does not admit are cut at once.
    /// New credentials end all open connections, so that pools connect anew with them: they are
    /// asked to [drain](crate::TlsStream::draining), and cut after the drain time. Sessions from
    /// before are not offered to servers any more.
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

    /// Applies a change as a whole, or not at all; then open connections are re-authorized, and those that
    /// were opened with other credentials are asked to come to their end.
    pub(crate) fn change(&self, change: impl Into<Change<I>>) -> Result<u64, BuildError> {
        let change = change.into();
        #[cfg(feature = "tokio")]
        let replaces = change
            .update
            .as_ref()
            .is_some_and(Update::replaces_credentials);
        let generation = self.core.change(change)?;
        #[cfg(feature = "tokio")]
        if replaces {
            self.keeper
                .drain_all(&self.core.gate, &CloseReason::CredentialsReplaced);
        }
        Ok(generation)
    }

    /// How often the credentials were replaced.
    #[cfg(all(feature = "hyper", feature = "tokio"))]
    pub(crate) fn credentials_replaced(&self) -> u64 {
        self.core.configs().credentials
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn own_certificates(&self) -> Vec<(Option<String>, Certificate)> {
        self.core.own_certificates()
    }

    /// How often this connector has done what, and how things stand. Clones share it.
    pub fn stats(&self) -> Stats {
        self.core.stats()
    }

    /// The connections of this connector that are open, the oldest first.
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

    /// Replaces the policy, in all clones of this connector.
    ///
    /// Every connection is authorized by it from now on. Sessions from before are not
    /// offered to servers any more. Open connections are re-authorized, and cut if they are denied.
    pub fn set_policy(&self, policy: impl Policy<I> + 'static) {
        self.set_authorizer(Authorizer::sync(policy));
    }

    /// As [`set_policy`](Self::set_policy), with a policy that has to ask somebody.
    ///
    /// It is asked about every open connection, 64 at a time; those about which it gives no answer
    /// within `timeout` are cut. Changes of trust and CRLs do not have it asked again: they are
    /// looked at by themselves, for open connections too.
    #[cfg(feature = "tokio")]
    pub fn set_async_policy(
        &self,
        policy: impl crate::policy::AsyncPolicy<I> + 'static,
        timeout: Duration,
    ) {
        self.set_authorizer(Authorizer::asynchronous(policy, timeout));
    }
}

impl<I: Send + Sync + 'static> Connector<I> {
    fn set_authorizer(&self, authorizer: Authorizer<I>) {
        // Nothing about a policy alone can fail to fit.
        let _ = self.change(authorizer);
    }

    /// Sees an attempt that begins, to connect to this name.
    fn begin(
        &self,
        server_name: &str,
        info: ConnectionInfo,
    ) -> Result<(Witness, ServerName<'static>), ConnectError> {
        let mut witness = self.core.gate.witness(info.with_server_name(server_name));
        match ServerName::try_from(server_name) {
            Ok(dialled) => Ok((witness, dialled.to_owned())),
            Err(_) => {
                let name = server_name.to_owned();
                let error = ConnectError::InvalidServerName { name };
                error.record(&mut witness, |_| ());
                Err(error)
            }
        }
    }

    /// A server that never asks for our certificate does not know who we are.
    ///
    /// One that resumes a session has asked when that began.
    fn was_asked(
        &self,
        connection: &ClientConnection,
        witness: &mut Witness,
        capture: &Capture,
    ) -> Result<(), ConnectError> {
        let resumed = connection.handshake_kind() == Some(rustls::HandshakeKind::Resumed);
        if resumed || capture.asked_for_certificate() || connection.is_handshaking() {
            return Ok(());
        }
        let error = ConnectError::NotAsked;
        let tells_peer = witness.tells_peer;
        error.record(witness, |event| {
            event.alert = tells_peer.then(|| Alert::Sent("handshake_failure".into()));
            if let Some(chain) = capture.verified_chain() {
                event.set_certificates(chain.certificates());
            }
            self.core.gate.claim(event);
        });
        Err(error)
    }
}

#[cfg(feature = "tokio")]
mod connect {
    use std::net::SocketAddr;

    use tokio::io::{AsyncRead, AsyncWrite};

    use super::{ConnectError, Connector};
    use crate::gate::{CloseReason, Handshaken};
    use crate::stream::handshake::{Attempt, admit, refuse, refuse_with};
    use crate::stream::info_of;
    use crate::tls::{self, capture::Capture};
    use crate::{ConnectionInfo, TlsStream};

    impl<I: Send + Sync + 'static> Connector<I> {
        /// Connects over `io` to the server of this name: a DNS name or an IP address.
        ///
        /// With TLS 1.3 the server judges us after our side of the handshake is over: that it
        /// refuses us shows at the first read, as an [`std::io::Error`] around
        /// [`HandshakeError::Alert`](crate::HandshakeError::Alert), and in the stream's
        /// [`alert_watch`](TlsStream::alert_watch).
        ///
        /// # Errors
        /// [`ConnectError`]: why there is no connection.
        pub async fn connect<IO>(
            &self,
            server_name: &str,
            io: IO,
        ) -> Result<TlsStream<IO, I>, ConnectError>
        where
            IO: AsyncRead + AsyncWrite + Unpin + 'static,
        {
            let info = info_of(&io);
            self.attempt(server_name, io, info).await
        }

        /// As [`connect`](Self::connect), with the address of the peer.
        ///
        /// # Errors
        /// [`ConnectError`]: why there is no connection.
        pub async fn connect_to<IO>(
            &self,
            server_name: &str,
            io: IO,
            remote_addr: impl Into<Option<SocketAddr>>,
        ) -> Result<TlsStream<IO, I>, ConnectError>
        where
            IO: AsyncRead + AsyncWrite + Unpin,
        {
            let info = ConnectionInfo::default().with_remote_addr(remote_addr);
            self.attempt(server_name, io, info).await
        }

        async fn attempt<IO>(
            &self,
            server_name: &str,
            io: IO,
            info: ConnectionInfo,
        ) -> Result<TlsStream<IO, I>, ConnectError>
        where
            IO: AsyncRead + AsyncWrite + Unpin,
        {
            let core = &*self.core;
            let gate = &core.gate;
            let attempt = Attempt::start(&core.bounds);
            let (mut witness, dialled) = self.begin(server_name, info)?;
            let mut capture = Capture::default();
            let configs = core.configs();
            let connector = tokio_rustls::TlsConnector::from(configs.private.clone());
            // Starting looks for a session to resume, so it belongs into the capture too.
            let handshake = capture.enter(|| {
                connector
                    .connect(dialled.clone(), attempt.watch(io))
                    .into_fallible()
            });
            let tls = attempt
                .drive(handshake, gate, &mut witness, &mut capture)
                .await?;

            let connection = tls.get_ref().1;
            if let Err(not_asked) = self.was_asked(connection, &mut witness, &capture) {
                refuse_with(tls.into(), rustls::AlertDescription::HandshakeFailure).await;
                return Err(not_asked);
            }
            let connection = Handshaken::Client(connection, &dialled);
            let peer = tls::identify(gate, &mut capture, &mut witness, connection);
            let judged = attempt.judge(gate, &self.keeper, peer, &mut witness, &capture);
            match judged.await {
                Ok(admitted) => {
                    // Replaced during the handshake, when the connection was not listed yet.
                    if core.configs().credentials != configs.credentials {
                        self.keeper
                            .drain(&admitted.1, CloseReason::CredentialsReplaced);
                    }
                    Ok(admit(tls.into(), admitted, &capture))
                }
                Err(refused) => {
                    refuse(tls.into(), &refused).await;
                    Err(refused.into())
                }
            }
        }
    }
}

impl<I> Clone for Connector<I> {
    fn clone(&self) -> Self {
        Self {
            core: Arc::clone(&self.core),
            #[cfg(feature = "tokio")]
            keeper: Arc::clone(&self.keeper),
        }
    }
}

impl<I> fmt::Debug for Connector<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector")
            .field("gate", &self.core.gate)
            .finish_non_exhaustive()
    }
}
