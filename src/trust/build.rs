//! Building the path from a leaf to a root.
//!
//! The search finds paths along verified signatures. rustls-webpki then verifies each path by RFC 5280
//! section 6; it gets only the certificates and the root of that path. The rules that rustls-webpki does
//! not check are checked last. When a path is rejected, the search continues, because another path may be
//! valid: cross-signed authorities have several.

use std::ops::{ControlFlow, RangeInclusive};
use std::slice;
use std::time::Duration;

use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, VerifiedPath};

use super::for_webpki;
use super::graph::Graph;
use super::path::RootOfPath;
use super::revocation::{CheckTime, Issuer, check_path};
use super::search::Search;
use super::signatures::Signatures;
use super::{Anchor, ChainError, ChainVerifier, TrustStore, VerifiedChain, explain, roots};
use crate::pki::Certificate;

/// The most signatures that are verified for one chain. A path of the maximum depth needs seven. The
/// others are for cross-signed authorities.
pub(super) const MAX_SIGNATURES: usize = 20;

/// The most signatures that may be invalid. If an authority has replaced its key without changing its
/// name, and its certificates have no key identifiers, it is found among nine keys.
pub(super) const MAX_INVALID_SIGNATURES: usize = 8;

/// The most intermediates on a path: the limit of rustls-webpki.
pub(crate) const MAX_DEPTH: usize = 6;

/// The input of path building.
pub(super) struct PathBuilder<'a> {
    pub(super) verifier: &'a ChainVerifier,
    pub(super) store: &'a TrustStore,
    pub(super) leaf: &'a Certificate,
    /// What the peer sent besides the leaf.
    pub(super) presented: &'a [Certificate],
    pub(super) graph: Graph<'a>,
    pub(super) signatures: Signatures,
    pub(super) now: UnixTime,
    check_time: CheckTime,
}

/// The state while paths are checked.
struct Progress {
    /// The time around now in which the search has the same result.
    unchanged: RangeInclusive<UnixTime>,
    refusal: Option<(Weight, ChainError)>,
}

/// How informative the rejection of a path is. The most informative one is reported.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Weight {
    Other,
    /// The path is valid at another time.
    Validity,
    /// rustls-webpki accepted the path, and a rule of this crate rejected it.
    OurRules,
}

impl<'a> PathBuilder<'a> {
    pub(super) fn new(
        verifier: &'a ChainVerifier,
        store: &'a TrustStore,
        (leaf, presented): (&'a Certificate, &'a [Certificate]),
        (now, check_time): (UnixTime, CheckTime),
    ) -> Self {
        Self {
            graph: Graph::new(leaf, presented, store),
            signatures: Signatures::new(
                verifier.algorithms().all,
                MAX_SIGNATURES,
                MAX_INVALID_SIGNATURES,
            ),
            verifier,
            store,
            leaf,
            presented,
            now,
            check_time,
        }
    }

    /// The first path that passes all checks.
    pub(super) fn build(&self) -> Result<VerifiedChain, ChainError> {
        let end_entity = EndEntityCert::try_from(self.leaf.der())
            .map_err(|error| explain::rejected_by_webpki(self, error, &[self.leaf]))?;
        let mut unchanged = unchanged_around(self.now, self.graph.between());
        if let Some(crls) = self.verifier.crl_set() {
            let lists = crls.same_lists_around(self.now);
            unchanged = *unchanged.start().max(lists.start())..=*unchanged.end().min(lists.end());
        }
        let mut progress = Progress {
            unchanged,
            refusal: None,
        };
        let mut search = Search::new(&self.graph, &self.signatures, MAX_DEPTH);
        let found =
            search.paths(
                &mut |path, root| match self.check(&end_entity, path, root, &mut progress) {
                    Some(chain) => ControlFlow::Break(chain),
                    None => ControlFlow::Continue(()),
                },
            );
        match (found, progress.refusal) {
            (Some(chain), _) => Ok(chain),
            (None, Some((_, error))) => Err(error),
            (None, None) => Err(self.no_path(&end_entity, &search)),
        }
    }

    /// Verifies one path whose signatures are valid.
    fn check(
        &self,
        end_entity: &EndEntityCert<'_>,
        path: &[&Certificate],
        root: usize,
        progress: &mut Progress,
    ) -> Option<VerifiedChain> {
        let anchor = &self.store.anchors()[root];
        let (weight, error) = match self.verify_with_webpki(end_entity, &path[1..], anchor) {
            Err(problem) => {
                let weight = Weight::of(&problem);
                (weight, explain::rejected_by_webpki(self, problem, path))
            }
            Ok(()) => match self.check_our_rules(path, root, &progress.unchanged) {
                Ok(chain) => return Some(chain),
                Err(error) => {
                    // At an earlier time this path may have passed, for example before its CRL expired.
                    progress.unchanged = self.now..=*progress.unchanged.end();
                    (Weight::OurRules, error)
                }
            },
        };
        let says_more = match &progress.refusal {
            None => true,
            Some((known, _)) => weight > *known || weight == Weight::OurRules,
        };
        if says_more {
            progress.refusal = Some((weight, error));
        }
        None
    }

