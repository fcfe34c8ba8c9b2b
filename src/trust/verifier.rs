//! Verifies a presented chain.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use webpki::EndEntityCert;

use super::build::{PathBuilder, unchanged_around};
use super::choices::Choices;
use super::known_issuers::KnownIssuers;
use super::post_quantum::RequiredCryptography;
use super::revocation::{CheckTime, CrlSet, Issuer, Revocation, SkippedCrl, StaleCrls, check_path};
use super::validate::{check_extensions, fits_usage, validity};
use super::{
    Anchor, ChainError, EkuPolicy, Limits, PostQuantum, Profile, RootConstraints, Trust,
    TrustStore, VerifiedChain,
};
use crate::pki::text::Escaped;
use crate::pki::{
    Certificate, Crl, Excerpt, GeneralName, PublicKeyKind, algorithm, oid_name, webpki_view,
};
use crate::side::Side;

/// Verifies the chains of peers with one trust and its CRLs, which is the first step of the gate.
///
/// It is public for tools that verify chains outside a handshake. A verified chain is trusted. It does
/// not prove that the peer owns the leaf's key.
///
/// ```
/// use countersign::pki_types::UnixTime;
/// use countersign::testing::TestCa;
/// use countersign::Side;
/// use countersign::trust::{ChainVerifier};
///
/// # #[cfg(feature = "aws-lc-rs")]
/// # use countersign::rustls::crypto::aws_lc_rs::default_provider;
/// # #[cfg(not(feature = "aws-lc-rs"))]
/// # use countersign::rustls::crypto::ring::default_provider;
/// # let provider = default_provider();
/// let root = TestCa::new("Root");
/// let peer = root.leaf().common_name("alice").issue();
/// let verifier = ChainVerifier::new(root.trust(), Side::Client, &provider);
/// assert!(verifier.verify(peer.chain(), UnixTime::now()).is_ok());
/// ```
#[derive(Debug)]
pub struct ChainVerifier {
    trust: Trust,
    revocation: Option<Arc<CrlSet>>,
    usage: Side,
    extended_key_usage: EkuPolicy,
    limits: Limits,
    profile: Profile,
    root_constraints: RootConstraints,
    required: RequiredCryptography,
    algorithms: WebPkiSupportedAlgorithms,
    known_issuers: Option<Arc<KnownIssuers>>,
}

impl ChainVerifier {
    /// Makes a verifier for the chains of clients or servers, with the signature algorithms of `provider`.
    pub fn new(trust: impl Into<Trust>, usage: Side, provider: &CryptoProvider) -> Self {
        Self {
            trust: trust.into(),
            revocation: None,
            usage,
            extended_key_usage: EkuPolicy::default(),
            limits: Limits::default(),
            profile: Profile::default(),
            root_constraints: RootConstraints::default(),
            required: RequiredCryptography::default(),
            algorithms: provider.signature_verification_algorithms,
            known_issuers: None,
        }
    }

    /// Remembers the issuers of verified paths, at most those that fit into this many places. Default:
    /// none.
    #[must_use]
    pub(crate) fn remember_issuers(mut self, places: usize) -> Self {
        self.known_issuers = Some(Arc::new(KnownIssuers::new(places)));
        self
    }

    /// Sets the requirement for the leaf's extendedKeyUsage. Default: [`EkuPolicy::RequiredIfPresent`].
    #[must_use]
    pub const fn extended_key_usage(mut self, rule: EkuPolicy) -> Self {
        self.extended_key_usage = rule;
        self
    }

    /// Sets the limits of a chain. Default: [`Limits::default`].
    #[must_use]
    pub const fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets how strictly the certificates must conform to RFC 5280. Default: [`Profile::Compatible`].
    #[must_use]
    pub const fn profile(mut self, profile: Profile) -> Self {
        self.profile = profile;
        self
    }

    /// Sets whether the constraints in roots' own certificates are enforced. Default:
    /// [`RootConstraints::Ignore`].
    #[must_use]
    pub const fn root_constraints(mut self, rule: RootConstraints) -> Self {
        self.root_constraints = rule;
        self
    }

    /// Sets whether the whole path must be post-quantum: only [`PostQuantum::Only`] requires it, as the key
    /// exchange is no matter of certificates. Default: [`PostQuantum::Preferred`].
    #[must_use]
    pub const fn post_quantum(mut self, rule: PostQuantum) -> Self {
        self.required.post_quantum = rule.requires_identity();
        self
    }

