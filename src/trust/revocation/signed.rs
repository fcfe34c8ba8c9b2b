//! The CRLs that one issuer's key signed.
//!
//! Which CRL of a scope counts depends on the time, because a CRL that is not in force yet replaces no
//! other. Whether the issuer signed a CRL does not depend on the time, and is verified once.

use std::sync::OnceLock;

use rustls_pki_types::SignatureVerificationAlgorithm;

use crate::pki::{Certificate, Crl, Entry};
use crate::trust::revocation::Issuer;

/// The CRLs with the name of one issuer. Only those that its key signed count.
pub(super) struct SignedLists {
    /// By scope.
    scopes: Vec<Scope>,
    spki: Box<[u8]>,
    algorithms: &'static [&'static dyn SignatureVerificationAlgorithm],
}

/// The CRLs of one scope.
#[derive(Default)]
struct Scope {
    complete: Vec<Candidate>,
    deltas: Vec<Candidate>,
}

impl Scope {
    fn any(&self) -> Option<&Crl> {
        let mut all = self.complete.iter().chain(&self.deltas);
        Some(&all.next()?.list)
    }
}

struct Candidate {
    list: Crl,
    is_signed: OnceLock<bool>,
}

/// The current complete CRL of a scope, and the newest delta CRLs that change it. There are several deltas
/// only if nothing orders them.
pub(super) struct Current<'s> {
    pub(super) complete: &'s Crl,
    pub(super) deltas: Vec<&'s Crl>,
}

impl<'s> Current<'s> {
    /// The list that revokes a certificate (RFC 5280 section 6.3.3 (i) to (k)).
    pub(super) fn revokes(
        &self,
        certificate: &Certificate,
        issuer: &Issuer<'_>,
    ) -> Option<&'s Crl> {
        let entry = |list: &Crl| list.entry(certificate, issuer.name);
        let revoking = |list: &&&Crl| entry(list) == Some(Entry::Revoked);
        if let Some(delta) = self.deltas.iter().find(revoking) {
            return Some(delta);
        }
        // Deltas of equal age must agree on a removal. One whose base is newer than the complete CRL does
        // not apply to it: its entries revoke, and its removals are ignored.
        let removes =
            |delta: &&Crl| entry(delta) == Some(Entry::Removed) && delta.is_delta_of(self.complete);
        let is_removed = !self.deltas.is_empty() && self.deltas.iter().all(removes);
        (!is_removed && entry(self.complete) == Some(Entry::Revoked)).then_some(self.complete)
    }

    /// The complete CRL and its deltas.
    pub(super) fn lists(&self) -> impl Iterator<Item = &'s Crl> + '_ {
        std::iter::once(self.complete).chain(self.deltas.iter().copied())
    }

    /// The lists that say how current this is: the deltas, or without any the complete CRL.
    fn newest(self) -> Vec<&'s Crl> {
        if self.deltas.is_empty() {
            vec![self.complete]
        } else {
            self.deltas
        }
    }
}

impl SignedLists {
    /// Sorts the CRLs with the issuer's name. A signature is verified when its CRL is first needed,
    /// because hashing a large CRL takes time.
    pub(super) fn new<'a>(
        named: impl IntoIterator<Item = &'a Crl>,
        spki: &[u8],
        algorithms: &'static [&'static dyn SignatureVerificationAlgorithm],
    ) -> Self {
        let mut scopes: Vec<Scope> = Vec::new();
        for list in named {
            let is_its = |scope: &Scope| scope.any().is_some_and(|other| other.same_scope(list));
            let position = scopes.iter().position(is_its).unwrap_or_else(|| {
                scopes.push(Scope::default());
                scopes.len() - 1
            });
            let scope = &mut scopes[position];
            let of_kind = if list.is_delta() {
                &mut scope.deltas
            } else {
                &mut scope.complete
            };
            of_kind.push(Candidate {
                list: list.clone(),
                is_signed: OnceLock::new(),
            });
        }
        for scope in &mut scopes {
            for of_kind in [&mut scope.complete, &mut scope.deltas] {
                of_kind.sort_by_key(|one| std::cmp::Reverse(one.list.this_update().as_secs()));
            }
        }
        Self {
            scopes,
            spki: spki.into(),
            algorithms,
        }
    }

    /// The newest `wanted` CRLs of each scope: deltas, or without any the complete one.
    pub(super) fn newest<'s>(
        &'s self,
        wanted: impl Fn(&Crl) -> bool + 's,
    ) -> impl Iterator<Item = &'s Crl> {
        let scopes = self.scopes.iter();
        scopes.flat_map(move |scope| {
            let current = self.current(scope, &wanted);
            current
                .into_iter()
                .flat_map(Current::newest)
                .collect::<Vec<_>>()
        })
    }

    /// The current CRLs of the scopes that `is_wanted`, which depends only on the scope.
    pub(super) fn current_of<'s>(
        &'s self,
        is_wanted: impl Fn(&Crl) -> bool,
        wanted: impl Fn(&Crl) -> bool,
    ) -> Vec<Current<'s>> {
        let scopes = self.scopes.iter();
        scopes
            .filter(|scope| scope.any().is_some_and(&is_wanted))
            .flat_map(|scope| self.current(scope, &wanted))
            .collect()
    }

    fn current<'s>(&'s self, scope: &'s Scope, wanted: &impl Fn(&Crl) -> bool) -> Vec<Current<'s>> {
        let complete = self.newest_of(&scope.complete, wanted);
        let current = |complete: &'s Crl| Current {
            complete,
            deltas: self.newest_of(&scope.deltas, &|delta| {
                wanted(delta) && delta.is_newer_delta_of(complete)
            }),
        };
        complete.into_iter().map(current).collect()
    }

    /// The newest CRL; all of them if nothing orders them.
    fn newest_of<'s>(
        &self,
        candidates: &'s [Candidate],
        wanted: &impl Fn(&Crl) -> bool,
    ) -> Vec<&'s Crl> {
        let mut found: Vec<&Crl> = Vec::new();
        for candidate in candidates {
            let list = &candidate.list;
            // They are in the order of thisUpdate.
            if found
                .iter()
                .any(|newer| newer.this_update() > list.this_update())
            {
                break;
            }
            if !wanted(list) || !self.is_signed(candidate) {
                continue;
            }
            if !found.iter().any(|other| other.is_newer_than(list)) {
                found.retain(|other| !list.is_newer_than(other));
                found.push(list);
            }
        }
        found
    }

    /// The CRLs that the issuer signed.
    pub(super) fn all(&self) -> impl Iterator<Item = &Crl> {
        let signed = self.candidates().filter(|it| self.is_signed(it));
        signed.map(|candidate| &candidate.list)
    }

    /// Whether the issuer signed this CRL.
    pub(super) fn has(&self, list: &Crl) -> bool {
        let mut lists = self.candidates();
        let candidate = lists.find(|candidate| candidate.list.is_same(list));
        candidate.is_some_and(|candidate| self.is_signed(candidate))
    }

    /// Verifies all signatures now.
    pub(super) fn verify_all(&self) {
        for candidate in self.candidates() {
            self.is_signed(candidate);
        }
    }

    fn candidates(&self) -> impl Iterator<Item = &Candidate> {
        let scopes = self.scopes.iter();
        scopes.flat_map(|scope| scope.complete.iter().chain(&scope.deltas))
    }

    fn is_signed(&self, candidate: &Candidate) -> bool {
        *candidate
            .is_signed
            .get_or_init(|| candidate.list.is_signed_by(&self.spki, self.algorithms))
    }
}
