//! Whole handshakes with a peer that presents a hostile chain.

use std::fmt;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use countersign::audit::Json;
use countersign::identity::DnsName;
use countersign::testing::{KeyType, TestCa};
use countersign::{Acceptor, Connector, policy};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, ServerConfig, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::io::{AsyncReadExt as _, DuplexStream, duplex};
use tokio::runtime::{Builder, Runtime};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::shapes::{Shape, TRUSTED};

pub(crate) const SERVER: &str = "server.example";

/// The side under attack.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Server,
    Client,
}

/// The side under attack, which is countersign's.
pub(crate) struct Attacker {
    side: Side,
    acceptor: Acceptor<DnsName>,
    connector: Connector<DnsName>,
}

impl Attacker {
    /// The side under attack trusts a root with a key of this type.
    pub(crate) fn new(side: Side, root: KeyType) -> Self {
        let ca = TestCa::builder(TRUSTED).key(root).root();
        let acceptor = Acceptor::builder()
            .credentials(ca.leaf().dns(SERVER).issue().credentials())
            .trust(ca.trust())
            .identify(DnsName::extractor())
            .authorize(policy::allow_any())
            .audit(Json::new(std::io::sink()));
        let connector = Connector::builder()
            .credentials(ca.leaf().dns("client.example").issue().credentials())
            .trust(ca.trust())
            .identify(DnsName::extractor())
            .authorize(policy::allow_any())
            .audit(Json::new(std::io::sink()));
        Self {
            side,
            acceptor: acceptor.build().unwrap(),
            connector: connector.build().unwrap(),
        }
    }

    /// The CPU time of the thread under attack for one handshake in which it rejects the shape.
    pub(crate) fn cpu_of(&self, shape: &Shape, handshakes: u32) -> Duration {
        let (client, server) = (client_of(shape), server_of(shape));
        let run = |count: u32| {
            thread::scope(|scope| {
                let ours = scope.spawn(move || {
                    let runtime = runtime();
                    let start = cpu_time();
                    for _ in 0..count {
                        runtime.block_on(self.reject(shape, scope, &client, &server));
                    }
                    let spent = cpu_time() - start;
                    (spent / count, client, server)
                });
                ours.join().unwrap()
            })
        };
        run(handshakes).0
    }

    async fn reject<'s>(
        &'s self,
        shape: &Shape,
        scope: &'s thread::Scope<'s, '_>,
        client: &Arc<ClientConfig>,
        server: &Arc<ServerConfig>,
    ) {
        let (ours, theirs) = duplex(256 * 1024);
        let reason = match self.side {
            Side::Server => {
                let client = Arc::clone(client);
                scope.spawn(move || runtime().block_on(attack_server(client, theirs)));
                self.acceptor.accept(ours).await.unwrap_err().reason()
            }
            Side::Client => {
                let server = Arc::clone(server);
                scope.spawn(move || runtime().block_on(attack_client(server, theirs)));
                let rejected = self.connector.connect(SERVER, ours).await;
                rejected.unwrap_err().reason()
            }
        };
        assert_eq!(reason, shape.reason, "{}", shape.name);
    }
}

pub(crate) async fn attack_server<IO>(client: Arc<ClientConfig>, io: IO)
where
    IO: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let name = ServerName::try_from(SERVER).unwrap();
    if let Ok(mut tls) = TlsConnector::from(client).connect(name, io).await {
        let _ = tls.read_u8().await; // the alert
    }
}

async fn attack_client(server: Arc<ServerConfig>, io: DuplexStream) {
    let _ = TlsAcceptor::from(server).accept(io).await;
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// The CPU time of this thread.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat")
        .expect("Linux accounts CPU time of threads in /proc/thread-self/schedstat");
    let nanoseconds = stat.split_whitespace().next().unwrap();
    Duration::from_nanos(nanoseconds.parse().unwrap())
}

pub(crate) fn client_of(shape: &Shape) -> Arc<ClientConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(NoVerify(Arc::clone(&provider))))
        .with_no_client_auth();
    config.client_auth_cert_resolver = certified(shape, &provider);
    Arc::new(config)
}

fn server_of(shape: &Shape) -> Arc<ServerConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(TestCa::new("Any").certificate_der()).unwrap();
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_cert_resolver(certified(shape, &provider));
    Arc::new(config)
}

fn certified(shape: &Shape, provider: &CryptoProvider) -> Arc<SingleCertAndKey> {
    let key = provider
        .key_provider
        .load_private_key(shape.key.clone_key());
    let certified = CertifiedKey::new(shape.chain.clone(), key.unwrap());
    Arc::new(SingleCertAndKey::from(certified))
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Server => "server",
            Self::Client => "client",
        })
    }
}

/// An attacker does not verify the server.
#[derive(Debug)]
struct NoVerify(Arc<CryptoProvider>);

impl ServerCertVerifier for NoVerify {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
