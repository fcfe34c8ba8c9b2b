//! Follows signatures from a leaf to a root, without regard to other problems.

use std::ops::ControlFlow;

use rustls_pki_types::{SignatureVerificationAlgorithm, TrustAnchor};

use crate::pki::Certificate;
use crate::trust::{
    Graph, Root, Search, Signature, Signatures, TrustStore, Unverifiable, longest_signed,
};

/// The limit of signature verifications for one report, because a peer chooses its chain.
const MAX_SIGNATURES: usize = 256;

/// The certificates and roots that may be issuers.
pub(super) struct AtHand<'a> {
    /// The certificates presented after the leaf, then those of the store; each once.
    pub(super) pool: Vec<&'a Certificate>,
    pub(super) roots: Vec<(&'a TrustAnchor<'static>, &'a Root)>,
    graph: Graph<'a>,
    signatures: Signatures,
}

/// A possible issuer.
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

/// A path by signatures only.
pub(super) struct Path<'a> {
    /// The leaf first.
    pub(super) certificates: Vec<&'a Certificate>,
    /// `None` where the path leads to no root.
    pub(super) root: Option<(&'a TrustAnchor<'static>, &'a Root)>,
}

impl<'a> Path<'a> {
    /// The last certificate of the path.
    pub(super) fn top(&self) -> &'a Certificate {
        self.certificates[self.certificates.len() - 1] // a path has a leaf
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

    /// The candidates with the name of a certificate's issuer, without the certificate itself.
    pub(super) fn named_as_issuer_of(&self, certificate: &Certificate) -> Vec<Candidate<'a>> {
        self.all()
            .filter(|candidate| candidate.is_named_as_issuer_of(certificate))
            .filter(|candidate| candidate.certificate() != Some(certificate))
            .collect()
    }

    /// A candidate whose key made the signature and whose name differs from the certificate's issuer.
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

    /// Why the provider cannot verify a signature that is not valid; `None` if it is wrong.
    pub(super) fn unverifiable(
        &self,
        certificate: &Certificate,
        by: Candidate<'_>,
    ) -> Option<Unverifiable> {
        self.signatures.unverifiable(certificate, by.spki())
    }

    /// All paths from the leaf to a root. If there is none, the longest one.
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
