//! The rule on a set of identities.

use std::borrow::{Borrow, Cow};
use std::collections::HashSet;
use std::fmt;
use std::hash::Hash;

use super::none_of;
use crate::Peer;
use crate::policy::{Decision, Explanation, Policy};

/// Allows exactly the identities of a set. Made by [`exact`].
///
/// ```
/// use countersign::identity::DnsName;
/// use countersign::policy::{self, Exact};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let worker: DnsName = "worker.example.org".parse()?;
/// let callers: Exact<DnsName> = policy::exact([worker.clone()]);
/// assert!(callers.contains(&worker));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Exact<I> {
    identities: HashSet<I>,
    rule: Cow<'static, str>,
}

/// Allows a peer whose identity is one of these, found in constant time.
///
/// ```
/// use countersign::identity::SpiffeId;
/// use countersign::policy;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let billing: SpiffeId = "spiffe://example.org/ns/billing".parse()?;
/// let policy = policy::exact([billing]).named("billing only");
/// # Ok(())
/// # }
/// ```
///
/// An empty set denies every peer.
#[doc(alias = "allow_list")]
#[doc(alias = "whitelist")]
pub fn exact<I: Eq + Hash>(identities: impl IntoIterator<Item = I>) -> Exact<I> {
    Exact {
        identities: identities.into_iter().collect(),
        rule: "exact".into(),
    }
}

impl<I: Eq + Hash> Exact<I> {
    /// Sets the rule's name, which every allowing decision contains. Default: `"exact"`.
    #[must_use]
    pub fn named(mut self, rule: impl Into<Cow<'static, str>>) -> Self {
        self.rule = rule.into();
        self
    }

    /// Whether the identity is in the set.
    pub fn contains<Q>(&self, identity: &Q) -> bool
    where
        I: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.identities.contains(identity)
    }
}

impl<I: Eq + Hash + Send + Sync> Policy<I> for Exact<I> {
    fn authorize(&self, peer: &Peer<I>) -> Decision {
        if self.identities.contains(peer.identity()) {
            Decision::allow(self.rule.clone())
        } else {
            Decision::deny(none_of("the identity", self.identities.len(), &self.rule))
        }
    }

    fn explain(&self, peer: &Peer<I>) -> Explanation {
        Explanation::of(self.authorize(peer)).by("exact")
    }
}

impl<I> fmt::Debug for Exact<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exact")
            .field("rule", &self.rule)
            .field("identities", &self.identities.len())
            .finish()
    }
}
