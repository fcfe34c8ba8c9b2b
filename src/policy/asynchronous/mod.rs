//! Policies that have to ask somebody, within a time limit.

mod cached;

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

pub use cached::{Cached, cached};

use super::{Decision, Verdict};
use crate::Peer;

/// Decides whether a peer may connect, by asking somebody: a database, a policy service.
///
/// The builder wants a timeout with it; when that is over, the peer is denied. The handshake's own
/// timeout bounds it too. [`cached`] spares asking again for a while.
///
/// Functions and closures that take the peer by value are async policies:
///
/// ```
/// use countersign::identity::SpiffeId;
/// use countersign::policy::AsyncPolicy;
/// use countersign::{Decision, Peer};
///
/// async fn ask(peer: Peer<SpiffeId>) -> Decision {
///     // … a lookup …
///     Decision::deny("not in the directory")
/// }
///
/// fn assert_policy(_: impl AsyncPolicy<SpiffeId>) {}
/// assert_policy(ask);
/// ```
///
/// So is an `Arc` of one.
pub trait AsyncPolicy<I>: Send + Sync {
    /// Judges one peer. The future is dropped when its time is over.
    fn authorize(&self, peer: &Peer<I>) -> impl Future<Output = Decision> + Send;
}

impl<I, F, R> AsyncPolicy<I> for F
where
    F: Fn(Peer<I>) -> R + Send + Sync,
    R: Future<Output = Decision> + Send,
    I: Send + Sync,
{
    fn authorize(&self, peer: &Peer<I>) -> impl Future<Output = Decision> + Send {
        self(peer.clone())
    }
}

impl<I, P> AsyncPolicy<I> for Arc<P>
where
    P: AsyncPolicy<I>,
    I: Send + Sync,
{
    fn authorize(&self, peer: &Peer<I>) -> impl Future<Output = Decision> + Send {
        (**self).authorize(peer)
    }
}

type BoxedDecision<'a> = Pin<Box<dyn Future<Output = Decision> + Send + 'a>>;

/// [`AsyncPolicy`] behind a pointer.
pub(crate) trait DynAsyncPolicy<I>: Send + Sync {
    fn authorize_boxed<'a>(&'a self, peer: &'a Peer<I>) -> BoxedDecision<'a>;
}

impl<I, P: AsyncPolicy<I>> DynAsyncPolicy<I> for P {
    fn authorize_boxed<'a>(&'a self, peer: &'a Peer<I>) -> BoxedDecision<'a> {
        Box::pin(self.authorize(peer))
    }
}

/// Runs the policy; a panic, when called or when polled, and a late answer are denials.
pub(crate) async fn decide_in_time<I>(
    policy: &dyn DynAsyncPolicy<I>,
    peer: &Peer<I>,
    timeout: Duration,
) -> Verdict {
    let Ok(future) = catch_unwind(AssertUnwindSafe(|| policy.authorize_boxed(peer))) else {
        return Verdict::Panicked;
    };
    match tokio::time::timeout(timeout, CatchPanic(future)).await {
        Ok(Some(decision)) => Verdict::Decided(decision),
        Ok(None) => Verdict::Panicked,
        Err(_) => Verdict::TimedOut(timeout),
    }
}

/// Gives `None` when the future panics.
struct CatchPanic<'a>(BoxedDecision<'a>);

impl Future for CatchPanic<'_> {
    type Output = Option<Decision>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        catch_unwind(AssertUnwindSafe(|| self.0.as_mut().poll(cx)))
            .map_or(Poll::Ready(None), |poll| poll.map(Some))
    }
}
