//! Which cryptography a peer's certificates must have: post-quantum, or that of a FIPS module.
//!
//! A signature that quantum computers can forge makes every certificate below it worthless, so the rules
//! are about the whole path: the leaf's key, which signs the handshake, and each signature up to the root.
//! A root's own signature proves nothing and is not checked (RFC 5280 section 6.1.1 (d)).

use rustls::crypto::WebPkiSupportedAlgorithms;

use super::{ChainError, TrustStore};
use crate::pki::{Certificate, Fingerprint, ShortName, algorithm};

/// Whether connections must resist quantum computers.
///
/// An option of the builder, [`post_quantum`](crate::builder::Builder::post_quantum). The manual's page
/// about [post-quantum cryptography](crate::manual::post_quantum) has the dates, the sizes, and which
/// peers can do it.
///
/// ```
/// use countersign::builder::{Builder, Role};
/// use countersign::trust::PostQuantum;
///
/// /// For records that must stay secret for decades.
/// fn against_recording<S: Role, I>(builder: Builder<S, I>) -> Builder<S, I> {
///     builder.post_quantum(PostQuantum::KeyExchange)
/// }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum PostQuantum {
    /// It is used where the peer has it too. With the feature `aws-lc-rs` the key exchange X25519MLKEM768 is
    /// preferred, and ML-DSA certificates are accepted beside classical ones.
    #[default]
    Preferred,
    /// The key exchange must have ML-KEM (FIPS 203), alone or in a hybrid group. Certificates may be
    /// classical.
    ///
    /// This is the protection against an attacker who records connections now, to decrypt them when there is
    /// a quantum computer.
    KeyExchange,
    /// The key exchange must have ML-KEM, and each certificate on a peer's path a key and a signature of
    /// ML-DSA (FIPS 204), or of SLH-DSA (FIPS 205) where the crypto provider verifies it. The same is
    /// required of our own certificates.
    ///
    /// A root that is classical admits no peer: a store with such roots only is rejected.
    Only,
}

impl PostQuantum {
    pub(crate) const fn requires_key_exchange(self) -> bool {
        !matches!(self, Self::Preferred)
    }

    pub(crate) const fn requires_identity(self) -> bool {
        matches!(self, Self::Only)
    }
}

/// What is required of the certificates on a path.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RequiredCryptography {
    pub(super) post_quantum: bool,
    pub(super) fips: bool,
}

impl RequiredCryptography {
    /// Checks the leaf's key, before any signature is verified.
    pub(super) fn check_leaf(
        self,
        leaf: &Certificate,
        algorithms: &WebPkiSupportedAlgorithms,
    ) -> Result<(), ChainError> {
        if self.post_quantum {
            check_post_quantum_key(leaf)?;
        }
        self.check_fips(leaf, algorithms)
    }

    /// Checks a path whose signatures are valid: the leaf first, without the root, whose key is `root`.
    pub(super) fn check_path(
        self,
        path: &[&Certificate],
        root: &[u8],
        algorithms: &WebPkiSupportedAlgorithms,
    ) -> Result<(), ChainError> {
        for certificate in path {
            if self.post_quantum {
                check_post_quantum_key(certificate)?;
                check_post_quantum_signature(certificate)?;
            }
            self.check_fips(certificate, algorithms)?;
        }
        if self.fips
            && let Some(problem) = algorithm::not_fips(root, algorithms.all)
            && let Some(issued) = path.last()
        {
            return Err(ChainError::NotFips {
                certificate: (*issued).clone(),
                problem: format!(
                    "its issuer is the root \"{}\": {problem}",
                    ShortName(issued.issuer())
                ),
            });
        }
        Ok(())
    }

    fn check_fips(
        self,
        certificate: &Certificate,
        algorithms: &WebPkiSupportedAlgorithms,
    ) -> Result<(), ChainError> {
        if !self.fips {
            return Ok(());
        }
        match algorithm::not_fips(certificate.spki(), algorithms.all) {
            None => Ok(()),
            Some(problem) => Err(ChainError::NotFips {
                certificate: certificate.clone(),
                problem,
            }),
        }
    }
}

/// Checks that a certificate's key resists quantum computers.
pub(crate) fn check_post_quantum_key(certificate: &Certificate) -> Result<(), ChainError> {
    if algorithm::is_post_quantum_key(certificate.spki()) {
        return Ok(());
    }
    Err(ChainError::NotPostQuantum {
        certificate: certificate.clone(),
        algorithm: certificate.key_description(),
        is_signature: false,
    })
}

/// Checks that a certificate is signed by a key that resists quantum computers.
pub(crate) fn check_post_quantum_signature(certificate: &Certificate) -> Result<(), ChainError> {
    let signed = certificate.signed();
    if signed.is_ok_and(|signed| algorithm::is_post_quantum_algorithm(signed.algorithm)) {
        return Ok(());
    }
    Err(ChainError::NotPostQuantum {
        certificate: certificate.clone(),
        algorithm: certificate.signature_algorithm(),
        is_signature: true,
    })
}

impl TrustStore {
    /// Whether a peer can have a post-quantum path: one root has such a key, or a leaf is pinned. The key of
    /// a pinned certificate is checked when a peer presents it, because the store has its digest only.
    pub(crate) fn allows_post_quantum(&self) -> bool {
        self.has_pins()
            || self
                .roots()
                .any(|(_, root)| algorithm::is_post_quantum_key(&root.spki))
    }

    /// The first root with a key that FIPS does not approve, by its name or else its digest, and why.
    pub(crate) fn root_not_fips(
        &self,
        algorithms: &WebPkiSupportedAlgorithms,
    ) -> Option<(String, String)> {
        self.roots().find_map(|(_, root)| {
            let problem = algorithm::not_fips(&root.spki, algorithms.all)?;
            let name = match &root.name {
                Some(name) => format!("\"{}\"", ShortName(name)),
                None => format!("with the key {}", Fingerprint::of(&root.spki)),
            };
            Some((name, problem))
        })
    }
}
