//! The names of authorities from which a client with several certificates chooses
//! (`certificate_authorities`, RFC 8446 section 4.2.4).

use std::sync::{Arc, Mutex};

use countersign::identity::SpiffeId;
use countersign::pki::Certificate;
use countersign::testing::{Issued, TestCa};
use countersign::{Acceptor, TrustStore, Update};
use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::sign::CertifiedKey;
use tokio::io::AsyncReadExt as _;

use super::support::{Domains, PROD, STAGING, domain, member};
use support::{SERVER, VERSIONS, Version, provider, raw_client};

/// Presents this certificate, and records the authorities that the server names.
#[derive(Debug)]
struct Asked {
    key: Arc<CertifiedKey>,
    authorities: Mutex<Vec<Vec<u8>>>,
}

impl Asked {
    fn new(issued: &Issued) -> Arc<Self> {
        let keys = provider(Version::Tls13).key_provider;
        let key = keys.load_private_key(issued.key_der()).unwrap();
        Arc::new(Self {
            key: Arc::new(CertifiedKey::new(issued.chain().to_vec(), key)),
            authorities: Mutex::default(),
        })
    }
}

impl ResolvesClientCert for Asked {
    fn resolve(
        &self,
        root_hint_subjects: &[&[u8]],
        _: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        let names = root_hint_subjects.iter().map(|name| name.to_vec());
        *self.authorities.lock().unwrap() = names.collect();
        Some(self.key.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// The authorities that the acceptor names, and whether it admits the client.
async fn asked(
    acceptor: &Acceptor<SpiffeId>,
    server_ca: &TestCa,
    issued: &Issued,
    version: Version,
) -> (Vec<Vec<u8>>, Result<(), &'static str>) {
    let asked = Asked::new(issued);
    let config = raw_client(server_ca, version, Some(asked.clone()));
    let (near, far) = tokio::io::duplex(64 * 1024);
    let client = async {
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        if let Ok(mut tls) = connector.connect(SERVER.try_into().unwrap(), far).await {
            let _ = tls.read_u8().await;
        }
    };
    let server = async { acceptor.accept(near).await.map(drop) };
    let (accepted, ()) = tokio::join!(server, client);
    let authorities = asked.authorities.lock().unwrap().clone();
    (authorities, accepted.map_err(|error| error.reason()))
}

fn names(authorities: &[&TestCa]) -> Vec<Vec<u8>> {
    authorities
        .iter()
        .map(|ca| ca.subject_der().to_vec())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_server_names_the_authorities_in_force() {
    for version in VERSIONS {
        let of = Domains::new();
        let server = of.prod.leaf().dns(SERVER);
        let server = server.spiffe("spiffe://prod.example/orders").issue();
        let acceptor = of.acceptor(of.trust()).build().unwrap();
        acceptor
            .control()
            .update(Update::new().credentials(server.credentials()))
            .unwrap();
        let partner = TestCa::new("Partner Root");
        let issued = member(&partner, "partner.example");
        let asked = async || asked(&acceptor, &of.prod, &issued, version).await;

        let (authorities, admitted) = asked().await;
        assert_eq!(authorities, names(&[&of.prod, &of.staging]));
        assert_eq!(admitted, Err("unknown_trust_domain"));

        acceptor
            .control()
            .set_trust_domain(domain("partner.example"), partner.trust())
            .unwrap();
        let (authorities, admitted) = asked().await;
        // In the order of the domains' names.
        assert_eq!(authorities, names(&[&partner, &of.prod, &of.staging]));
        assert_eq!(admitted, Ok(()));

        acceptor
            .control()
            .remove_trust_domain(&domain(STAGING))
            .unwrap();
        let (authorities, admitted) = asked().await;
        assert_eq!(authorities, names(&[&partner, &of.prod]));
        assert_eq!(admitted, Ok(()));

        // A store for all peers, with an intermediate for clients that send only their leaf.
        let issuing = partner.intermediate("Issuing");
        let intermediate = Certificate::from_der(&issuing.certificate_der()).unwrap();
        let store = partner.trust().with_intermediate(intermediate);
        acceptor
            .control()
            .update(Update::new().trust(store))
            .unwrap();
        let (authorities, admitted) = asked().await;
        assert_eq!(authorities, names(&[&partner, &issuing]));
        assert_eq!(admitted, Ok(()));

        // A pinned certificate has no authority to name. Then the request names none.
        let pinned = TrustStore::by_trust_domain()
            .with(domain(PROD), of.prod.trust().pin(&server.certificate()))
            .unwrap()
            .with(domain("partner.example"), partner.trust())
            .unwrap();
        acceptor
            .control()
            .update(Update::new().trust(pinned))
            .unwrap();
        let (authorities, admitted) = asked().await;
        assert_eq!(authorities, names(&[]));
        assert_eq!(admitted, Ok(()));
    }
}

/// A failed update, or one of something else, does not change the names.
#[tokio::test(start_paused = true)]
async fn an_update_without_effect_on_trust_changes_no_name() {
    let of = Domains::new();
    let server = of.prod.leaf().dns(SERVER);
    let server = server.spiffe("spiffe://prod.example/orders").issue();
    let acceptor = of.acceptor(of.trust()).build().unwrap();
    acceptor
        .control()
        .update(Update::new().credentials(server.credentials()))
        .unwrap();
    acceptor
        .control()
        .set_trust_domain(domain(STAGING), TrustStore::empty())
        .unwrap_err();
    let issued = member(&of.staging, STAGING);
    let (authorities, admitted) = asked(&acceptor, &of.prod, &issued, Version::Tls13).await;
    assert_eq!(authorities, names(&[&of.prod, &of.staging]));
    assert_eq!(admitted, Ok(()));
}
