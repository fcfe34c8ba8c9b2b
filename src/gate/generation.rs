//! One generation of trust, and what was verified by it.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use rustls_pki_types::{CertificateDer, UnixTime};

use super::known_chains::{ChainKey, KnownChains};
use crate::pki::Certificate;
use crate::pki::contained::Contained;
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
    key: Option<ChainKey>,
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

type Remembered<I> = KnownChains<Arc<Known<I>>>;

/// A verified chain with the identity of its leaf, once that was extracted.
struct Known<I> {
    chain: VerifiedChain,
    identity: OnceLock<Arc<I>>,
    key: ChainKey,
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
        let known = (capacity > 0).then(|| Contained::new(KnownChains::new(capacity)));
        let verifier = match capacity {
            0 => verifier,
            // Chains have fewer issuers than leaves.
            _ => verifier.remember_issuers((capacity / 4).max(1)),
        };
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
        let lookup = cache.lookup(presented);
        if let Some(known) = cache.get(lookup).filter(|known| known.chain.holds_at(now)) {
            return Ok(self.verified(known.chain.clone(), Some(known.key.clone()), true));
        }
        let chain = self.verifier.verify_and_keep(presented, now, read)?;
        let key = lookup.to_key(chain.certificates());
        let known = Known {
            chain: chain.clone(),
            identity: OnceLock::new(),
            key: key.clone(),
        };
        cache.insert(key.clone(), Arc::new(known));
        Ok(self.verified(chain, Some(key), false))
    }

    fn remembered(&self) -> Option<&Remembered<I>> {
        self.known.as_ref()?.get()
    }

    fn verified(&self, chain: VerifiedChain, key: Option<ChainKey>, remembered: bool) -> Verified {
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
        let known = match (self.remembered(), &verified.key) {
            (Some(cache), Some(key)) if verified.trust == self.id => cache.peek(key),
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
