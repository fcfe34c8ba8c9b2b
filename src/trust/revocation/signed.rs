//! The CRLs that one issuer's key signed.
//!
//! Which CRL of a scope counts depends on the time, because a CRL that is not in force yet replaces no
//! other. Whether the issuer signed a CRL does not depend on the time, and is verified once.

use std::sync::OnceLock;

use rustls_pki_types::SignatureVerificationAlgorithm;

use crate::pki::{Certificate, Crl};

/// The CRLs with the name of one issuer. Only those that its key signed count.
pub(super) struct SignedLists {
    /// By scope, the newest first.
    scopes: Vec<Vec<Candidate>>,
    spki: Box<[u8]>,
    algorithms: &'static [&'static dyn SignatureVerificationAlgorithm],
}

struct Candidate {
    list: Crl,
    is_signed: OnceLock<bool>,
}

impl SignedLists {
    /// Sorts the CRLs with the issuer's name. A signature is verified when its CRL is first needed,
    /// because hashing a large CRL takes time.
    pub(super) fn new<'a>(
        named: impl IntoIterator<Item = &'a Crl>,
        spki: &[u8],
        algorithms: &'static [&'static dyn SignatureVerificationAlgorithm],
    ) -> Self {
        let mut scopes: Vec<Vec<Candidate>> = Vec::new();
        for list in named {
            let candidate = Candidate {
                list: list.clone(),
                is_signed: OnceLock::new(),
            };
            match scopes.iter_mut().find(|of| of[0].list.same_scope(list)) {
                None => scopes.push(vec![candidate]),
                Some(scope) => {
                    let position = scope.partition_point(|older| !list.is_newer_than(&older.list));
                    scope.insert(position, candidate);
                }
            }
        }
        Self {
            scopes,
            spki: spki.into(),
            algorithms,
        }
    }

    /// The newest `wanted` CRL of each scope.
    pub(super) fn newest<'s>(
        &'s self,
        wanted: impl Fn(&Crl) -> bool + 's,
    ) -> impl Iterator<Item = &'s Crl> {
        let scopes = self.scopes.iter();
        scopes.filter_map(move |scope| self.newest_of(scope, &wanted))
    }

    /// As [`newest`](Self::newest), for the scopes that cover this certificate.
    pub(super) fn covering<'s>(
        &'s self,
        certificate: &'s Certificate,
        wanted: impl Fn(&Crl) -> bool + 's,
    ) -> impl Iterator<Item = &'s Crl> {
        let scopes = self.scopes.iter();
        scopes
            .filter(|scope| scope[0].list.covers(certificate)) // depends only on the scope
            .filter_map(move |scope| self.newest_of(scope, &wanted))
    }

    fn newest_of<'s>(
        &self,
        scope: &'s [Candidate],
        wanted: &impl Fn(&Crl) -> bool,
    ) -> Option<&'s Crl> {
        let mut lists = scope.iter().filter(|candidate| wanted(&candidate.list));
        let found = lists.find(|candidate| self.is_signed(candidate))?;
        Some(&found.list)
    }

    /// Whether the issuer signed any of the CRLs.
    pub(super) fn is_any(&self) -> bool {
        self.scopes.iter().flatten().any(|it| self.is_signed(it))
    }

    /// Whether the issuer signed this CRL.
    pub(super) fn has(&self, list: &Crl) -> bool {
        let mut lists = self.scopes.iter().flatten();
        let candidate = lists.find(|candidate| candidate.list.is_same(list));
        candidate.is_some_and(|candidate| self.is_signed(candidate))
    }

    /// Verifies all signatures now.
    pub(super) fn verify_all(&self) {
        for candidate in self.scopes.iter().flatten() {
            self.is_signed(candidate);
        }
    }

    fn is_signed(&self, candidate: &Candidate) -> bool {
        *candidate
            .is_signed
            .get_or_init(|| candidate.list.is_signed_by(&self.spki, self.algorithms))
    }
}
