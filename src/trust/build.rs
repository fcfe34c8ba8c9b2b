//! Building the path from a leaf to a root.
//!
//! The search finds paths along verified signatures. Our own validator then checks each path by RFC 5280
//! section 6, and so does rustls-webpki where it can process the path; it gets only the certificates and
//! the root of that path. Other rules, such as revocation, are checked last. When a path is rejected, the search continues, because another path may be
//! valid: cross-signed authorities have several.

use std::ops::{ControlFlow, RangeInclusive};
use std::slice;
use std::time::Duration;

use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{
    EndEntityCert, ExtendedKeyUsageValidator, KeyPurposeId, KeyPurposeIdIter,
    RequiredEkuNotFoundContext, VerifiedPath,
};

use super::for_webpki;
use super::graph::Graph;
use super::path::{RootOfPath, earlier};
use super::revocation::{CheckTime, Issuer, check_path};
use super::search::Search;
use super::signatures::Signatures;
use super::validate::{self, Rules};
use super::{
    Anchor, ChainError, ChainVerifier, EkuPolicy, TrustStore, VerifiedChain, explain, roots,
};
use crate::pki::Certificate;
use crate::side::Side;

/// The most signatures that are verified for one chain. A path of the maximum depth needs seven. The
/// others are for cross-signed authorities.
pub(super) const MAX_SIGNATURES: usize = 20;

