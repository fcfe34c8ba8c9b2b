//! Examines the path from a leaf to a root.

use rustls_pki_types::{TrustAnchor, UnixTime};

use super::extensions::names_an_issuer_to_fetch;
use super::findings::{self, Missing};
use super::paths::{AtHand, Candidate, Path};
use super::refused;
use super::report::Finding;
use crate::identity::{IdentityExtractor as _, SpiffeId, TrustDomain};
use crate::pki::key_id::AuthorityKey;
use crate::pki::named::Named;
use crate::pki::{Certificate, DistinguishedName, ShortName};
use crate::side::Side;
use crate::trust::{
    ChainError, ChainVerifier, PathError, Signature, Trust, TrustStore, name_constraints,
    path_length, unknown_critical, violates,
};

/// One stage with its findings, and its detail without findings: passed, or why it was skipped.
pub(super) type Stage = (&'static str, Vec<Finding>, Result<String, &'static str>);

pub(super) struct PathExamination<'a> {
    at_hand: AtHand<'a>,
    /// The path with the fewest problems.
    path: Path<'a>,
    sent: usize,
    store: &'a TrustStore,
    verifier: &'a ChainVerifier,
    now: UnixTime,
    error: &'a ChainError,
}

/// Whether findings of this code come from the stage "constraints".
pub(super) fn is_about_constraints(code: &str) -> bool {
    matches!(
        code,
        "path_length"
            | "path_too_deep"
            | "name_constraints"
            | "critical_extension"
            | "issuer_may_not_sign"
            | "wrong_extended_key_usage"
            | "breaks_rfc5280"
    )
}

impl<'a> PathExamination<'a> {
    pub(super) fn of(
        presented: &'a [Certificate],
        store: &'a TrustStore,
        verifier: &'a ChainVerifier,
        now: UnixTime,
        error: &'a ChainError,
    ) -> Self {
        let (leaf, issuers) = (&presented[0], &presented[1..]); // callers pass a leaf
        let at_hand = AtHand::new((leaf, issuers), store, verifier.algorithms().all);
        let nearest = at_hand
            .paths()
            .into_iter()
            .min_by_key(|path| problems_of(path, verifier, now).len());
        Self {
            path: nearest.unwrap_or_else(|| Path {
                certificates: vec![leaf],
                root: None,
            }),
            at_hand,
            sent: presented.len() - 1,
            store,
            verifier,
            now,
            error,
        }
    }

