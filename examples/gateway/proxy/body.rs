//! Bodies, which are passed on frame by frame as they come.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use countersign::integration::hyper as hyper_server;
use http_body_util::{Full, Limited};
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};

use super::BoxError;
use super::audit::Entry;

/// A request's body, up to a limit, and without its trailers: nobody has judged those.
pub(crate) struct RequestBody(Limited<hyper_server::RequestBody>);

impl RequestBody {
    pub(crate) fn new(body: hyper_server::RequestBody, limit: usize) -> Self {
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

/// A response's body, which tells the audit what became of it.
pub(crate) struct Answer {
    body: Kind,
    failed: bool,
    entry: Entry,
}

enum Kind {
    Own(Full<Bytes>),
    Passed(Incoming),
    Limited(Limited<Incoming>),
}

impl Answer {
    /// What the gateway itself says.
    pub(crate) fn own(text: impl Into<Bytes>, entry: Entry) -> Self {
        Self::new(Kind::Own(Full::new(text.into())), entry)
    }

    /// What the upstream says.
    pub(crate) fn passed(body: Incoming, limit: Option<usize>, entry: Entry) -> Self {
        let body = match limit {
            None => Kind::Passed(body),
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

impl Body for Answer {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = match &mut self.body {
            Kind::Own(body) => ready!(Pin::new(body).poll_frame(cx)).map(|frame| Ok(frame?)),
            Kind::Passed(body) => ready!(Pin::new(body).poll_frame(cx)).map(|frame| Ok(frame?)),
            Kind::Limited(body) => ready!(Pin::new(body).poll_frame(cx)),
        };
        match &frame {
            Some(Ok(frame)) => {
                let length = frame.data_ref().map_or(0, Bytes::len);
                self.entry.bytes += length as u64;
            }
            Some(Err(error)) => {
                self.failed = true;
                self.entry.reason = Some(format!("the upstream broke off: {error}"));
            }
            None => self.entry.complete = true,
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.body {
            Kind::Own(body) => body.is_end_stream(),
            Kind::Passed(body) => body.is_end_stream(),
            Kind::Limited(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            Kind::Own(body) => body.size_hint(),
            Kind::Passed(body) => body.size_hint(),
            Kind::Limited(body) => body.size_hint(),
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        // A body whose length is known is not asked for its end, and that of a HEAD for nothing.
        let at_end = self.is_end_stream() || self.entry.is_head();
        self.entry.complete |= at_end && !self.failed;
    }
}
