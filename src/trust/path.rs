//! Verified paths, and the options for their verification.

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::UnixTime;
use webpki::KeyUsage as WebpkiUsage;

use super::choices::Choices;
use super::extensions::name_constraints;
use super::name_constraints as dns;
use crate::pki::{Certificate, DistinguishedName, Fingerprint};
use crate::side::Side;

/// A verified certificate chain, from the leaf up to its anchor, which is not included.
///
/// Only [`ChainVerifier`](super::ChainVerifier) makes values of this type, so that a value proves the
/// verification. The handshake's signature proves separately that the peer owns the leaf's key.
///
/// Cloning is cheap: clones share their parts.
///
/// ```
/// use countersign::pki_types::UnixTime;
/// use countersign::testing::TestCa;
/// use countersign::Side;
/// use countersign::trust::{Anchor, ChainVerifier};
///
/// # #[cfg(feature = "aws-lc-rs")]
/// # use countersign::rustls::crypto::aws_lc_rs::default_provider;
/// # #[cfg(not(feature = "aws-lc-rs"))]
/// # use countersign::rustls::crypto::ring::default_provider;
/// # let provider = default_provider();
/// let root = TestCa::new("Root");
/// let peer = root.intermediate("Issuing").leaf().common_name("alice").issue();
/// let verifier = ChainVerifier::new(root.trust(), Side::Client, &provider);
/// let chain = verifier.verify(peer.chain(), UnixTime::now())?;
/// assert_eq!(chain.leaf(), &peer.certificate());
/// assert_eq!(chain.certificates().len(), 2);
/// assert!(matches!(chain.anchor(), Anchor::Root { .. }));
/// # Ok::<(), countersign::trust::ChainError>(())
/// ```
#[derive(Clone)]
pub struct VerifiedChain {
    inner: Arc<Inner>,
}

struct Inner {
    certificates: Vec<Certificate>,
    /// Certificates beside the path that issuers of CRLs may have.
    crl_issuers: Vec<Certificate>,
    anchor: Anchor,
    root: Option<RootOfPath>,
    /// The options of the trust store under which it was verified.
    choices: Arc<Choices>,
    not_after: UnixTime,
    /// The first and the last second for which the verification has this result.
    holds: RangeInclusive<UnixTime>,
}

/// The root of a path, if the path has one.
pub(super) struct RootOfPath {
    pub(super) id: Fingerprint,
    /// The content of its nameConstraints, if any.
    pub(super) name_constraints: Option<Box<[u8]>>,
    /// Its certificate, under [`RootConstraints::Enforce`](super::RootConstraints).
    pub(super) enforced: Option<Certificate>,
}

impl VerifiedChain {
    /// `unchanged` is the time in which path building has this result, apart from the validity of the
    /// certificates.
    pub(super) fn new(
        certificates: Vec<Certificate>,
        anchor: Anchor,
        root: Option<RootOfPath>,
        choices: &Arc<Choices>,
        unchanged: &RangeInclusive<UnixTime>,
    ) -> Self {
        // There is always a leaf. Without one, the result would be valid at no time.
        let epoch = UnixTime::since_unix_epoch(Duration::ZERO);
        let enforced = root.as_ref().and_then(|root| root.enforced.as_ref());
        let bounding = || certificates.iter().chain(enforced);
        let not_before = bounding().map(Certificate::not_before).max();
        let not_after = bounding().map(Certificate::not_after).min();
        let (not_before, not_after) = (not_before.unwrap_or(epoch), not_after.unwrap_or(epoch));
        let not_before = earlier(not_before, choices.clock_tolerance);
        Self {
            inner: Arc::new(Inner {
                root,
                choices: Arc::clone(choices),
                certificates,
                crl_issuers: Vec::new(),
                anchor,
                not_after,
                holds: not_before.max(*unchanged.start())..=not_after.min(*unchanged.end()),
            }),
        }
    }

    /// Remembers certificates of CRL issuers, for later checks of revocation.
    pub(super) fn with_crl_issuers(mut self, issuers: Vec<Certificate>) -> Self {
        // The value is new, so that no clone shares its parts.
        if let Some(inner) = Arc::get_mut(&mut self.inner) {
            inner.crl_issuers = issuers;
        }
        self
    }

    pub(super) fn crl_issuers(&self) -> &[Certificate] {
        &self.inner.crl_issuers
    }