    pub(super) const fn at_hand(&self) -> &AtHand<'a> {
        &self.at_hand
    }

    pub(super) fn stages(&self, is_pinned: bool) -> [Stage; 4] {
        const PIN: &str = "a pin replaces the path";
        let usage = self.verifier.usage();
        let validity = {
            let found = if is_pinned {
                ages(&self.path.certificates[..1], None, usage, self.now)
            } else {
                ages(&self.path.certificates, self.path.root, usage, self.now)
            };
            let ends = self.path.certificates.iter().map(|it| it.not_after());
            let until = ends.min().unwrap_or(self.now);
            let until = crate::pki::time::Rfc3339(until);
            ("validity", found, Ok(format!("until {until}")))
        };
        if is_pinned {
            let critical = unknown_critical(self.path.certificates[0]);
            let found = critical
                .map(|oid| findings::critical_extension(self.path.certificates[0], oid))
                .into_iter()
                .collect();
            return [
                ("path", Vec::new(), Err(PIN)),
                validity,
                ("constraints", found, Ok("a pin replaces them".into())),
                ("revocation", Vec::new(), Err(PIN)),
            ];
        }
        let (path, complete) = match self.path.root {
            Some(_) => (("path", Vec::new(), Ok(self.described())), true),
            None => (("path", vec![self.dead_end()], Ok(String::new())), false),
        };
        let constraints = {
            let found = self.constraints();
            let passed = if complete || !found.is_empty() {
                Ok("each issuer may issue the certificate below it".into())
            } else {
                Err("the path is not complete")
            };
            ("constraints", found, passed)
        };
        let revocation = self.revocation(complete);
        [path, validity, constraints, revocation]
    }

    fn described(&self) -> String {
        let named = self
            .path
            .certificates
            .iter()
            .map(|it| Named(it).to_string());
        let mut named: Vec<String> = named.collect();
        named.push(match self.path.root {
            Some((_, root)) => match &root.name {
                Some(name) => format!("the root \"{}\"", ShortName(name)),
                None => "a root without a readable name".into(),
            },
            None => "no root".into(),
        });
        named.join(" <- ")
    }

    fn constraints(&self) -> Vec<Finding> {
        let mut found = limits(&self.path, self.verifier);
        found.extend(self.names());
        let is_other = match self.error {
            ChainError::BreaksRfc5280 { .. } => true,
            // That of the leaf's key is found with the leaf.
            ChainError::NotPostQuantum { .. } | ChainError::NotFips { .. } => {
                let leaf = self.path.certificates[0];
                let of_leaf = self.verifier.problems_of_leaf(leaf, None, false);
                !of_leaf.contains(self.error)
            }
            // Others are found by another stage.
            ChainError::Invalid { problem, .. } => {
                found.is_empty() && !matches!(problem, PathError::Other(_))
            }
            _ => false,
        };
        if is_other {
            found.push(refused::of_error(self.error, self.verifier.usage(), None));
        }
        found
    }

    fn revocation(&self, complete: bool) -> Stage {
        let (mut found, passed) = (Vec::new(), String::new());
        let skipped = match (self.verifier.revocation_rules(), self.error) {
            (None, _) => Err("no CRL is configured"),
            (
                Some(_),
                ChainError::Revoked { .. }
                | ChainError::UnknownRevocationStatus { .. }
                | ChainError::CrlExpired { .. }
                | ChainError::MayNotSignCrls { .. },
            ) => {
                found.push(refused::of_error(self.error, self.verifier.usage(), None));
                Ok(passed)
            }
            (Some(_), _) if complete => Err("other checks failed first"),
            (Some(_), _) => Err("the path is not complete"),
        };
        ("revocation", found, skipped)
    }

    /// The authorities whose name constraints the leaf violates.
    fn names(&self) -> Vec<Finding> {
        let leaf = self.path.certificates[0];
        let issuers = self.path.certificates[1..].iter().copied();
        let mut holders: Vec<(String, Vec<u8>)> = issuers
            .filter_map(|issuer| {
                let constraints = name_constraints(issuer)?;
                Some((Named(issuer).to_string(), constraints.to_vec()))
            })
            .collect();
        if let Some((anchor, root)) = self.path.root
            && let Some(constraints) = &anchor.name_constraints
        {
            let name = match &root.name {
                Some(name) => format!("the root \"{}\"", ShortName(name)),
                None => "the root".into(),
            };
            holders.push((name, constraints.to_vec()));
        }
        holders
            .into_iter()
            .filter(|(_, constraints)| violates(leaf, constraints))
            .map(|(holder, constraints)| findings::name_constraints(leaf, &holder, &constraints))
            .collect()
    }

    /// Why no issuer of the last certificate of the path is found.
    fn dead_end(&self) -> Finding {
        let top = self.path.top();
        let is_leaf = self.path.certificates.len() == 1;
        let roots: Vec<DistinguishedName> = self
            .at_hand
            .roots
            .iter()
            .filter_map(|(_, root)| root.name.clone())
            .collect();
        let signs_itself = top.is_self_issued()
            && self.at_hand.signature(top, Candidate::Certificate(top)) == Signature::Valid;
        let named = self.at_hand.named_as_issuer_of(top);
        if !named.is_empty() {
            return self.not_signed(top, &named);
        }
        if signs_itself {
            return if is_leaf {
                findings::self_signed(top)
            } else {
                findings::untrusted_root(top, &roots)
            };
        }
        if let Some(signer) = self.at_hand.signer_by_another_name(top) {
            let name = match signer {
                Candidate::Root(root) => root.name.as_ref(),
                Candidate::Certificate(certificate) => Some(certificate.subject()),
            };
            return findings::issuer_name_differs(top, name);
        }
        if let Some((own, other)) = self.other_trust_domain(top) {
            return findings::root_of_other_trust_domain(top, &own, &other);
        }
        Missing {
            top,
            is_leaf,
            sent: self.sent,
            evidence: self.evidence_for_an_intermediate(top, &roots),
            says_where: names_an_issuer_to_fetch(top),
            roots,
            has_pins: self.store.has_pins(),
        }
        .finding()
    }

    /// Why no candidate of the issuer's name signed a certificate.
    fn not_signed(&self, top: &Certificate, named: &[Candidate<'_>]) -> Finding {
        let mut why = named
            .iter()
            .map(|by| (*by, self.at_hand.unverifiable(top, *by)));
        match why.clone().find(|(_, why)| why.is_none()) {
            None => match why.next() {
                Some((issuer, Some(why))) => findings::unverifiable(top, issuer, &why),
                _ => findings::bad_signature(top, named, false),
            },
            Some((issuer, _)) => findings::bad_signature(top, named, self.is_presented(issuer)),
        }
    }

    fn is_presented(&self, candidate: Candidate<'_>) -> bool {
        match candidate {
            Candidate::Root(_) => false,
            Candidate::Certificate(it) => !self.store.intermediates().contains(it),
        }
    }

    /// The leaf's own trust domain, and the other one that has the issuer among its roots.
    fn other_trust_domain(&self, top: &Certificate) -> Option<(TrustDomain, TrustDomain)> {
        let Trust::ByTrustDomain(bundles) = self.verifier.trust() else {
            return None;
        };
        let id = SpiffeId::extractor()
            .extract(self.path.certificates[0])
            .ok()?;
        let other = bundles.trust_domains().find(|domain| {
            let roots = bundles.get(domain).into_iter().flat_map(TrustStore::roots);
            roots.into_iter().any(|(_, root)| {
                root.name.as_ref() == Some(top.issuer())
                    && self.at_hand.signature(top, Candidate::Root(root)) == Signature::Valid
            })
        })?;
        Some((id.trust_domain().clone(), other.clone()))
    }

    /// Evidence that the missing issuer is an intermediate, and not an untrusted root.
    fn evidence_for_an_intermediate(
        &self,
        top: &Certificate,
        roots: &[DistinguishedName],
    ) -> Option<String> {
        let above = AuthorityKey::of(top).issuer_of_issuer;
        if let Some(root) = above.filter(|above| above != top.issuer() && roots.contains(above)) {
            return Some(format!(
                "the root \"{root}\", which issued it, is trusted here"
            ));
        }
        let lists = self
            .verifier
            .revocation_rules()
            .map(|choices| choices.crls().lists());
        if lists
            .unwrap_or_default()
            .iter()
            .any(|list| list.issuer() == top.issuer())
        {
            return Some("a CRL of it is loaded here".into());
        }
        None
    }
}

