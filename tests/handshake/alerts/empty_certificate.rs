//! A Certificate message with an entry of no octets (RFC 8446 section 4.4.2 wants one at least).

use std::sync::Arc;

use countersign::gate::AdmitError;
use countersign::testing::{Issued, TestCa};
use countersign::trust::ChainError;
use countersign::{AcceptError, ConnectError, policy};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{AlertDescription, Error, ServerConfig};
use rustls_pki_types::CertificateDer;
use tokio::io::duplex;

use support::{
    SERVER, VERSIONS, Version, acceptor, connector, provider, raw_client, refused_raw_client, thief,
};

/// The chain with an empty entry at this place.
fn with_empty_entry(issued: &Issued, place: usize) -> Arc<SingleCertAndKey> {
    let key = provider(Version::Tls13)
        .key_provider
        .load_private_key(issued.key_der())
        .unwrap();
    let mut chain = issued.chain().to_vec();
    chain.insert(place, CertificateDer::from(Vec::new()));
    Arc::new(SingleCertAndKey::from(CertifiedKey::new(chain, key)))
}

/// The place that the error names, counted from 1.
fn malformed(error: &AdmitError) -> usize {
    match error {
        AdmitError::Chain(ChainError::Malformed { position, .. }) => *position,
        other => panic!("{other:?}"),
    }
}

/// decode_error would fit better, but no error of a verifier makes rustls send it.
const ALERT: Error = Error::AlertReceived(AlertDescription::BadCertificate);

#[tokio::test]
async fn a_client_with_an_empty_certificate_entry_is_rejected() {
    let ca = TestCa::new("Root");
    let client = ca.intermediate("CA").leaf().dns("client.example").issue();
    assert_eq!(client.chain().len(), 2);
    let acceptor = acceptor(&ca, policy::allow_any())
        .allow_tls12()
        .build()
        .unwrap();
    for version in VERSIONS {
        for place in 0..=2 {
            let resolver = with_empty_entry(&client, place);
            let config = raw_client(&ca, version, Some(resolver));
            let (error, seen) = refused_raw_client(&acceptor, config).await;
            match error {
                AcceptError::NotAdmitted(error) => assert_eq!(malformed(&error), place + 1),
                other => panic!("{other:?}"),
            }
            assert_eq!(seen, ALERT, "{version:?} {place}");
        }
        // Without the empty entry it is admitted.
        let good = thief(&client, &client);
        let config = Arc::new(raw_client(&ca, version, Some(good)));
        let (near, far) = duplex(64 * 1024);
        let raw = tokio_rustls::TlsConnector::from(config);
        let (accepted, connected) = tokio::join!(
            acceptor.accept(near),
            raw.connect(SERVER.try_into().unwrap(), far)
        );
        accepted.unwrap();
        connected.unwrap();
    }
}

#[tokio::test]
async fn a_server_with_an_empty_certificate_entry_is_rejected() {
    let ca = TestCa::new("Root");
    let server = ca.intermediate("CA").leaf().dns(SERVER).issue();
    for version in VERSIONS {
        let connector = connector(&ca, "client.example")
            .allow_tls12()
            .crypto_provider(provider(version))
            .build()
            .unwrap();
        let exported = Arc::new(connector.clone().into_authorizing_rustls_config());
        for place in 0..=2 {
            let config = ServerConfig::builder_with_provider(provider(Version::Tls13))
                .with_protocol_versions(rustls::ALL_VERSIONS)
                .unwrap()
                .with_no_client_auth()
                .with_cert_resolver(with_empty_entry(&server, place));
            let raw = tokio_rustls::TlsAcceptor::from(Arc::new(config));
            let (near, far) = duplex(64 * 1024);
            let (accepted, connected) =
                tokio::join!(raw.accept(near), connector.connect(SERVER, far));
            match connected {
                Err(ConnectError::NotAdmitted(error)) => assert_eq!(malformed(&error), place + 1),
                other => panic!("{other:?}"),
            }
            assert_eq!(seen(accepted), ALERT, "{version:?} {place}");

            // And where the application drives rustls.
            let (near, far) = duplex(64 * 1024);
            let driven = tokio_rustls::TlsConnector::from(exported.clone());
            let name = SERVER.try_into().unwrap();
            let (accepted, connected) = tokio::join!(raw.accept(near), driven.connect(name, far));
            assert!(connected.is_err());
            assert_eq!(seen(accepted), ALERT, "{version:?} {place}");
        }
    }
}

fn seen<T>(accepted: std::io::Result<T>) -> Error {
    let error = accepted.map(drop).expect_err("the server was refused");
    error.downcast().expect("an error of TLS")
}
