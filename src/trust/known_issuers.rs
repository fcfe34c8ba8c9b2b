//! CA certificates that were on verified paths: parsed, and with the key that signed each.
//!
//! A new leaf of a known intermediate then costs one verification of a signature instead of two. What is
//! kept are results of pure functions of their inputs: of parsing a certificate, and of verifying its
//! signature with one key. They do not depend on trust, time or revocation, all of which are checked
//! anew for every chain. A certificate is found by all of its bytes, its signature included, and the
//! key is compared whole.
//!
//! Only a chain that passed every check adds its issuers, so that a peer without a trusted certificate
//! adds nothing. They belong to one verifier, and so to one generation of trust.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;

use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{Equivalent, Weighter};

use crate::pki::Certificate;

/// A place holds this many bytes of certificates.
const PLACE: usize = 4 * 1024;

/// A bounded number of CA certificates.
pub(crate) struct KnownIssuers<S = RandomState>(
    Cache<ByDer, Arc<KnownIssuer>, BySize, S, DefaultLifecycle<ByDer, Arc<KnownIssuer>>>,
);

struct KnownIssuer {
    certificate: Certificate,
    /// The SubjectPublicKeyInfo of the key that signed it.
    signed_by: Box<[u8]>,
}

impl KnownIssuers {
    /// With this many places of 4 KiB.
    pub(super) fn new(capacity: usize) -> Self {
        Self::with_hashes(capacity, RandomState::new())
    }
}

impl<S: BuildHasher + Clone> KnownIssuers<S> {
    fn with_hashes(capacity: usize, hashes: S) -> Self {
        let lifecycle = DefaultLifecycle::default();
        let size = capacity as u64;
        Self(Cache::with(capacity, size, BySize, hashes, lifecycle))
    }

    /// The parsed certificate with exactly this encoding, if it is known.
    pub(super) fn certificate(&self, der: &[u8]) -> Option<Certificate> {
        Some(self.0.get(der)?.certificate.clone())
    }

    /// Whether it is known that the key in `spki` signed this certificate.
    pub(super) fn is_signed_by(&self, certificate: &Certificate, spki: &[u8]) -> bool {
        certificate.is_ca()
            && self
                .0
                .peek(certificate.der().as_ref())
                .is_some_and(|known| *known.signed_by == *spki)
    }

    /// Adds a certificate of a path that passed every check, with the key that signed it.
    pub(super) fn add(&self, certificate: &Certificate, spki: &[u8]) {
        if certificate.is_ca() && !self.is_signed_by(certificate, spki) {
            let known = KnownIssuer {
                certificate: certificate.clone(),
                signed_by: spki.into(),
            };
            self.0.insert(ByDer(certificate.clone()), Arc::new(known));
        }
    }
}

impl<S> fmt::Debug for KnownIssuers<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KnownIssuers").finish_non_exhaustive()
    }
}

/// A certificate as a key, which is its encoding.
#[derive(Clone, PartialEq, Eq)]
struct ByDer(Certificate);

impl Hash for ByDer {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.der().as_ref().hash(state);
    }
}

impl Equivalent<ByDer> for [u8] {
    fn equivalent(&self, key: &ByDer) -> bool {
        *self == **key.0.der()
    }
}

#[derive(Clone)]
struct BySize;

impl Weighter<ByDer, Arc<KnownIssuer>> for BySize {
    fn weight(&self, _: &ByDer, known: &Arc<KnownIssuer>) -> u64 {
        let size = known.certificate.der().len() + known.signed_by.len();
        (size / PLACE + 1) as u64
    }
}

#[cfg(feature = "testing")]
#[cfg(test)]
mod tests {
    use std::hash::BuildHasherDefault;

    use super::*;
    use crate::testing::TestCa;

    /// Gives every certificate the same hash.
    #[derive(Clone, Default)]
    struct Constant;

    impl Hasher for Constant {
        fn finish(&self) -> u64 {
            7
        }

        fn write(&mut self, _: &[u8]) {}
    }

    fn certificate(ca: &TestCa) -> Certificate {
        Certificate::from_der(&ca.certificate_der()).expect("a certificate")
    }

    #[test]
    fn a_certificate_is_found_by_all_of_its_bytes_and_its_signer() {
        let (root, other) = (TestCa::new("Root"), TestCa::new("Root"));
        let issuing = certificate(&root.intermediate("Issuing"));
        let (root, other) = (certificate(&root), certificate(&other));
        // Certificates with the same hash are not confused.
        let known = KnownIssuers::with_hashes(8, BuildHasherDefault::<Constant>::default());
        assert!(!known.is_signed_by(&issuing, root.spki()));
        known.add(&issuing, root.spki());
        assert!(known.is_signed_by(&issuing, root.spki()));
        assert!(!known.is_signed_by(&issuing, other.spki()));
        assert!(!known.is_signed_by(&issuing, &root.spki()[1..]));
        assert_eq!(known.certificate(issuing.der()), Some(issuing.clone()));
        for place in 0..issuing.der().len() {
            let mut der = issuing.der().to_vec();
            der[place] ^= 1;
            assert_eq!(known.certificate(&der), None, "{place}");
            if let Ok(changed) = Certificate::from_der(&der) {
                assert!(!known.is_signed_by(&changed, root.spki()), "{place}");
            }
        }
    }

    #[test]
    fn only_authorities_are_added() {
        let root = TestCa::new("Root");
        let leaf = root.leaf().issue().certificate();
        let known = KnownIssuers::new(8);
        known.add(&leaf, certificate(&root).spki());
        assert!(known.0.is_empty());
    }

    #[test]
    fn they_are_bounded_by_number_and_size() {
        let root = TestCa::new("Root");
        let spki = certificate(&root).spki().to_vec();
        let (small, large) = (KnownIssuers::new(8), KnownIssuers::new(8));
        for number in 0..40 {
            let issuing = TestCa::builder(&format!("Issuing {number}"));
            small.add(&certificate(&issuing.signed_by(&root)), &spki);
            let padding = crate::testing::der::octet_string(vec![0; PLACE]);
            let issuing = TestCa::builder(&format!("Large {number}"));
            let issuing = issuing.extension("1.2.3.4", false, &padding);
            large.add(&certificate(&issuing.signed_by(&root)), &spki);
        }
        assert!((4..=8).contains(&small.0.len()), "{}", small.0.len());
        assert!((2..=4).contains(&large.0.len()), "{}", large.0.len());
    }
}
