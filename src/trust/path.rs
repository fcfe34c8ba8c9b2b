//! From a presented chain to a trusted one.

use std::cell::RefCell;
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use webpki::{EndEntityCert, KeyUsage as WebpkiUsage, VerifiedPath};

use super::revocation::{Checker, Issuer, Revocation, Stale};
use super::store::root_id;
use super::{ChainError, Profile, Trust, TrustStore};
use crate::identity::{IdentityExtractor as _, SpiffeId};
use crate::pki::text::Escaped;
use crate::pki::{
    Certificate, Crl, DistinguishedName, Fingerprint, GeneralName, PublicKeyKind, key_purpose_name,
};

/// A certificate chain that was verified: from the leaf up to, but without, what it is anchored in.
///
/// Only [`ChainVerifier`] makes one, so holding it is the proof that the check took place.
/// That the peer owns the leaf's key is proven separately, by the handshake's signature.
///
/// Cloning is cheap: the parts are shared.
#[derive(Clone)]
pub struct VerifiedChain {
    inner: Arc<Inner>,
}

struct Inner {
    certificates: Vec<Certificate>,
    anchor: Anchor,
    /// Which root it is, if it is one.
    root: Option<Fingerprint>,
    not_after: UnixTime,
    /// The first and the last second in which the verification has this outcome.
    holds: RangeInclusive<UnixTime>,
}

impl VerifiedChain {
    /// `chosen` is when, validity of its certificates apart, path building has this outcome.
    fn new(
        certificates: Vec<Certificate>,
        anchor: Anchor,
        root: Option<Fingerprint>,
        chosen: &RangeInclusive<UnixTime>,
    ) -> Self {
        // There is always a leaf; without one the outcome would hold at no time.
        let epoch = UnixTime::since_unix_epoch(Duration::ZERO);
        let not_before = certificates.iter().map(Certificate::not_before).max();
        let not_after = certificates.iter().map(Certificate::not_after).min();
        let (not_before, not_after) = (not_before.unwrap_or(epoch), not_after.unwrap_or(epoch));
        Self {
            inner: Arc::new(Inner {
                certificates,
                anchor,
                root,
                not_after,
                holds: not_before.max(*chosen.start())..=not_after.min(*chosen.end()),
            }),
        }
    }

    /// The peer's own (end entity) certificate.
    pub fn leaf(&self) -> &Certificate {
        &self.inner.certificates[0] // never empty: verification starts from a leaf
    }

    /// The verified path: the leaf first, then its issuers up to the anchor, which is not included.
    /// Certificates that the peer sent and that are not on the path are not included either.
    pub fn certificates(&self) -> &[Certificate] {
        &self.inner.certificates
    }

    /// What the path is anchored in.
    pub fn anchor(&self) -> &Anchor {
        &self.inner.anchor
    }

    /// When the first certificate of the path expires.
    pub fn not_after(&self) -> UnixTime {
        self.inner.not_after
    }

    /// Whether the verification would have the same outcome at this time, by the same trust.
    pub(crate) fn holds_at(&self, now: UnixTime) -> bool {
        self.inner.holds.contains(&now)
    }

    /// Whether it is the same path, whenever it was verified: these certificates, in this anchor.
    pub(crate) fn is_same_path(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
            || (self.certificates() == other.certificates()
                && self.anchor() == other.anchor()
                && self.inner.root == other.inner.root)
    }

    /// The last second at which it would.
    pub(crate) fn holds_until(&self) -> UnixTime {
        *self.inner.holds.end()
    }
}

impl fmt::Debug for VerifiedChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifiedChain")
            .field("certificates", &self.certificates())
            .field("anchor", self.anchor())
            .finish_non_exhaustive()
    }
}

/// What a verified chain is anchored in.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Anchor {
    /// A root certificate of the trust store.
    Root {
        /// The root's name; `None` when it is not DER, which rustls-webpki does not mind.
        subject: Option<DistinguishedName>,
    },
    /// Exactly this leaf is pinned.
    PinnedCertificate,
    /// The leaf's key is pinned. Nobody vouches for the names in the certificate but the owner of
    /// the key.
    PinnedKey,
}

