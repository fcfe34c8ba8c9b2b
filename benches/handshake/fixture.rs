//! The same certificates, cryptography and session stores for all implementations.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use countersign::builder::{Builder, ServerSide};
use countersign::identity::{DnsName, IdentityExtractor};
use countersign::pki::Certificate;
use countersign::testing::{KeyType, TestCa};
use countersign::{Acceptor, Connector, Credentials, policy};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::server::{ServerSessionMemoryCache, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SigningKey, SingleCertAndKey};
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::case::{Kind, Setting, Side};
use crate::no_verify::NoVerify;

pub const SERVER_NAME: &str = "server.example";

/// The documented defaults of an acceptor and of a connector.
const SERVER_SESSIONS: usize = 4096;
const TICKETS: usize = 1;
const CLIENT_SESSIONS: usize = 256;

type Chain = Vec<CertificateDer<'static>>;

/// Whether a raw side verifies chains.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Verification {
    Full,
    Skipped,
}

/// Everything with keys of one type. RSA keys take long to make.
pub struct Family {
    /// A root, an intermediate below it, and one below that.
    authorities: [TestCa; 3],
    server: Owner,
    client: Owner,
}

impl Family {
    pub fn new(kind: KeyType) -> Self {
        let root = TestCa::builder("Root").key(kind).root();
        let upper = root.intermediate("Upper CA");
        let lower = upper.intermediate("Lower CA");
        Self {
            server: Owner::new(&root, kind, SERVER_NAME),
            client: Owner::new(&root, kind, "client.example"),
            authorities: [root, upper, lower],
        }
    }
}

/// A key, for which any number of certificates can be issued.
struct Owner {
    name: &'static str,
    key: PrivateKeyDer<'static>,
    spki: Vec<u8>,
}

impl Owner {
    fn new(authority: &TestCa, kind: KeyType, name: &'static str) -> Self {
        let issued = authority.leaf().key(kind).issue();
        Self {
            name,
            key: issued.key_der(),
            spki: issued.certificate().spki().to_vec(),
        }
    }

    /// Another certificate for the same key.
    fn certify(&self, issuer: &TestCa) -> Chain {
        let leaf = issuer.leaf().dns(self.name).spki_der(self.spki.clone());
        // `issue` makes a key that is not used here; Ed25519 is the fastest.
        leaf.key(KeyType::Ed25519).issue().chain().to_vec()
    }
}

/// One setting: a server and a client that trust the same root.
pub struct Fixture<'a> {
    family: &'a Family,
    issuer: &'a TestCa,
    pub provider: Arc<CryptoProvider>,
    server_chain: Chain,
    client_chain: Chain,
}

impl<'a> Fixture<'a> {
    pub fn new(family: &'a Family, setting: Setting) -> Self {
        let issuer = &family.authorities[setting.intermediates];
        Self {
            family,
            issuer,
            provider: Arc::new(setting.exchange.provider()),
            server_chain: family.server.certify(issuer),
            client_chain: family.client.certify(issuer),
        }
    }

    fn root(&self) -> &TestCa {
        &self.family.authorities[0]
    }

    pub fn acceptor(&self, counter: &Counter) -> Acceptor<DnsName> {
        self.acceptor_builder(counter).build().expect("an acceptor")
    }

    pub fn acceptor_builder(&self, counter: &Counter) -> Builder<ServerSide, DnsName> {
        Acceptor::builder()
            .credentials(credentials(&self.server_chain, &self.family.server))
            .trust(self.root().trust())
            .identify(counter.extractor())
            .authorize(policy::allow_any())
            .crypto_provider(self.provider.clone())
    }

    pub fn connector(&self, counter: &Counter) -> Connector<DnsName> {
        Connector::builder()
            .credentials(credentials(&self.client_chain, &self.family.client))
            .trust(self.root().trust())
            .identify(counter.extractor())
            .authorize(policy::allow_any())
            .crypto_provider(self.provider.clone())
            .build()
            .expect("a connector")
    }

