//! Handshakes in memory, and conversions to the types of the crate.

use rustls_pki_types::UnixTime;

use super::{Issued, TestCa};
use crate::pki::{Certificate, Credentials, provider};
use crate::side::Side;
use crate::trust::{ChainVerifier, TrustStore};
use crate::{ConnectionInfo, Peer};

impl TestCa {
    /// A trust store with this CA as its only root.
    ///
    /// # Panics
    /// If its certificate cannot be a root of a trust store.
    pub fn trust(&self) -> TrustStore {
        TrustStore::from_der([self.certificate_der()]).expect("the test CA is a root")
    }
}

impl Issued {
    /// Credentials with this chain and key.
    ///
    /// # Panics
    /// If [`Credentials`] rejects the certificate.
    pub fn credentials(&self) -> Credentials {
        Credentials::from_der(self.chain().to_vec(), self.key_der())
            .expect("the issued certificate makes credentials")
    }

    /// The parsed leaf.
    ///
    /// # Panics
    /// If [`Certificate`] cannot parse it.
    pub fn certificate(&self) -> Certificate {
        Certificate::from_der(self.leaf_der()).expect("the issued certificate can be parsed")
    }
}

/// A peer with this identity, for testing a policy without a handshake.
///
/// Its certificate is new and has no names; its connection has no data.
///
/// ```
/// use countersign::identity::SpiffeId;
/// use countersign::policy::{self, Policy as _};
/// use countersign::testing;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let billing: SpiffeId = "spiffe://example.org/ns/billing".parse()?;
/// let policy = policy::exact([billing.clone()]);
/// assert!(policy.authorize(&testing::peer(billing)).is_allowed());
/// # Ok(())
/// # }
/// ```
pub fn peer<I>(identity: I) -> Peer<I> {
    let ca = TestCa::new("Test CA");
    let issued = ca.leaf().issue();
    peer_of(identity, &ca, &issued, ConnectionInfo::default())
}

/// A peer with this identity, certificate and connection, for testing a policy without a handshake.
///
/// ```
/// use std::net::SocketAddr;
///
/// use countersign::ConnectionInfo;
/// use countersign::identity::DnsName;
/// use countersign::testing::{TestCa, peer_of};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let ca = TestCa::new("Root");
/// let issued = ca.leaf().dns("client.example").issue();
/// let identity: DnsName = "client.example".parse()?;
/// let address: SocketAddr = "192.0.2.1:443".parse()?;
/// let info = ConnectionInfo::default().with_remote_addr(address);
/// let peer = peer_of(identity, &ca, &issued, info);
/// assert_eq!(peer.certificate(), &issued.certificate());
/// # Ok(())
/// # }
/// ```
///
/// # Panics
/// If the certificate is not valid as a client certificate of `ca` now.
pub fn peer_of<I>(
    identity: I,
    ca: &TestCa,
    issued: &Issued,
    connection: ConnectionInfo,
) -> Peer<I> {
    let provider = provider::built_in().expect("the feature aws-lc-rs or ring is enabled");
    let verifier = ChainVerifier::new(ca.trust(), Side::Client, &provider);
    let chain = verifier
        .verify(issued.chain(), UnixTime::now())
        .expect("the CA issued the certificate");
    Peer::new(identity.into(), chain, connection)
}

#[cfg(feature = "tokio")]
mod in_memory {
    use tokio::io::{DuplexStream, duplex};

    use crate::{AcceptError, Acceptor, ConnectError, Connector, TlsStream};

    /// The result of an acceptor for an in-memory connection.
    pub type Accepted<I> = Result<TlsStream<DuplexStream, I>, AcceptError>;
    /// The result of a connector for an in-memory connection.
    pub type Connected<I> = Result<TlsStream<DuplexStream, I>, ConnectError>;

    /// Connects the two sides in memory and returns both results.
    ///
    /// ```
    /// use countersign::identity::DnsName;
    /// use countersign::testing::{self, TestCa};
    /// use countersign::{Acceptor, Connector, policy};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let ca = TestCa::new("Example Root");
    /// let acceptor = Acceptor::builder()
    ///     .credentials(ca.leaf().dns("server.example").issue().credentials())
    ///     .trust(ca.trust())
    ///     .identify(DnsName::extractor())
    ///     .authorize(policy::allow_any())
    ///     .build()?;
    /// let connector = Connector::builder()
    ///     .credentials(ca.leaf().dns("client.example").issue().credentials())
    ///     .trust(ca.trust())
    ///     .identify(DnsName::extractor())
    ///     .authorize(policy::allow_any())
    ///     .build()?;
    ///
    /// let (server, client) = testing::handshake(&acceptor, &connector, "server.example").await;
    /// assert_eq!(server?.peer().identity().as_str(), "client.example");
    /// assert_eq!(client?.peer().identity().as_str(), "server.example");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// A side that denies its peer waits up to a second until the peer has read the alert. Tests with many
    /// denials are faster with a paused clock: `#[tokio::test(start_paused = true)]`.
    ///
    /// # Cancel safety
    /// Dropping the future drops both connections.
    pub async fn handshake<S, C>(
        acceptor: &Acceptor<S>,
        connector: &Connector<C>,
        server_name: &str,
    ) -> (Accepted<S>, Connected<C>)
    where
        S: Send + Sync + 'static,
        C: Send + Sync + 'static,
    {
        let (near, far) = duplex(64 * 1024);
        tokio::join!(acceptor.accept(near), connector.connect(server_name, far))
    }
}

#[cfg(feature = "tokio")]
pub use in_memory::{Accepted, Connected, handshake};