/// The problems of a path, for comparing paths. Names and revocation are not examined.
fn problems_of(path: &Path<'_>, verifier: &ChainVerifier, now: UnixTime) -> Vec<Finding> {
    let mut found = limits(path, verifier);
    found.extend(ages(&path.certificates, path.root, verifier.usage(), now));
    found
}

/// Checks what each issuer may do, and the path length below it.
fn limits(path: &Path<'_>, verifier: &ChainVerifier) -> Vec<Finding> {
    let (usage, most) = (verifier.usage(), verifier.max_intermediates());
    let mut found = Vec::new();
    let issuers = &path.certificates[1..];
    for (below, issuer) in issuers.iter().enumerate() {
        let usage_bits = issuer.key_usage();
        if !issuer.is_ca() || usage_bits.is_some_and(|bits| !bits.key_cert_sign()) {
            found.push(findings::issuer_may_not_sign(issuer));
        }
        if let Some(allowed) = path_length(issuer).filter(|allowed| below > *allowed) {
            found.push(findings::path_length(issuer, allowed, below));
        }
        if let Some(purposes) = issuer.extended_key_usage()
            && purposes.iter().all(|oid| oid != usage.usage_oid())
        {
            let names: Vec<String> = purposes
                .iter()
                .map(|oid| crate::pki::oid_name(oid).unwrap_or(oid).to_owned())
                .collect();
            found.push(findings::wrong_usage_of_issuer(issuer, usage, &names));
        }
    }
    for certificate in &path.certificates {
        if let Some(oid) = unknown_critical(certificate) {
            found.push(findings::critical_extension(certificate, oid));
        }
    }
    if issuers.len() > most {
        found.push(findings::path_too_deep(
            path.certificates[0],
            issuers.len(),
            most,
        ));
    }
    found
}

/// The certificates of the path that are not valid now, or a wrong clock.
fn ages(
    path: &[&Certificate],
    root: Option<(&TrustAnchor<'static>, &crate::trust::Root)>,
    usage: Side,
    now: UnixTime,
) -> Vec<Finding> {
    let certificate_of_root = root.and_then(|(_, root)| root.certificate.as_ref());
    let with_root = path.iter().copied().chain(certificate_of_root);
    // A single certificate may be new. An authority that is not valid yet indicates a wrong clock.
    let has_authority = path.len() > 1 || certificate_of_root.is_some();
    let all_later = with_root.clone().all(|it| it.not_before() > now);
    if let Some(oldest) = with_root.min_by_key(|it| it.not_before().as_secs())
        && all_later
        && has_authority
    {
        return vec![findings::clock_wrong(path[0], oldest, now)];
    }
    path.iter()
        .enumerate()
        .filter_map(|(index, certificate)| {
            let (start, end) = (certificate.not_before(), certificate.not_after());
            if start > end {
                Some(findings::invalid_validity(certificate))
            } else if now > end {
                Some(findings::expired(certificate, index == 0, usage, now))
            } else if now < start {
                Some(findings::not_yet_valid(certificate, now))
            } else {
                None
            }
        })
        .collect()
}
