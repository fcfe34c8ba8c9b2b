//! The servers and clients of the tables, in memory.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use countersign::builder::{Builder, ServerSide};
use countersign::identity::DnsName;
use countersign::testing::{Issued, TestCa};
use countersign::trust::Trust;
use countersign::{Acceptor, policy};
use countersign_benches::comparison::{Client, Driver as _, Server};
use countersign_benches::fixture::SERVER_NAME;
use countersign_benches::streams::Streams;
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, SignatureScheme};

/// The trust domain of the clients.
pub(crate) const DOMAIN: &str = "clients.example";

pub(crate) struct Fixture {
    pub(crate) streams: Streams,
    /// The authority of the server and of the clients.
    pub(crate) ca: TestCa,
    server: Issued,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let ca = TestCa::new("Root of the clients");
        Self {
            streams: Streams::default(),
            server: ca.leaf().dns(SERVER_NAME).issue(),
            ca,
        }
    }

    pub(crate) fn builder(&self, trust: impl Into<Trust>) -> Builder<ServerSide, DnsName> {
        Acceptor::builder()
            .credentials(self.server.credentials())
            .trust(trust)
            .identify(DnsName::extractor())
            .authorize(policy::allow_any())
    }

    pub(crate) fn issue(&self) -> Issued {
        let leaf = self.ca.leaf().dns("client.example");
        leaf.spiffe(&format!("spiffe://{DOMAIN}/client")).issue()
    }

    pub(crate) fn client(&self) -> Arc<ClientConfig> {
        Arc::new(self.config(&self.issue()))
    }

    fn config(&self, issued: &Issued) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.ca.certificate_der()).expect("a root");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("TLS 1.3")
            .with_root_certificates(roots)
            .with_client_auth_cert(issued.chain().to_vec(), issued.key_der())
            .expect("credentials");
        config.resumption = Resumption::disabled();
        config
    }

    /// The work of the server in one full handshake.
    pub(crate) fn handshake(
        &self,
        acceptor: &Acceptor<DnsName>,
        client: &Arc<ClientConfig>,
    ) -> Duration {
        let (server, client) = (Server::Ours(acceptor), Client::Raw(client));
        self.streams.handshake(server, client, false).server
    }

    /// The work of the server with chains that it has not verified before, and then with one of them.
    pub(crate) fn first_and_known(
        &self,
        acceptor: &Acceptor<DnsName>,
        handshakes: usize,
    ) -> [f64; 2] {
        let clients: Vec<_> = (0..handshakes).map(|_| self.client()).collect();
        // What exists once is made in the first handshake.
        self.handshake(acceptor, &self.client());
        let median_of = |clients: &[Arc<ClientConfig>]| {
            let times = clients
                .iter()
                .map(|client| self.handshake(acceptor, client));
            crate::table::median(times.collect())
        };
        [median_of(&clients), median_of(&clients)]
    }

    /// The bytes of the names of authorities that the server sends.
    pub(crate) fn hints(&self, acceptor: &Acceptor<DnsName>) -> usize {
        let mut config = self.config(&self.issue());
        let hints = Arc::new(Hints {
            inner: config.client_auth_cert_resolver.clone(),
            bytes: Mutex::default(),
        });
        config.client_auth_cert_resolver = hints.clone();
        self.handshake(acceptor, &Arc::new(config));
        *hints.bytes.lock().expect("no panic")
    }
}

/// Notes the hints of the last server.
#[derive(Debug)]
struct Hints {
    inner: Arc<dyn ResolvesClientCert>,
    bytes: Mutex<usize>,
}

impl ResolvesClientCert for Hints {
    fn resolve(&self, hints: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        // Each has two bytes of length.
        *self.bytes.lock().expect("no panic") = hints.iter().map(|hint| hint.len() + 2).sum();
        self.inner.resolve(hints, schemes)
    }

    fn has_certs(&self) -> bool {
        true
    }
}