    /// Requires that every key on the path is approved by FIPS 186-5 or FIPS 204, and that the crypto
    /// provider verifies its signatures in a FIPS module. Default: not required.
    #[must_use]
    pub const fn require_fips(mut self) -> Self {
        self.required.fips = true;
        self
    }

    /// Checks revocation too. Default: revocation is not checked.
    ///
    /// This verifies the signatures of the CRLs of all authorities in the trust, which takes a moment for
    /// large CRLs.
    #[must_use]
    pub fn revocation(mut self, revocation: impl Into<Revocation>) -> Self {
        let known = self.trust.stores().flat_map(TrustStore::authorities);
        let crls = CrlSet::new(revocation.into(), self.algorithms);
        crls.verify_all(known);
        self.revocation = Some(Arc::new(crls));
        self
    }

    /// The trust of this verifier.
    pub const fn trust(&self) -> &Trust {
        &self.trust
    }

    /// The same rules with another trust, other CRLs, or both.
    pub(crate) fn updated(&self, trust: Option<Trust>, revocation: Option<Revocation>) -> Self {
        let updated = Self {
            trust: trust.unwrap_or_else(|| self.trust.clone()),
            // Which CRLs an issuer signed does not depend on the trust.
            revocation: self.revocation.clone(),
            // They belong to one generation of trust.
            known_issuers: None,
            ..*self
        };
        match revocation {
            Some(revocation) => updated.revocation(revocation),
            None => {
                if let Some(crls) = &updated.revocation {
                    let stores = updated.trust.stores();
                    crls.verify_all(stores.flat_map(TrustStore::authorities));
                }
                updated
            }
        }
    }

    /// The same rules with a trust in which only this store is new.
    pub(crate) fn with_store(&self, trust: Trust, new: Option<&TrustStore>) -> Self {
        if let Some(crls) = &self.revocation {
            crls.verify_all(new.into_iter().flat_map(TrustStore::authorities));
        }
        Self {
            trust,
            revocation: self.revocation.clone(),
            known_issuers: None,
            ..*self
        }
    }

    /// A CRL with the name of authorities of the trust that none of them signed.
    pub(crate) fn crl_not_by_its_issuer(&self) -> Option<&Crl> {
        let known: Vec<_> = self
            .trust
            .stores()
            .flat_map(TrustStore::authorities)
            .collect();
        self.revocation.as_ref()?.not_by_its_issuer(&known)
    }

    /// The name of the signature algorithm of a CRL, if it is not supported.
    pub(crate) fn unsupported_algorithm_of(&self, list: &Crl) -> Option<String> {
        self.revocation.as_ref()?.unsupported_algorithm(list)
    }

    /// What the loader of the CRLs skipped.
    pub(crate) fn skipped_crls(&self) -> &[SkippedCrl] {
        let rules = self.revocation.as_deref().map(CrlSet::rules);
        rules.map_or(&[], |rules| rules.crls().skipped())
    }

    /// Remembers the CRLs of `previous` that have no successor, so that a later update cannot return to
    /// earlier ones.
    pub(crate) fn remember_crls(&mut self, previous: &Self, now: UnixTime) {
        if let (Some(previous), Some(next)) = (&previous.revocation, &mut self.revocation)
            // New CRLs are not shared yet.
            && let Some(next) = Arc::get_mut(next)
        {
            next.remember(previous, now);
        }
    }

    /// The CRLs in force that replace a later one of `previous` with the same issuer and scope, each with
    /// that later one.
    pub(crate) fn crls_rolled_back(&self, previous: &Self, now: UnixTime) -> Vec<(Crl, Crl)> {
        let known: Vec<_> = self
            .trust
            .stores()
            .flat_map(TrustStore::authorities)
            .collect();
        match (&previous.revocation, &self.revocation) {
            (Some(previous), Some(next)) => next.rolled_back(previous, &known, now),
            _ => Vec::new(),
        }
    }

    /// The thisUpdate of the oldest CRL that is in force and not replaced by a newer one.
    pub(crate) fn oldest_crl(&self, now: UnixTime) -> Option<UnixTime> {
        let rules = self.revocation.as_ref()?.rules();
        let lists: Vec<&Crl> = rules
            .lists()
            .iter()
            .filter(|list| rules.is_in_force(list, now))
            .collect();
        let is_replaced = |list: &Crl| {
            lists.iter().any(|other| {
                other.same_scope(list)
                    && (list.is_delta() || !other.is_delta())
                    && other.is_newer_than(list)
            })
        };
        let current = lists.iter().filter(|list| !is_replaced(list));
        current.map(|list| list.this_update()).min()
    }

