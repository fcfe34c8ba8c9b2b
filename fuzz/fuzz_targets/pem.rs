//! PEM files of the application: any bytes load as a whole or return an error with a reason.
#![no_main]

use countersign::{Credentials, TrustStore};
use libfuzzer_sys::fuzz_target;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

fuzz_target!(|pem: &[u8]| {
    match TrustStore::from_pem(pem) {
        Ok(store) => {
            assert!(!store.is_empty());
            // The store has each root once.
            assert!(store.anchors().len() <= certificates(pem).len());
        }
        Err(error) => one_line(error.reason(), &error),
    }
    match Credentials::from_pem(pem, pem) {
        Ok(credentials) => {
            assert_eq!(credentials.chain(), certificates(pem));
            assert!(!format!("{credentials:?}").contains(char::is_control));
        }
        Err(error) => one_line(error.reason(), &error),
    }
});

fn certificates(pem: &[u8]) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .expect("a loaded file has no damaged block")
}

fn one_line(reason: &str, error: &dyn std::error::Error) {
    assert!(!reason.is_empty());
    let text = error.to_string();
    assert!(!text.contains(char::is_control), "{reason}: {text:?}");
    let _ = format!("{error:?}");
}
