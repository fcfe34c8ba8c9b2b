//! The rule on SPIFFE trust domains.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use crate::Peer;
use crate::identity::{SpiffeId, TrustDomain};
use crate::policy::{Decision, Explanation, Policy};

/// Allows the workloads of SPIFFE trust domains. Made by [`trust_domain`] and [`trust_domains`].
///
/// ```
/// use countersign::identity::SpiffeId;
/// use countersign::policy::TrustDomains;
/// use countersign::{Policy as _, policy, testing};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let group: TrustDomains =
///     policy::trust_domains(["example.org".parse()?, "example.com".parse()?]).named("our group");
/// let peer = testing::peer("spiffe://example.com/billing".parse::<SpiffeId>()?);
/// assert_eq!(group.authorize(&peer).rule(), Some("our group"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct TrustDomains {
    domains: HashSet<TrustDomain>,
    rule: Option<Cow<'static, str>>,
}

/// Allows every workload of this trust domain, such as `example.org`.
///
/// The ID of the domain itself has no path. It names no workload and is denied. As one of
/// [`spiffe_patterns`](crate::policy::spiffe_patterns), the same rule is `spiffe://example.org/*`.
///
/// ```
/// use countersign::policy;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let policy = policy::trust_domain("example.org".parse()?);
/// # Ok(())
/// # }
/// ```
///
/// # Security
/// The rule reads the trust domain from the certificate. Whether the certificate's issuer may sign for
/// that trust domain is decided by the trust store
/// ([`TrustStore::by_trust_domain`](crate::TrustStore::by_trust_domain)).
pub fn trust_domain(domain: TrustDomain) -> TrustDomains {
    trust_domains([domain])
}

/// Allows every workload of one of these trust domains, as [`trust_domain`] does for one.
///
/// An empty set denies every peer.
pub fn trust_domains(domains: impl IntoIterator<Item = TrustDomain>) -> TrustDomains {
    TrustDomains {
        domains: domains.into_iter().collect(),
        rule: None,
    }
}

impl TrustDomains {
    /// Sets the rule's name, which every allowing decision contains. Default:
    /// `"trust domain example.org"`, with the peer's trust domain.
    #[must_use]
    pub fn named(mut self, rule: impl Into<Cow<'static, str>>) -> Self {
        self.rule = Some(rule.into());
        self
    }
}

impl Policy<SpiffeId> for TrustDomains {
    fn authorize(&self, peer: &Peer<SpiffeId>) -> Decision {
        let id = peer.identity();
        if id.path().is_empty() || !self.domains.contains(id.trust_domain()) {
            let mut domains = self.domains.iter();
            return match (domains.next(), domains.len() + 1) {
                (None, _) => Decision::deny("no trust domain is allowed"),
                (Some(only), 1) => Decision::deny_because(format_args!(
                    "{id} is not a workload of the trust domain {only}"
                )),
                (_, count) => Decision::deny_because(format_args!(
                    "{id} is not a workload of the {count} allowed trust domains"
                )),
            };
        }
        Decision::allow(match &self.rule {
            Some(rule) => rule.clone(),
            None => ["trust domain ", id.trust_domain().as_str()]
                .concat()
                .into(),
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
            .field("domains", &self.domains.len())
            .finish()
    }
}
