//! Requests that are sent again because the server did not process them.

use std::error::Error;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use hyper::body::{Body, Frame, SizeHint};

/// A body that can be taken back until it is read.
pub(super) struct Unsent<B>(Arc<Mutex<State<B>>>);

struct State<B> {
    /// `None` after it was taken back.
    body: Option<B>,
    is_read: bool,
}

impl<B> Unsent<B> {
    /// Two handles of the body: one to send, one to take it back.
    pub(super) fn new(body: B) -> (Self, Self) {
        let state = State {
            body: Some(body),
            is_read: false,
        };
        let shared = Arc::new(Mutex::new(state));
        (Self(Arc::clone(&shared)), Self(shared))
    }

    /// The body, unless it was read.
    pub(super) fn take_back(&self) -> Option<B> {
        let mut state = self.state();
        if state.is_read {
            return None;
        }
        state.body.take()
    }

    fn state(&self) -> MutexGuard<'_, State<B>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B: Body + Unpin> Body for Unsent<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let mut state = self.state();
        state.is_read = true;
        match &mut state.body {
            Some(body) => Pin::new(body).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.state().body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let state = self.state();
        state
            .body
            .as_ref()
            .map_or_else(SizeHint::default, Body::size_hint)
    }
}

/// Whether the server did not process the request, according to a GOAWAY without an error (RFC 9113
/// section 6.8). h2 fails only the streams above the last stream of the GOAWAY.
pub(super) fn is_not_processed(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<h2::Error>() {
            let is_graceful = error.reason() == Some(h2::Reason::NO_ERROR);
            return error.is_go_away() && error.is_remote() && is_graceful;
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    /// A body of one frame.
    struct One(bool);

    impl Body for One {
        type Data = &'static [u8];
        type Error = std::convert::Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
            let frame = std::mem::take(&mut self.0).then(|| Ok(Frame::data(&b"a"[..])));
            Poll::Ready(frame)
        }
    }

    #[test]
    fn a_body_is_taken_back_only_before_it_is_read() {
        let (sent, kept) = Unsent::new(One(true));
        assert!(kept.take_back().is_some_and(|body| body.0));
        assert!(sent.is_end_stream(), "nothing is left to send");

        let (mut sent, kept) = Unsent::new(One(true));
        let read = Pin::new(&mut sent).poll_frame(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(read, Poll::Ready(Some(Ok(_)))));
        assert!(kept.take_back().is_none());
    }

    #[test]
    fn only_a_goaway_without_an_error_means_not_processed() {
        let other = std::io::Error::other("closed");
        assert!(!is_not_processed(&other));
        let reset = h2::Error::from(h2::Reason::NO_ERROR);
        assert!(!is_not_processed(&reset), "a stream's error, and our own");
    }
}