    /// The peer's own (end entity) certificate.
    pub fn leaf(&self) -> &Certificate {
        &self.inner.certificates[0] // never empty: it starts with the leaf
    }

    /// The verified path: the leaf first, then its issuers. It includes neither the anchor nor
    /// certificates that the peer sent and that are not on the path.
    pub fn certificates(&self) -> &[Certificate] {
        &self.inner.certificates
    }

    /// The anchor of the path.
    pub fn anchor(&self) -> &Anchor {
        &self.inner.anchor
    }

    /// The earliest notAfter of the path: the last second in which all its certificates are valid.
    pub fn not_after(&self) -> UnixTime {
        self.inner.not_after
    }

    /// Whether the verification has the same result at this time, with the same trust.
    pub(crate) fn holds_at(&self, now: UnixTime) -> bool {
        self.inner.holds.contains(&now)
    }

    /// The first second for which it has the same result.
    pub(super) fn holds_from(&self) -> UnixTime {
        *self.inner.holds.start()
    }

    /// Whether it was verified under these options.
    pub(super) fn is_under(&self, choices: &Arc<Choices>) -> bool {
        Arc::ptr_eq(&self.inner.choices, choices) || self.inner.choices == *choices
    }

    /// The [`root_id`](super::store::root_id) of its root; `None` for a pin.
    pub(super) fn root_id(&self) -> Option<&Fingerprint> {
        self.inner.root.as_ref().map(|root| &root.id)
    }

    /// Whether the name constraints of the issuers and of the root allow a common name of the subject that
    /// looks like a DNS name. RFC 5280 section 4.2.1.10 applies them to subjectAltNames only.
    pub(crate) fn permits_common_name(&self, name: &str) -> bool {
        let issuers = self.certificates()[1..].iter();
        let of_issuers = issuers.filter_map(name_constraints);
        let root = self.inner.root.as_ref();
        let of_root = root.and_then(|root| root.name_constraints.as_deref());
        of_issuers
            .chain(of_root)
            .all(|constraints| dns::permits(constraints, name))
    }

    /// Whether both have the same certificates and anchor, independent of the time of verification.
    pub(crate) fn is_same_path(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
            || (self.certificates() == other.certificates()
                && self.anchor() == other.anchor()
                && self.root_id() == other.root_id())
    }

    /// The last second for which the verification has the same result.
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

/// The anchor of a verified chain.
///
/// ```
/// use countersign::pki_types::UnixTime;
/// use countersign::TrustStore;
/// use countersign::testing::TestCa;
/// use countersign::Side;
/// use countersign::trust::{Anchor, ChainVerifier};
///
/// # #[cfg(feature = "aws-lc-rs")]
/// # use countersign::rustls::crypto::aws_lc_rs::default_provider;
/// # #[cfg(not(feature = "aws-lc-rs"))]
/// # use countersign::rustls::crypto::ring::default_provider;
/// # let provider = default_provider();
/// let peer = TestCa::new("Root").leaf().common_name("alice").issue();
/// let trust = TrustStore::empty().pin(&peer.certificate());
/// let verifier = ChainVerifier::new(trust, Side::Client, &provider);
/// let chain = verifier.verify(peer.chain(), UnixTime::now())?;
/// assert_eq!(chain.anchor(), &Anchor::PinnedCertificate);
/// # Ok::<(), countersign::trust::ChainError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Anchor {
    /// A root certificate of the trust store.
    Root {
        /// The root's name; `None` if it is not DER, which rustls-webpki does not check.
        subject: Option<DistinguishedName>,
    },
    /// The leaf is pinned.
    PinnedCertificate,
    /// The leaf's key is pinned. No authority has verified the names in the certificate: the owner of the
    /// key chooses them.
    PinnedKey,
}

