//! The policy in force, in either form.

#[cfg(feature = "tokio")]
use std::time::Duration;

#[cfg(feature = "tokio")]
use super::{AsyncPolicy, DynAsyncPolicy, decide_in_time};
use super::{Policy, Verdict, decide};
use crate::Peer;
use crate::pki::contained::Contained;

/// A policy, synchronous or asynchronous.
pub(crate) enum Authorizer<I> {
    Sync(Contained<Box<dyn Policy<I>>>),
    #[cfg(feature = "tokio")]
    Async {
        policy: Contained<Box<dyn DynAsyncPolicy<I>>>,
        timeout: Duration,
    },
}

impl<I> Authorizer<I> {
    pub(crate) fn sync(policy: impl Policy<I> + 'static) -> Self {
        Self::Sync(Contained::new(Box::new(policy)))
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn asynchronous(policy: impl AsyncPolicy<I> + 'static, timeout: Duration) -> Self {
        Self::Async {
            policy: Contained::new(Box::new(policy)),
            timeout,
        }
    }

    pub(crate) const fn is_async(&self) -> bool {
        match self {
            Self::Sync(_) => false,
            #[cfg(feature = "tokio")]
            Self::Async { .. } => true,
        }
    }

    /// The verdict of a synchronous policy; `None` for an asynchronous one.
    pub(crate) fn decide(&self, peer: &Peer<I>) -> Option<Verdict> {
        match self {
            Self::Sync(policy) => {
                let policy = policy.get();
                Some(policy.map_or(Verdict::Panicked, |policy| decide(&**policy, peer)))
            }
            #[cfg(feature = "tokio")]
            Self::Async { .. } => None,
        }
    }

    /// The verdict of either kind of policy.
    pub(crate) async fn decide_async(&self, peer: &Peer<I>) -> Verdict {
        match self {
            Self::Sync(_) => self.decide(peer).unwrap_or(Verdict::Panicked),
            #[cfg(feature = "tokio")]
            Self::Async { policy, timeout } => match policy.get() {
                Some(policy) => decide_in_time(&**policy, peer, *timeout).await,
                None => Verdict::Panicked,
            },
        }
    }
}