/// Bounds on a peer's chain, enforced before any signature is verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The most certificates that a peer may present, the leaf included. Default 10.
    pub chain_length: usize,
    /// The largest RSA modulus, in bits, of any presented certificate. Default 8,192.
    pub rsa_bits: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            chain_length: 10,
            rsa_bits: 8192,
        }
    }
}

impl Limits {
    /// Sets the most certificates that a peer may present.
    #[must_use]
    pub const fn chain_length(mut self, certificates: usize) -> Self {
        self.chain_length = certificates;
        self
    }

    /// Sets the largest RSA modulus in bits. Built-in providers refuse more than 8,192 in any case.
    #[must_use]
    pub const fn rsa_bits(mut self, bits: usize) -> Self {
        self.rsa_bits = bits;
        self
    }
}

/// What the leaf's extendedKeyUsage must say (RFC 5280 section 4.2.1.12).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExtendedKeyUsage {
    /// The extension may be absent; when present, it must name our use.
    #[default]
    RequiredIfPresent,
    /// The extension must be present and name our use.
    Required,
}

/// Which side the peer is on: what its certificate must be good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    /// The peer is a client: clientAuth.
    Client,
    /// The peer is a server: serverAuth.
    Server,
}

impl Usage {
    pub(crate) const fn oid(self) -> &'static str {
        match self {
            Self::Client => "1.3.6.1.5.5.7.3.2",
            Self::Server => "1.3.6.1.5.5.7.3.1",
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Client => "clientAuth",
            Self::Server => "serverAuth",
        }
    }

    pub(crate) const fn for_webpki(self) -> WebpkiUsage {
        match self {
            Self::Client => WebpkiUsage::client_auth(),
            Self::Server => WebpkiUsage::server_auth(),
        }
    }
}

