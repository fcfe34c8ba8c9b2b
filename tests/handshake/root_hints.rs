//! The names of authorities in the request for the client's certificate.

use std::sync::{Arc, Mutex};

use countersign::RootHints;
use countersign::builder::{Builder, ServerSide};
use countersign::identity::DnsName;
use countersign::testing::{Issued, TestCa};
use countersign::trust::Trust;
use countersign::{Acceptor, TrustStore, policy};
use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::sign::CertifiedKey;
use support::{SERVER, VERSIONS, Version, provider, raw_client};

/// The names that a client was sent.
#[derive(Debug)]
struct Client {
    certificate: Arc<CertifiedKey>,
    names: Mutex<Option<Vec<Vec<u8>>>>,
}

impl ResolvesClientCert for Client {
    fn resolve(&self, names: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let names = names.iter().map(|name| name.to_vec()).collect();
        *self.names.lock().unwrap() = Some(names);
        Some(self.certificate.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl Client {
    /// With this certificate.
    fn new(issued: &Issued) -> Arc<Self> {
        let key = provider(Version::Tls13).key_provider;
        let key = key.load_private_key(issued.key_der()).unwrap();
        Arc::new(Self {
            certificate: Arc::new(CertifiedKey::new(issued.chain().to_vec(), key)),
            names: Mutex::default(),
        })
    }

    fn take_names(&self) -> Vec<Vec<u8>> {
        self.names.lock().unwrap().take().unwrap()
    }

    /// Connects to a server of the CA, which admits it.
    async fn connect(self: &Arc<Self>, ca: &TestCa, version: Version, to: &Acceptor<DnsName>) {
        let config = Arc::new(raw_client(ca, version, Some(self.clone())));
        let (near, far) = tokio::io::duplex(256 * 1024);
        let connector = tokio_rustls::TlsConnector::from(config);
        let client = connector.connect(SERVER.try_into().unwrap(), far);
        let (server, client) = tokio::join!(to.accept(near), client);
        server.unwrap();
        client.unwrap();
    }
}

fn acceptor(ca: &TestCa, trust: impl Into<Trust>) -> Builder<ServerSide, DnsName> {
    Acceptor::builder()
        .credentials(ca.leaf().dns(SERVER).issue().credentials())
        .trust(trust)
        .identify(DnsName::extractor())
        .authorize(policy::allow_any())
        .allow_tls12()
}

/// The names, as DER, that this acceptor sends to a client of the CA, which it then admits.
async fn names(ca: &TestCa, builder: Builder<ServerSide, DnsName>) -> Vec<Vec<u8>> {
    let acceptor = builder.build().unwrap();
    let client = Client::new(&ca.leaf().dns("client.example").issue());
    let mut sent = Vec::new();
    for version in VERSIONS {
        client.connect(ca, version, &acceptor).await;
        sent.push(client.take_names());
    }
    assert_eq!(sent[0], sent[1], "the versions agree");
    sent.remove(0)
}

fn bytes(names: &[Vec<u8>]) -> usize {
    names.iter().map(|name| name.len() + 2).sum()
}

/// Roots of different names, beside the one of the client.
fn with_roots(ca: &TestCa, count: usize) -> TrustStore {
    (0..count).fold(ca.trust(), |trust, number| {
        trust.and(TestCa::new(&format!("Authority {number:05}")).trust())
    })
}

#[tokio::test(start_paused = true)]
async fn each_name_is_sent_once() {
    let ca = TestCa::new("Root");
    let (renewed, other) = (ca.same_name_other_key(), TestCa::new("Other"));
    let trust = ca.trust().and(renewed.trust()).and(other.trust());
    let sent = names(&ca, acceptor(&ca, trust)).await;
    let expected: Vec<_> = [&ca, &other].map(|ca| ca.subject_der().to_vec()).into();
    assert_eq!(sent, expected);
}

#[tokio::test(start_paused = true)]
async fn long_lists_are_sent_only_where_that_is_chosen_and_never_in_part() {
    let ca = TestCa::new("Root");
    for (roots, short, all) in [(100, true, true), (250, false, true), (1200, false, false)] {
        let trust = with_roots(&ca, roots);
        for (choice, sends) in [
            (RootHints::IfShort, short),
            (RootHints::All, all),
            (RootHints::Off, false),
        ] {
            let builder = acceptor(&ca, trust.clone()).root_hints(choice);
            let sent = names(&ca, builder).await;
            let expected = if sends { roots + 1 } else { 0 };
            assert_eq!(sent.len(), expected, "{choice:?} of {roots}");
        }
    }
    let default = acceptor(&ca, with_roots(&ca, 250));
    assert_eq!(names(&ca, default).await.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_request_of_a_thousand_trust_domains_is_small() {
    let ca = TestCa::new("Root");
    let bundles = |count: usize| {
        let mut bundles = TrustStore::by_trust_domain();
        for number in 0..count {
            let root = TestCa::new(&format!("Authority of domain {number}"));
            let domain = format!("domain{number}.example").parse().unwrap();
            bundles = bundles.with(domain, root.trust()).unwrap();
        }
        bundles
    };
    for (domains, choice, named) in [
        (1000, RootHints::IfShort, false),
        (50, RootHints::IfShort, true),
    ] {
        let acceptor = acceptor(&ca, bundles(domains)).root_hints(choice);
        let sent = refused(&ca, &acceptor.build().unwrap()).await;
        assert_eq!(sent.len(), if named { domains } else { 0 });
        assert!(bytes(&sent) <= 4096, "{}", bytes(&sent));
    }
}

/// As [`names`], for a client that is rejected.
async fn refused(ca: &TestCa, acceptor: &Acceptor<DnsName>) -> Vec<Vec<u8>> {
    let client = Client::new(&ca.leaf().dns("client.example").issue());
    let config = raw_client(ca, Version::Tls13, Some(client.clone()));
    let (server, _) = support::refused_raw_client(acceptor, config).await;
    assert_eq!(server.reason(), "no_trust_domain");
    client.take_names()
}

#[tokio::test(start_paused = true)]
async fn a_pin_hides_all_names_whatever_is_chosen() {
    let ca = TestCa::new("Root");
    let pinned = TestCa::new("Alone").leaf().dns("pinned.example").issue();
    for choice in [RootHints::IfShort, RootHints::All, RootHints::Off] {
        let trust = ca.trust().pin(&pinned.certificate());
        let builder = acceptor(&ca, trust).root_hints(choice);
        assert_eq!(names(&ca, builder).await.len(), 0, "{choice:?}");
    }
}

/// An update of the trust changes the names.
#[tokio::test(start_paused = true)]
async fn new_trust_has_its_own_names() {
    let (ca, next) = (TestCa::new("Root"), TestCa::new("Next"));
    let acceptor = acceptor(&ca, ca.trust()).build().unwrap();
    let update = countersign::Update::new().trust(next.trust());
    acceptor.control().update(update).unwrap();
    let client = Client::new(&next.leaf().dns("client.example").issue());
    client.connect(&ca, Version::Tls13, &acceptor).await;
    assert_eq!(client.take_names(), [next.subject_der().to_vec()]);
}
