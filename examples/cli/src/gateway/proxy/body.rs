//! Bodies, forwarded frame by frame.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use countersign::integration::hyper as hyper_server;
use http_body_util::{Full, Limited};
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};

use super::BoxError;
use super::audit::Entry;

/// A request's body, up to a limit, without its trailers: the rules do not authorize those.
pub(super) struct RequestBody(Limited<hyper_server::RequestBody>);

impl RequestBody {
    pub(super) fn new(body: hyper_server::RequestBody, limit: usize) -> Self {
        Self(Limited::new(body, limit))
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        loop {
            let frame = ready!(Pin::new(&mut self.0).poll_frame(cx));
            if !matches!(&frame, Some(Ok(frame)) if frame.is_trailers()) {
                return Poll::Ready(frame);
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

/// A response's body, which records its result in the audit.
pub(super) struct ResponseBody {
    body: Kind,
    failed: bool,
    entry: Entry,
}

enum Kind {
    Own(Full<Bytes>),
    Upstream(Incoming),
    Limited(Limited<Incoming>),
}

impl ResponseBody {
    /// A body of the gateway.
    pub(super) fn own(text: impl Into<Bytes>, entry: Entry) -> Self {
        Self::new(Kind::Own(Full::new(text.into())), entry)
    }

    /// A body of the upstream.
    pub(super) fn upstream(body: Incoming, limit: Option<usize>, entry: Entry) -> Self {
        let body = match limit {
            None => Kind::Upstream(body),
            Some(limit) => Kind::Limited(Limited::new(body, limit)),
        };
        Self::new(body, entry)
    }

    const fn new(body: Kind, entry: Entry) -> Self {
        Self {
            body,
            failed: false,
            entry,
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = match &mut self.body {
            Kind::Own(body) => ready!(Pin::new(body).poll_frame(cx)).map(|frame| Ok(frame?)),
            Kind::Upstream(body) => ready!(Pin::new(body).poll_frame(cx)).map(|frame| Ok(frame?)),
            Kind::Limited(body) => ready!(Pin::new(body).poll_frame(cx)),
        };
        match &frame {
            Some(Ok(frame)) => {
                let length = frame.data_ref().map_or(0, Bytes::len);
                self.entry.bytes += length as u64;
            }
            Some(Err(error)) => {
                self.failed = true;
                self.entry.reason = Some(format!("the upstream aborted: {error}"));
            }
            None => self.entry.complete = true,
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.body {
            Kind::Own(body) => body.is_end_stream(),
            Kind::Upstream(body) => body.is_end_stream(),
            Kind::Limited(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            Kind::Own(body) => body.size_hint(),
            Kind::Upstream(body) => body.size_hint(),
            Kind::Limited(body) => body.size_hint(),
        }
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        // hyper does not poll a body of known length for its end, nor that of a HEAD at all.
        let at_end = self.is_end_stream() || self.entry.is_head();
        self.entry.complete |= at_end && !self.failed;
    }
}
