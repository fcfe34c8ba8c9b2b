//! The certificates of one run, in files for the servers and in memory for the clients: P-256, a root and
//! an intermediate, a server, and a client that sends its intermediate.

use std::path::Path;
use std::sync::Arc;

use countersign::testing::{Issued, KeyType, TestCa};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, SupportedKxGroup, aws_lc_rs};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;

use crate::BoxError;

/// In the server's certificate.
pub const SERVER_NAME: &str = "localhost";
/// In every client's certificate.
pub const CLIENT_NAME: &str = "client.example";

/// The only key exchange that a client offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exchange {
    X25519,
    Hybrid,
}

impl Exchange {
    fn group(self) -> &'static dyn SupportedKxGroup {
        match self {
            Self::X25519 => aws_lc_rs::kx_group::X25519,
            Self::Hybrid => aws_lc_rs::kx_group::X25519MLKEM768,
        }
    }
}

/// What a client presents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certificate {
    Own,
    /// Of another root, with the same names.
    Foreign,
    None,
}

pub struct Fixture {
    folder: TempDir,
    root: TestCa,
    issuing: TestCa,
    client: Issued,
    foreign: Issued,
    any_suite: bool,
}

impl Fixture {
    /// With `any_suite` the clients offer all cipher suites of rustls, and the server chooses. Otherwise
    /// they offer one, so that all servers do the same work.
    pub fn new(any_suite: bool) -> Result<Self, BoxError> {
        let root = TestCa::builder("Root").key(KeyType::P256).root();
        let issuing = root.intermediate("Issuing CA");
        let server = issuing.leaf().dns(SERVER_NAME).issue();
        let client = issuing.leaf().dns(CLIENT_NAME).issue();
        let foreign = TestCa::builder("Root").key(KeyType::P256).root();
        let folder = TempDir::with_prefix("countersign-peers-")?;
        for (name, text) in [
            ("ca.crt", root.pem()),
            ("server.crt", server.chain_pem()),
            ("server.key", server.key_pem()),
            ("client.crt", client.chain_pem()), // as raw rustls that knows one client has it
            ("server.pem", server.chain_pem() + &server.key_pem()), // as HAProxy reads it
        ] {
            std::fs::write(folder.path().join(name), text)?;
        }
        Ok(Self {
            folder,
            client,
            foreign: foreign
                .intermediate("Issuing CA")
                .leaf()
                .dns(CLIENT_NAME)
                .issue(),
            root,
            issuing,
            any_suite,
        })
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A client without sessions, so that each of its handshakes is full.
    pub fn client(&self, exchange: Exchange, certificate: Certificate) -> Arc<ClientConfig> {
        let mut config = self.config(exchange, certificate);
        config.resumption = Resumption::disabled();
        Arc::new(config)
    }

    /// A client with sessions of its own.
    pub fn resuming(&self, exchange: Exchange) -> Arc<ClientConfig> {
        Arc::new(self.config(exchange, Certificate::Own))
    }

    /// Clients of which each has a certificate of its own, for one key.
    pub fn new_clients(&self, exchange: Exchange, count: usize) -> Vec<Arc<ClientConfig>> {
        let base = self.client(exchange, Certificate::Own);
        let provider = base.crypto_provider().key_provider;
        let key = provider
            .load_private_key(self.client.key_der())
            .expect("a key");
        let spki = self.client.certificate().spki().to_vec();
        let make = |_| {
            // The key that this makes is not used; Ed25519 is the fastest.
            let leaf = self.issuing.leaf().dns(CLIENT_NAME).spki_der(spki.clone());
            let chain = leaf.key(KeyType::Ed25519).issue().chain().to_vec();
            let mut config = ClientConfig::clone(&base);
            let certified = CertifiedKey::new(chain, Arc::clone(&key));
            config.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(certified));
            Arc::new(config)
        };
        (0..count).map(make).collect()
    }

    fn config(&self, exchange: Exchange, certificate: Certificate) -> ClientConfig {
        let mut provider = aws_lc_rs::default_provider();
        provider.kx_groups = vec![exchange.group()];
        if !self.any_suite {
            provider.cipher_suites = vec![aws_lc_rs::cipher_suite::TLS13_AES_256_GCM_SHA384];
        }
        let provider: Arc<CryptoProvider> = provider.into();
        let mut roots = RootCertStore::empty();
        roots.add(self.root.certificate_der()).expect("a root");
        let verifier =
            WebPkiServerVerifier::builder_with_provider(roots.into(), Arc::clone(&provider))
                .build()
                .expect("a verifier");
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .expect("TLS 1.3")
            .with_webpki_verifier(verifier);
        let issued = match certificate {
            Certificate::Own => &self.client,
            Certificate::Foreign => &self.foreign,
            Certificate::None => return builder.with_no_client_auth(),
        };
        builder
            .with_client_auth_cert(issued.chain().to_vec(), issued.key_der())
            .expect("a certificate")
    }
}
