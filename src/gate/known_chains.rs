//! The chains that were verified, found by the bytes that the peer presented.
//!
//! A chain is found by a keyed hash and by comparison with the bytes of the entry, so that chains with
//! the same hash are never confused. The hash has random keys for each cache, so that no peer can
//! choose chains whose hashes collide. It is computed once for each chain that is presented.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher};
use std::sync::Arc;

use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{Equivalent, Weighter};
use rustls_pki_types::CertificateDer;

use crate::pki::Certificate;

/// What is known of chains, by the chain as it was presented.
pub(super) struct KnownChains<V, S = RandomState> {
    cache: Cache<ChainKey, V, BySize, BuildHasherDefault<Unchanged>, DefaultLifecycle<ChainKey, V>>,
    hashes: S,
}

/// A place of the cache holds this many bytes of certificates as presented; a larger chain takes
/// several, so that large chains cannot multiply what the cache may hold.
const PLACE: usize = 8 * 1024;

/// A chain as it was presented, with its hash.
#[derive(Clone, Debug)]
pub(super) struct ChainKey {
    hash: u64,
    certificates: Arc<[Presented]>,
}

/// A certificate of a chain. Those on the verified path share the memory of the path.
#[derive(Debug)]
enum Presented {
    OnPath(Certificate),
    Beside(Box<[u8]>),
}

impl<V: Clone> KnownChains<V> {
    /// With this many places.
    pub(super) fn new(capacity: usize) -> Self {
        Self::with_hashes(capacity, RandomState::new())
    }
}

impl<V: Clone, S: BuildHasher> KnownChains<V, S> {
    fn with_hashes(capacity: usize, hashes: S) -> Self {
        let cache = Cache::with(
            capacity,
            capacity as u64,
            BySize,
            BuildHasherDefault::default(),
            DefaultLifecycle::default(),
        );
        Self { cache, hashes }
    }

    /// The hash of a presented chain, for the other functions.
    pub(super) fn lookup<'c>(&self, presented: &'c [CertificateDer<'c>]) -> Lookup<'c> {
        let mut hasher = self.hashes.build_hasher();
        for certificate in presented {
            certificate.as_ref().hash(&mut hasher); // with its length
        }
        Lookup {
            hash: hasher.finish(),
            presented,
        }
    }

    /// What is known of a chain.
    pub(super) fn get(&self, chain: Lookup<'_>) -> Option<V> {
        self.cache.get(&chain)
    }

    /// As [`get`](Self::get), for the second look at the same chain: the cache does not count it as a use.
    /// Otherwise chains of one-time clients would displace those of returning clients.
    pub(super) fn peek(&self, key: &ChainKey) -> Option<V> {
        self.cache.peek(key)
    }

    /// Inserts a chain, whose path shares its certificates.
    pub(super) fn insert(&self, key: ChainKey, value: V) {
        self.cache.insert(key, value);
    }
}

/// A presented chain with its hash.
#[derive(Clone, Copy)]
pub(super) struct Lookup<'c> {
    hash: u64,
    presented: &'c [CertificateDer<'c>],
}

impl Lookup<'_> {
    /// The key that keeps this chain, of which `path` is a part.
    pub(super) fn to_key(self, path: &[Certificate]) -> ChainKey {
        let keep = |der: &CertificateDer<'_>| {
            let on_path = path.iter().find(|it| it.der() == der);
            match on_path {
                Some(certificate) => Presented::OnPath(certificate.clone()),
                None => Presented::Beside(der.as_ref().into()),
            }
        };
        ChainKey {
            hash: self.hash,
            certificates: self.presented.iter().map(keep).collect(),
        }
    }
}

impl Hash for Lookup<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl Equivalent<ChainKey> for Lookup<'_> {
    fn equivalent(&self, key: &ChainKey) -> bool {
        key.ders().eq(self.presented.iter().map(AsRef::as_ref))
    }
}

impl ChainKey {
    fn ders(&self) -> impl Iterator<Item = &[u8]> {
        self.certificates
            .iter()
            .map(|certificate| match certificate {
                Presented::OnPath(certificate) => certificate.der().as_ref(),
                Presented::Beside(der) => der,
            })
    }
}

