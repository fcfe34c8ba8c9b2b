//! Revocation: CRLs, and the rules about certificates without one.

mod check;
mod crl_set;
mod crls;
mod loader;
mod rollback;
mod signed;
mod source;

use std::collections::HashSet;
use std::time::Duration;

use rustls_pki_types::UnixTime;

use crate::pki::{Certificate, Crl, Fingerprint};

pub(super) use check::check_path;
pub(super) use crl_set::CrlSet;
pub use crls::{Crls, SkippedCrl};
pub use loader::{CrlLoader, DeltaCrls, UnusableFiles};
pub(super) use source::{CheckTime, Issuer, StaleCrls};

/// What happens when no CRL has the revocation status of a certificate.
///
/// ```
/// use countersign::testing::TestCa;
/// use countersign::trust::{Crls, Revocation, UnknownStatus};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let crls = Crls::from_bytes(TestCa::new("Root").crl().pem())?;
/// let revocation = Revocation::new(crls).unknown_status(UnknownStatus::Allow);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnknownStatus {
    /// The peer is rejected.
    #[default]
    Deny,
    /// The certificate counts as not revoked. The peer is still rejected when a CRL of the issuer has
    /// expired, is not in force yet, or was signed by an issuer that must not sign CRLs.
    ///
    /// # Security
    /// An attacker who prevents a CRL from being loaded disables its revocations. If only some issuers
    /// publish no CRL, use [`Revocation::no_crl_from`] instead.
    Allow,
}

/// Whether a CRL still counts after its nextUpdate.
///
/// ```
/// use countersign::testing::TestCa;
/// use countersign::trust::{Crls, ExpiredCrl, Revocation};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let crls = Crls::from_bytes(TestCa::new("Root").crl().pem())?;
/// let revocation = Revocation::new(crls).expired(ExpiredCrl::Ignore);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExpiredCrl {
    /// It does not: the peer is rejected, except within the [`grace`](Revocation::grace) period.
    #[default]
    Enforce,
    /// It does, indefinitely.
    ///
    /// # Security
    /// Certificates that were revoked after the last CRL that could be loaded are accepted.
    Ignore,
}

/// Whether an update may replace a CRL with an earlier one of its issuer.
///
/// ```
/// use countersign::testing::TestCa;
/// use countersign::trust::{CrlRollback, Crls, Revocation};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let crls = Crls::from_bytes(TestCa::new("Root").crl().pem())?;
/// let revocation = Revocation::new(crls).rollback(CrlRollback::Allow);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CrlRollback {
    /// It may not: the whole update is rejected.
    #[default]
    Deny,
    /// It may. An audit event records each rollback
    /// ([`Action::CrlRolledBack`](crate::audit::Action::CrlRolledBack)).
    ///
    /// # Security
    /// Certificates that were revoked between the two CRLs are accepted again, until the earlier CRL
    /// expires. An attacker who can write to the CRL's file or impersonate its server needs no key for
    /// that, because an old CRL has a valid signature.
    Allow,
}

/// Which certificates of a chain are checked for revocation.
///
/// ```
/// use countersign::testing::TestCa;
/// use countersign::trust::{Crls, Revocation, RevocationDepth};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let crls = Crls::from_bytes(TestCa::new("Root").crl().pem())?;
/// let revocation = Revocation::new(crls).depth(RevocationDepth::EndEntity);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum RevocationDepth {
    /// All except the trust anchor. To revoke that, remove it from the trust store.
    #[default]
    WholeChain,
    /// The peer's own certificate only.
    ///
    /// # Security
    /// The certificates of a revoked intermediate are accepted.
    EndEntity,
}

/// CRLs and the rules about them.
///
/// By default every certificate of a peer's chain, except the trust anchor, needs a CRL that its issuer
/// signed, that has not expired, and that does not list the certificate.
///
/// ```no_run
/// use countersign::pki::Certificate;
/// use countersign::trust::{Crls, Revocation};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let root: Certificate = unimplemented!();
/// let revocation = Revocation::new(Crls::from_dir("crls")?)
///     .grace(std::time::Duration::from_secs(3600))
///     .no_crl_from(&root); // it signs only our two issuing CAs, and publishes no CRL
/// # Ok(())
/// # }
/// ```
///
/// **Issuer.** A CRL counts for an issuer when it has the issuer's name and the issuer's key signed it. A
/// CRL of another authority with the same name has no effect. The issuer must be allowed to sign CRLs
/// (keyUsage cRLSign, RFC 5280 section 4.2.1.3).
///
/// **Not in force yet.** A CRL whose thisUpdate is ahead of our clock by more than
/// [`clock_tolerance`](Self::clock_tolerance) (default: 5 minutes) revokes nothing and replaces no other
/// CRL. When the clock reaches that time, it counts for each verification; open connections are
/// verified again at the next update. If it is the only CRL of its issuer, peers are rejected until then
/// ([`StatusError::NotInForce`](super::StatusError::NotInForce)).
///
/// **Rollback.** An update is rejected when it replaces the CRL in force with one of the same issuer's
/// key and scope that has a lower cRLNumber, or an earlier thisUpdate with the same number.
/// [`rollback`](Self::rollback) can allow it. A CRL that an update leaves out is remembered until it
/// expires. Nothing is remembered across a restart.
///
/// **Several CRLs of one issuer.** A certificate that names no distribution point is looked up in every
/// CRL of its issuer. If an issuer splits its CRL, load all parts: a part does not name the others.
///
/// **Delta CRLs** are applied to the complete CRL of the same issuer and scope (RFC 5280 section 5.2.4). A
/// delta without its complete CRL gives no status. Once a delta is loaded, an update may leave it out only
/// with a complete CRL that is at least as new, or when it has expired. An expired delta counts as an
/// expired CRL.
///
/// **CRLs without a number** are loaded by [`CrlLoader::number`] only. thisUpdate then orders them.
///
/// **Reasons.** CRLs for some reasons only (onlySomeReasons) count together: the status is known when they
/// have all reasons (RFC 5280 section 6.3.3).
///
/// **Pins.** Pinned certificates and keys are not looked up, because no issuer can revoke them. Remove
/// the pin, or put them on a deny list.
///
/// **Cost.** The signatures of CRLs of roots and of the trust store's intermediates are verified when the
/// configuration is built, which takes a moment for large CRLs. Those of intermediates that only peers
/// send are verified when the intermediate is first used.
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

