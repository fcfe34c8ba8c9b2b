//! A certificate shown is not a certificate owned.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use countersign::identity::{DnsName, IdentityExtractor as _};
use countersign::testing::TestCa;
use countersign::{AcceptError, Acceptor, Certificate, Connector, HandshakeError, policy};
use support::{
    Recording, SERVER, VERSIONS, Version, provider, raw_client, refused_raw_client, thief,
};

#[tokio::test(start_paused = true)]
async fn a_stolen_certificate_reaches_no_extractor_and_no_policy() {
    let ca = TestCa::new("Root");
    let victim = ca.leaf().dns("victim.example").issue();
    let own = ca.leaf().dns("thief.example").issue();
    let extracted = Arc::new(AtomicUsize::new(0));
    let seen = Recording::new(policy::allow_any());
    let acceptor = Acceptor::builder()
        .credentials(ca.leaf().dns(SERVER).issue().credentials())
        .trust(ca.trust())
        .identify({
            let extracted = extracted.clone();
            move |certificate: &Certificate| {
                extracted.fetch_add(1, Ordering::Relaxed);
                DnsName::extractor().extract(certificate)
            }
        })
        .authorize(seen.clone())
        .allow_tls12()
        .build()
        .unwrap();
    for version in VERSIONS {
        let config = raw_client(&ca, version, Some(thief(&victim, &own)));
        let (error, alert) = refused_raw_client(&acceptor, config).await;
        let AcceptError::Handshake(HandshakeError::KeyNotProven { certificate }) = &error else {
            panic!("{version:?}: {error}")
        };
        assert_eq!(*certificate, victim.certificate());
        assert_eq!(error.reason(), "key_not_proven");
        assert!(
            error
                .to_string()
                .contains("did not prove that it owns its key")
        );
        let expected = rustls::Error::AlertReceived(rustls::AlertDescription::DecryptError);
        assert_eq!(alert, expected, "{version:?}");
    }
    assert_eq!(extracted.load(Ordering::Relaxed), 0);
    assert_eq!(seen.count(), 0);

    // The same machinery with the victim's own key: the test sees the difference.
    let owner = Connector::builder()
        .credentials(victim.credentials())
        .trust(ca.trust())
        .identify(DnsName::extractor())
        .authorize(policy::allow_any())
        .build()
        .unwrap();
    let (server, _client) = support::handshake(&acceptor, &owner).await;
    assert_eq!(server.unwrap().peer().identity().as_str(), "victim.example");
    assert_eq!((extracted.load(Ordering::Relaxed), seen.count()), (1, 1));
}

/// The same for a server that shows a certificate which it does not own.
#[tokio::test(start_paused = true)]
async fn a_thief_among_servers() {
    let ca = TestCa::new("Root");
    let victim = ca.leaf().dns(SERVER).issue();
    let own = ca.leaf().dns("thief.example").issue();
    for version in VERSIONS {
        let config = rustls::ServerConfig::builder_with_provider(provider(Version::Tls13))
            .with_protocol_versions(rustls::ALL_VERSIONS)
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(thief(&victim, &own));
        let seen = Recording::new(policy::allow_any());
        let connector = Connector::builder()
            .credentials(ca.leaf().dns("client.example").issue().credentials())
            .trust(ca.trust())
            .identify(DnsName::extractor())
            .authorize(seen.clone())
            .allow_tls12()
            .crypto_provider(provider(version))
            .build()
            .unwrap();
        let (near, far) = tokio::io::duplex(64 * 1024);
        let server = tokio_rustls::TlsAcceptor::from(Arc::new(config)).accept(near);
        let (client, _) = tokio::join!(connector.connect(SERVER, far), server);
        assert_eq!(
            client.map(drop).unwrap_err().reason(),
            "key_not_proven",
            "{version:?}"
        );
        assert_eq!(seen.count(), 0);
    }
}
