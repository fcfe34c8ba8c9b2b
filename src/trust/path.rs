//! A verified path, and the rules that a path is held to.

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::UnixTime;
use webpki::KeyUsage as WebpkiUsage;

use super::extensions::name_constraints;
use super::name_constraints as dns;
use crate::pki::{Certificate, DistinguishedName, Fingerprint};

/// A certificate chain that was verified: from the leaf up to, but without, what it is anchored in.
///
/// Only [`ChainVerifier`](super::ChainVerifier) makes one, so holding it is the proof that the check took place.
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
    root: Option<RootOfPath>,
    not_after: UnixTime,
    /// The first and the last second in which the verification has this outcome.
    holds: RangeInclusive<UnixTime>,
}

/// The root of a path, if the path has one.
pub(super) struct RootOfPath {
    pub(super) id: Fingerprint,
    /// The content of its nameConstraints.
    pub(super) name_constraints: Option<Box<[u8]>>,
    /// Its certificate, where that is held to [`RootConstraints::Enforce`](super::RootConstraints).
    pub(super) enforced: Option<Certificate>,
}

impl VerifiedChain {
    /// `chosen` is when, validity of its certificates apart, path building has this outcome.
    pub(super) fn new(
        certificates: Vec<Certificate>,
        anchor: Anchor,
        root: Option<RootOfPath>,
        chosen: &RangeInclusive<UnixTime>,
    ) -> Self {
        // There is always a leaf; without one the outcome would hold at no time.
        let epoch = UnixTime::since_unix_epoch(Duration::ZERO);
        let enforced = root.as_ref().and_then(|root| root.enforced.as_ref());
        let bounding = || certificates.iter().chain(enforced);
        let not_before = bounding().map(Certificate::not_before).max();
        let not_after = bounding().map(Certificate::not_after).min();
        let (not_before, not_after) = (not_before.unwrap_or(epoch), not_after.unwrap_or(epoch));
        Self {
            inner: Arc::new(Inner {
                root,
                certificates,
                anchor,
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

    /// The first second in which it would.
    pub(super) fn holds_from(&self) -> UnixTime {
        *self.inner.holds.start()
    }

    /// Which root it leads to, by [`root_id`](super::store::root_id); `None` for a pin.
    pub(super) fn root_id(&self) -> Option<&Fingerprint> {
        self.inner.root.as_ref().map(|root| &root.id)
    }

    /// Whether the name constraints of the issuers and of the root allow a subject's common name
    /// that looks like a DNS name (RFC 5280 section 4.2.1.10 binds subjectAltNames only).
    pub(crate) fn permits_common_name(&self, name: &str) -> bool {
        let issuers = self.certificates()[1..].iter();
        let of_issuers = issuers.filter_map(name_constraints);
        let root = self.inner.root.as_ref();
        let of_root = root.and_then(|root| root.name_constraints.as_deref());
        of_issuers
            .chain(of_root)
            .all(|constraints| dns::permits(constraints, name))
    }

    /// Whether it is the same path, whenever it was verified: these certificates, in this anchor.
    pub(crate) fn is_same_path(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
            || (self.certificates() == other.certificates()
                && self.anchor() == other.anchor()
                && self.root_id() == other.root_id())
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
///
/// Besides these, a path has at most six intermediates, and at most 20 signatures are verified to find
/// one, of which 8 may be invalid ([`ChainError::TooManyCandidates`](super::ChainError::TooManyCandidates)). These two are fixed.
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
pub enum EkuPolicy {
    /// The extension may be absent; when present, it must name our use.
    #[default]
    RequiredIfPresent,
    /// The extension must be present and name our use.
    Required,
}

/// Whether the certificate of a trusted root is held to what it says of itself.
///
/// RFC 5280 section 6.1.1 (d) makes a trust anchor of a name and a key, and section 6 does not
/// process the rest of a root's certificate; RFC 5937 describes how a verifier may. The name
/// constraints of a root are enforced in any case, and a root that may not issue certificates cannot
/// be loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum RootConstraints {
    /// Validity, path length, extended key usage and unknown critical extensions of a root are not
    /// considered, as in Go, Java and rustls-webpki. The operator who put the root into the trust
    /// store decides how long it is trusted: an expired root can be removed there, and a service does
    /// not stop on the day on which a root expires that cannot be replaced on every peer at once.
    #[default]
    Ignore,
    /// A root's certificate is held to the rules for an intermediate, as in OpenSSL. Connections
    /// drain when the root expires.
    ///
    /// A root that was loaded without its certificate (`TrustStore::webpki_roots`,
    /// `TrustStore::from_root_store`) has nothing to enforce but its name constraints.
    Enforce,
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
