//! The signature verifications of one chain: each is computed once, and their number is limited.
//!
//! A peer chooses its chain, and a signature is the most expensive part of verifying it. The path
//! search verifies the link between two certificates before it follows it, and rustls-webpki
//! verifies the links of the path that was found: both ask here, so that the second question costs
//! a comparison of bytes.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls_pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm};

use crate::pki::Certificate;

/// The signature algorithms of a provider, with the memory that they share.
pub(crate) struct Signatures {
    algorithms: Vec<Remembering>,
    memory: Arc<Memory>,
}

/// What a key has to do with a certificate's signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signature {
    Valid,
    Invalid,
    /// It was made by an algorithm that is not supported.
    Unsupported,
}

impl Signatures {
    /// At most `limit` signatures are computed, until more than `invalid` of them were found to be
    /// invalid; all others are taken for invalid.
    pub(crate) fn new(
        algorithms: &[&'static dyn SignatureVerificationAlgorithm],
        limit: usize,
        invalid: usize,
    ) -> Self {
        let memory = Arc::new(Memory {
            limit,
            invalid,
            known: Mutex::default(),
        });
        let remembering = |&algorithm| Remembering {
            algorithm,
            memory: Arc::clone(&memory),
        };
        Self {
            algorithms: algorithms.iter().map(remembering).collect(),
            memory,
        }
    }

    /// The algorithms, for rustls-webpki.
    pub(super) fn algorithms(&self) -> Vec<&dyn SignatureVerificationAlgorithm> {
        let algorithms = self.algorithms.iter();
        algorithms.map(|algorithm| algorithm as _).collect()
    }

    /// Whether the key in `spki`, a SubjectPublicKeyInfo, signed `certificate`.
    pub(crate) fn of(&self, certificate: &Certificate, spki: &[u8]) -> Signature {
        let Ok(signed) = certificate.signed() else {
            return Signature::Invalid;
        };
        let algorithms = self.algorithms();
        let is_its = |known: &&dyn SignatureVerificationAlgorithm| {
            known.signature_alg_id().as_ref() == signed.algorithm
        };
        if !algorithms.iter().any(is_its) {
            Signature::Unsupported
        } else if signed.is_by(spki, &algorithms) {
            Signature::Valid
        } else {
            Signature::Invalid
        }
    }

    /// Whether a signature was taken for invalid because the limit was reached.
    pub(super) fn limit_reached(&self) -> bool {
        self.memory.known().refused
    }
}

struct Memory {
    limit: usize,
    invalid: usize,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    outcomes: Vec<Outcome>,
    refused: bool,
}

struct Outcome {
    algorithm: (AlgorithmIdentifier, AlgorithmIdentifier),
    key: Box<[u8]>,
    message: Box<[u8]>,
    signature: Box<[u8]>,
    is_valid: bool,
}

impl Memory {
    fn is_used_up(&self, known: &Known) -> bool {
        let outcomes = &known.outcomes;
        let invalid = outcomes.iter().filter(|outcome| !outcome.is_valid);
        outcomes.len() >= self.limit || invalid.count() > self.invalid
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A signature algorithm that remembers its outcomes.
struct Remembering {
    algorithm: &'static dyn SignatureVerificationAlgorithm,
    memory: Arc<Memory>,
}

impl SignatureVerificationAlgorithm for Remembering {
    fn verify_signature(
        &self,
        key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        let algorithm = (
            self.algorithm.public_key_alg_id(),
            self.algorithm.signature_alg_id(),
        );
        let mut known = self.memory.known();
        let same = |outcome: &&Outcome| {
            outcome.algorithm == algorithm
                && *outcome.signature == *signature
                && *outcome.key == *key
                && *outcome.message == *message
        };
        let is_valid = match known.outcomes.iter().find(same) {
            Some(outcome) => outcome.is_valid,
            None if self.memory.is_used_up(&known) => {
                known.refused = true;
                false
            }
            None => {
                let verified = self.algorithm.verify_signature(key, message, signature);
                known.outcomes.push(Outcome {
                    algorithm,
                    key: key.into(),
                    message: message.into(),
                    signature: signature.into(),
                    is_valid: verified.is_ok(),
                });
                verified.is_ok()
            }
        };
        if is_valid {
            Ok(())
        } else {
            Err(InvalidSignature)
        }
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.algorithm.public_key_alg_id()
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.algorithm.signature_alg_id()
    }

    fn fips(&self) -> bool {
        self.algorithm.fips()
    }
}

impl fmt::Debug for Remembering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.algorithm.fmt(f)
    }
}
