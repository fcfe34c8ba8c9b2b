//! What several test files need.

use std::sync::{Arc, Mutex};

use countersign::builder::{Builder, ClientSide, ServerSide};
use countersign::identity::DnsName;
use countersign::testing::{self, Accepted, Connected, Issued, TestCa};
use countersign::{
    Acceptor, ConnectError, Connector, Decision, HandshakeError, Peer, Policy, TlsStream, policy,
};
use rustls::crypto::CryptoProvider;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{AlertDescription, ClientConfig, NamedGroup, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

pub const SERVER: &str = "server.example";

/// An acceptor's builder with a good certificate and this policy.
pub fn acceptor(
    ca: &TestCa,
    policy: impl Policy<DnsName> + 'static,
) -> Builder<ServerSide, DnsName> {
    Acceptor::builder()
        .credentials(ca.leaf().dns(SERVER).issue().credentials())
        .trust(ca.trust())
        .identify(DnsName::extractor())
        .authorize(policy)
}

/// A connector's builder with a good certificate for this name; it allows every server of the CA.
pub fn connector(ca: &TestCa, name: &str) -> Builder<ClientSide, DnsName> {
    connector_with(ca, name, policy::allow_any())
}

/// A connector's builder with a good certificate for this name and this policy.
pub fn connector_with(
    ca: &TestCa,
    name: &str,
    policy: impl Policy<DnsName> + 'static,
) -> Builder<ClientSide, DnsName> {
    Connector::builder()
        .credentials(ca.leaf().dns(name).issue().credentials())
        .trust(ca.trust())
        .identify(DnsName::extractor())
        .authorize(policy)
}

pub async fn handshake(
    acceptor: &Acceptor<DnsName>,
    connector: &Connector<DnsName>,
) -> (Accepted<DnsName>, Connected<DnsName>) {
    testing::handshake(acceptor, connector, SERVER).await
}

/// Puts the hybrid group last, because its ClientHello is large. Otherwise the order depends on the features of
/// rustls that other packages turn on.
pub fn prefer_small_groups(provider: &mut CryptoProvider) {
    let is_hybrid = |name| name == NamedGroup::X25519MLKEM768;
    provider
        .kx_groups
        .sort_by_key(|group| is_hybrid(group.name()));
}

/// aws-lc-rs, or only its TLS 1.2 suites, which makes a client speak TLS 1.2. The hybrid group is the last.
pub fn provider(version: Version) -> Arc<CryptoProvider> {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    let is_hybrid = |name| name == NamedGroup::X25519MLKEM768;
    provider
        .kx_groups
        .sort_by_key(|group| is_hybrid(group.name()));
    if version == Version::Tls12 {
        provider
            .cipher_suites
            .retain(|suite| suite.tls13().is_none());
    }
    Arc::new(provider)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    Tls13,
    Tls12,
}

pub const VERSIONS: [Version; 2] = [Version::Tls13, Version::Tls12];

impl Version {
    pub fn protocol(self) -> rustls::ProtocolVersion {
        match self {
            Self::Tls13 => rustls::ProtocolVersion::TLSv1_3,
            Self::Tls12 => rustls::ProtocolVersion::TLSv1_2,
        }
    }
}

/// A plain rustls client that trusts the CA and has no certificate, or what `resolver` gives.
pub fn raw_client(
    ca: &TestCa,
    version: Version,
    resolver: Option<Arc<dyn rustls::client::ResolvesClientCert>>,
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(ca.certificate_der()).unwrap();
    let builder = ClientConfig::builder_with_provider(provider(version))
        .with_protocol_versions(rustls::ALL_VERSIONS)
        .unwrap()
        .with_root_certificates(roots);
    match resolver {
        Some(resolver) => builder.with_client_cert_resolver(resolver),
        None => builder.with_no_client_auth(),
    }
}

/// A resolver that shows `stolen` and signs with the key of `own`.
pub fn thief(stolen: &Issued, own: &Issued) -> Arc<SingleCertAndKey> {
    let key = provider(Version::Tls13)
        .key_provider
        .load_private_key(own.key_der())
        .unwrap();
    Arc::new(SingleCertAndKey::from(CertifiedKey::new(
        stolen.chain().to_vec(),
        key,
    )))
}

/// Connects a plain rustls client to an acceptor and reads: what the acceptor made of it, and the
/// error that the client saw, in connecting or at its first read.
pub async fn refused_raw_client(
    acceptor: &Acceptor<DnsName>,
    config: ClientConfig,
) -> (countersign::AcceptError, rustls::Error) {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let client = async {
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let error = match connector.connect(SERVER.try_into().unwrap(), far).await {
            Err(error) => error,
            Ok(mut tls) => tls.read_u8().await.expect_err("the client was refused"),
        };
        error.downcast::<rustls::Error>().expect("an error of TLS")
    };
    let (accepted, seen) = tokio::join!(acceptor.accept(near), client);
    (accepted.expect_err("the acceptor refused"), seen)
}

/// The alert that a client got, in connecting or at its first read.
pub async fn alert_seen<IO, I>(client: Result<TlsStream<IO, I>, ConnectError>) -> AlertDescription
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let error = match client {
        Err(ConnectError::Handshake(error)) => error,
        Err(other) => panic!("the client refused: {other}"),
        Ok(mut stream) => {
            let error = stream.read_u8().await.expect_err("the client was refused");
            error.downcast::<HandshakeError>().expect("a named alert")
        }
    };
    let message = error.to_string();
    assert!(message.starts_with("the server refused "), "{message}");
    assert!(message.contains("); "), "no remedy: {message}");
    error.alert().expect("an alert")
}

/// Sends one byte each way, so that session tickets arrive, and closes with close_notify.
pub async fn exchange_and_close<S, C>(server: Accepted<S>, client: Connected<C>) {
    let (mut server, mut client) = (server.unwrap(), client.unwrap());
    server.write_all(b"s").await.unwrap();
    server.flush().await.unwrap();
    assert_eq!(client.read_u8().await.unwrap(), b's');
    client.write_all(b"c").await.unwrap();
    client.flush().await.unwrap();
    assert_eq!(server.read_u8().await.unwrap(), b'c');
    client.shutdown().await.unwrap();
    server.shutdown().await.unwrap();
}

/// A policy that records the peers that it sees, and returns the decision of another.
#[derive(Clone)]
pub struct Recording<P> {
    pub seen: Arc<Mutex<Vec<Peer<DnsName>>>>,
    pub inner: P,
}

impl<P> Recording<P> {
    pub fn new(inner: P) -> Self {
        Self {
            seen: Arc::default(),
            inner,
        }
    }

    pub fn count(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    pub fn resumed(&self) -> Vec<bool> {
        let seen = self.seen.lock().unwrap();
        seen.iter()
            .map(|peer| peer.connection().is_resumed())
            .collect()
    }
}

impl<P: Policy<DnsName>> Policy<DnsName> for Recording<P> {
    fn authorize(&self, peer: &Peer<DnsName>) -> Decision {
        self.seen.lock().unwrap().push(peer.clone());
        self.inner.authorize(peer)
    }
}

/// A policy that denies every peer.
pub fn deny_all(_: &Peer<DnsName>) -> Decision {
    Decision::deny("closed for today")
}