/// The default of [`Revocation::clock_tolerance`].
const CLOCK_TOLERANCE: Duration = Duration::from_secs(5 * 60);

/// The issuers that publish no CRL.
#[derive(Clone, Debug, Default)]
struct Exempt {
    /// By [`Issuer::id`].
    authorities: HashSet<Fingerprint>,
    /// By the printed name.
    names: HashSet<String>,
}

impl From<Crls> for Revocation {
    fn from(crls: Crls) -> Self {
        Self::new(crls)
    }
}

impl Revocation {
    /// Checks revocation with these CRLs and the strictest rules.
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

    /// Checks nothing: it replaces CRLs of which their source has none any longer.
    #[cfg(all(feature = "spiffe", feature = "tokio"))]
    pub(crate) fn none() -> Self {
        Self::new(Crls::none()).unknown_status(UnknownStatus::Allow)
    }

    /// The CRLs.
    pub(in crate::trust) fn lists(&self) -> &[Crl] {
        self.crls.lists()
    }

    /// Sets what happens when no CRL has the revocation status of a certificate. Default: deny.
    #[must_use]
    pub const fn unknown_status(mut self, rule: UnknownStatus) -> Self {
        self.unknown_status = rule;
        self
    }

    /// Sets whether a CRL still counts after its nextUpdate. Default: no.
    #[must_use]
    pub const fn expired(mut self, rule: ExpiredCrl) -> Self {
        self.expired = rule;
        self
    }

    /// Sets for how long after its nextUpdate a CRL still counts, so that a late publication does not
    /// reject all peers. Default: zero.
    #[must_use]
    pub const fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Sets by how much the thisUpdate of a CRL may be ahead of our clock. A new CRL then counts at once
    /// although the issuer's clock is slightly fast, or ours slightly slow. Default: 5 minutes. Fractions
    /// of a second are ignored.
    ///
    /// # Security
    /// A CRL whose thisUpdate is in the future by mistake replaces correct ones within this time.
    #[must_use]
    pub const fn clock_tolerance(mut self, tolerance: Duration) -> Self {
        self.clock_tolerance = tolerance;
        self
    }

    /// Sets whether an update may replace a CRL with an earlier one of the same issuer and scope.
    /// Default: no. The rule of the update's own `Revocation` applies.
    #[must_use]
    pub const fn rollback(mut self, rule: CrlRollback) -> Self {
        self.rollback = rule;
        self
    }

    /// Sets which certificates of a chain are checked. Default: all except the trust anchor.
    #[must_use]
    pub const fn depth(mut self, depth: RevocationDepth) -> Self {
        self.depth = depth;
        self
    }

    /// Declares that this authority, by its name and key, publishes no CRL. Its certificates count as
    /// not revoked, unless a CRL of the authority is loaded.
    #[must_use]
    pub fn no_crl_from(mut self, issuer: &Certificate) -> Self {
        self.exempt.authorities.insert(Issuer::of(issuer).id());
        self
    }

    /// As [`no_crl_from`](Self::no_crl_from), for every authority with this printed name (RFC 4514), such
    /// as `CN=Root,O=Example`. The error about a missing CRL prints the name.
    ///
    /// # Security
    /// Any authority below a trust anchor can have this name. [`no_crl_from`](Self::no_crl_from) is
    /// exact.
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

    /// The second in which a CRL comes into force.
    fn start_of(&self, list: &Crl) -> u64 {
        let this_update = list.this_update().as_secs();
        this_update.saturating_sub(self.clock_tolerance.as_secs())
    }

    /// Whether a CRL is in force at this time.
    pub(in crate::trust) fn is_in_force(&self, list: &Crl, now: UnixTime) -> bool {
        self.start_of(list) <= now.as_secs()
    }
}
