//! Policies that invert another one.
//!
//! A panic is passed on, so that it denies here too.

use std::borrow::Cow;
use std::fmt;

use super::explanation::Role;
use super::{Decision, Explanation, Policy, explain};
use crate::Peer;

/// Allows a peer that another policy denies. Made by [`not`].
///
/// ```
/// use countersign::identity::DnsName;
/// use countersign::policy::Not;
/// use countersign::{Policy as _, policy, testing};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let public: DnsName = "www.example.org".parse()?;
/// let internal: Not<DnsName> = policy::not(policy::exact([public.clone()])).named("internal");
/// assert!(!internal.authorize(&testing::peer(public)).is_allowed());
/// # Ok(())
/// # }
/// ```
pub struct Not<I> {
    policy: Box<dyn Policy<I>>,
    rule: Cow<'static, str>,
}

/// Allows a peer that `policy` denies, and denies a peer that it allows.
///
/// To deny some peers of a larger group, [`deny_first`] is easier to read.
///
/// # Security
/// A panic stays a denial. A policy that denies *because a lookup failed* allows the peer here. Invert
/// only policies that always have an answer, such as the ready-made rules.
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
    /// Sets the rule's name, which every allowing decision contains. Default: `"not"`.
    #[must_use]
    pub fn named(mut self, rule: impl Into<Cow<'static, str>>) -> Self {
        self.rule = rule.into();
        self
    }

    fn inverted(&self, decision: &Decision) -> Decision {
        match decision.rule() {
            Some(rule) => Decision::deny(format!("matches \"{rule}\", which it must not")),
            None => Decision::allow(self.rule.clone()),
        }
    }
}

impl<I> Policy<I> for Not<I> {
    fn authorize(&self, peer: &Peer<I>) -> Decision {
        self.inverted(&self.policy.authorize(peer))
    }

    fn explain(&self, peer: &Peer<I>) -> Explanation {
        let part = explain(&*self.policy, peer);
        let whole = if part.is_panic() {
            Explanation::same_as(&part)
        } else {
            Explanation::of(self.inverted(part.decision()))
        };
        whole.by("not").with_role(Role::Negated, part)
    }
}

/// Denies the peers of a list and asks another policy about the rest. Made by [`deny_first`].
///
/// ```
/// use countersign::identity::SpiffeId;
/// use countersign::policy::{self, DenyFirst};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let retired: SpiffeId = "spiffe://example.org/ns/billing/old".parse()?;
/// let policy: DenyFirst<SpiffeId> = policy::deny_first(
///     policy::exact([retired]).named("retired"),
///     policy::trust_domain("example.org".parse()?),
/// );
/// # Ok(())
/// # }
/// ```
pub struct DenyFirst<I> {
    denied: Box<dyn Policy<I>>,
    then: Box<dyn Policy<I>>,
}

/// Denies every peer that `denied` matches, and asks `then` about the rest.
///
/// `denied` is a policy. When it *allows* a peer, the peer is on the list: it is denied, and the reason
/// contains the rule. [`any_of`](super::any_of) joins several lists. A list that panics denies. A list
/// that denies because a lookup failed leaves the decision to `then`.
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
/// Deny by identity or by [`public_keys`](super::public_keys). Do not deny by
/// [`certificates`](super::certificates): a peer can change its certificate's fingerprint.
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