/// Limits of a peer's chain, enforced before any signature is verified.
///
/// Another limit is fixed. At most 20 signatures are verified to
/// find a path, of which 8 may be invalid
/// ([`ChainError::TooManyCandidates`](super::ChainError::TooManyCandidates)).
///
/// ```
/// use countersign::trust::Limits;
///
/// let limits = Limits::default().chain_length(4).rsa_bits(4096);
/// assert_eq!(limits.chain_length, 4);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The most certificates that a peer may present, the leaf included. Default 10.
    pub chain_length: usize,
    /// The largest RSA modulus, in bits, of any presented certificate. Default 8,192.
    pub rsa_bits: usize,
    /// The most intermediates of a path. Default 6.
    pub intermediates: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            chain_length: 10,
            rsa_bits: 8192,
            intermediates: 6,
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

    /// Sets the most intermediates of a path. A path of more than about ten needs more signatures than are
    /// verified for one chain. Paths of more than six are not verified by rustls-webpki, whose limit that is,
    /// but by this crate alone.
    #[must_use]
    pub const fn intermediates(mut self, certificates: usize) -> Self {
        self.intermediates = certificates;
        self
    }

    /// Sets the largest RSA modulus in bits. The built-in providers support at most 8,192.
    #[must_use]
    pub const fn rsa_bits(mut self, bits: usize) -> Self {
        self.rsa_bits = bits;
        self
    }
}

/// The requirement for the leaf's extendedKeyUsage (RFC 5280 section 4.2.1.12).
///
/// ```
/// use countersign::testing::TestCa;
/// use countersign::Side;
/// use countersign::trust::{ChainVerifier, EkuPolicy};
///
/// # #[cfg(feature = "aws-lc-rs")]
/// # use countersign::rustls::crypto::aws_lc_rs::default_provider;
/// # #[cfg(not(feature = "aws-lc-rs"))]
/// # use countersign::rustls::crypto::ring::default_provider;
/// # let provider = default_provider();
/// let trust = TestCa::new("Root").trust();
/// let verifier = ChainVerifier::new(trust, Side::Client, &provider)
///     .extended_key_usage(EkuPolicy::Required);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum EkuPolicy {
    /// The extension may be absent. If it is present, it must contain clientAuth or serverAuth,
    /// depending on the [`Side`].
    #[default]
    RequiredIfPresent,
    /// The extension must be present and contain it.
    Required,
    /// As [`RequiredIfPresent`](Self::RequiredIfPresent), and for clients serverAuth is enough, in the
    /// leaf and in its issuers. For servers it is the same as `RequiredIfPresent`.
    ///
    /// Public CAs no longer issue clientAuth: their issuing CAs do not have it since 2026-06-15, and
    /// leaves not after 2027-03-15. Programs whose peers are servers of the public Internet and connect to
    /// each other (XMPP, SIP, SMTP, B2B) need this option.
    ///
    /// # Security
    /// Every server with a certificate of these CAs can then be a client. Identify peers by the names for
    /// which the CA vouches, and authorize them by name.
    AcceptServerAuth,
}

/// Whether the constraints in a root's own certificate are enforced.
///
/// A trust anchor is a name and a key (RFC 5280 section 6.1.1 (d)), and section 6 does not process the
/// rest of a root's certificate. RFC 5937 describes how a verifier may. The name constraints of a root
/// are always enforced, and a root that may not issue certificates cannot be loaded.
///
/// ```
/// use countersign::testing::TestCa;
/// use countersign::Side;
/// use countersign::trust::{ChainVerifier, RootConstraints};
///
/// # #[cfg(feature = "aws-lc-rs")]
/// # use countersign::rustls::crypto::aws_lc_rs::default_provider;
/// # #[cfg(not(feature = "aws-lc-rs"))]
/// # use countersign::rustls::crypto::ring::default_provider;
/// # let provider = default_provider();
/// let trust = TestCa::new("Root").trust();
/// let verifier = ChainVerifier::new(trust, Side::Client, &provider)
///     .root_constraints(RootConstraints::Enforce);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum RootConstraints {
    /// Validity, path length, extended key usage and unknown critical extensions of a root are ignored,
    /// as in Go, Java and rustls-webpki. The operator of the trust store decides how long a root is
    /// trusted and can remove an expired one. A service does not stop when a root expires that cannot be
    /// replaced on every peer at once.
    #[default]
    Ignore,
    /// The rules for intermediates apply to a root's certificate, as in OpenSSL. Connections drain when
    /// the root expires.
    ///
    /// A root that was loaded without its certificate (`TrustStore::webpki_roots`,
    /// `TrustStore::from_root_store`) has only its name constraints.
    Enforce,
}

/// A time before another; the epoch if that is earlier.
pub(super) fn earlier(time: UnixTime, by: Duration) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(
        time.as_secs().saturating_sub(by.as_secs()),
    ))
}

/// The extended key usage of this side, for webpki.
pub(crate) const fn for_webpki(side: Side) -> WebpkiUsage {
    match side {
        Side::Client => WebpkiUsage::client_auth(),
        Side::Server => WebpkiUsage::server_auth(),
    }
}

