//! Request bodies with a progress timeout, and the response to a request that exceeds it.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};

use super::call_end::CallEnd;
use super::{grpc_status, streams};
use crate::Diagnostic;
use crate::diagnostic::display_diagnostic;

/// The body of a request to a [`Server`](super::Server).
///
/// It is hyper's body with a timeout: it fails if the client sends nothing more of it for the time of
/// [`Server::progress_timeout`](super::Server::progress_timeout).
///
/// ```
/// use std::future::poll_fn;
/// use std::pin::Pin;
///
/// use countersign::integration::hyper::{RequestBody, RequestBodyError};
/// use hyper::body::Body;
///
/// async fn count(mut body: RequestBody) -> Result<usize, RequestBodyError> {
///     let mut bytes = 0;
///     while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
///         bytes += frame?.data_ref().map_or(0, |data| data.len());
///     }
///     Ok(bytes)
/// }
/// ```
pub struct RequestBody {
    body: Incoming,
    watch: Option<Watch>,
}

/// Why a request's body ends early.
///
/// ```
/// use std::time::Duration;
///
/// use countersign::Diagnostic as _;
/// use countersign::integration::hyper::RequestBodyError;
///
/// let error = RequestBodyError::TimedOut { time: Duration::from_secs(60) };
/// assert_eq!(error.reason(), "body_timed_out");
/// assert_eq!(error.cause(), "the client sent nothing of its request's body for 60s");
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestBodyError {
    /// The client closed the connection or violated HTTP, or the connection was cut.
    Http(#[from] hyper::Error),
    /// The client sent nothing more of the body for this time. The response to the request is 408.
    TimedOut {
        /// The limit in force.
        time: Duration,
    },
}

impl Diagnostic for RequestBodyError {
    fn reason(&self) -> &'static str {
        match self {
            Self::Http(_) => "body_failed",
            Self::TimedOut { .. } => "body_timed_out",
        }
    }

    fn cause(&self) -> Cow<'_, str> {
        match self {
            Self::Http(error) => format!("the request's body is incomplete: {error}"),
            Self::TimedOut { time } => {
                format!("the client sent nothing of its request's body for {time:?}")
            }
        }
        .into()
    }

    fn remedy(&self) -> Cow<'_, str> {
        match self {
            Self::Http(_) => "see the client's log, and send the request again",
            Self::TimedOut { .. } => {
                "send the body without such pauses, or raise progress_timeout() of the server"
            }
        }
        .into()
    }
}

display_diagnostic!(RequestBodyError);

/// The state that a request shares with its body.
#[derive(Debug, Default)]
struct Progress {
    /// The response has begun: the timeout does not apply any more.
    is_answered: AtomicBool,
    timed_out: AtomicBool,
}

struct Watch {
    progress: Arc<Progress>,
    time: Duration,
    /// The timer of the current pause.
    waiting: Option<Pin<Box<Sleep>>>,
    is_waiting: bool,
}

/// The request's part of the shared state.
#[derive(Debug)]
pub(super) struct Watched(Option<Arc<Progress>>);

impl RequestBody {
    /// A body that must make progress within this time until its request has a response.
    pub(super) fn watched(body: Incoming, time: Option<Duration>) -> (Self, Watched) {
        let Some(time) = time.filter(|_| !body.is_end_stream()) else {
            return (Self { body, watch: None }, Watched(None));
        };
        let progress = Arc::<Progress>::default();
        let watch = Watch {
            progress: Arc::clone(&progress),
            time,
            waiting: None,
            is_waiting: false,
        };
        let watch = Some(watch);
        (Self { body, watch }, Watched(Some(progress)))
    }
}

impl Watch {
    /// Whether the pause exceeds the time.
    fn poll_waiting(&mut self, cx: &mut Context<'_>) -> bool {
        if self.progress.is_answered.load(Ordering::SeqCst) {
            return false;
        }
        if !self.is_waiting {
            // A deadline that the clock cannot represent is no limit.
            let Some(deadline) = Instant::now().checked_add(self.time) else {
                return false;
            };
            self.is_waiting = true;
            match &mut self.waiting {
                Some(waiting) => waiting.as_mut().reset(deadline),
                None => self.waiting = Some(Box::pin(sleep_until(deadline))),
            }
        }
        let is_over = match &mut self.waiting {
            Some(waiting) => waiting.as_mut().poll(cx).is_ready(),
            None => false,
        };
        if is_over {
            self.progress.timed_out.store(true, Ordering::SeqCst);
        }
        is_over
    }
}

impl Watched {
    /// Whether the body timed out, so that the response is 408.
    pub(super) fn timed_out(&self) -> bool {
        self.0
            .as_ref()
            .is_some_and(|progress| progress.timed_out.load(Ordering::SeqCst))
    }

    pub(super) fn is_answered(&self) {
        if let Some(progress) = &self.0 {
            progress.is_answered.store(true, Ordering::SeqCst);
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = RequestBodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        let this = &mut *self;
        match Pin::new(&mut this.body).poll_frame(cx) {
            Poll::Ready(frame) => {
                if let Some(watch) = &mut this.watch {
                    watch.is_waiting = false;
                }
                Poll::Ready(frame.map(|frame| Ok(frame?)))
            }
            Poll::Pending => {
                if let Some(watch) = &mut this.watch
                    && watch.poll_waiting(cx)
                {
                    let time = watch.time;
                    this.watch = None;
                    return Poll::Ready(Some(Err(RequestBodyError::TimedOut { time })));
                }
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RequestBody").field(&self.body).finish()
    }
}

pin_project! {
    /// The body of the service's response, that of a gRPC call with its end, or an empty one.
    #[project = AnswerProjection]
    pub(super) enum Answer<B> {
        Served { #[pin] body: B },
        Call { #[pin] body: B, end: Option<CallEnd> },
        Nothing,
    }
}

impl<B> Body for Answer<B>
where
    B: Body,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        match self.project() {
            AnswerProjection::Served { body } => {
                let frame = body.poll_frame(cx);
                streams::was_polled(frame.is_pending());
                frame
            }
            AnswerProjection::Call { body, end } => {
                streams::was_polled(true);
                let Some(due) = end else {
                    return Poll::Ready(None);
                };
                // A stream that is always ready ends too.
                let mut ended = Poll::Pending;
                if !due.is_far() {
                    ended = due.poll_due(cx);
                }
                if ended.is_pending() {
                    let frame = body.poll_frame(cx);
                    if frame.is_ready() {
                        streams::was_polled(false);
                        return frame;
                    }
                    ended = due.poll_due(cx);
                }
                ended.map(|reason| {
                    *end = None;
                    Some(Ok(Frame::trailers(grpc_status::unavailable(reason))))
                })
            }
            AnswerProjection::Nothing => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Served { body } => body.is_end_stream(),
            Self::Call { body, end } => end.is_none() || body.is_end_stream(),
            Self::Nothing => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Served { body } => body.size_hint(),
            // It may end early, so that no content-length may follow from it.
            Self::Call { .. } => SizeHint::default(),
            Self::Nothing => SizeHint::with_exact(0),
        }
    }
}
