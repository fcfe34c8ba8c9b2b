//! One generation of trust, and what was verified by it.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use quick_cache::Weighter;
use quick_cache::sync::Cache;
use rustls_pki_types::{CertificateDer, UnixTime};
use sha2::{Digest as _, Sha256};

use crate::pki::contained::Contained;
use crate::pki::{Certificate, Fingerprint};
use crate::trust::{ChainError, ChainVerifier, VerifiedChain};

/// Identifies a generation of trust in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GenerationId(u64);

impl GenerationId {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }

    pub(crate) const fn to_bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }

    pub(crate) const fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(u64::from_be_bytes(bytes))
    }
}

/// A chain, and the generation of trust that it was verified by.
#[derive(Clone, Debug)]
pub(crate) struct Verified {
    chain: VerifiedChain,
    trust: GenerationId,
    key: Option<Fingerprint>,
    remembered: bool,
}

impl Verified {
    pub(crate) const fn chain(&self) -> &VerifiedChain {
        &self.chain
    }

    pub(crate) const fn trust(&self) -> GenerationId {
        self.trust
    }

    /// Whether it was verified before, and not now.
    pub(crate) const fn is_remembered(&self) -> bool {
        self.remembered
    }
}

/// One immutable generation of trust. A change puts another one in force.
///
/// A chain's verification depends on its bytes, on this, and on the time, so a verified chain is cached
/// for as long as its verification holds. Rejected chains are not cached: any client can cause them, and
/// they would displace the chains of admitted peers.
pub(crate) struct TrustGeneration<I> {
    id: GenerationId,
    /// Counted from 1, for display.
    generation: u64,
    verifier: ChainVerifier,
    /// Dropping an identity runs application code.
    known: Option<Contained<Remembered<I>>>,
    capacity: usize,
}

type Remembered<I> = Cache<Fingerprint, Arc<Known<I>>, BySize>;

/// A verified chain with the identity of its leaf, once that was extracted.
struct Known<I> {
    chain: VerifiedChain,
    identity: OnceLock<Arc<I>>,
    size: usize,
}

/// A place of the cache holds this many bytes of certificates as presented; a larger chain takes
/// several, so that large chains cannot multiply what the cache may hold.
const PLACE: usize = 8 * 1024;

#[derive(Clone)]
struct BySize;

impl<I> Weighter<Fingerprint, Arc<Known<I>>> for BySize {
    fn weight(&self, _: &Fingerprint, known: &Arc<Known<I>>) -> u64 {
        (known.size / PLACE + 1) as u64
    }
}

impl<I> TrustGeneration<I> {
    /// The first generation; `capacity` is that of the cache, in places.
    pub(super) fn new(verifier: ChainVerifier, capacity: usize) -> Self {
        Self::numbered(1, verifier, capacity)
    }

    /// The next generation, with nothing verified yet.
    pub(super) fn next(&self, verifier: ChainVerifier) -> Self {
        Self::numbered(self.generation + 1, verifier, self.capacity)
    }

    fn numbered(generation: u64, verifier: ChainVerifier, capacity: usize) -> Self {
        let remembered = || Cache::with_weighter(capacity, capacity as u64, BySize);
        let known = (capacity > 0).then(|| Contained::new(remembered()));
        Self {
            id: GenerationId::new(),
            generation,
            verifier,
            known,
            capacity,
        }
    }

    pub(crate) const fn id(&self) -> GenerationId {
        self.id
    }

    pub(crate) const fn generation(&self) -> u64 {
        self.generation
    }

    pub(crate) const fn verifier(&self) -> &ChainVerifier {
        &self.verifier
    }

    /// Verifies a chain, or finds it in the cache. `read` gets the certificates that were parsed for it.
    pub(super) fn verify(
        &self,
        presented: &[CertificateDer<'_>],
        now: UnixTime,
        read: &mut Vec<Certificate>,
    ) -> Result<Verified, ChainError> {
        let Some(cache) = self.remembered() else {
            let chain = self.verifier.verify_and_keep(presented, now, read)?;
            return Ok(self.verified(chain, None, false));
        };
        let key = key_of(presented);
        if let Some(known) = cache.get(&key).filter(|known| known.chain.holds_at(now)) {
            return Ok(self.verified(known.chain.clone(), Some(key), true));
        }
        let chain = self.verifier.verify_and_keep(presented, now, read)?;
        let known = Known {
            chain: chain.clone(),
            identity: OnceLock::new(),
            size: presented.iter().map(|der| der.len()).sum(),
        };
        cache.insert(key, Arc::new(known));
        Ok(self.verified(chain, Some(key), false))
    }

    fn remembered(&self) -> Option<&Remembered<I>> {
        self.known.as_ref()?.get()
    }

    fn verified(
        &self,
        chain: VerifiedChain,
        key: Option<Fingerprint>,
        remembered: bool,
    ) -> Verified {
        Verified {
            chain,
            trust: self.id,
            key,
            remembered,
        }
    }

    /// The identity that is cached with a chain; otherwise the one that `extract` returns, which is then
    /// cached.
    pub(super) fn identity<E>(
        &self,
        verified: &Verified,
        extract: impl FnOnce() -> Result<I, E>,
    ) -> Result<Arc<I>, E> {
        let known = match (self.remembered(), verified.key) {
            // Peeking, so that the cache does not count this as a second use of the chain: otherwise chains
            // of one-time clients would displace those of returning clients.
            (Some(cache), Some(key)) if verified.trust == self.id => cache.peek(&key),
            _ => None,
        };
        match known {
            None => extract().map(Arc::new),
            Some(known) => match known.identity.get() {
                Some(identity) => Ok(Arc::clone(identity)),
                None => {
                    let identity = Arc::new(extract()?);
                    Ok(Arc::clone(known.identity.get_or_init(|| identity)))
                }
            },
        }
    }
}

impl<I> fmt::Debug for TrustGeneration<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrustGeneration")
            .field("generation", &self.generation)
            .field("trust", self.verifier.trust())
            .finish_non_exhaustive()
    }
}

/// Digests a chain with the lengths of its certificates, so that no two chains have the same input.
fn key_of(presented: &[CertificateDer<'_>]) -> Fingerprint {
    let mut digest = Sha256::new();
    for certificate in presented {
        digest.update((certificate.len() as u64).to_be_bytes());
        digest.update(certificate);
    }
    Fingerprint::from(<[u8; 32]>::from(digest.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_one_certificate_ends_counts() {
        let chain = |parts: &[&[u8]]| {
            let chain: Vec<_> = parts.iter().map(|der| CertificateDer::from(*der)).collect();
            key_of(&chain)
        };
        assert_eq!(chain(&[b"ab", b"c"]), chain(&[b"ab", b"c"]));
        assert_ne!(chain(&[b"ab", b"c"]), chain(&[b"a", b"bc"]));
        assert_ne!(chain(&[b"ab", b"c"]), chain(&[b"abc"]));
        assert_ne!(chain(&[]), chain(&[b""]));
    }
}
