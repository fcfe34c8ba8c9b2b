//! A stream that reconnects.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher as _, Hasher as _};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream;
use tokio::time::{Sleep, sleep};

use crate::pki::time::at_most_far;

/// How long [`retry`] waits between attempts: twice as long after each failure in a row.
///
/// Each wait is shortened by up to a half, at random, so that many clients do not return at once.
///
/// Default: from 100 ms to 30 s.
///
/// ```
/// use std::time::Duration;
///
/// use countersign::reload::Backoff;
///
/// let quick = Backoff::new(Duration::from_millis(50), Duration::from_secs(5));
/// assert_ne!(quick, Backoff::default());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
}

impl Backoff {
    /// The first wait, and the longest one. Limits: 1 ms and 30 years.
    pub fn new(first: Duration, longest: Duration) -> Self {
        let longest = at_most_far(longest).max(Duration::from_millis(1));
        Self {
            first: first.clamp(Duration::from_millis(1), longest),
            longest,
        }
    }

    /// The wait after this many failures in a row.
    fn wait(self, failures: u32) -> Duration {
        let doubled = 2_u32.saturating_pow(failures.saturating_sub(1));
        jittered(self.first.saturating_mul(doubled).min(self.longest))
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new(Duration::from_millis(100), Duration::from_secs(30))
    }
}

/// The duration, shortened by up to a half at random.
fn jittered(duration: Duration) -> Duration {
    // A hasher with random keys is the only source of randomness in std.
    let random = RandomState::new().build_hasher().finish();
    let share = (random >> 32) as f64 / f64::from(u32::MAX);
    duration.mul_f64(1.0 - share / 2.0)
}

/// A stream for [`Source::stream`](super::super::Source::stream) that connects again after an error or at
/// the end.
///
/// `connect` opens the stream of one connection. Each error is an item of the result, so that the reload
/// reports it; the last value stays in force. The result never ends.
///
/// ```
/// use std::convert::Infallible;
/// use std::pin::Pin;
///
/// use countersign::TrustStore;
/// use countersign::reload::{Backoff, Source, retry};
/// use countersign::trust::TrustError;
/// # struct Updates;
/// # impl futures_core::Stream for Updates {
/// #     type Item = Result<TrustStore, TrustError>;
/// #     fn poll_next(self: Pin<&mut Self>, _: &mut std::task::Context<'_>) -> std::task::Poll<Option<Self::Item>> {
/// #         std::task::Poll::Pending
/// #     }
/// # }
/// # async fn connect() -> Result<Updates, TrustError> {
/// #     Ok(Updates)
/// # }
///
/// // `connect` returns a stream of `Result<TrustStore, TrustError>`.
/// let trust: Source<TrustStore> = Source::stream("control plane", retry(Backoff::default(), connect));
/// ```
pub fn retry<C, F, S, T, E>(backoff: Backoff, connect: C) -> impl Stream<Item = Result<T, E>> + Send
where
    C: FnMut() -> F + Send,
    F: Future<Output = Result<S, E>> + Send,
    S: Stream<Item = Result<T, E>> + Send,
{
    Retry {
        backoff,
        connect,
        failures: 0,
        state: State::Idle,
    }
}

struct Retry<C, F, S> {
    backoff: Backoff,
    connect: C,
    failures: u32,
    state: State<F, S>,
}

/// Nothing in it is pinned in place.
impl<C, F, S> Unpin for Retry<C, F, S> {}

enum State<F, S> {
    Idle,
    Connecting(Pin<Box<F>>),
    Connected(Pin<Box<S>>),
    Waiting(Pin<Box<Sleep>>),
}

impl<C, F, S, T, E> Stream for Retry<C, F, S>
where
    C: FnMut() -> F,
    F: Future<Output = Result<S, E>>,
    S: Stream<Item = Result<T, E>>,
{
    type Item = Result<T, E>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            match &mut this.state {
                State::Idle => this.state = State::Connecting(Box::pin((this.connect)())),
                State::Connecting(connecting) => match ready!(connecting.as_mut().poll(cx)) {
                    Ok(stream) => this.state = State::Connected(Box::pin(stream)),
                    Err(error) => {
                        this.wait();
                        return Poll::Ready(Some(Err(error)));
                    }
                },
                State::Connected(stream) => match ready!(stream.as_mut().poll_next(cx)) {
                    Some(Ok(value)) => {
                        this.failures = 0;
                        return Poll::Ready(Some(Ok(value)));
                    }
                    Some(Err(error)) => {
                        this.wait();
                        return Poll::Ready(Some(Err(error)));
                    }
                    None => this.wait(),
                },
                State::Waiting(sleeping) => {
                    ready!(sleeping.as_mut().poll(cx));
                    this.state = State::Idle;
                }
            }
        }
    }
}

impl<C, F, S> Retry<C, F, S> {
    fn wait(&mut self) {
        self.failures = self.failures.saturating_add(1);
        self.state = State::Waiting(Box::pin(sleep(self.backoff.wait(self.failures))));
    }
}

impl<C, F, S> fmt::Debug for Retry<C, F, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retry")
            .field("backoff", &self.backoff)
            .field("failures", &self.failures)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::future::poll_fn;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    struct Items(VecDeque<Result<u8, &'static str>>);

    impl Stream for Items {
        type Item = Result<u8, &'static str>;

        fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
            Poll::Ready(self.0.pop_front())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_reconnects_after_an_error_and_at_the_end() {
        let attempts = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&attempts);
        let connect = move || {
            let attempt = counted.fetch_add(1, Ordering::SeqCst);
            async move {
                match attempt {
                    0 => Err("refused"),
                    1 => Ok(Items([Ok(1), Ok(2)].into())),
                    2 => Ok(Items([Ok(3), Err("broken"), Ok(9)].into())),
                    _ => Ok(Items([Ok(4)].into())),
                }
            }
        };
        let mut stream = Box::pin(retry(Backoff::default(), connect));
        let mut seen = Vec::new();
        while seen.len() < 6 {
            let item = poll_fn(|cx| stream.as_mut().poll_next(cx)).await;
            seen.push(item.expect("it never ends"));
        }
        let expected = [Err("refused"), Ok(1), Ok(2), Ok(3), Err("broken"), Ok(4)];
        assert_eq!(seen, expected);
        assert_eq!(attempts.load(Ordering::SeqCst), 4);
    }

    #[test]
    fn waits_grow_up_to_the_limit() {
        let backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        for (failures, longest) in [(1, 100), (2, 200), (3, 400), (9, 1000), (u32::MAX, 1000)] {
            let longest = Duration::from_millis(longest);
            let wait = backoff.wait(failures);
            assert!(
                wait <= longest && wait >= longest / 2,
                "{failures}: {wait:?}"
            );
        }
        let none = Backoff::new(Duration::ZERO, Duration::MAX);
        assert!(none.wait(1) > Duration::ZERO);
    }
}
