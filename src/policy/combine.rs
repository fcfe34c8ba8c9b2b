//! Policies that are made of several.
//!
//! A panic in any of them is passed on, so that it denies.

use std::borrow::Cow;
use std::fmt;

use super::{Decision, Explanation, Policies, Policy, explain};
use crate::Peer;

/// Allows a peer that at least one policy allows. Made by [`any_of`].
///
/// ```
/// use countersign::identity::DnsName;
/// use countersign::policy::{self, AnyOf};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let callers: AnyOf<DnsName> = policy::any_of([
///     policy::dns_patterns(["*.workers.example.org"])?,
///     policy::dns_patterns(["gateway.example.org"])?,
/// ]);
/// # Ok(())
/// # }
/// ```
pub struct AnyOf<I>(Vec<Box<dyn Policy<I>>>);

/// Allows a peer that at least one of these policies allows.
///
/// They run in order. The first that allows gives the decision. If all deny, the reason lists the first
/// four reasons. An empty list denies every peer.
///
/// ```
/// use countersign::identity::SpiffeId;
/// use countersign::{Decision, Peer, policy};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let callers = policy::any_of((
///     policy::trust_domain("partner.example".parse()?),
///     policy::spiffe_patterns(["spiffe://example.org/ns/billing/*"])?,
///     |peer: &Peer<SpiffeId>| match peer.connection().remote_addr() {
///         Some(address) if address.ip().is_loopback() => Decision::allow("local"),
///         _ => Decision::deny("not from this host"),
///     },
/// ));
/// # let _: policy::AnyOf<SpiffeId> = callers;
/// # Ok(())
/// # }
/// ```
pub fn any_of<I>(policies: impl Policies<I>) -> AnyOf<I> {
    AnyOf(policies.boxed())
}

impl<I> Policy<I> for AnyOf<I> {
    fn authorize(&self, peer: &Peer<I>) -> Decision {
        let mut denials = Vec::new();
        for policy in &self.0 {
            let decision = policy.authorize(peer);
            if decision.is_allowed() {
                return decision;
            }
            denials.push(decision);
        }
        denied_by_all(denials.iter())
    }

    fn explain(&self, peer: &Peer<I>) -> Explanation {
        let parts = explain_each(&self.0, peer);
        let decisive = |part: &&Explanation| part.is_allowed() || part.is_panic();
        let whole = match parts.iter().find(decisive) {
            Some(part) => Explanation::same_as(part),
            None => {
                let whole = Explanation::of(denied_by_all(parts.iter().map(Explanation::decision)));
                match parts.len() {
                    0 => whole,
                    1 => whole.shown_as("its only rule denies"),
                    count => whole.shown_as(format!("none of its {count} rules allows")),
                }
            }
        };
        whole.by("any_of").with_rules(parts)
    }
}

/// The first reasons, each shortened.
fn denied_by_all<'a>(denials: impl ExactSizeIterator<Item = &'a Decision>) -> Decision {
    const SHOWN: usize = 4;
    const LENGTH: usize = 120;

    let count = denials.len();
    if count == 0 {
        return Decision::deny("any_of has no rule, so it denies every peer");
    }
    let mut text = format!("none of {count} rules allows: ");
    for (number, denial) in denials.take(SHOWN).enumerate() {
        if number > 0 {
            text.push_str("; ");
        }
        let reason = denial.reason().unwrap_or_default();
        match reason.char_indices().nth(LENGTH) {
            None => text.push_str(reason),
            Some((cut, _)) => text.extend([&reason[..cut], "…"]),
        }
    }
    if count > SHOWN {
        text.push_str(&format!("; and {} more", count - SHOWN));
    }
    Decision::deny(text)
}

/// Allows a peer that every policy allows. Made by [`all_of`].
///
/// ```
/// use countersign::identity::SpiffeId;
/// use countersign::policy::{self, AllOf};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let retired: SpiffeId = "spiffe://example.org/ns/billing/old".parse()?;
/// let callers: AllOf<SpiffeId> = policy::all_of((
///     policy::trust_domain("example.org".parse()?),
///     policy::not(policy::exact([retired])),
/// ));
/// # Ok(())
/// # }
/// ```
pub struct AllOf<I>(Vec<Box<dyn Policy<I>>>);

/// Allows a peer that every one of these policies allows.
///
/// They run in order. The first that denies gives the decision. If all allow, the decision contains
/// their rules, joined by `and`. **An empty list denies every peer**: it is more likely a mistake than
/// the intention to allow every peer.
///
/// ```
/// use countersign::identity::SpiffeId;
/// use countersign::{Decision, Peer, policy, testing};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let callers = policy::all_of((
///     policy::trust_domain("example.org".parse()?),
///     |peer: &Peer<SpiffeId>| match peer.connection().alpn() {
///         Some(b"h2") => Decision::allow("HTTP/2"),
///         _ => Decision::deny("only HTTP/2 is supported"),
///     },
/// ));
///
/// let peer = testing::peer("spiffe://example.org/a".parse::<SpiffeId>()?);
/// let decision = policy::explain(&callers, &peer).decision().clone();
/// assert_eq!(decision.reason(), Some("only HTTP/2 is supported"));
/// # Ok(())
/// # }
/// ```
pub fn all_of<I>(policies: impl Policies<I>) -> AllOf<I> {
    AllOf(policies.boxed())
}

impl<I> Policy<I> for AllOf<I> {
    fn authorize(&self, peer: &Peer<I>) -> Decision {
        let mut rules = Vec::with_capacity(self.0.len());
        for policy in &self.0 {
            match policy.authorize(peer).into_result() {
                Ok(rule) => rules.push(rule),
                Err(reason) => return Decision::deny(reason),
            }
        }
        allowed_by_all(rules)
    }

    fn explain(&self, peer: &Peer<I>) -> Explanation {
        let parts = explain_each(&self.0, peer);
        let whole = match parts.iter().find(|part| !part.is_allowed()) {
            Some(part) => Explanation::same_as(part),
            None => {
                let rules = parts
                    .iter()
                    .filter_map(|part| part.decision().clone().into_result().ok());
                Explanation::of(allowed_by_all(rules.collect()))
            }
        };
        whole.by("all_of").with_rules(parts)
    }
}

fn allowed_by_all(rules: Vec<Cow<'static, str>>) -> Decision {
    match <[_; 1]>::try_from(rules) {
        Ok([rule]) => Decision::allow(rule),
        Err(rules) if rules.is_empty() => {
            Decision::deny("all_of has no rule, so it denies every peer")
        }
        Err(rules) => Decision::allow(rules.join(" and ")),
    }
}

fn explain_each<I>(policies: &[Box<dyn Policy<I>>], peer: &Peer<I>) -> Vec<Explanation> {
    policies
        .iter()
        .map(|policy| explain(&**policy, peer))
        .collect()
}

impl<I> fmt::Debug for AnyOf<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnyOf")
            .field("policies", &self.0.len())
            .finish()
    }
}

impl<I> fmt::Debug for AllOf<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AllOf")
            .field("policies", &self.0.len())
            .finish()
    }
}
