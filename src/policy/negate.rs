//! Policies that turn another one round.
//!
//! A panic passes through, so that it denies even here.

use std::borrow::Cow;
use std::fmt;

use super::explanation::Role;
use super::{Decision, Explanation, Policy, explain};
use crate::Peer;

/// Allows a peer that a policy denies; made by [`not`].
pub struct Not<I> {
    policy: Box<dyn Policy<I>>,
    rule: Cow<'static, str>,
}

/// Allows a peer that `policy` denies, and the other way round.
///
/// A panic stays a denial. But a policy that denies *because it could not find out* lets the peer
/// in here; so turn only those round that know, such as the ready-made rules. To keep some out of
/// a larger group, [`deny_first`] reads better.
///
/// ```
/// use countersign::identity::DnsName;
/// use countersign::policy;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let inside = policy::all_of((
///     policy::dns_patterns(["*.example.org"])?,
///     policy::not(policy::exact(["www.example.org".parse::<DnsName>()?])).named("not public"),
/// ));
/// # let _: policy::AllOf<DnsName> = inside;
/// # Ok(())
/// # }
/// ```
pub fn not<I>(policy: impl Policy<I> + 'static) -> Not<I> {
    Not {
        policy: Box::new(policy),
        rule: "not".into(),
    }
}

impl<I> Not<I> {
    /// Sets the rule's name, which stands in every allowing decision. Default `"not"`.
    #[must_use]
    pub fn named(mut self, rule: impl Into<Cow<'static, str>>) -> Self {
        self.rule = rule.into();
        self
    }

    fn turned(&self, decision: &Decision) -> Decision {
        match decision.rule() {
            Some(rule) => Decision::deny(format!("matches \"{rule}\", which it must not")),
            None => Decision::allow(self.rule.clone()),
        }
    }
}

impl<I> Policy<I> for Not<I> {
    fn authorize(&self, peer: &Peer<I>) -> Decision {
        self.turned(&self.policy.authorize(peer))
    }

    fn explain(&self, peer: &Peer<I>) -> Explanation {
        let part = explain(&*self.policy, peer);
        let whole = if part.is_panic() {
            Explanation::same_as(&part)
        } else {
            Explanation::of(self.turned(part.decision()))
        };
        whole.by("not").with_role(Role::Negated, part)
    }
}

/// Denies the peers of a list and leaves the others to another policy; made by [`deny_first`].
pub struct DenyFirst<I> {
    denied: Box<dyn Policy<I>>,
    then: Box<dyn Policy<I>>,
}

/// Denies whoever `denied` matches, and asks `then` about everybody else.
///
/// `denied` is a policy like any other, but *allowing* means here that the peer is on the list: it
/// is denied, and the reason names that rule. Several lists make one with [`any_of`](super::any_of). A list that
/// panics denies; one that says no because it could not find out leaves the peer to `then`.
///
/// ```
/// use countersign::identity::SpiffeId;
/// use countersign::{Policy as _, policy, testing};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let callers = policy::deny_first(
///     policy::spiffe_patterns(["spiffe://example.org/ns/test/*"])?,
///     policy::trust_domain("example.org".parse()?),
/// );
///
/// let allows = |id: &str| -> Result<bool, Box<dyn std::error::Error>> {
///     Ok(callers.authorize(&testing::peer(id.parse::<SpiffeId>()?)).is_allowed())
/// };
/// assert!(allows("spiffe://example.org/ns/billing")?);
/// assert!(!allows("spiffe://example.org/ns/test/sa/load")?);
/// # Ok(())
/// # }
/// ```
///
/// # Security
/// Deny by identity or by [`public_keys`](super::public_keys), not by
/// [`certificates`](super::certificates), whose fingerprints can be evaded.
pub fn deny_first<I>(
    denied: impl Policy<I> + 'static,
    then: impl Policy<I> + 'static,
) -> DenyFirst<I> {
    DenyFirst {
        denied: Box::new(denied),
        then: Box::new(then),
    }
}

impl<I> Policy<I> for DenyFirst<I> {
    fn authorize(&self, peer: &Peer<I>) -> Decision {
        match self.denied.authorize(peer).rule() {
            Some(rule) => on_the_list(rule),
            None => self.then.authorize(peer),
        }
    }

    fn explain(&self, peer: &Peer<I>) -> Explanation {
        let denied = explain(&*self.denied, peer);
        let then = explain(&*self.then, peer);
        let whole = match denied.decision().rule() {
            Some(rule) => Explanation::of(on_the_list(rule)),
            None if denied.is_panic() => Explanation::same_as(&denied),
            None => Explanation::same_as(&then),
        };
        whole
            .by("deny_first")
            .with_role(Role::DenyList, denied)
            .with_role(Role::Then, then)
    }
}

fn on_the_list(rule: &str) -> Decision {
    Decision::deny(format!("on the deny list: {rule}"))
}

impl<I> fmt::Debug for Not<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Not").finish_non_exhaustive()
    }
}

impl<I> fmt::Debug for DenyFirst<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DenyFirst").finish_non_exhaustive()
    }
}
