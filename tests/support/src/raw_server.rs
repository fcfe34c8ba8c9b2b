//! A plain rustls server that asks for certificates, and resumes whatever it once granted.

use std::io::Read as _;
use std::sync::{Arc, Mutex};

use countersign::identity::DnsName;
use countersign::testing::{Issued, TestCa};
use countersign::{ConnectError, Connector};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{
    ClientHello, ResolvesServerCert, ServerSessionMemoryCache, WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

use crate::{Version, provider};

pub struct RawServer {
    pub config: ServerConfig,
    certificate: Arc<ServerCertificate>,
}

impl RawServer {
    /// With this certificate, for clients of the CA.
    pub fn new(ca: &TestCa, issued: &Issued) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(ca.certificate_der()).unwrap();
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider(Version::Tls13));
        Self::with(issued, verifier.build().unwrap())
    }

    /// With this certificate, for clients without any.
    pub fn for_everybody(issued: &Issued) -> Self {
        Self::with(issued, WebPkiClientVerifier::no_client_auth())
    }

    fn with(issued: &Issued, verifier: Arc<dyn ClientCertVerifier>) -> Self {
        let certificate = Arc::new(ServerCertificate(Mutex::new(key(issued))));
        let mut config = ServerConfig::builder_with_provider(provider(Version::Tls13))
            .with_protocol_versions(rustls::ALL_VERSIONS)
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(certificate.clone());
        config.session_storage = ServerSessionMemoryCache::new(4096);
        Self {
            config,
            certificate,
        }
    }

    /// Shows another certificate from now on.
    pub fn show(&self, issued: &Issued) {
        *self.certificate.0.lock().unwrap() = key(issued);
    }

    /// Sends the connector one byte. Whether the connector resumed, or its error.
    pub async fn serve(
        &self,
        connector: &Connector<DnsName>,
        name: &str,
    ) -> Result<bool, ConnectError> {
        let (near, far) = duplex(64 * 1024);
        let client = async {
            let mut stream = connector.connect(name, far).await?;
            assert_eq!(stream.read_u8().await.unwrap(), b's');
            Ok(stream.peer().connection().is_resumed())
        };
        tokio::join!(self.greet(near), client).1
    }

    /// Accepts, and sends one byte. What came as early data, if any was accepted.
    pub async fn greet(&self, io: DuplexStream) -> Option<Vec<u8>> {
        let tls = tokio_rustls::TlsAcceptor::from(Arc::new(self.config.clone()));
        // A client that leaves in the handshake says why.
        let mut stream = tls.accept(io).await.ok()?;
        let mut early = None;
        if let Some(mut data) = stream.get_mut().1.early_data() {
            data.read_to_end(early.insert(Vec::new())).unwrap();
        }
        let _ = stream.write_all(b"s").await;
        let _ = stream.shutdown().await;
        early
    }
}

fn key(issued: &Issued) -> Arc<CertifiedKey> {
    let provider = provider(Version::Tls13);
    let key = provider.key_provider.load_private_key(issued.key_der());
    Arc::new(CertifiedKey::new(issued.chain().to_vec(), key.unwrap()))
}

/// What the server shows.
#[derive(Debug)]
struct ServerCertificate(Mutex<Arc<CertifiedKey>>);

impl ResolvesServerCert for ServerCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.lock().unwrap().clone())
    }
}

/// Asks for a certificate, and accepts any and none.
#[derive(Debug)]
pub struct AnyClient;

impl ClientCertVerifier for AnyClient {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
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
        let provider = provider(Version::Tls13);
        provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