    pub(crate) const fn algorithms(&self) -> &WebPkiSupportedAlgorithms {
        &self.algorithms
    }

    pub(crate) const fn usage(&self) -> Side {
        self.usage
    }

    pub(crate) const fn max_intermediates(&self) -> usize {
        self.limits.intermediates
    }

    /// Whether peers' keys must resist quantum computers.
    pub(crate) const fn requires_post_quantum(&self) -> bool {
        self.required.post_quantum
    }

    pub(super) const fn required_cryptography(&self) -> RequiredCryptography {
        self.required
    }

    pub(super) const fn certificate_profile(&self) -> Profile {
        self.profile
    }

    pub(super) const fn constraints_of_roots(&self) -> RootConstraints {
        self.root_constraints
    }

    pub(super) const fn known_issuers(&self) -> Option<&Arc<KnownIssuers>> {
        self.known_issuers.as_ref()
    }

    pub(super) fn crl_set(&self) -> Option<&CrlSet> {
        self.revocation.as_deref()
    }

    /// The CRLs and the rules about them.
    pub(crate) fn revocation_rules(&self) -> Option<&Revocation> {
        self.revocation.as_deref().map(CrlSet::rules)
    }

    /// Verifies a presented chain, leaf first, at the time `now`.
    ///
    /// # Errors
    /// [`ChainError`]: the chain is empty, too long or malformed, has no valid path to a root or pin, is
    /// expired or revoked, or is not for this usage.
    pub fn verify(
        &self,
        presented: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<VerifiedChain, ChainError> {
        self.verify_and_keep(presented, now, &mut Vec::new())
    }

    /// As [`verify`](Self::verify). `read` receives the parsed certificates, also of a chain that is
    /// rejected. Parsing is work that a peer can cause, so it is done once.
    pub(crate) fn verify_and_keep(
        &self,
        presented: &[CertificateDer<'_>],
        now: UnixTime,
        read: &mut Vec<Certificate>,
    ) -> Result<VerifiedChain, ChainError> {
        let stale = StaleCrls::ByRule;
        self.verify_with(presented, (now, CheckTime { now, stale }), read)
    }

    fn verify_with(
        &self,
        presented: &[CertificateDer<'_>],
        (now, check_time): (UnixTime, CheckTime),
        read: &mut Vec<Certificate>,
    ) -> Result<VerifiedChain, ChainError> {
        self.read(presented, read)?;
        let Some((leaf, intermediates)) = read.split_first() else {
            return Err(ChainError::NoCertificate);
        };

        if leaf.version() < 3 {
            return Err(ChainError::Version1 {
                certificate: leaf.clone(),
            });
        }
        let store = self.store_for(leaf)?;
        // A pin replaces the chain, so that a pinned certificate may be that of a CA.
        let pin = pin_of(store, leaf);
        if let Some(problem) = self
            .problems_of_leaf(leaf, Some(store), pin.is_some())
            .into_iter()
            .next()
        {
            return Err(problem);
        }
        match pin {
            Some(anchor) => {
                let tolerance = store.choices().clock_tolerance;
                validity(leaf, now, tolerance)?;
                // These do not depend on the chain.
                check_extensions(leaf)?;
                Ok(VerifiedChain::new(
                    vec![leaf.clone()],
                    anchor,
                    None,
                    store.choices(),
                    &unchanged_around(now, tolerance, []),
                ))
            }
            None => PathBuilder::new(self, store, (leaf, intermediates), (now, check_time)).build(),
        }
    }

    /// All problems of a leaf that do not depend on its path. The first is the reason of the rejection.
    pub(crate) fn problems_of_leaf(
        &self,
        leaf: &Certificate,
        store: Option<&TrustStore>,
        is_pinned: bool,
    ) -> Vec<ChainError> {
        let end_entity = if is_pinned {
            Ok(())
        } else {
            check_is_end_entity(leaf)
        };
        [
            end_entity,
            check_signs_handshakes(leaf),
            self.check_extended_key_usage(leaf, store),
            self.check_key(leaf)
                .and_then(|()| self.required.check_leaf(leaf, &self.algorithms)),
        ]
        .into_iter()
        .filter_map(Result::err)
        .collect()
    }

    /// Whether this verifier trusts a chain that was verified earlier, perhaps with another trust, and
    /// whether it is still not revoked.
    ///
    /// Signatures remain valid and are not verified again. Expiry is not checked: neither of certificates,
    /// because the connection has a timer for it, nor of CRLs.
    ///
    /// Returns another path if the chain is now trusted by another path. The caller then uses that path's
    /// expiry.
    pub(crate) fn still_trusts(
        &self,
        chain: &VerifiedChain,
        now: UnixTime,
    ) -> Result<Option<VerifiedChain>, ChainError> {
        let leaf = chain.leaf();
        let store = self.store_for(leaf)?;
        if !chain.is_under(store.choices()) {
            return self.verify_at_its_time(chain, now).map(Some);
        }
        match pin_of(store, leaf) {
            Some(pin) if pin == *chain.anchor() => return Ok(None),
            Some(_) => return self.verify_at_its_time(chain, now).map(Some),
            None => {}
        }
        let anchor = chain.root_id().and_then(|root| store.issuer_by_id(root));
        let Some(anchor) = anchor else {
            // Another root may be on a path to it.
            return self.verify_at_its_time(chain, now).map(Some);
        };
        match self.crl_set() {
            None => Ok(None),
            Some(crls) => {
                let certificates = chain.certificates();
                let issuers = certificates[1..].iter().map(Issuer::of).chain([anchor]);
                let path = certificates.iter().zip(issuers);
                let stale = StaleCrls::Accept;
                let at_hand = chain.crl_issuers();
                let time = CheckTime { now, stale };
                check_path(crls, crls.rules(), path, at_hand, time).map(|_| None)
            }
        }
    }

    fn verify_at_its_time(
        &self,
        chain: &VerifiedChain,
        now: UnixTime,
    ) -> Result<VerifiedChain, ChainError> {
        let ders: Vec<CertificateDer<'_>> = chain
            .certificates()
            .iter()
            .chain(chain.crl_issuers())
            .map(|certificate| CertificateDer::from(certificate.der().as_ref()))
            .collect();
        // Not `clamp`, which panics if the minimum is after the maximum: a certificate may have a
        // notAfter before its notBefore.
        let time = now.max(chain.holds_from()).min(chain.not_after());
        // A time at which the certificates were valid, with the current CRLs.
        let stale = StaleCrls::Accept;
        self.verify_with(&ders, (time, CheckTime { now, stale }), &mut Vec::new())
    }

    /// Checks that a server's certificate is valid for the server name (RFC 9525).
    ///
    /// # Errors
    /// [`ChainError::NameMismatch`] has the names for which it is valid.
    pub fn verify_name(leaf: &Certificate, expected: &ServerName<'_>) -> Result<(), ChainError> {
        // rustls-webpki stops at the first name that matches, before a name that is malformed.
        let is_readable = leaf.subject_alternative_names().is_ok();
        let valid = is_readable
            && EndEntityCert::try_from(&*webpki_view(leaf.der()))
                .is_ok_and(|leaf| leaf.verify_is_valid_for_subject_name(expected).is_ok());
        if valid {
            return Ok(());
        }
        Err(ChainError::NameMismatch {
            certificate: leaf.clone(),
            expected: expected.to_str().into_owned(),
            present: host_names(leaf),
        })
    }

    /// Parses the chain and enforces the limits before its keys are used.
    fn read(
        &self,
        presented: &[CertificateDer<'_>],
        read: &mut Vec<Certificate>,
    ) -> Result<(), ChainError> {
        let limits = self.limits;
        if presented.len() > limits.chain_length {
            return Err(ChainError::TooLong {
                length: presented.len(),
                limit: limits.chain_length,
            });
        }
        for (position, der) in (1..).zip(presented) {
            let known = self.known_issuers.as_ref().filter(|_| position > 1);
            let certificate = match known.and_then(|known| known.certificate(der)) {
                Some(certificate) => certificate,
                None => Certificate::from_der(der)
                    .map_err(|source| ChainError::Malformed { position, source })?,
            };
            read.push(certificate.clone());
            if let Some(bits) = oversized_rsa(&certificate, limits.rsa_bits) {
                return Err(ChainError::KeyTooLarge {
                    certificate,
                    bits,
                    limit: limits.rsa_bits,
                });
            }
        }
        Ok(())
    }

    /// The roots and pins that are trusted for this leaf: by trust domain, those of its own domain only.
    pub(crate) fn store_for(&self, leaf: &Certificate) -> Result<&TrustStore, ChainError> {
        let bundles = match &self.trust {
            Trust::Store(store) => return Ok(store),
            Trust::ByTrustDomain(bundles) => bundles,
        };
        let domain = bundles.domain_of(leaf);
        let domain = domain.map_err(|error| ChainError::NoTrustDomain {
            certificate: leaf.clone(),
            error,
        })?;
        bundles
            .get(&domain)
            .ok_or_else(|| ChainError::UnknownTrustDomain {
                certificate: leaf.clone(),
                trust_domain: domain.to_string(),
                known: Excerpt::new(
                    bundles.trust_domains().map(ToString::to_string),
                    bundles.trust_domains().count(),
                ),
            })
    }

    /// Checks that the provider can verify the leaf's signature in the handshake. rustls reports the
    /// missing algorithm as a wrong signature.
    fn check_key(&self, leaf: &Certificate) -> Result<(), ChainError> {
        let algorithms = self.algorithms.mapping.iter();
        let algorithms = algorithms.flat_map(|(_, algorithms)| algorithms.iter());
        algorithm::check_key(leaf.spki(), algorithms).map_err(|problem| {
            ChainError::UnsupportedKey {
                certificate: leaf.clone(),
                root: None,
                problem,
            }
        })
    }

    /// The rule of the store, or else of this verifier.
    pub(crate) fn key_usage_rule(&self, choices: &Choices) -> EkuPolicy {
        choices
            .extended_key_usage
            .unwrap_or(self.extended_key_usage)
    }

    fn check_extended_key_usage(
        &self,
        leaf: &Certificate,
        store: Option<&TrustStore>,
    ) -> Result<(), ChainError> {
        let rule = store.map_or(self.extended_key_usage, |store| {
            self.key_usage_rule(store.choices())
        });
        let fits = match leaf.extended_key_usage() {
            None => rule != EkuPolicy::Required,
            Some(purposes) => fits_usage(purposes, self.usage, rule),
        };
        if fits {
            return Ok(());
        }
        Err(wrong_usage(leaf, self.usage))
    }
}

pub(crate) fn pin_of(store: &TrustStore, leaf: &Certificate) -> Option<Anchor> {
    if store.has_pinned_certificate(leaf) {
        Some(Anchor::PinnedCertificate)
    } else if store.has_pinned_key(leaf) {
        Some(Anchor::PinnedKey)
    } else {
        None
    }
}

fn check_is_end_entity(leaf: &Certificate) -> Result<(), ChainError> {
    let certificate = leaf.clone();
    if leaf.is_ca() {
        return Err(ChainError::CaAsEndEntity { certificate });
    }
    match leaf.key_usage() {
        Some(usage) if usage.key_cert_sign() || usage.crl_sign() => {
            Err(ChainError::EndEntityMaySign { certificate, usage })
        }
        _ => Ok(()),
    }
}

fn check_signs_handshakes(leaf: &Certificate) -> Result<(), ChainError> {
    match leaf.key_usage() {
        Some(usage) if !usage.digital_signature() => Err(ChainError::NoDigitalSignature {
            certificate: leaf.clone(),
            usage,
        }),
        _ => Ok(()),
    }
}

pub(super) fn check_validity(certificate: &Certificate, now: UnixTime) -> Result<(), ChainError> {
    let (not_before, not_after) = (certificate.not_before(), certificate.not_after());
    let certificate = certificate.clone();
    if now > not_after {
        Err(ChainError::Expired {
            certificate,
            now,
            not_after,
        })
    } else if now < not_before {
        Err(ChainError::NotYetValid {
            certificate,
            now,
            not_before,
        })
    } else {
        Ok(())
    }
}

/// The size of an RSA key over `limit` bits.
pub(super) fn oversized_rsa(certificate: &Certificate, limit: usize) -> Option<usize> {
    match certificate.public_key() {
        PublicKeyKind::Rsa { bits } if *bits > limit => Some(*bits),
        _ => None,
    }
}

pub(super) fn wrong_usage(certificate: &Certificate, wanted: Side) -> ChainError {
    let present = certificate.extended_key_usage().unwrap_or_default();
    let named = present.iter().map(|oid| oid_name(oid).unwrap_or(oid));
    ChainError::WrongUsage {
        wanted: wanted.usage(),
        present: Excerpt::new(named.map(str::to_owned), present.len()),
        certificate: certificate.clone(),
    }
}

fn host_names(certificate: &Certificate) -> Excerpt<String> {
    certificate
        .subject_alternative_names()
        .unwrap_or_default()
        .iter()
        .filter_map(|name| match name {
            GeneralName::Dns(dns) => Some(Escaped(&String::from_utf8_lossy(dns)).to_string()),
            GeneralName::Ip(octets) => {
                let v4 = <[u8; 4]>::try_from(&**octets).map(std::net::IpAddr::from);
                let v6 = <[u8; 16]>::try_from(&**octets).map(std::net::IpAddr::from);
                v4.or(v6).ok().map(|address| address.to_string())
            }
            _ => None,
        })
        .collect()
}
