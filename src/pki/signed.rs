//! Signatures over DER (RFC 5280 section 4.1.1.3). rustls-webpki has no public function for them.

use rustls_pki_types::SignatureVerificationAlgorithm;

use super::der::{self, NotDer, Reader};

/// A signed message, the algorithm, and the signature.
#[derive(Clone, Copy)]
pub(crate) struct Signed<'a> {
    pub(crate) message: &'a [u8],
    /// The content of the `AlgorithmIdentifier`.
    pub(crate) algorithm: &'a [u8],
    pub(crate) signature: &'a [u8],
}

impl Signed<'_> {
    /// Whether the key in this SubjectPublicKeyInfo made the signature, with one of these algorithms.
    pub(crate) fn is_by(
        &self,
        spki: &[u8],
        algorithms: &[&dyn SignatureVerificationAlgorithm],
    ) -> bool {
        let Ok((key_algorithm, key)) = read_spki(spki) else {
            return false;
        };
        algorithms
            .iter()
            .filter(|candidate| {
                candidate.signature_alg_id().as_ref() == self.algorithm
                    && candidate.public_key_alg_id().as_ref() == key_algorithm
            })
            .any(|algorithm| {
                algorithm
                    .verify_signature(key, self.message, self.signature)
                    .is_ok()
            })
    }
}

/// The content of the algorithm, and the key.
pub(crate) fn read_spki(spki: &[u8]) -> Result<(&[u8], &[u8]), NotDer> {
    let mut parts = Reader::new(der::single(spki, der::SEQUENCE)?);
    let algorithm = parts.expect(der::SEQUENCE)?.content;
    let key = bit_string(parts.expect(der::BIT_STRING)?.content)?;
    parts.end()?;
    Ok((algorithm, key))
}

/// The octets of a BIT STRING without unused bits.
pub(crate) fn bit_string(content: &[u8]) -> Result<&[u8], NotDer> {
    match content.split_first() {
        Some((0, octets)) => Ok(octets),
        _ => Err(NotDer),
    }
}
