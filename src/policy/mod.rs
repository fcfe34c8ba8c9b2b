//! Whether an identified peer may connect.
//!
//! A policy is application code: it sees a [`Peer`], whose chain is verified, whose key is proven
//! and whose identity is typed, and it gives a [`Decision`]. It runs once for every connection,
//! after the handshake, on resumed sessions too. A policy that panics denies.

#[cfg(feature = "tokio")]
mod asynchronous;
mod decision;
mod rules;

#[cfg(feature = "tokio")]
pub use asynchronous::AsyncPolicy;
pub use decision::Decision;
pub use rules::{AllowAny, Exact, allow_any, exact};

#[cfg(feature = "tokio")]
pub(crate) use asynchronous::{DynAsyncPolicy, decide_in_time};

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::Peer;

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
/// It runs on the connection's task, so it must not block; see
/// [`AsyncPolicy`] for one that has to ask somebody. A panic counts as a denial (unless the
/// program is built with `panic = "abort"`, which ends it).
pub trait Policy<I>: Send + Sync {
    /// Judges one peer.
    fn authorize(&self, peer: &Peer<I>) -> Decision;
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
    catch_unwind(AssertUnwindSafe(|| policy.authorize(peer)))
        .map_or(Verdict::Panicked, Verdict::Decided)
}
