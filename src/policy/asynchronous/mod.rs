//! Policies that wait for an answer, such as a lookup, within a time limit.

mod cached;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

pub use cached::{Cached, cached};

use super::{Decision, Verdict};
use crate::Peer;
use crate::pki::contained::caught;

/// Decides whether a peer may connect, with the help of a database or a policy service.
///
/// The builder takes it with a timeout. When the timeout is over, the peer is denied; the handshake
/// timeout limits it too. A panic counts as a denial. [`cached`] remembers the answers for a while.
///
/// It takes the peer by value, because the future may outlive the call; cloning a [`Peer`] is cheap.
/// Async functions and closures with the same argument are async policies, and so is an `Arc` of one:
///
/// ```
/// use countersign::identity::SpiffeId;
/// use countersign::policy::AsyncPolicy;
/// use countersign::{Decision, Peer};
///
/// struct Directory;
///
/// impl AsyncPolicy<SpiffeId> for Directory {
///     async fn authorize(&self, peer: Peer<SpiffeId>) -> Decision {
///         // … a lookup …
///         Decision::deny(format!("{} is not in the directory", peer.identity()))
///     }
/// }
///
/// async fn look_up(peer: Peer<SpiffeId>) -> Decision {
///     Directory.authorize(peer).await
/// }
///
/// fn assert_policy(_: impl AsyncPolicy<SpiffeId>) {}
/// assert_policy(Directory);
/// assert_policy(look_up);
/// assert_policy(async |peer: Peer<SpiffeId>| look_up(peer).await);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an async policy for peers with the identity `{I}`",
    label = "not an `AsyncPolicy<{I}>`",
    note = "implement `AsyncPolicy<{I}>`, or give a function or closure `async |peer: Peer<{I}>| -> Decision`, of which the future is `Send`",
    note = "a policy that does not wait is a `Policy<{I}>` and goes to `authorize()`"
)]
pub trait AsyncPolicy<I>: Send + Sync {
    /// Decides about one peer.
    ///
    /// # Cancel safety
    /// The future is dropped when its time is over or when the handshake is given up.
    fn authorize(&self, peer: Peer<I>) -> impl Future<Output = Decision> + Send;
}

impl<I, F, R> AsyncPolicy<I> for F
where
    F: Fn(Peer<I>) -> R + Send + Sync,
    R: Future<Output = Decision> + Send,
    I: Send + Sync,
{
    fn authorize(&self, peer: Peer<I>) -> impl Future<Output = Decision> + Send {
        self(peer)
    }
}

impl<I, P> AsyncPolicy<I> for Arc<P>
where
    P: AsyncPolicy<I>,
    I: Send + Sync,
{
    fn authorize(&self, peer: Peer<I>) -> impl Future<Output = Decision> + Send {
        (**self).authorize(peer)
    }
}

type BoxedDecision<'a> = Pin<Box<dyn Future<Output = Decision> + Send + 'a>>;

/// [`AsyncPolicy`] behind a pointer.
pub(crate) trait DynAsyncPolicy<I>: Send + Sync {
    fn authorize_boxed<'a>(&'a self, peer: Peer<I>) -> BoxedDecision<'a>
    where
        I: 'a;
}

impl<I, P: AsyncPolicy<I>> DynAsyncPolicy<I> for P {
    fn authorize_boxed<'a>(&'a self, peer: Peer<I>) -> BoxedDecision<'a>
    where
        I: 'a,
    {
        Box::pin(self.authorize(peer))
    }
}

/// Runs the policy. A panic, in the call or in the future, and a late answer are denials.
pub(crate) async fn decide_in_time<I>(
    policy: &dyn DynAsyncPolicy<I>,
    peer: &Peer<I>,
    timeout: Duration,
) -> Verdict {
    let Some(future) = caught(|| policy.authorize_boxed(peer.clone())) else {
        return Verdict::Panicked;
    };
    match tokio::time::timeout(timeout, CatchPanic(future)).await {
        Ok(Some(decision)) => Verdict::Decided(decision),
        Ok(None) => Verdict::Panicked,
        Err(_) => Verdict::TimedOut(timeout),
    }
}

/// `None` when the future panics.
struct CatchPanic<'a>(BoxedDecision<'a>);

impl Future for CatchPanic<'_> {
    type Output = Option<Decision>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        caught(|| self.0.as_mut().poll(cx)).map_or(Poll::Ready(None), |poll| poll.map(Some))
    }
}