/// Verifies peers' chains by one trust and its CRLs: the gate's first step, by itself.
///
/// For tools that look at chains outside of a handshake. It says that a chain is trusted, not that
/// its holder is there.
#[derive(Debug)]
pub struct ChainVerifier {
    trust: Trust,
    revocation: Option<Checker>,
    usage: Usage,
    extended_key_usage: ExtendedKeyUsage,
    limits: Limits,
    profile: Profile,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ChainVerifier {
    /// Makes a verifier of clients' or servers' chains with the signature algorithms of `provider`.
    pub fn new(trust: impl Into<Trust>, usage: Usage, provider: &CryptoProvider) -> Self {
        Self {
            trust: trust.into(),
            revocation: None,
            usage,
            extended_key_usage: ExtendedKeyUsage::default(),
            limits: Limits::default(),
            profile: Profile::default(),
            algorithms: provider.signature_verification_algorithms,
        }
    }

    /// Sets whether the leaf must have the extendedKeyUsage extension. Default: it need not.
    #[must_use]
    pub const fn extended_key_usage(mut self, rule: ExtendedKeyUsage) -> Self {
        self.extended_key_usage = rule;
        self
    }

    /// Sets the bounds on a chain. Default: [`Limits::default`].
    #[must_use]
    pub const fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets how strictly the path's certificates are held to RFC 5280. Default:
    /// [`Profile::Compatible`].
    #[must_use]
    pub const fn profile(mut self, profile: Profile) -> Self {
        self.profile = profile;
        self
    }

    /// Checks revocation, too. Default: nothing is looked up.
    ///
    /// Verifies the signatures of the CRLs of all authorities in the trust.
    #[must_use]
    pub fn revocation(mut self, revocation: impl Into<Revocation>) -> Self {
        let known = self.trust.stores().flat_map(TrustStore::authorities);
        self.revocation = Some(Checker::new(revocation.into(), known, self.algorithms));
        self
    }

    /// Whom it believes.
    pub const fn trust(&self) -> &Trust {
        &self.trust
    }

    /// The same rules with another trust, other CRLs, or both.
    pub(crate) fn updated(&self, trust: Option<Trust>, revocation: Option<Revocation>) -> Self {
        let revocation = revocation.or_else(|| Some(self.revocation.as_ref()?.choices().clone()));
        let updated = Self {
            trust: trust.unwrap_or_else(|| self.trust.clone()),
            revocation: None,
            ..*self
        };
        match revocation {
            None => updated,
            Some(revocation) => updated.revocation(revocation),
        }
    }

    /// A CRL in the name of authorities of the trust that none of them signed.
    pub(crate) fn crl_not_by_its_issuer(&self) -> Option<&Crl> {
        let known: Vec<_> = self
            .trust
            .stores()
            .flat_map(TrustStore::authorities)
            .collect();
        self.revocation.as_ref()?.not_by_its_issuer(&known)
    }

    /// When the oldest CRL was made that no newer one has replaced.
    pub(crate) fn oldest_crl(&self) -> Option<UnixTime> {
        let lists = self.revocation.as_ref()?.choices().lists();
        let is_replaced = |list: &Crl| {
            lists.iter().any(|other| {
                other.issuer() == list.issuer()
                    && other.same_scope(list)
                    && other.is_newer_than(list)
            })
        };
        let current = lists.iter().filter(|list| !is_replaced(list));
        current.map(Crl::this_update).min()
    }

    pub(crate) const fn algorithms(&self) -> &WebPkiSupportedAlgorithms {
        &self.algorithms
    }

    pub(crate) const fn usage(&self) -> Usage {
        self.usage
    }

    /// The CRLs and the choices about them.
    pub(crate) fn choices(&self) -> Option<&Revocation> {
        self.revocation.as_ref().map(Checker::choices)
    }

    /// Verifies a chain as presented, leaf first, at the time `now`.
    ///
    /// # Errors
    /// [`ChainError`]: why the chain is not trusted.
    pub fn verify(
        &self,
        presented: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<VerifiedChain, ChainError> {
        self.verify_with(presented, now, Stale::Expires)
    }

    fn verify_with(
        &self,
        presented: &[CertificateDer<'_>],
        now: UnixTime,
        stale: Stale,
    ) -> Result<VerifiedChain, ChainError> {
        let presented = self.read(presented)?;
        let Some((leaf, intermediates)) = presented.split_first() else {
            return Err(ChainError::NoCertificate);
        };

        if leaf.version() < 3 {
            return Err(ChainError::Version1 {
                certificate: leaf.clone(),
            });
        }
        let store = self.store_for(leaf)?;
        // A pin replaces the chain, so that a pinned certificate may even be a CA's.
        let pin = pin_of(store, leaf);
        if let Some(problem) = self
            .problems_of_leaf(leaf, pin.is_some())
            .into_iter()
            .next()
        {
            return Err(problem);
        }
        match pin {
            Some(anchor) => {
                check_validity(leaf, now)?;
                // An unknown critical extension, for one, is no matter of the chain.
                EndEntityCert::try_from(leaf.der())
                    .map_err(|error| self.explain(error, leaf, store, &[], now))?;
                Ok(VerifiedChain::new(
                    vec![leaf.clone()],
                    anchor,
                    None,
                    &unchanged_around(now, &[]),
                ))
            }
            None => self.build_path(leaf, intermediates, store, now, stale),
        }
    }

    /// Everything that is wrong with a leaf by itself: it is refused for the first.
    pub(crate) fn problems_of_leaf(&self, leaf: &Certificate, is_pinned: bool) -> Vec<ChainError> {
        let end_entity = if is_pinned {
            Ok(())
        } else {
            check_is_end_entity(leaf)
        };
        [
            end_entity,
            check_signs_handshakes(leaf),
            self.check_extended_key_usage(leaf),
        ]
        .into_iter()
        .filter_map(Result::err)
        .collect()
    }

    /// Whether a chain that was verified once, perhaps by another trust, leads to somebody whom
    /// this one believes, and is not revoked.
    ///
    /// Signatures stay valid, so none is verified again. Age is no reason: neither of the
    /// certificates, whose time was checked and is watched, nor of a CRL that has gone stale since.
    ///
    /// Returns another path, where it is believed by another than it was: then that one's time is
    /// to be watched.
    #[cfg_attr(not(feature = "tokio"), expect(dead_code))]
    pub(crate) fn still_believes(
        &self,
        chain: &VerifiedChain,
        now: UnixTime,
    ) -> Result<Option<VerifiedChain>, ChainError> {
        let leaf = chain.leaf();
        let store = self.store_for(leaf)?;
        match pin_of(store, leaf) {
            Some(pin) if pin == *chain.anchor() => return Ok(None),
            Some(_) => return self.verify_at_its_time(chain, now).map(Some),
            None => {}
        }
        let anchor = match &chain.inner.root {
            Some(root) => store.issuer_by_id(root),
            None => None,
        };
        let Some(anchor) = anchor else {
            // Perhaps another root vouches for it.
            return self.verify_at_its_time(chain, now).map(Some);
        };
        match &self.revocation {
            None => Ok(None),
            Some(revocation) => {
                let certificates = chain.certificates();
                let issuers = certificates[1..].iter().map(Issuer::of).chain([anchor]);
                revocation
                    .check(certificates.iter().zip(issuers), now, Stale::Counts)
                    .map(|_| None)
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
            .map(|certificate| CertificateDer::from(certificate.der().as_ref()))
            .collect();
        // Not `clamp`, which panics where a list or a certificate ends before it begins.
        let time = now.max(*chain.inner.holds.start()).min(chain.not_after());
        self.verify_with(&ders, time, Stale::Counts)
    }

    pub(crate) fn is_for_servers(&self) -> bool {
        self.usage == Usage::Server
    }

    /// Checks that a server's certificate is valid for the name that was dialled (RFC 9525).
    ///
    /// # Errors
    /// [`ChainError::NameMismatch`], which shows the names that it is valid for.
    pub fn verify_name(leaf: &Certificate, expected: &ServerName<'_>) -> Result<(), ChainError> {
        let valid = EndEntityCert::try_from(leaf.der())
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

    /// Parses the chain and enforces the limits, before anything is computed with its keys.
    fn read(&self, presented: &[CertificateDer<'_>]) -> Result<Vec<Certificate>, ChainError> {
        let limits = self.limits;
        if presented.len() > limits.chain_length {
            return Err(ChainError::TooLong {
                length: presented.len(),
                limit: limits.chain_length,
            });
        }
        (1..)
            .zip(presented)
            .map(|(position, der)| {
                let certificate = Certificate::from_der(der)
                    .map_err(|source| ChainError::Malformed { position, source })?;
                match oversized_rsa(&certificate, limits.rsa_bits) {
                    None => Ok(certificate),
                    Some(bits) => Err(ChainError::KeyTooLarge {
                        certificate,
                        bits,
                        limit: limits.rsa_bits,
                    }),
                }
            })
            .collect()
    }

    /// The roots and pins that may vouch for this leaf: by trust domain, those of its own only.
    pub(crate) fn store_for(&self, leaf: &Certificate) -> Result<&TrustStore, ChainError> {
        let bundles = match &self.trust {
            Trust::Store(store) => return Ok(store),
            Trust::ByTrustDomain(bundles) => bundles,
        };
        let id =
            SpiffeId::extractor()
                .extract(leaf)
                .map_err(|error| ChainError::NoTrustDomain {
                    certificate: leaf.clone(),
                    error,
                })?;
        bundles
            .get(id.trust_domain())
            .ok_or_else(|| ChainError::UnknownTrustDomain {
                certificate: leaf.clone(),
                trust_domain: id.trust_domain().to_owned(),
                known: bundles.trust_domains().map(str::to_owned).collect(),
            })
    }

    fn check_extended_key_usage(&self, leaf: &Certificate) -> Result<(), ChainError> {
        let present = leaf.extended_key_usage();
        let fits = match (present, self.extended_key_usage) {
            (None, ExtendedKeyUsage::RequiredIfPresent) => true,
            (None, ExtendedKeyUsage::Required) => false,
            (Some(purposes), _) => purposes.iter().any(|oid| oid == self.usage.oid()),
        };
        if fits {
            return Ok(());
        }
        Err(ChainError::WrongUsage {
            certificate: leaf.clone(),
            wanted: self.usage.name(),
            present: present
                .unwrap_or_default()
                .iter()
                .map(|oid| purpose_name(oid))
                .collect(),
        })
    }

    fn build_path(
        &self,
        leaf: &Certificate,
        intermediates: &[Certificate],
        store: &TrustStore,
        now: UnixTime,
        stale: Stale,
    ) -> Result<VerifiedChain, ChainError> {
        let pool: Vec<&Certificate> = intermediates.iter().chain(store.intermediates()).collect();
        let pool_der: Vec<CertificateDer<'_>> = pool
            .iter()
            .map(|certificate| CertificateDer::from(certificate.der().as_ref()))
            .collect();
        let refuse = |error| self.explain(error, leaf, store, &pool, now);
        let end_entity = EndEntityCert::try_from(leaf.der()).map_err(refuse)?;

        // What rustls-webpki leaves out (an issuer's keyUsage) or cannot do well (revocation) is
        // looked at here, where refusing a candidate path still lets another be found.
        let judged = RefCell::new(None);
        let choice = RefCell::new(unchanged_around(now, &pool));
        let judge = |path: &VerifiedPath<'_>| -> Result<(), webpki::Error> {
            let when = (now, stale);
            let verdict = self.judge_path(leaf, path, store, &pool, when, &choice.borrow());
            let refused = verdict.is_err();
            *judged.borrow_mut() = Some(verdict);
            if refused {
                // Before its CRL went stale, say, it may have been the one to choose.
                let end = *choice.borrow().end();
                *choice.borrow_mut() = now..=end;
                return Err(webpki::Error::CertRevoked); // any error that lets the search go on
            }
            Ok(())
        };
        let found = end_entity.verify_for_usage(
            self.algorithms.all,
            store.anchors(),
            &pool_der,
            now,
            self.usage.for_webpki(),
            None,
            Some(&judge),
        );
        match (found, judged.into_inner()) {
            (Ok(_), Some(Ok(chain))) => Ok(chain),
            // A path that led to an anchor tells more than those that did not.
            (_, Some(Err(refusal))) => Err(refusal),
            (Err(error), _) => Err(refuse(error)),
            (Ok(_), None) => Err(refuse(webpki::Error::UnknownIssuer)), // it always asks
        }
    }

    /// Judges a path that rustls-webpki verified, and that it finds first during `choice`.
    fn judge_path(
        &self,
        leaf: &Certificate,
        path: &VerifiedPath<'_>,
        store: &TrustStore,
        pool: &[&Certificate],
        (now, stale): (UnixTime, Stale),
        choice: &RangeInclusive<UnixTime>,
    ) -> Result<VerifiedChain, ChainError> {
        let mut certificates = vec![leaf.clone()];
        certificates.extend(on_path(path, pool).cloned());
        let issuers = &certificates[1..];
        let may_not_sign = |issuer: &&Certificate| {
            issuer
                .key_usage()
                .is_some_and(|usage| !usage.key_cert_sign())
        };
        if let Some(certificate) = issuers.iter().find(may_not_sign) {
            return Err(ChainError::IssuerMayNotSign {
                certificate: certificate.clone(),
            });
        }
        self.profile.check(&certificates)?;
        let crls_until = match &self.revocation {
            None => None,
            Some(revocation) => {
                let anchor = store.issuer(path.anchor()).ok_or_else(|| {
                    self.explain(webpki::Error::UnknownIssuer, leaf, store, pool, now)
                })?;
                let issuers = issuers.iter().map(Issuer::of).chain([anchor]);
                revocation.check(certificates.iter().zip(issuers), now, stale)?
            }
        };
        let anchor = Anchor::Root {
            subject: subject_of(path.anchor()),
        };
        let root = Some(root_id(path.anchor()));
        let until = crls_until
            .into_iter()
            .fold(*choice.end(), |until, crls| until.min(crls));
        let holds = *choice.start()..=until;
        Ok(VerifiedChain::new(certificates, anchor, root, &holds))
    }

    /// Finds the certificate that rustls-webpki's answer is about.
    fn explain(
        &self,
        error: webpki::Error,
        leaf: &Certificate,
        store: &TrustStore,
        pool: &[&Certificate],
        now: UnixTime,
    ) -> ChainError {
        use webpki::Error as E;

        let all = || std::iter::once(leaf).chain(pool.iter().copied());
        let certificate_with =
            |wanted: &dyn Fn(&&Certificate) -> bool| all().find(wanted).unwrap_or(leaf).clone();
        match error {
            E::CertExpired { not_after, .. } => ChainError::Expired {
                certificate: certificate_with(&|c| c.not_after() == not_after),
                now,
                not_after,
            },
            E::CertNotValidYet { not_before, .. } => ChainError::NotYetValid {
                certificate: certificate_with(&|c| c.not_before() == not_before),
                now,
                not_before,
            },
            E::UnknownIssuer => ChainError::UnknownIssuer {
                certificate: top_of_path(leaf, pool),
                roots: store.anchors().iter().filter_map(subject_of).collect(),
            },
            E::InvalidSignatureForPublicKey => ChainError::BadSignature {
                certificate: top_of_path(leaf, pool),
            },
            E::RequiredEkuNotFoundContext(_) => {
                let wrong = |c: &&Certificate| {
                    c.extended_key_usage()
                        .is_some_and(|oids| oids.iter().all(|oid| oid != self.usage.oid()))
                };
                let certificate = certificate_with(&wrong);
                let present = certificate.extended_key_usage().unwrap_or_default();
                ChainError::WrongUsage {
                    wanted: self.usage.name(),
                    present: present.iter().map(|oid| purpose_name(oid)).collect(),
                    certificate,
                }
            }
            E::EndEntityUsedAsCa => ChainError::IssuerMayNotSign {
                certificate: certificate_with(&|c| **c != *leaf && !c.is_ca()),
            },
            problem => ChainError::Invalid {
                certificate: leaf.clone(),
                problem,
            },
        }
    }
}

/// The time around `now` in which each of these is valid, or is not, as it is now: in another, path
/// building may choose otherwise.
fn unchanged_around(now: UnixTime, pool: &[&Certificate]) -> RangeInclusive<UnixTime> {
    let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    let now = now.as_secs();
    let (mut start, mut end) = (0, u64::MAX);
    for certificate in pool {
        // The first second in which it is valid, and the first in which it is no more.
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

/// The issuers on a path, in order.
fn on_path<'a>(
    path: &VerifiedPath<'_>,
    pool: &'a [&'a Certificate],
) -> impl Iterator<Item = &'a Certificate> {
    let ders: Vec<CertificateDer<'static>> = path
        .intermediate_certificates()
        .map(|certificate| certificate.der().into_owned())
        .collect();
    ders.into_iter().filter_map(|der| {
        pool.iter()
            .find(|candidate| *candidate.der() == der)
            .copied()
    })
}

/// Follows issuer names from the leaf as far as the known intermediates reach.
fn top_of_path(leaf: &Certificate, pool: &[&Certificate]) -> Certificate {
    let mut top = leaf;
    // At most one step per intermediate, so that names in a ring end.
    for _ in pool {
        match pool
            .iter()
            .find(|candidate| candidate.subject() == top.issuer() && !candidate.is_self_issued())
        {
            Some(issuer) => top = issuer,
            None => break,
        }
    }
    top.clone()
}

fn subject_of(anchor: &rustls_pki_types::TrustAnchor<'_>) -> Option<DistinguishedName> {
    DistinguishedName::from_rdn_sequence(&anchor.subject).ok()
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

fn check_validity(certificate: &Certificate, now: UnixTime) -> Result<(), ChainError> {
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

/// The key's size when it is an RSA key over `limit` bits.
pub(super) fn oversized_rsa(certificate: &Certificate, limit: usize) -> Option<usize> {
    match certificate.public_key() {
        PublicKeyKind::Rsa { bits } if *bits > limit => Some(*bits),
        _ => None,
    }
}

fn purpose_name(oid: &str) -> String {
    key_purpose_name(oid).unwrap_or(oid).to_owned()
}

fn host_names(certificate: &Certificate) -> Vec<String> {
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
