//! Policies, which decide whether an identified peer may connect.
//!
//! A policy is application code. It gets a [`Peer`] with a verified chain, a proven key and a typed
//! identity, and returns a [`Decision`]. It runs for every connection after the handshake, also for
//! resumed sessions, and again when the rules change. A panic denies.
//!
//! Ready-made policies:
//!
//! | rule | allows |
//! |---|---|
//! | [`exact`] | the identities of a set |
//! | [`spiffe_patterns`] | SPIFFE IDs, each exactly or all below a path or in a trust domain |
//! | [`trust_domain`], [`trust_domains`] | every workload of a SPIFFE trust domain |
//! | [`dns_patterns`] | DNS names, each exactly or with any left-most label |
//! | [`certificates`], [`public_keys`] | certificates or keys by their fingerprints, with any identity |
//! | [`allow_any`] | every peer with a trusted certificate and an identity |
//!
//! Each looks the peer up by hashing, so a million entries take no longer than ten. [`any_of`],
//! [`all_of`], [`not`] and [`deny_first`] combine policies. [`shadow`] compares a candidate with the
//! policy in force. `cached` remembers the answers of a slow async policy. [`explain`] shows why a peer
//! is allowed or denied:
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
mod authorizer;
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
use asynchronous::{DynAsyncPolicy, decide_in_time};
pub(crate) use authorizer::Authorizer;
#[cfg(feature = "tokio")]
pub(crate) use deny_list::OnChange;
pub(crate) use deny_list::{Denies, Replaced, Replacement};

use std::sync::Arc;

use crate::Peer;
use crate::pki::contained::caught;

/// Decides whether a peer may connect.
///
/// It runs on the connection's task, so it must not block; [`AsyncPolicy`] is for policies that wait. A
/// panic counts as a denial (except in a program that is built with `panic = "abort"`, which it aborts).
///
/// Implement it for a type of yours, or give a closure. An `Arc` of a policy is a policy, so that
/// acceptors can share a large one, and so is a `Box<dyn Policy<_>>`.
///
/// ```
/// use countersign::identity::DnsName;
/// use countersign::{Decision, Peer, Policy};
///
/// struct WorkersOnly;
///
/// impl Policy<DnsName> for WorkersOnly {
///     fn authorize(&self, peer: &Peer<DnsName>) -> Decision {
///         match peer.identity().labels().next() {
///             Some("worker") => Decision::allow("workers"),
///             _ => Decision::deny("only workers may connect"),
///         }
///     }
/// }
///
/// fn assert_policy(_: impl Policy<DnsName>) {}
///
/// assert_policy(WorkersOnly);
/// assert_policy(|peer: &Peer<DnsName>| WorkersOnly.authorize(peer));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a policy for peers with the identity `{I}`",
    label = "not a `Policy<{I}>`",
    note = "implement `Policy<{I}>`, or give a closure `|peer: &Peer<{I}>| -> Decision`",
    note = "a policy that waits is an `AsyncPolicy<{I}>` and goes to `authorize_async()`"
)]
#[doc(alias = "acl")]
#[doc(alias = "authorizer")]
pub trait Policy<I>: Send + Sync {
    /// Decides about one peer.
    fn authorize(&self, peer: &Peer<I>) -> Decision;

    /// Explains the decision about one peer, for tests and for operators. Call it through the function
    /// [`explain`].
    ///
    /// By default the explanation is the decision. A policy that is made of others adds theirs. An
    /// implementation must give the same decision as [`authorize`](Self::authorize).
    fn explain(&self, peer: &Peer<I>) -> Explanation {
        Explanation::of(self.authorize(peer))
    }
}

// It must stay dyn-compatible.
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

/// The outcome of running a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Decided(Decision),
    Panicked,
    TimedOut(std::time::Duration),
}

/// Runs application code. A panic in it is a denial.
pub(crate) fn decide<I>(policy: &dyn Policy<I>, peer: &Peer<I>) -> Verdict {
    caught(|| policy.authorize(peer)).map_or(Verdict::Panicked, Verdict::Decided)
}
