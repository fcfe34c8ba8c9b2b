//! Bodies, forwarded frame by frame.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use countersign::integration::hyper as hyper_server;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};

use super::BoxError;
use super::audit::Entry;
use super::usage::UsageTap;

/// A request's body, up to a limit, without its trailers: the rules do not authorize those.
pub(super) enum RequestBody {
    /// Forwarded as it arrives.
    Received(Limited<hyper_server::RequestBody>),
    /// Forwarded as it arrives from a local client.
    Local(Limited<Incoming>),
    /// It was read for a rule.
    Whole(Full<Bytes>),
}

impl RequestBody {
    pub(super) fn new(body: hyper_server::RequestBody, limit: usize) -> Self {
        Self::Received(Limited::new(body, limit))
    }

    pub(super) fn local(body: Incoming, limit: usize) -> Self {
        Self::Local(Limited::new(body, limit))
    }

    /// Reads it to its end.
    pub(super) async fn read(self) -> Result<Bytes, BoxError> {
        Ok(self.collect().await?.to_bytes())
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
            let frame = ready!(match &mut *self {
                Self::Received(body) => Pin::new(body).poll_frame(cx),
                Self::Local(body) => Pin::new(body).poll_frame(cx),
                Self::Whole(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
            });
            if !matches!(&frame, Some(Ok(frame)) if frame.is_trailers()) {
                return Poll::Ready(frame);
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Received(body) => body.is_end_stream(),
            Self::Local(body) => body.is_end_stream(),
            Self::Whole(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Received(body) => body.size_hint(),
            Self::Local(body) => body.size_hint(),
            Self::Whole(body) => body.size_hint(),
        }
    }
}

/// A response's body, which records its result in the audit.
pub struct ResponseBody {
    body: Kind,
    failed: bool,
    usage: Option<UsageTap>,
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
        Self::new(Kind::Own(Full::new(text.into())), None, entry)
    }

    /// A body of the upstream.
    pub(super) fn upstream(
        body: Incoming,
        limit: Option<usize>,
        usage: Option<UsageTap>,
        entry: Entry,
    ) -> Self {
        let body = match limit {
            None => Kind::Upstream(body),
            Some(limit) => Kind::Limited(Limited::new(body, limit)),
        };
        Self::new(body, usage, entry)
    }

    const fn new(body: Kind, usage: Option<UsageTap>, entry: Entry) -> Self {
        Self {
            body,
            failed: false,
            usage,
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
                if let Some(data) = frame.data_ref() {
                    self.entry.bytes += data.len() as u64;
                    if let Some(usage) = &mut self.usage {
                        usage.feed(data);
                    }
                }
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
        if let Some(usage) = self.usage.take() {
            self.entry.used(usage.finish());
        }
    }
}
