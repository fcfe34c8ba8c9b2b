//! An answer to requests whose connection ended without one.
//!
//! hyper (1.12) sometimes leaves a request over HTTP/2 without an answer although its connection has ended. The
//! request would wait indefinitely. It occurs if a TLS 1.3 server rejects our certificate, since its alert
//! arrives when the first request is sent: about once in some thousand such requests. Here, each request observes
//! the end of its connection, too.

use std::future::{pending, ready};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Extensions, Request, Response, Uri};
use hyper::body::Incoming;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{CaptureConnection, Connected, Connection};
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::TokioExecutor;
use tokio::sync::watch;
use tower_service::Service;

/// The time for hyper to answer after the end of a connection.
pub(super) const GRACE: Duration = Duration::from_secs(1);

/// Reports the end of a connection when it is dropped.
#[derive(Debug)]
pub(super) struct EndReporter(watch::Sender<Option<Failure>>);

impl EndReporter {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(None))
    }

    pub(super) fn watch(&self) -> EndWatch {
        EndWatch(self.0.subscribe())
    }

    /// Keeps the first error of the connection.
    pub(super) fn record(&self, error: &io::Error) {
        self.0.send_if_modified(|failure| {
            failure.get_or_insert_with(|| Failure {
                kind: error.kind(),
                cause: error.to_string(),
            });
            false // the connection ends when it is dropped
        });
    }
}

/// The end of one connection, among the data that hyper-util keeps with it.
#[derive(Debug, Clone)]
pub(super) struct EndWatch(watch::Receiver<Option<Failure>>);

impl EndWatch {
    /// The end of the connection that a request was sent on last. Without a connection, it waits.
    pub(super) async fn of(request: &mut CaptureConnection) -> Self {
        let watch = {
            let connected = request.wait_for_connection_metadata().await;
            connected.as_ref().and_then(|connected| {
                let mut extras = Extensions::new();
                connected.get_extras(&mut extras);
                extras.remove::<Self>()
            })
        };
        match watch {
            Some(watch) => watch,
            None => pending().await,
        }
    }

    pub(super) async fn ended(&mut self) {
        while self.0.changed().await.is_ok() {}
    }

    pub(super) fn is_ended(&self) -> bool {
        self.0.has_changed().is_err()
    }

    pub(super) fn failure(&self) -> Failure {
        self.0.borrow().clone().unwrap_or_else(|| Failure {
            kind: io::ErrorKind::UnexpectedEof,
            cause: "the connection closed without a response".into(),
        })
    }
}

/// Why a connection ended, as much of it as h2 keeps for its streams.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    kind: io::ErrorKind,
    cause: String,
}

impl Failure {
    /// The error that hyper-util's client returns for it. Only that client can make one.
    pub(super) async fn into_error(self) -> Result<Response<Incoming>, Error> {
        let client: Client<_, String> = Client::builder(TokioExecutor::new())
            .http2_only(true) // HTTP/2 writes, and so fails, before any request
            .build(self);
        let mut request = Request::new(String::new());
        *request.uri_mut() = Uri::from_static("https://ended.invalid/");
        client.request(request).await
    }

    fn error<T>(&self) -> Poll<io::Result<T>> {
        Poll::Ready(Err(io::Error::new(self.kind, self.cause.clone())))
    }
}

/// Connects to a stream that has failed already.
impl Service<Uri> for Failure {
    type Response = Self;
    type Error = io::Error;
    type Future = std::future::Ready<io::Result<Self>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        ready(Ok(self.clone()))
    }
}

impl Connection for Failure {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for Failure {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        self.error()
    }
}

impl Write for Failure {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        self.error()
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.error()
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.error()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_end_of_a_connection_has_its_first_error() {
        let reporter = EndReporter::new();
        let mut watch = reporter.watch();
        let reset = io::Error::new(io::ErrorKind::ConnectionReset, "the first");
        reporter.record(&reset);
        reporter.record(&io::Error::other("the second"));
        assert!(!watch.is_ended(), "an error is not the end");
        drop(reporter);
        watch.ended().await;
        assert!(watch.is_ended());
        let failure = watch.failure();
        assert_eq!(failure.kind, io::ErrorKind::ConnectionReset);
        assert_eq!(failure.cause, "the first");
    }

    #[tokio::test]
    async fn a_failure_becomes_the_error_that_http2_has_for_it() {
        let watch = EndReporter::new().watch();
        let error = watch.failure().into_error().await.unwrap_err();
        assert!(!error.is_connect(), "the server may have the request");
        let hyper = std::error::Error::source(&error).unwrap();
        let io: &io::Error = hyper
            .source()
            .and_then(|cause| cause.downcast_ref())
            .unwrap();
        assert_eq!(io.kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(io.to_string(), "the connection closed without a response");
    }
}