impl Hash for ChainKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl PartialEq for ChainKey {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.certificates, &other.certificates) || self.ders().eq(other.ders())
    }
}

impl Eq for ChainKey {}

#[derive(Clone)]
struct BySize;

impl<V> Weighter<ChainKey, V> for BySize {
    fn weight(&self, key: &ChainKey, _: &V) -> u64 {
        let size: usize = key.ders().map(<[u8]>::len).sum();
        (size / PLACE + 1) as u64
    }
}

/// Passes on a hash that was computed before.
#[derive(Clone, Default)]
struct Unchanged(u64);

impl Hasher for Unchanged {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        // Not used: keys write one u64.
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives every chain the same hash.
    #[derive(Clone, Default)]
    struct Constant;

    impl Hasher for Constant {
        fn finish(&self) -> u64 {
            7
        }

        fn write(&mut self, _: &[u8]) {}
    }

    type Chain = Vec<CertificateDer<'static>>;

    fn chain(parts: &[&'static [u8]]) -> Chain {
        parts.iter().map(|der| CertificateDer::from(*der)).collect()
    }

    /// Chains that differ in one bit, in where a certificate ends, in order, and in number.
    fn alike() -> [Chain; 7] {
        [
            chain(&[b"ab", b"c"]),
            chain(&[b"ab", b"b"]),
            chain(&[b"a", b"bc"]),
            chain(&[b"abc"]),
            chain(&[b"c", b"ab"]),
            chain(&[b"ab", b"c", b""]),
            chain(&[]),
        ]
    }

    fn insert<S: BuildHasher>(known: &KnownChains<usize, S>, chain: &Chain, value: usize) {
        let key = known.lookup(chain).to_key(&[]);
        known.insert(key, value);
    }

    #[test]
    fn chains_with_the_same_hash_are_not_confused() {
        let known = KnownChains::with_hashes(64, BuildHasherDefault::<Constant>::default());
        let chains = alike();
        for (number, one) in chains.iter().enumerate() {
            for other in &chains[number..] {
                assert_eq!(known.lookup(one).hash, known.lookup(other).hash);
                assert_eq!(known.get(known.lookup(other)), None, "{one:?} {other:?}");
            }
            insert(&known, one, number);
        }
        for (number, one) in chains.iter().enumerate() {
            let lookup = known.lookup(one);
            assert_eq!(known.get(lookup), Some(number));
            assert_eq!(known.peek(&lookup.to_key(&[])), Some(number));
        }
    }

    #[test]
    fn hashes_have_keys_and_differ() {
        let (known, other) = (KnownChains::<usize>::new(64), KnownChains::<usize>::new(64));
        for (number, one) in alike().iter().enumerate() {
            let lookup = known.lookup(one);
            assert_ne!(lookup.hash, other.lookup(one).hash);
            for another in &alike()[..number] {
                assert_ne!(lookup.hash, known.lookup(another).hash);
            }
        }
    }

    #[cfg(feature = "testing")]
    #[test]
    fn certificates_of_the_path_are_shared_and_compared() {
        use crate::testing::TestCa;

        let root = TestCa::new("Root");
        let leaf = root.intermediate("Issuing").leaf().issue();
        let path: Vec<_> = leaf
            .chain()
            .iter()
            .map(|der| Certificate::from_der(der).expect("a certificate"))
            .collect();
        let known = KnownChains::new(64);
        let key = known.lookup(leaf.chain()).to_key(&path);
        let shared = |it: &Presented| matches!(it, Presented::OnPath(_));
        assert!(key.certificates.iter().all(shared));
        known.insert(key, 1);
        assert_eq!(known.get(known.lookup(leaf.chain())), Some(1));
        for place in 0..path.len() {
            let mut changed = leaf.chain().to_vec();
            let mut der = changed[place].to_vec();
            *der.last_mut().expect("octets") ^= 1;
            changed[place] = der.into();
            assert_eq!(known.get(known.lookup(&changed)), None);
        }
    }

    #[test]
    fn the_hash_of_a_chain_is_passed_on_unchanged() {
        let mut hasher = Unchanged::default();
        for hash in [7, u64::MAX, 0] {
            hasher.write_u64(hash);
            assert_eq!(hasher.finish(), hash);
        }
    }
}
