//! Follows signatures from a leaf upwards, whatever else may be wrong.

use std::ops::ControlFlow;

use rustls_pki_types::{SignatureVerificationAlgorithm, TrustAnchor};

use crate::pki::Certificate;
use crate::trust::{Graph, Root, Search, Signature, Signatures, TrustStore, longest_signed};

/// The most signatures that are verified for one report: a peer chooses its chain.
const MAX_SIGNATURES: usize = 256;

/// The certificates and roots among which issuers are looked for.
pub(super) struct AtHand<'a> {
    /// Those that were presented behind the leaf, then those of the store; each once.
    pub(super) pool: Vec<&'a Certificate>,
    pub(super) roots: Vec<(&'a TrustAnchor<'static>, &'a Root)>,
    graph: Graph<'a>,
    signatures: Signatures,
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
        (leaf, presented): (&'a Certificate, &'a [Certificate]),
        store: &'a TrustStore,
        algorithms: &[&'static dyn SignatureVerificationAlgorithm],
    ) -> Self {
        let mut pool: Vec<&Certificate> = Vec::new();
        for certificate in presented.iter().chain(store.intermediates()) {
            if !pool.contains(&certificate) {
                pool.push(certificate);
            }
        }
        Self {
            pool,
            roots: store.roots().collect(),
            graph: Graph::new(leaf, presented, store),
            signatures: Signatures::new(algorithms, MAX_SIGNATURES, MAX_SIGNATURES),
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
            .find(|candidate| self.signature(certificate, *candidate) == Signature::Valid)
    }

    pub(super) fn signature(&self, certificate: &Certificate, by: Candidate<'_>) -> Signature {
        self.signatures.of(certificate, by.spki())
    }

    /// All paths from the leaf to a root; where there is none, the longest that could be found.
    pub(super) fn paths(&self) -> Vec<Path<'a>> {
        let mut search = Search::new(&self.graph, &self.signatures, usize::MAX);
        let mut complete = Vec::new();
        search.paths::<()>(&mut |certificates, root| {
            complete.push(Path {
                certificates: certificates.to_vec(),
                root: Some(self.roots[root]),
            });
            ControlFlow::Continue(())
        });
        if complete.is_empty() {
            complete.push(Path {
                certificates: longest_signed(&self.graph, &self.signatures),
                root: None,
            });
        }
        complete
    }
}