/// The most signatures that may be invalid. If an authority has replaced its key without changing its
/// name, and its certificates have no key identifiers, it is found among nine keys.
pub(super) const MAX_INVALID_SIGNATURES: usize = 8;

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
            )
            .with_known(verifier.known_issuers().cloned()),
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
        // `None` if it has critical policies, for example, which rustls-webpki does not know.
        let end_entity = EndEntityCert::try_from(self.leaf.der()).ok();
        let end_entity = end_entity.as_ref();
        let tolerance = self.store.choices().clock_tolerance;
        let mut unchanged = unchanged_around(self.now, tolerance, self.graph.between());
        if let Some(crls) = self.verifier.crl_set() {
            let lists = crls.same_lists_around(self.now);
            unchanged = *unchanged.start().max(lists.start())..=*unchanged.end().min(lists.end());
        }
        let mut progress = Progress {
            unchanged,
            refusal: None,
        };
        let mut search = Search::new(
            &self.graph,
            &self.signatures,
            self.verifier.max_intermediates(),
        );
        let found =
            search.paths(
                &mut |path, root| match self.check(end_entity, path, root, &mut progress) {
                    Some(chain) => ControlFlow::Break(chain),
                    None => ControlFlow::Continue(()),
                },
            );
        match (found, progress.refusal) {
            (Some(chain), _) => Ok(chain),
            (None, Some((_, error))) => Err(error),
            (None, None) => Err(self.no_path(&search)),
        }
    }

    /// Verifies one path whose signatures are valid.
    fn check(
        &self,
        end_entity: Option<&EndEntityCert<'_>>,
        path: &[&Certificate],
        root: usize,
        progress: &mut Progress,
    ) -> Option<VerifiedChain> {
        let (weight, error) = match self.validate(end_entity, path, root) {
            Err(error) => (Weight::of(&error), error),
            Ok(()) => match self.check_our_rules(path, root, &progress.unchanged) {
                Ok(chain) => {
                    self.remember_issuers(path, root);
                    return Some(chain);
                }
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

    /// Remembers the issuers of a path that has passed every check.
    fn remember_issuers(&self, path: &[&Certificate], root: usize) {
        if let Some(known) = self.verifier.known_issuers() {
            let keys = path.iter().skip(2).map(|issuer| issuer.spki());
            let keys = keys.chain([&*self.graph.root(root).spki]);
            for (issuer, key) in path[1..].iter().zip(keys) {
                known.add(issuer, key);
            }
        }
    }

    /// Validates a path by our own validator and by rustls-webpki, if it can process the path.
    fn validate(
        &self,
        end_entity: Option<&EndEntityCert<'_>>,
        path: &[&Certificate],
        root: usize,
    ) -> Result<(), ChainError> {
        let anchor = &self.store.anchors()[root];
        let constraints = anchor.name_constraints.as_ref();
        let whole = validate::Path {
            certificates: path,
            root: self.graph.root(root).name.as_ref(),
            root_constraints: constraints.map(|constraints| constraints.as_ref()),
        };
        validate::check(whole, &self.rules())?;
        if !validate::webpki_processes(whole) {
            return Ok(());
        }
        let verdict = match end_entity {
            Some(end_entity) => self.verify_with_webpki(end_entity, &path[1..], anchor),
            None => EndEntityCert::try_from(self.leaf.der()).map(drop),
        };
        verdict.map_err(|problem| explain::rejected_by_webpki(self, problem, path))
    }

    fn rules(&self) -> Rules<'_> {
        let choices = self.store.choices();
        Rules {
            now: self.now,
            usage: self.verifier.usage(),
            extended_key_usage: self.verifier.key_usage_rule(choices),
            choices,
        }
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
        // Within the tolerance, which our validator has checked, rustls-webpki gets a later time.
        let path = issuers.iter().copied().chain([self.leaf]);
        let latest = path.map(Certificate::not_before).max().unwrap_or(self.now);
        let tolerated = earlier(latest, self.store.choices().clock_tolerance) <= self.now;
        let now = if tolerated {
            self.now.max(latest)
        } else {
            self.now
        };
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
                now,
                Purpose(self.rules()),
                None,
                Some(&is_this_path),
            )
            .map(drop)
    }

    /// Checks what is not part of path validation: the profile, a root's own certificate, revocation. The search finds the path during `unchanged`.
    fn check_our_rules(
        &self,
        path: &[&Certificate],
        root: usize,
        unchanged: &RangeInclusive<UnixTime>,
    ) -> Result<VerifiedChain, ChainError> {
        let issuers = &path[1..];
        let certificates: Vec<Certificate> = path.iter().copied().cloned().collect();
        self.verifier.certificate_profile().check(&certificates)?;
        let known_root = self.graph.root(root);
        let required = self.verifier.required_cryptography();
        required.check_path(path, &known_root.spki, self.verifier.algorithms())?;
        let enforced = roots::enforce(self.verifier, known_root, issuers, &self.rules())?;
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
            self.store.choices(),
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
    fn no_path(&self, search: &Search<'_, '_>) -> ChainError {
        // Problems of the leaf that do not depend on the path are reported first.
        if let Err(problem) = validate::check_alone(self.leaf, &self.rules()) {
            return problem;
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
    const fn of(problem: &ChainError) -> Self {
        match problem {
            ChainError::Expired { .. } | ChainError::NotYetValid { .. } => Self::Validity,
            _ => Self::Other,
        }
    }
}

/// The extended key usages that are accepted, for rustls-webpki.
struct Purpose<'a>(Rules<'a>);

impl ExtendedKeyUsageValidator for Purpose<'_> {
    fn validate(&self, purposes: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        let usage = self.0.usage;
        match self.0.extended_key_usage {
            EkuPolicy::AcceptServerAuth if usage == Side::Client => {
                let accepted = [SERVER_AUTH, CLIENT_AUTH].map(KeyPurposeId::new);
                let mut is_empty = true;
                for purpose in purposes {
                    is_empty = false;
                    if accepted.contains(&purpose?) {
                        return Ok(());
                    }
                }
                // Our validator names the purposes.
                let missing = RequiredEkuNotFoundContext {
                    required: for_webpki(usage),
                    present: Vec::new(),
                };
                let error = webpki::Error::RequiredEkuNotFoundContext(missing);
                if is_empty { Ok(()) } else { Err(error) }
            }
            _ => for_webpki(usage).validate(purposes),
        }
    }
}

/// 1.3.6.1.5.5.7.3.1
const SERVER_AUTH: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 1];
/// 1.3.6.1.5.5.7.3.2
const CLIENT_AUTH: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 2];

/// The time around `now` in which the same certificates of these are valid as now. At another time, path
/// building can have another result.
pub(super) fn unchanged_around<'a>(
    now: UnixTime,
    tolerance: Duration,
    certificates: impl IntoIterator<Item = &'a Certificate>,
) -> RangeInclusive<UnixTime> {
    let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    let now = now.as_secs();
    let (mut start, mut end) = (0, u64::MAX);
    for certificate in certificates {
        // The first second in which it is valid, and the first second after its validity.
        let after = certificate.not_after().as_secs().saturating_add(1);
        let not_before = earlier(certificate.not_before(), tolerance).as_secs();
        for change in [not_before, after] {
            if change <= now {
                start = start.max(change);
            } else {
                end = end.min(change - 1);
            }
        }
    }
    at(start)..=at(end)
}
