//! Revocation: what CRLs say, and what follows when they say nothing.

mod check;
mod crls;

use std::collections::HashSet;
use std::time::Duration;

use crate::pki::{Certificate, Crl, Fingerprint};

pub(super) use check::{Checker, Issuer, Stale};
pub use crls::{CrlError, Crls};

/// What happens when no CRL tells whether a certificate is revoked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnknownStatus {
    /// The peer is refused.
    #[default]
    Deny,
    /// The certificate counts as not revoked. A CRL that is there and has expired, or whose issuer
    /// must not sign it, refuses nevertheless.
    ///
    /// # Security
    /// Whoever keeps a CRL from being loaded keeps its revocations from counting. Where single
    /// issuers publish none, say so by [`Revocation::no_crl_from`] instead.
    Allow,
}

/// Whether a CRL still counts after its nextUpdate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExpiredCrl {
    /// It does not: the peer is refused, unless the CRL is within its
    /// [`grace`](Revocation::grace).
    #[default]
    Enforce,
    /// It does, for ever.
    ///
    /// # Security
    /// Certificates that were revoked after the last CRL that could be loaded are accepted.
    Ignore,
}

/// Which certificates of a chain must not be revoked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RevocationDepth {
    /// All but the trust anchor, which is removed from the trust store instead.
    #[default]
    WholeChain,
    /// The peer's own certificate only.
    ///
    /// # Security
    /// A revoked intermediate goes on vouching.
    EndEntity,
}

/// CRLs and what is made of them.
///
/// By default every certificate of a peer's chain needs a CRL that is signed by its issuer, is not
/// stale, and does not list it.
///
/// ```no_run
/// use countersign::pki::Certificate;
/// use countersign::trust::{Crls, Revocation};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let root: Certificate = unimplemented!();
/// let revocation = Revocation::new(Crls::from_dir("crls")?)
///     .grace(std::time::Duration::from_secs(3600))
///     .no_crl_from(&root); // it only signs our two issuing CAs, and publishes no CRL
/// # Ok(())
/// # }
/// ```
///
/// A CRL counts for an issuer when it bears the issuer's name **and** the issuer's key signed it:
/// one of another authority of the same name disturbs nobody. The issuer must be allowed to sign
/// CRLs (keyUsage cRLSign, RFC 5280 section 4.2.1.3). A CRL from the future counts: what it revokes
/// is revoked.
///
/// A certificate that names no distribution point is looked up in every list of its issuer. Where an
/// issuer splits its CRL into several, load all of them: a list says of itself where it is
/// published, but not that there are others.
///
/// Pinned certificates and keys are not looked up: there is no issuer that could revoke them.
/// Remove the pin, or put them on a deny list.
///
/// Signatures of the CRLs of roots and of the trust store's own intermediates are verified when
/// the configuration is made, which takes a moment for large ones; those of intermediates that
/// only peers send, at first sight of the intermediate.
#[derive(Clone, Debug)]
pub struct Revocation {
    crls: Crls,
    unknown_status: UnknownStatus,
    expired: ExpiredCrl,
    grace: Duration,
    depth: RevocationDepth,
    exempt: Exempt,
}

/// The issuers that publish no CRL.
#[derive(Clone, Debug, Default)]
struct Exempt {
    /// By the SHA-256 of the name and the key.
    authorities: HashSet<Fingerprint>,
    /// By the name as it prints.
    names: HashSet<String>,
}

impl From<Crls> for Revocation {
    fn from(crls: Crls) -> Self {
        Self::new(crls)
    }
}

impl Revocation {
    /// Checks revocation by these CRLs, with the strictest choices.
    pub fn new(crls: Crls) -> Self {
        Self {
            crls,
            unknown_status: UnknownStatus::default(),
            expired: ExpiredCrl::default(),
            grace: Duration::ZERO,
            depth: RevocationDepth::default(),
            exempt: Exempt::default(),
        }
    }

    /// The CRLs.
    pub(in crate::trust) fn lists(&self) -> &[Crl] {
        self.crls.lists()
    }

    /// Sets what happens when no CRL tells whether a certificate is revoked. Default: deny.
    #[must_use]
    pub const fn unknown_status(mut self, rule: UnknownStatus) -> Self {
        self.unknown_status = rule;
        self
    }

    /// Sets whether a CRL still counts after its nextUpdate. Default: it does not.
    #[must_use]
    pub const fn expired(mut self, rule: ExpiredCrl) -> Self {
        self.expired = rule;
        self
    }

    /// Sets for how long after its nextUpdate a CRL still counts, so that a late publisher does
    /// not stop everything. Default: not at all.
    #[must_use]
    pub const fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Sets which certificates of a chain are looked up. Default: all but the trust anchor.
    #[must_use]
    pub const fn depth(mut self, depth: RevocationDepth) -> Self {
        self.depth = depth;
        self
    }

    /// Says that this authority, by its name and key, publishes no CRL: what it issued counts as
    /// not revoked, unless a CRL of its is loaded nevertheless.
    #[must_use]
    pub fn no_crl_from(mut self, issuer: &Certificate) -> Self {
        self.exempt.authorities.insert(Issuer::of(issuer).id());
        self
    }

    /// As [`no_crl_from`](Self::no_crl_from), for every authority whose name prints like this
    /// (RFC 4514), as in `CN=Root,O=Example`. The error about a missing CRL prints it.
    ///
    /// # Security
    /// Any authority below a trust anchor can call itself so. A certificate says it exactly.
    #[must_use]
    pub fn no_crl_from_name(mut self, issuer: impl Into<String>) -> Self {
        self.exempt.names.insert(issuer.into());
        self
    }

    /// The CRLs.
    pub const fn crls(&self) -> &Crls {
        &self.crls
    }
}
