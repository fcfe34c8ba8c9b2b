//! Handshakes in memory, and the way from made certificates to the crate's own types.

use rustls_pki_types::UnixTime;

use super::{Issued, TestCa};
use crate::pki::{Certificate, Credentials, provider};
use crate::trust::{ChainVerifier, TrustStore, Usage};
use crate::{ConnectionInfo, Peer};

impl TestCa {
    /// A trust store with this CA as its only root.
    ///
    /// # Panics
    /// If a builder made it a certificate that no trust store takes as a root.
    pub fn trust(&self) -> TrustStore {
        TrustStore::from_der([self.certificate_der()]).expect("the test CA is a root")
    }
}

impl Issued {
    /// Credentials with this chain and key.
    ///
    /// # Panics
    /// If the certificate was made so hostile that [`Credentials`] refuses it.
    pub fn credentials(&self) -> Credentials {
        Credentials::from_der(self.chain().to_vec(), self.key_der())
            .expect("the issued certificate makes credentials")
    }

    /// The parsed view of the leaf.
    ///
    /// # Panics
    /// If the certificate was made so hostile that [`Certificate`] refuses it.
    pub fn certificate(&self) -> Certificate {
        Certificate::from_der(self.leaf_der()).expect("the issued certificate can be parsed")
    }
}

/// A peer with this identity, for testing a policy without a handshake.
///
/// Its certificate is a fresh one that names nobody; its connection is empty.
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
/// # Panics
/// If the certificate, as a client's, does not lead to `ca` at the present time.
pub fn peer_of<I>(
    identity: I,
    ca: &TestCa,
    issued: &Issued,
    connection: ConnectionInfo,
) -> Peer<I> {
    let provider = provider::built_in().expect("the feature aws-lc-rs or ring is on");
    let verifier = ChainVerifier::new(ca.trust(), Usage::Client, &provider);
    let chain = verifier
        .verify(issued.chain(), UnixTime::now())
        .expect("the certificate leads to the CA");
    Peer::new(identity.into(), chain, connection)
}

#[cfg(feature = "tokio")]
mod in_memory {
    use tokio::io::{DuplexStream, duplex};

    use crate::{AcceptError, Acceptor, ConnectError, Connector, TlsStream};

    /// What an acceptor made of an in-memory connection.
    pub type Accepted<I> = Result<TlsStream<DuplexStream, I>, AcceptError>;
    /// What a connector made of an in-memory connection.
    pub type Connected<I> = Result<TlsStream<DuplexStream, I>, ConnectError>;

    /// Connects the two sides in memory and returns what each made of it.
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
    /// A side that refuses waits up to a second for the other to read its alert. Tests that refuse
    /// many run faster on a paused clock: `#[tokio::test(start_paused = true)]`.
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
