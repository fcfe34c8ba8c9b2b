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

/// The certificates of a loaded file by another decoder, which knows neither UTF-16, nor byte order marks,
/// nor the old labels.
fn certificates(pem: &[u8]) -> Vec<CertificateDer<'static>> {
    let mut text = match pem {
        [0xff, 0xfe, ..] => utf16(pem, u16::from_le_bytes),
        [0xfe, 0xff, ..] => utf16(pem, u16::from_be_bytes),
        _ => pem.to_vec(),
    };
    for (unusual, usual) in [
        ("\u{feff}-----BEGIN ", "-----BEGIN "),
        ("X509 CERTIFICATE-----", "CERTIFICATE-----"),
        ("X.509 CERTIFICATE-----", "CERTIFICATE-----"),
    ] {
        text = replaced(&text, unusual.as_bytes(), usual.as_bytes());
    }
    CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .expect("a loaded file has no damaged block")
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Vec<u8> {
    let units = bytes[2..].chunks_exact(2);
    let units: Vec<u16> = units.map(|pair| unit([pair[0], pair[1]])).collect();
    String::from_utf16(&units)
        .expect("a loaded file is text")
        .into_bytes()
}

fn replaced(mut text: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut result = Vec::new();
    while let Some(at) = text.windows(from.len()).position(|window| window == from) {
        result.extend_from_slice(&text[..at]);
        result.extend_from_slice(to);
        text = &text[at + from.len()..];
    }
    result.extend_from_slice(text);
    result
}

fn one_line(reason: &str, error: &dyn std::error::Error) {
    assert!(!reason.is_empty());
    let text = error.to_string();
    assert!(!text.contains(char::is_control), "{reason}: {text:?}");
    let _ = format!("{error:?}");
}
