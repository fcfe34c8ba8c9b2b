//! Identity by digest of the certificate or of its key.

use super::{IdentityError, IdentityExtractor};
use crate::pki::{Certificate, Fingerprint};

/// Reads a digest of the leaf. Made by [`Fingerprint::certificate_extractor`] and
/// [`Fingerprint::spki_extractor`].
///
/// ```
/// use countersign::identity::{Fingerprint, FingerprintExtractor};
///
/// let extractor: FingerprintExtractor = Fingerprint::spki_extractor();
/// ```
#[derive(Clone, Copy, Debug)]
pub struct FingerprintExtractor(Of);

#[derive(Clone, Copy, Debug)]
enum Of {
    Certificate,
    Spki,
}

impl Fingerprint {
    /// Identifies a peer by the SHA-256 of its certificate. It changes with every renewal.
    ///
    /// # Security
    /// Use it to allow, not to deny: an ECDSA signature can be turned into a second valid one over the same
    /// certificate body, and the result has another fingerprint.
    pub const fn certificate_extractor() -> FingerprintExtractor {
        FingerprintExtractor(Of::Certificate)
    }

    /// Identifies a peer by the SHA-256 of its SubjectPublicKeyInfo. It is the same as long as the peer keeps
    /// its key.
    pub const fn spki_extractor() -> FingerprintExtractor {
        FingerprintExtractor(Of::Spki)
    }
}

impl IdentityExtractor for FingerprintExtractor {
    type Identity = Fingerprint;

    fn extract(&self, certificate: &Certificate) -> Result<Fingerprint, IdentityError> {
        Ok(match self.0 {
            Of::Certificate => certificate.sha256(),
            Of::Spki => certificate.spki_sha256(),
        })
    }
}
