//! Revocation: what CRLs say, and what follows when they say nothing.

mod check;
mod crl_set;
mod crls;
mod rollback;
mod signed;
mod source;

use std::collections::HashSet;
use std::time::Duration;

use rustls_pki_types::UnixTime;

use crate::pki::{Certificate, Crl, Fingerprint};

pub(super) use check::check_path;
pub(super) use crl_set::CrlSet;
pub use crls::Crls;
pub(super) use source::{CheckTime, Issuer, StaleCrls};

/// What happens when no CRL tells whether a certificate is revoked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnknownStatus {
    /// The peer is refused.
    #[default]
    Deny,
    /// The certificate counts as not revoked. A CRL that is there and has expired, is not in force
    /// yet, or whose issuer must not sign it, refuses nevertheless.
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

/// Whether an update may replace a CRL with one that its issuer made earlier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CrlRollback {
    /// It may not: the update is refused as a whole.
    #[default]
    Deny,
    /// It may. An audit event records each rollback
    /// ([`Action::CrlRolledBack`](crate::audit::Action::CrlRolledBack)).
    ///
    /// # Security
    /// Certificates that were revoked between the two CRLs are accepted again, until the earlier CRL
    /// expires. An attacker who can write to the CRL's file or answer for its server needs no key for
    /// that: an old CRL has a valid signature.
    Allow,
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
/// CRLs (keyUsage cRLSign, RFC 5280 section 4.2.1.3).
///
/// A CRL whose thisUpdate is ahead of our clock by more than
/// [`clock_tolerance`](Self::clock_tolerance) (default: 5 minutes) is not in force yet: what it revokes
/// is not revoked by it, and it replaces no other list. It comes into force when the clock reaches that
/// time, for each verification from then on; connections that are open are verified again at the next
/// update. Where it is the only list of its issuer, peers are refused until then
/// ([`StatusError::NotInForce`](super::StatusError::NotInForce)).
///
/// An update that replaces the CRL in force with one of the same issuer's key and scope that has a lower
/// cRLNumber, or an earlier thisUpdate with the same number, is refused, unless
/// [`rollback`](Self::rollback) allows it. A CRL that updates leave out is remembered until it has
/// expired. Nothing is remembered across a restart.
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
    clock_tolerance: Duration,
    rollback: CrlRollback,
    depth: RevocationDepth,
    exempt: Exempt,
}

/// By how much an issuer's clock may be ahead of ours.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(5 * 60);

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
            clock_tolerance: CLOCK_TOLERANCE,
            rollback: CrlRollback::default(),
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

    /// Sets by how much the thisUpdate of a CRL may be ahead of our clock, so that a CRL counts at once
    /// although the issuer's clock is somewhat fast, or ours slow. Default: 5 minutes. Fractions of a
    /// second do not count.
    ///
    /// # Security
    /// A CRL that was dated into the future by mistake replaces genuine ones within this time.
    #[must_use]
    pub const fn clock_tolerance(mut self, tolerance: Duration) -> Self {
        self.clock_tolerance = tolerance;
        self
    }

    /// Sets whether an update may replace a CRL with an earlier one of the same issuer and scope.
    /// Default: it may not. What counts is the choice of the update's own `Revocation`.
    #[must_use]
    pub const fn rollback(mut self, rule: CrlRollback) -> Self {
        self.rollback = rule;
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

    pub(crate) fn allows_rollback(&self) -> bool {
        self.rollback == CrlRollback::Allow
    }

    /// The second in which a list comes into force.
    fn start_of(&self, list: &Crl) -> u64 {
        let this_update = list.this_update().as_secs();
        this_update.saturating_sub(self.clock_tolerance.as_secs())
    }

    /// Whether a list counts at this time already.
    pub(in crate::trust) fn is_in_force(&self, list: &Crl, now: UnixTime) -> bool {
        self.start_of(list) <= now.as_secs()
    }
}
