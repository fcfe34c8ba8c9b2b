//! The connecting side.

mod blocking;
#[cfg(feature = "tokio")]
mod connect;
mod error;
mod exported;
mod failure;

use std::fmt;
use std::sync::Arc;

use rustls::ClientConnection;
use rustls_pki_types::ServerName;

pub use blocking::ClientHandshake;
pub use error::ConnectError;

use crate::ConnectionInfo;
use crate::endpoint::builder::{Builder, NeedsCredentials, build_endpoint};
use crate::endpoint::{ClientSide, Control, Controlled, Endpoint};
use crate::tls::exported::CurrentClient;
use crate::tls::probe::HandshakeProbe;
use crate::tls::{Attempt, BuildError, ClientConfigs, Current};

/// Connects to servers that prove their identity, that the policy allows, and that ask for our
/// certificate.
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
    endpoint: Arc<Endpoint<ClientSide, I>>,
    control: Control<I>,
}

/// Identifies the rules and the credentials of one connector: equal ones decide and present alike.
#[cfg(all(feature = "reqwest", feature = "tokio"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InForce {
    epoch: crate::gate::Epoch,
    credentials: u64,
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
    pub fn build(mut self) -> Result<Connector<I>, BuildError> {
        let follow = self.follow.take();
        let endpoint = build_endpoint(self)?;
        let controlled: Arc<dyn Controlled<I>> = endpoint.clone();
        let control = Control::new(controlled);
        if let Some(follow) = follow {
            follow(&control);
        }
        Ok(Connector { endpoint, control })
    }
}

impl<I: Send + Sync + 'static> Connector<I> {
    /// Replaces the rules of this connector and of all its clones, lists and closes its connections, and
    /// admits servers of connections that you drive yourself.
    pub const fn control(&self) -> &Control<I> {
        &self.control
    }

    /// Whether all its cryptography is that of a FIPS 140-3 module: see [`Control::is_fips`].
    pub fn is_fips(&self) -> bool {
        self.control.is_fips()
    }

    /// How often the credentials were replaced.
    #[cfg(all(feature = "hyper", feature = "tokio"))]
    pub(crate) fn credentials_replaced(&self) -> u64 {
        self.endpoint.snapshot().tls.credentials
    }

    /// What is in force.
    #[cfg(all(feature = "reqwest", feature = "tokio"))]
    pub(crate) fn in_force(&self) -> InForce {
        let snapshot = self.endpoint.snapshot();
        InForce {
            epoch: snapshot.epoch(),
            credentials: snapshot.tls.credentials,
        }
    }

    /// Its part that other transports than TCP need.
    #[cfg(all(feature = "quinn", feature = "tokio"))]
    pub(crate) const fn endpoint(&self) -> &Arc<Endpoint<ClientSide, I>> {
        &self.endpoint
    }

    /// Starts an attempt to connect to this server.
    pub(crate) fn attempt(
        &self,
        server_name: &str,
        info: ConnectionInfo,
    ) -> Result<(Attempt<I>, ServerName<'static>), ConnectError> {
        let endpoint: Arc<dyn Current<I>> = self.endpoint.clone();
        let attempt = Attempt::start(endpoint, info.with_server_name(server_name));
        match ServerName::try_from(server_name) {
            Ok(name) => Ok((attempt, name.to_owned())),
            Err(_) => {
                let name = server_name.to_owned();
                let error = ConnectError::InvalidServerName { name };
                // A failure is recorded in any case.
                let _ = attempt.finish(Err(&error), &[]);
                Err(error)
            }
        }
    }
}

/// Whether the server requested our certificate. A server that never does has not authenticated us. In a
/// resumed session, the request was part of the handshake that began the session.
fn has_asked(connection: &ClientConnection, probe: &HandshakeProbe) -> bool {
    let resumed = connection.handshake_kind() == Some(rustls::HandshakeKind::Resumed);
    resumed || probe.asked_for_certificate() || connection.is_handshaking()
}

impl<I: Send + Sync + 'static> CurrentClient<I> for Endpoint<ClientSide, I> {
    fn configs(&self) -> Arc<ClientConfigs> {
        Arc::clone(&self.snapshot().tls)
    }
}

impl<I> Clone for Connector<I> {
    fn clone(&self) -> Self {
        Self {
            endpoint: Arc::clone(&self.endpoint),
            control: self.control.clone(),
        }
    }
}

impl<I> fmt::Debug for Connector<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector")
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

#[cfg(all(feature = "testing", any(feature = "aws-lc-rs", feature = "ring")))]
#[cfg(test)]
mod tests {
    use crate::identity::DnsName;
    use crate::testing::TestCa;
    use crate::{Connector, Update, policy};

    /// A pool of connections of an older count is replaced.
    #[test]
    fn each_replacement_of_the_credentials_is_counted() {
        let ca = TestCa::new("Root");
        let credentials = || ca.leaf().dns("client.example").issue().credentials();
        let connector = Connector::builder()
            .credentials(credentials())
            .trust(ca.trust())
            .identify(DnsName::extractor())
            .authorize(policy::allow_any())
            .build()
            .expect("a connector");
        let count = || connector.endpoint.snapshot().tls.credentials;
        let update = |update| connector.control().update(update).expect("an update");
        assert_eq!(count(), 0);
        update(Update::new().credentials(credentials()));
        assert_eq!(count(), 1);
        update(Update::new().trust(ca.trust()));
        assert_eq!(count(), 1, "the same certificate");
        update(Update::new().credentials(credentials()));
        assert_eq!(count(), 2);
    }
}
