//! The signature verifications of one chain: each is computed once, and their number is limited.
//!
//! A peer chooses its chain, and signatures are the most expensive part of verifying it. The path search
//! verifies the signature of each link of a path, and rustls-webpki verifies them again. Both use this
//! cache, so that the second verification is a comparison of bytes. The signatures of known issuers
//! are not verified, and not counted.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls_pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm};

use super::known_issuers::KnownIssuers;
use crate::pki::signed::read_spki;
use crate::pki::{AlgorithmError, Certificate, KeyError, algorithm};

/// The signature algorithms of a provider, with their shared cache.
pub(crate) struct Signatures {
    algorithms: Vec<CachingAlgorithm>,
    cache: Arc<Cache>,
    known: Option<Arc<KnownIssuers>>,
}

/// The result of verifying a certificate's signature with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signature {
    Valid,
    Invalid,
    /// The algorithm of the signature is not supported.
    Unsupported,
}

/// Why a provider cannot verify a signature by any key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unverifiable {
    Algorithm(AlgorithmError),
    /// The issuer's key.
    Key(KeyError),
}

impl Signatures {
    /// At most `limit` signatures are verified, and none after more than `invalid` of them were invalid.
    /// All others count as invalid.
    pub(crate) fn new(
        algorithms: &[&'static dyn SignatureVerificationAlgorithm],
        limit: usize,
        invalid: usize,
    ) -> Self {
        let cache = Arc::new(Cache {
            limit,
            invalid,
            state: Mutex::default(),
        });
        let caching = |&algorithm| CachingAlgorithm {
            algorithm,
            cache: Arc::clone(&cache),
        };
        Self {
            algorithms: algorithms.iter().map(caching).collect(),
            cache,
            known: None,
        }
    }

    /// Uses what is known of issuers.
    #[must_use]
    pub(super) fn with_known(mut self, issuers: Option<Arc<KnownIssuers>>) -> Self {
        self.known = issuers;
        self
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
        let its = |known: &&CachingAlgorithm| {
            known.algorithm.signature_alg_id().as_ref() == signed.algorithm
        };
        let mut algorithms = self.algorithms.iter().filter(its).peekable();
        if algorithms.peek().is_none() {
            return Signature::Unsupported;
        }
        let Ok((key_algorithm, key)) = read_spki(spki) else {
            return Signature::Invalid;
        };
        let is_known = || {
            let known = self.known.as_ref();
            known.is_some_and(|known| known.is_signed_by(certificate, spki))
        };
        let is_valid = algorithms
            .filter(|known| known.algorithm.public_key_alg_id().as_ref() == key_algorithm)
            .any(|known| known.is_valid(key, signed.message, signed.signature, is_known));
        if is_valid {
            Signature::Valid
        } else {
            Signature::Invalid
        }
    }

    /// Why a signature that is not valid cannot be verified with this key; `None` if the provider can
    /// verify it, and it is wrong.
    pub(crate) fn unverifiable(
        &self,
        certificate: &Certificate,
        spki: &[u8],
    ) -> Option<Unverifiable> {
        let signed = certificate.signed().ok()?;
        let mut all = self.algorithms.iter().map(|known| &known.algorithm);
        if !all.any(|known| known.signature_alg_id().as_ref() == signed.algorithm) {
            let error = AlgorithmError::of_content(signed.algorithm);
            return Some(Unverifiable::Algorithm(error));
        }
        let all = self.algorithms.iter().map(|known| &known.algorithm);
        algorithm::check_key(spki, all).err().map(Unverifiable::Key)
    }

    /// Whether a signature counted as invalid because a limit was reached.
    pub(super) fn limit_reached(&self) -> bool {
        self.cache.lock().limit_reached
    }
}

struct Cache {
    limit: usize,
    invalid: usize,
    state: Mutex<CacheState>,
}

#[derive(Default)]
struct CacheState {
    outcomes: Vec<Outcome>,
    limit_reached: bool,
}

struct Outcome {
    algorithm: (AlgorithmIdentifier, AlgorithmIdentifier),
    key: Box<[u8]>,
    message: Box<[u8]>,
    signature: Box<[u8]>,
    is_valid: bool,
    /// It was known before, and not computed for this chain.
    is_known: bool,
}

impl Cache {
    fn is_exhausted(&self, state: &CacheState) -> bool {
        let computed = state.outcomes.iter().filter(|outcome| !outcome.is_known);
        let invalid = computed.clone().filter(|outcome| !outcome.is_valid);
        computed.count() >= self.limit || invalid.count() > self.invalid
    }

    fn lock(&self) -> MutexGuard<'_, CacheState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A signature algorithm that looks up and stores its results in the cache.
struct CachingAlgorithm {
    algorithm: &'static dyn SignatureVerificationAlgorithm,
    cache: Arc<Cache>,
}

impl CachingAlgorithm {
    /// Whether the signature is valid. `is_known` is whether that was known before; it is asked once for
    /// each signature.
    fn is_valid(
        &self,
        key: &[u8],
        message: &[u8],
        signature: &[u8],
        is_known: impl FnOnce() -> bool,
    ) -> bool {
        let algorithm = (
            self.algorithm.public_key_alg_id(),
            self.algorithm.signature_alg_id(),
        );
        let mut state = self.cache.lock();
        let same = |outcome: &&Outcome| {
            outcome.algorithm == algorithm
                && *outcome.signature == *signature
                && *outcome.key == *key
                && *outcome.message == *message
        };
        if let Some(outcome) = state.outcomes.iter().find(same) {
            return outcome.is_valid;
        }
        let is_known = is_known();
        if !is_known && self.cache.is_exhausted(&state) {
            state.limit_reached = true;
            return false;
        }
        let verify = || self.algorithm.verify_signature(key, message, signature);
        let is_valid = is_known || verify().is_ok();
        state.outcomes.push(Outcome {
            algorithm,
            key: key.into(),
            message: message.into(),
            signature: signature.into(),
            is_valid,
            is_known,
        });
        is_valid
    }
}

impl SignatureVerificationAlgorithm for CachingAlgorithm {
    fn verify_signature(
        &self,
        key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        if self.is_valid(key, message, signature, || false) {
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

impl fmt::Debug for CachingAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.algorithm.fmt(f)
    }
}
