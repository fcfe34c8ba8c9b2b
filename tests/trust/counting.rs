//! A crypto provider that counts the signatures of certificates.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs};
use rustls_pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm};

/// A provider that counts the signatures that it verifies, except those of handshakes.
pub(crate) fn counting() -> (CryptoProvider, &'static AtomicUsize) {
    let mut provider = aws_lc_rs::default_provider();
    let count: &AtomicUsize = Box::leak(Box::default());
    let original = provider.signature_verification_algorithms.all.iter();
    let all: Vec<&'static dyn SignatureVerificationAlgorithm> = original
        .map(|&algorithm| {
            let counted: &'static Counted = Box::leak(Box::new(Counted { algorithm, count }));
            counted as &'static dyn SignatureVerificationAlgorithm
        })
        .collect();
    provider.signature_verification_algorithms = WebPkiSupportedAlgorithms {
        all: Vec::leak(all),
        mapping: provider.signature_verification_algorithms.mapping,
    };
    (provider, count)
}

#[derive(Debug)]
struct Counted {
    algorithm: &'static dyn SignatureVerificationAlgorithm,
    count: &'static AtomicUsize,
}

impl SignatureVerificationAlgorithm for Counted {
    fn verify_signature(
        &self,
        key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        self.count.fetch_add(1, SeqCst);
        self.algorithm.verify_signature(key, message, signature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.algorithm.public_key_alg_id()
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.algorithm.signature_alg_id()
    }
}
