//! SPIFFE trust domains.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use crate::Peer;
use crate::identity::{IdentityError, SpiffeId};
use crate::policy::{Decision, EntryError, Explanation, Policy};

/// Allows the workloads of SPIFFE trust domains; made by [`trust_domain`] and [`trust_domains`].
#[derive(Clone)]
pub struct TrustDomains {
    names: HashSet<Box<str>>,
    rule: Option<Cow<'static, str>>,
}

/// Allows every workload of this trust domain, such as `example.org`.
///
/// The ID of the domain itself, without a path, is no workload's and is denied. The same rule can
/// stand among [`spiffe_patterns`](crate::policy::spiffe_patterns) as `spiffe://example.org/*`.
///
/// ```
/// use countersign::policy;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let policy = policy::trust_domain("example.org")?;
///
/// let error = policy::trust_domain("Example.org").expect_err("never matches");
/// assert_eq!(
///     error.to_string(),
///     "\"Example.org\": a SPIFFE trust domain has only lower-case letters, digits, '.', '-' and '_'"
/// );
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// The name is not that of a trust domain: empty, with upper case, a port, a slash.
///
/// # Security
/// It believes the certificate. Whether the certificate's issuer may vouch for that trust domain is
/// the trust store's business.
pub fn trust_domain(name: &str) -> Result<TrustDomains, EntryError<IdentityError>> {
    trust_domains([name])
}

/// Allows every workload of one of these trust domains, as [`trust_domain`] does for one.
///
/// Without any, everybody is denied.
///
/// # Errors
/// A name is not that of a trust domain; the error tells which.
pub fn trust_domains<T: AsRef<str>>(
    names: impl IntoIterator<Item = T>,
) -> Result<TrustDomains, EntryError<IdentityError>> {
    let names = names.into_iter().map(|name| {
        let name = name.as_ref();
        SpiffeId::check_trust_domain(name).map_err(|error| EntryError::new(name, error))?;
        Ok(name.into())
    });
    Ok(TrustDomains {
        names: names.collect::<Result<_, _>>()?,
        rule: None,
    })
}

impl TrustDomains {
    /// Sets the rule's name, which stands in every allowing decision. Default
    /// `"trust domain example.org"`, with the name of the peer's.
    #[must_use]
    pub fn named(mut self, rule: impl Into<Cow<'static, str>>) -> Self {
        self.rule = Some(rule.into());
        self
    }
}

impl Policy<SpiffeId> for TrustDomains {
    fn authorize(&self, peer: &Peer<SpiffeId>) -> Decision {
        let id = peer.identity();
        if id.path().is_empty() || !self.names.contains(id.trust_domain()) {
            let mut names = self.names.iter();
            return match (names.next(), names.len() + 1) {
                (None, _) => Decision::deny("no trust domain is allowed"),
                (Some(only), 1) => Decision::deny_because(format_args!(
                    "{id} is no workload of the trust domain {only}"
                )),
                (_, count) => Decision::deny_because(format_args!(
                    "{id} is no workload of the {count} trust domains allowed"
                )),
            };
        }
        Decision::allow(match &self.rule {
            Some(rule) => rule.clone(),
            None => ["trust domain ", id.trust_domain()].concat().into(),
        })
    }

    fn explain(&self, peer: &Peer<SpiffeId>) -> Explanation {
        Explanation::of(self.authorize(peer)).by("trust_domain")
    }
}

impl fmt::Debug for TrustDomains {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrustDomains")
            .field("rule", &self.rule)
            .field("names", &self.names.len())
            .finish()
    }
}
