//! A timeout for the streams of an HTTP/2 connection whose client grants no window.
//!
//! hyper runs the response of each request as a future of its own. While the client grants no window for its
//! stream, that future asks for capacity and does not poll the body, so that no timer of the body can end it. This
//! executor can: it drops the future, which resets the stream.

use std::cell::Cell;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::Executor;
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};

thread_local! {
    /// What the code inside the future that is being polled has reported.
    static POLLED: Cell<Polled> = const { Cell::new(Polled { awaits_service: None, limit: None }) };
}

#[derive(Clone, Copy, Default)]
struct Polled {
    /// Whether the service, or the body of its response, is pending. `None`: neither was polled.
    awaits_service: Option<bool>,
    /// How long the client may pause.
    limit: Option<Duration>,
}

/// Reports that the service or the body of its response was polled, and whether it is pending.
pub(super) fn was_polled(is_pending: bool) {
    let polled = POLLED.get();
    POLLED.set(Polled {
        awaits_service: Some(is_pending),
        ..polled
    });
}

/// Reports how long the client may pause once the response has begun.
pub(super) fn limited_to(limit: Option<Duration>) {
    let polled = POLLED.get();
    POLLED.set(Polled { limit, ..polled });
}

/// The executor of a [`Server`](super::Server)'s streams: tasks of tokio.
///
/// A stream whose client grants it no window for the time of
/// [`progress_timeout`](super::Server::progress_timeout) is reset.
///
/// ```
/// use countersign::integration::hyper::{Server, StreamExecutor};
/// use hyper::server::conn::http2;
///
/// fn small(http2: &mut http2::Builder<StreamExecutor>) {
///     http2.max_concurrent_streams(10);
/// }
/// let server = Server::new().http2(small);
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct StreamExecutor;

impl<F> Executor<F> for StreamExecutor
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, future: F) {
        tokio::spawn(Stream {
            future,
            limit: None,
            waiting: None,
            is_waiting: false,
        });
    }
}

pin_project! {
    struct Stream<F> {
        #[pin]
        future: F,
        limit: Option<Duration>,
        // The timer of the client's current pause.
        waiting: Option<Pin<Box<Sleep>>>,
        is_waiting: bool,
    }
}

impl<F: Future> Future for Stream<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        POLLED.set(Polled {
            awaits_service: None,
            limit: *this.limit,
        });
        if this.future.poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let polled = POLLED.get();
        *this.limit = polled.limit;
        if let Some(awaits_service) = polled.awaits_service {
            *this.is_waiting = false;
            if awaits_service {
                return Poll::Pending;
            }
        }
        // It was polled for capacity only, or gave data and got no more.
        if !*this.is_waiting {
            let deadline = this.limit.and_then(|time| Instant::now().checked_add(time));
            // Without a limit, or with one that the clock cannot represent.
            let Some(deadline) = deadline else {
                return Poll::Pending;
            };
            *this.is_waiting = true;
            match this.waiting {
                Some(waiting) => waiting.as_mut().reset(deadline),
                None => *this.waiting = Some(Box::pin(sleep_until(deadline))),
            }
        }
        match this.waiting {
            // Dropping it resets the stream.
            Some(waiting) => waiting.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }
}