#[cfg(all(feature = "testing", feature = "aws-lc-rs"))]
#[cfg(test)]
mod tests {
    use super::*;
    use crate::TrustStore;
    use crate::testing::{Issued, TestCa};
    use crate::trust::{CertificatePolicies, ChainVerifier};

    fn verifier(trust: TrustStore) -> ChainVerifier {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        ChainVerifier::new(trust, Side::Client, &provider)
    }

    fn verified(trust: TrustStore, peer: &Issued) -> VerifiedChain {
        let chain = verifier(trust).verify(peer.chain(), UnixTime::now());
        chain.expect("a valid chain")
    }

    /// Verifies the chain of an open connection by this trust: `None` if it is kept, or the length of the
    /// path that replaces it.
    fn again(chain: &VerifiedChain, trust: TrustStore) -> Result<Option<usize>, &'static str> {
        let found = verifier(trust).still_trusts(chain, UnixTime::now());
        let found = found.map_err(|error| error.reason())?;
        Ok(found.map(|path| path.certificates().len()))
    }

    #[test]
    fn options_that_change_apply_to_a_chain_that_was_verified_before() {
        let root = TestCa::new("Root");
        let issuing = root.intermediate("Issuing");
        let peer = issuing.leaf().extended_key_usage(None).issue();
        let chain = verified(root.trust(), &peer);
        let shorter = || TrustStore::from_der([issuing.certificate_der()]).expect("a root");
        // Its root and the options are the same: it is kept, though there is a shorter path.
        assert_eq!(again(&chain, root.trust().and(shorter())), Ok(None));
        assert_eq!(again(&chain, shorter()), Ok(Some(1)));
        let if_present = EkuPolicy::RequiredIfPresent;
        let other_options = root.trust().extended_key_usage(if_present);
        assert_eq!(again(&chain, other_options), Ok(Some(2)));
        let with_usage = root.trust().extended_key_usage(EkuPolicy::Required);
        assert_eq!(again(&chain, with_usage), Err("wrong_extended_key_usage"));
        let policies = CertificatePolicies::require(["1.2.3"]).expect("a policy");
        let with_policy = root.trust().certificate_policies(policies);
        assert_eq!(again(&chain, with_policy), Err("invalid_path"));
    }

    #[test]
    fn a_pin_that_is_removed_or_replaced_no_longer_counts() {
        let root = TestCa::new("Root");
        let peer = root.leaf().issue();
        let certificate = peer.certificate();
        let by_certificate = || TrustStore::empty().pin(&certificate);
        let by_key = || TrustStore::empty().pin_spki(certificate.spki_sha256());
        for (pin, other_pin) in [(by_certificate(), by_key()), (by_key(), by_certificate())] {
            let chain = verified(pin.clone(), &peer);
            assert_eq!(again(&chain, pin), Ok(None));
            assert_eq!(again(&chain, other_pin), Ok(Some(1)));
            assert_eq!(again(&chain, root.trust()), Ok(Some(1)));
            let other = TestCa::new("Other").trust();
            assert_eq!(again(&chain, other), Err("unknown_issuer"));
        }
        let chain = verified(root.trust(), &peer);
        assert_eq!(again(&chain, by_key()), Ok(Some(1)));
    }

    #[test]
    fn a_path_is_the_same_by_its_certificates_and_its_anchor() {
        let root = TestCa::new("Root");
        let issuing = root.intermediate("Issuing");
        let crossed = issuing.cross_signed_by(&root);
        let peer = issuing.leaf().issue();
        let along = |issuer: &TestCa| {
            let chain = [peer.leaf_der().clone(), issuer.certificate_der()];
            let chain = verifier(root.trust()).verify(&chain, UnixTime::now());
            chain.expect("a valid chain")
        };
        let path = along(&issuing);
        assert!(path.is_same_path(&path.clone()));
        assert!(path.is_same_path(&along(&issuing)));
        assert!(!path.is_same_path(&along(&crossed)), "another certificate");
        let certificate = peer.certificate();
        let pinned = verified(TrustStore::empty().pin(&certificate), &peer);
        let key = TrustStore::empty().pin_spki(certificate.spki_sha256());
        assert!(!pinned.is_same_path(&verified(key, &peer)), "another pin");
        assert!(!pinned.is_same_path(&path));
    }
}