    /// Verifies a path with rustls-webpki: exactly this path, no other one of the same certificates.
    fn verify_with_webpki(
        &self,
        end_entity: &EndEntityCert<'_>,
        issuers: &[&Certificate],
        anchor: &TrustAnchor<'_>,
    ) -> Result<(), webpki::Error> {
        let ders: Vec<CertificateDer<'_>> = issuers
            .iter()
            .map(|issuer| CertificateDer::from(issuer.der().as_ref()))
            .collect();
        let is_this_path = |found: &VerifiedPath<'_>| {
            let found = found.intermediate_certificates().map(|issuer| issuer.der());
            if found.eq(ders.iter().cloned()) {
                Ok(())
            } else {
                Err(webpki::Error::UnknownIssuer) // the search continues
            }
        };
        end_entity
            .verify_for_usage(
                &self.signatures.algorithms(),
                slice::from_ref(anchor),
                &ders,
                self.now,
                for_webpki(self.verifier.usage()),
                None,
                Some(&is_this_path),
            )
            .map(drop)
    }

    /// Checks what rustls-webpki does not check (an issuer's keyUsage, a root's own certificate) or
    /// cannot do well (revocation). The search finds the path during `unchanged`.
    fn check_our_rules(
        &self,
        path: &[&Certificate],
        root: usize,
        unchanged: &RangeInclusive<UnixTime>,
    ) -> Result<VerifiedChain, ChainError> {
        let issuers = &path[1..];
        let may_not_sign = |issuer: &&&Certificate| {
            issuer
                .key_usage()
                .is_some_and(|usage| !usage.key_cert_sign())
        };
        if let Some(certificate) = issuers.iter().find(may_not_sign) {
            return Err(ChainError::IssuerMayNotSign {
                certificate: (*certificate).clone(),
            });
        }
        let certificates: Vec<Certificate> = path.iter().copied().cloned().collect();
        self.verifier.certificate_profile().check(&certificates)?;
        let known_root = self.graph.root(root);
        let enforced = roots::enforce(self.verifier, known_root, issuers, self.now)?;
        let crls_until = match self.verifier.crl_set() {
            None => None,
            Some(crls) => {
                let of_root = self.store.issuer(root).ok_or_else(|| {
                    explain::rejected_by_webpki(self, webpki::Error::UnknownIssuer, path)
                })?;
                let issuers = issuers.iter().copied().map(Issuer::of).chain([of_root]);
                let path = certificates.iter().zip(issuers);
                check_path(crls, crls.rules(), path, self.presented, self.check_time)?
            }
        };
        let until = crls_until
            .into_iter()
            .fold(*unchanged.end(), |until, crls| until.min(crls));
        let anchor = &self.store.anchors()[root];
        let constraints = anchor.name_constraints.as_ref();
        let root = RootOfPath {
            id: self.store.id(root),
            name_constraints: constraints.map(|constraints| constraints.as_ref().into()),
            enforced,
        };
        let subject = known_root.name.clone();
        Ok(VerifiedChain::new(
            certificates,
            Anchor::Root { subject },
            Some(root),
            &(*unchanged.start()..=until),
        )
        .with_crl_issuers(self.crl_issuers(path)))
    }

    /// What the peer sent and may be certificates of CRL issuers: the status of the chain depends on them.
    fn crl_issuers(&self, path: &[&Certificate]) -> Vec<Certificate> {
        let Some(crls) = self.verifier.crl_set() else {
            return Vec::new();
        };
        let beside = |certificate: &&Certificate| !path.contains(certificate);
        let presented = self.presented.iter().filter(beside);
        presented.filter(|it| crls.may_be_by(it)).cloned().collect()
    }

    /// The error when no path leads to a root.
    fn no_path(&self, end_entity: &EndEntityCert<'_>, search: &Search<'_, '_>) -> ChainError {
        // Problems of the leaf that do not depend on the path are reported first.
        let alone = end_entity.verify_for_usage(
            &[],
            &[],
            &[],
            self.now,
            for_webpki(self.verifier.usage()),
            None,
            None,
        );
        match alone {
            Err(webpki::Error::UnknownIssuer) | Ok(_) => {}
            Err(problem) => return explain::rejected_by_webpki(self, problem, &[self.leaf]),
        }
        if !self.graph.leads_to_a_root() {
            return explain::rejected_by_webpki(self, webpki::Error::UnknownIssuer, &[self.leaf]);
        }
        if search.limit_reached() {
            return ChainError::TooManyCandidates {
                certificate: self.leaf.clone(),
            };
        }
        match search.broken() {
            None if search.is_too_deep() => {
                let too_deep = webpki::Error::MaximumPathDepthExceeded;
                explain::rejected_by_webpki(self, too_deep, &[self.leaf])
            }
            None => explain::rejected_by_webpki(self, webpki::Error::UnknownIssuer, &[self.leaf]),
            Some((path, issuers)) => {
                let unsigned = path.last().copied().unwrap_or(self.leaf);
                explain::not_signed(self, unsigned, issuers).unwrap_or_else(|| {
                    explain::rejected_by_webpki(self, webpki::Error::UnknownIssuer, &path)
                })
            }
        }
    }
}

impl Weight {
    const fn of(problem: &webpki::Error) -> Self {
        match problem {
            webpki::Error::CertExpired { .. } | webpki::Error::CertNotValidYet { .. } => {
                Self::Validity
            }
            _ => Self::Other,
        }
    }
}

/// The time around `now` in which the same certificates of these are valid as now. At another time, path
/// building can have another result.
pub(super) fn unchanged_around<'a>(
    now: UnixTime,
    certificates: impl IntoIterator<Item = &'a Certificate>,
) -> RangeInclusive<UnixTime> {
    let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    let now = now.as_secs();
    let (mut start, mut end) = (0, u64::MAX);
    for certificate in certificates {
        // The first second in which it is valid, and the first second after its validity.
        let after = certificate.not_after().as_secs().saturating_add(1);
        for change in [certificate.not_before().as_secs(), after] {
            if change <= now {
                start = start.max(change);
            } else {
                end = end.min(change - 1);
            }
        }
    }
    at(start)..=at(end)
}
