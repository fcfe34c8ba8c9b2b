//! Follows signatures from a leaf upwards, whatever else may be wrong.

use std::collections::HashMap;

use rustls_pki_types::{SignatureVerificationAlgorithm, TrustAnchor};

use crate::pki::Certificate;
use crate::trust::{Root, TrustStore};

/// How many certificates are visited at most: a peer chooses its chain.
const STEPS: usize = 500;

/// The certificates and roots among which issuers are looked for.
pub(super) struct AtHand<'a> {
    /// Those that were presented behind the leaf, then those of the store; each once.
    pub(super) pool: Vec<&'a Certificate>,
    pub(super) roots: Vec<(&'a TrustAnchor<'static>, &'a Root)>,
    algorithms: &'a [&'static dyn SignatureVerificationAlgorithm],
}

/// Whose key may have made a signature.
#[derive(Clone, Copy)]
pub(super) enum Candidate<'a> {
    Root(&'a Root),
    Certificate(&'a Certificate),
}

impl<'a> Candidate<'a> {
    pub(super) fn certificate(self) -> Option<&'a Certificate> {
        match self {
            Self::Root(root) => root.certificate.as_ref(),
            Self::Certificate(certificate) => Some(certificate),
        }
    }

    fn spki(self) -> &'a [u8] {
        match self {
            Self::Root(root) => &root.spki,
            Self::Certificate(certificate) => certificate.spki(),
        }
    }

    fn is_named_as_issuer_of(self, certificate: &Certificate) -> bool {
        match self {
            Self::Root(root) => root.name.as_ref() == Some(certificate.issuer()),
            Self::Certificate(candidate) => candidate.subject() == certificate.issuer(),
        }
    }
}

/// What a key has to do with a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signature {
    Valid,
    Invalid,
    /// It was made by an algorithm that is not supported.
    Unsupported,
}

/// A path by signatures alone.
pub(super) struct Path<'a> {
    /// The leaf first.
    pub(super) certificates: Vec<&'a Certificate>,
    /// `None` where it leads to nobody.
    pub(super) root: Option<(&'a TrustAnchor<'static>, &'a Root)>,
}

impl<'a> Path<'a> {
    /// The last certificate that could be found.
    pub(super) fn top(&self) -> &'a Certificate {
        self.certificates[self.certificates.len() - 1] // a path has its leaf
    }
}

impl<'a> AtHand<'a> {
    pub(super) fn new(
        presented: &'a [Certificate],
        store: &'a TrustStore,
        algorithms: &'a [&'static dyn SignatureVerificationAlgorithm],
    ) -> Self {
        let mut pool: Vec<&Certificate> = Vec::new();
        for certificate in presented.iter().skip(1).chain(store.intermediates()) {
            if !pool.contains(&certificate) {
                pool.push(certificate);
            }
        }
        Self {
            pool,
            roots: store.roots().collect(),
            algorithms,
        }
    }

    fn all(&self) -> impl Iterator<Item = Candidate<'a>> {
        let roots = self.roots.iter();
        let pool = self.pool.iter();
        roots
            .map(|(_, root)| Candidate::Root(root))
            .chain(pool.map(|certificate| Candidate::Certificate(certificate)))
    }

    /// Those that bear the name of a certificate's issuer; the certificate itself is none.
    pub(super) fn named_as_issuer_of(&self, certificate: &Certificate) -> Vec<Candidate<'a>> {
        self.all()
            .filter(|candidate| candidate.is_named_as_issuer_of(certificate))
            .filter(|candidate| candidate.certificate() != Some(certificate))
            .collect()
    }

    /// One whose key made the signature, and whose name is another than the certificate says.
    pub(super) fn signer_by_another_name(
        &self,
        certificate: &Certificate,
    ) -> Option<Candidate<'a>> {
        self.all()
            .filter(|candidate| !candidate.is_named_as_issuer_of(certificate))
            .take(STEPS)
            .find(|candidate| self.signature(certificate, *candidate) == Signature::Valid)
    }

    pub(super) fn signature(&self, certificate: &Certificate, by: Candidate<'_>) -> Signature {
        let Ok(signed) = certificate.signed() else {
            return Signature::Invalid;
        };
        let mut algorithms = self.algorithms.iter();
        if !algorithms.any(|known| known.signature_alg_id().as_ref() == signed.algorithm) {
            return Signature::Unsupported;
        }
        // `Signed` wants references that live as long as the slice.
        let algorithms: Vec<&dyn SignatureVerificationAlgorithm> = self
            .algorithms
            .iter()
            .map(|algorithm| *algorithm as _)
            .collect();
        if signed.is_by(by.spki(), &algorithms) {
            Signature::Valid
        } else {
            Signature::Invalid
        }
    }

    /// All paths from the leaf to a root; where there is none, the longest that could be found.
    pub(super) fn paths_from(&self, leaf: &'a Certificate) -> Vec<Path<'a>> {
        let mut search = Search {
            at_hand: self,
            signatures: HashMap::new(),
            steps: 0,
            complete: Vec::new(),
            longest: vec![leaf],
        };
        search.extend(&mut vec![leaf]);
        if search.complete.is_empty() {
            search.complete.push(Path {
                certificates: search.longest,
                root: None,
            });
        }
        search.complete
    }
}

struct Search<'s, 'a> {
    at_hand: &'s AtHand<'a>,
    /// By the places of the certificate and of its issuer in the pool; the leaf has none.
    signatures: HashMap<(Option<usize>, usize), bool>,
    steps: usize,
    complete: Vec<Path<'a>>,
    longest: Vec<&'a Certificate>,
}

impl<'a> Search<'_, 'a> {
    fn extend(&mut self, path: &mut Vec<&'a Certificate>) {
        self.steps += 1;
        if self.steps > STEPS {
            return;
        }
        if path.len() > self.longest.len() {
            self.longest.clone_from(path);
        }
        let head = path[path.len() - 1];
        for &(anchor, root) in &self.at_hand.roots {
            let candidate = Candidate::Root(root);
            if candidate.is_named_as_issuer_of(head)
                && self.at_hand.signature(head, candidate) == Signature::Valid
            {
                self.complete.push(Path {
                    certificates: path.clone(),
                    root: Some((anchor, root)),
                });
            }
        }
        let place = self.place(head);
        for (index, &issuer) in self.at_hand.pool.iter().enumerate() {
            let is_on_path = path
                .iter()
                .any(|below| below.subject() == issuer.subject() && below.spki() == issuer.spki());
            let candidate = Candidate::Certificate(issuer);
            if is_on_path || !candidate.is_named_as_issuer_of(head) {
                continue;
            }
            let at_hand = self.at_hand;
            let signed = *self
                .signatures
                .entry((place, index))
                .or_insert_with(|| at_hand.signature(head, candidate) == Signature::Valid);
            if signed {
                path.push(issuer);
                self.extend(path);
                path.pop();
            }
        }
    }

    fn place(&self, certificate: &Certificate) -> Option<usize> {
        let mut pool = self.at_hand.pool.iter();
        pool.position(|other| *other == certificate)
    }
}