    /// A raw server with sessions of its own. It sends no tickets where the client is timed and must
    /// not resume: a connector would use them.
    pub fn raw_server(&self, timed: Side, kind: Kind, verification: Verification) -> ServerConfig {
        let provider = self.provider.clone();
        let mut verifier =
            WebPkiClientVerifier::builder_with_provider(self.roots(), provider.clone())
                .build()
                .expect("a verifier");
        if verification == Verification::Skipped {
            verifier = Arc::new(NoVerify::new(verifier));
        }
        let key = self.family.server.key.clone_key();
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .expect("TLS 1.3")
            .with_client_cert_verifier(verifier)
            .with_single_cert(self.server_chain.clone(), key)
            .expect("a certificate");
        config.session_storage = ServerSessionMemoryCache::new(SERVER_SESSIONS);
        config.send_tls13_tickets = if timed == Side::Client && kind != Kind::Resumed {
            0
        } else {
            TICKETS
        };
        config
    }

    /// A raw client with sessions of its own, or with none where the server must not resume.
    pub fn raw_client(&self, timed: Side, kind: Kind, verification: Verification) -> ClientConfig {
        let provider = self.provider.clone();
        let verifier = WebPkiServerVerifier::builder_with_provider(self.roots(), provider.clone())
            .build()
            .expect("a verifier");
        let key = self.family.client.key.clone_key();
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .expect("TLS 1.3");
        let builder = match verification {
            Verification::Full => builder.with_webpki_verifier(verifier),
            Verification::Skipped => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(NoVerify::new(verifier))),
        };
        let mut config = builder
            .with_client_auth_cert(self.client_chain.clone(), key)
            .expect("a certificate");
        config.resumption = if timed == Side::Server && kind != Kind::Resumed {
            Resumption::disabled()
        } else {
            Resumption::in_memory_sessions(CLIENT_SESSIONS)
        };
        config
    }

    /// The same server with `count` new certificates.
    pub fn new_servers(&self, config: &ServerConfig, count: usize) -> Vec<Arc<ServerConfig>> {
        self.new_certificates(&self.family.server, count)
            .map(|certificate| {
                let mut config = config.clone();
                config.cert_resolver = certificate;
                Arc::new(config)
            })
            .collect()
    }

    /// The same client with `count` new certificates.
    pub fn new_clients(&self, config: &ClientConfig, count: usize) -> Vec<Arc<ClientConfig>> {
        self.new_certificates(&self.family.client, count)
            .map(|certificate| {
                let mut config = config.clone();
                config.client_auth_cert_resolver = certificate;
                Arc::new(config)
            })
            .collect()
    }

    fn new_certificates(
        &self,
        owner: &'a Owner,
        count: usize,
    ) -> impl Iterator<Item = Arc<SingleCertAndKey>> {
        let key = self.signing_key(owner);
        (0..count).map(move |_| {
            let certified = CertifiedKey::new(owner.certify(self.issuer), key.clone());
            Arc::new(SingleCertAndKey::from(certified))
        })
    }

    /// The key that a side signs with.
    pub fn key_of(&self, side: Side) -> Arc<dyn SigningKey> {
        self.signing_key(match side {
            Side::Server => &self.family.server,
            Side::Client => &self.family.client,
        })
    }

    /// The certificate that a side presents.
    pub fn leaf_of(&self, side: Side) -> &CertificateDer<'static> {
        match side {
            Side::Server => &self.server_chain[0],
            Side::Client => &self.client_chain[0],
        }
    }

    fn signing_key(&self, owner: &Owner) -> Arc<dyn SigningKey> {
        let provider = self.provider.key_provider;
        provider
            .load_private_key(owner.key.clone_key())
            .expect("a key")
    }

    fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.root().certificate_der()).expect("a root");
        Arc::new(roots)
    }
}

fn credentials(chain: &Chain, owner: &Owner) -> Credentials {
    Credentials::from_der(chain.clone(), owner.key.clone_key()).expect("credentials")
}

/// Counts how often an identity was extracted: once for each chain that was not known.
#[derive(Clone, Default)]
pub struct Counter(Arc<AtomicUsize>);

impl Counter {
    fn extractor(&self) -> impl IdentityExtractor<Identity = DnsName> + 'static {
        let (count, inner) = (self.clone(), DnsName::extractor());
        move |certificate: &Certificate| {
            count.add();
            inner.extract(certificate)
        }
    }

    pub fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}
