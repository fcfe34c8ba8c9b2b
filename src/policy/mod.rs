//! Whether an identified peer may connect.
//!
//! A policy is application code: it sees a [`Peer`], whose chain is verified, whose key is proven
//! and whose identity is typed, and it gives a [`Decision`]. It runs once for every connection,
//! after the handshake, on resumed sessions too. A policy that panics denies.
//!
//! Often it can be put together from what is here:
//!
//! | rule | allows |
//! |---|---|
//! | [`exact`] | the identities of a set |
//! | [`spiffe_patterns`] | SPIFFE IDs, each exactly or all below a path or in a trust domain |
//! | [`trust_domain`], [`trust_domains`] | every workload of a SPIFFE trust domain |
//! | [`dns_patterns`] | DNS names, each exactly or with any left-most label |
//! | [`certificates`], [`public_keys`] | certificates by their fingerprints, whatever the identity |
//! | [`allow_any`] | everybody whom the trust store vouches for |
//!
//! Each finds its answer by hashing, so a million entries take no longer than ten.
//! [`any_of`], [`all_of`], [`not`] and [`deny_first`] combine policies; [`shadow`] tries one out
//! beside the one in force; `cached` remembers the answers of a slow async one; and [`explain`]
//! tells why a peer is allowed or denied:
//!
//! ```
//! use countersign::identity::SpiffeId;
//! use countersign::{policy, testing};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let leaked: SpiffeId = "spiffe://example.org/ns/billing/sa/old".parse()?;
//! let callers = policy::deny_first(
//!     policy::exact([leaked]).named("leaked keys"),
//!     policy::spiffe_patterns(["spiffe://example.org/ns/billing/*"])?,
//! );
//!
//! let web: SpiffeId = "spiffe://example.org/ns/shop/sa/web".parse()?;
//! assert_eq!(
//!     policy::explain(&callers, &testing::peer(web)).to_string(),
//!     "\
//! denied by deny_first: spiffe://example.org/ns/shop/sa/web does not match the only SPIFFE pattern
//! ├─ deny list: no match by exact: the identity is not the one that rule \"leaked keys\" allows
//! └─ otherwise: denied by patterns: spiffe://example.org/ns/shop/sa/web does not match the only SPIFFE pattern"
//! );
//! # Ok(())
//! # }
//! ```

#[cfg(feature = "tokio")]
mod asynchronous;
mod combine;
mod decision;
mod deny_list;
mod explanation;
mod list;
mod negate;
mod pattern;
mod rules;
mod shadow;

#[cfg(feature = "tokio")]
pub use asynchronous::{AsyncPolicy, Cached, cached};
pub use combine::{AllOf, AnyOf, all_of, any_of};
pub use decision::Decision;
pub use deny_list::{DeniedBy, DenyEntry, DenyEntryError, DenyList, IssuerText, SerialText};
pub use explanation::{Explanation, explain};
pub use list::Policies;
pub use negate::{DenyFirst, Not, deny_first, not};
pub use pattern::{
    DnsPattern, DnsPatternError, EntryError, Pattern, PatternSet, SpiffePattern,
    SpiffePatternError, dns_patterns, spiffe_patterns,
};
pub use rules::{
    AllowAny, Exact, FingerprintSet, TrustDomains, allow_any, certificates, exact, public_keys,
    trust_domain, trust_domains,
};
pub use shadow::{Difference, Shadow, shadow};

#[cfg(feature = "tokio")]
pub(crate) use asynchronous::{DynAsyncPolicy, decide_in_time};
#[cfg(feature = "tokio")]
pub(crate) use deny_list::OnChange;
pub(crate) use deny_list::{Denies, Replaced, Replacement};

use std::sync::Arc;

use crate::Peer;
use crate::pki::contained::{Contained, caught};

/// Decides whether a peer may connect.
///
/// Closures are policies:
///
/// ```
/// use countersign::identity::DnsName;
/// use countersign::{Decision, Peer, Policy};
///
/// fn assert_policy(_: impl Policy<DnsName>) {}
///
/// assert_policy(|peer: &Peer<DnsName>| {
///     if peer.identity().as_str() == "worker.example" {
///         Decision::allow("the worker")
///     } else {
///         Decision::deny("only the worker may connect")
///     }
/// });
/// ```
///
/// So are an `Arc` of one, to share a large one between acceptors, and a `Box<dyn Policy<_>>`.
///
/// It runs on the connection's task, so it must not block; see
/// [`AsyncPolicy`] for one that has to ask somebody. A panic counts as a denial (unless the
/// program is built with `panic = "abort"`, which ends it).
pub trait Policy<I>: Send + Sync {
    /// Judges one peer.
    fn authorize(&self, peer: &Peer<I>) -> Decision;

    /// Tells how it judges this peer, for tests and for people; see the function [`explain`].
    ///
    /// Left alone, it tells the decision. A policy made of others tells theirs, too; whoever
    /// overrides it gives the same decision as [`authorize`](Self::authorize).
    fn explain(&self, peer: &Peer<I>) -> Explanation {
        Explanation::of(self.authorize(peer))
    }
}

// It must stay usable behind a pointer.
const _: Option<&dyn Policy<()>> = None;

impl<I, F> Policy<I> for F
where
    F: Fn(&Peer<I>) -> Decision + Send + Sync,
{
    fn authorize(&self, peer: &Peer<I>) -> Decision {
        self(peer)
    }
}

impl<I, P: Policy<I> + ?Sized> Policy<I> for Arc<P> {
    fn authorize(&self, peer: &Peer<I>) -> Decision {
        (**self).authorize(peer)
    }

    fn explain(&self, peer: &Peer<I>) -> Explanation {
        (**self).explain(peer)
    }
}

impl<I> Policy<I> for Box<dyn Policy<I>> {
    fn authorize(&self, peer: &Peer<I>) -> Decision {
        (**self).authorize(peer)
    }

    fn explain(&self, peer: &Peer<I>) -> Explanation {
        (**self).explain(peer)
    }
}

/// How judging a peer ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Decided(Decision),
    Panicked,
    #[cfg(feature = "tokio")]
    TimedOut(std::time::Duration),
}

/// Runs application code; a panic in it must not become anything but a denial.
pub(crate) fn decide<I>(policy: &dyn Policy<I>, peer: &Peer<I>) -> Verdict {
    caught(|| policy.authorize(peer)).map_or(Verdict::Panicked, Verdict::Decided)
}

/// As [`decide`], by a policy that is in force.
pub(crate) fn decide_contained<I>(
    policy: &Contained<Box<dyn Policy<I>>>,
    peer: &Peer<I>,
) -> Verdict {
    let policy = policy.get();
    policy.map_or(Verdict::Panicked, |policy| decide(&**policy, peer))
}
