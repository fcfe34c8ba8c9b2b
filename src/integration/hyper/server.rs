//! Serves HTTP to admitted peers.

use std::error::Error;
use std::fmt;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use http::Extensions;
use hyper::body::{Body, Incoming};
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::{http1, http2};
use hyper::{Request, Response, StatusCode, Version};
use hyper_util::rt::{TokioIo, TokioTimer};
use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tower_service::Service;

use super::body::{Answer, RequestBody, Watched};
use super::call_end::CallEnd;
use super::grpc_status;
use super::head_timer::HeadTimer;
use super::preface::Preface;
use super::streams::{self, StreamExecutor};
use super::unclear::unclear;
use super::write_timeout::WriteTimeout;
use crate::integration::http::grpc::{GRPC, is_grpc};
use crate::pki::time::at_most_far;
use crate::{DrainSignal, Listener, TlsStream};

/// A server of HTTP/1.1 and HTTP/2.
///
/// Each request has in its extensions the [`Peer`](crate::Peer) that sent it and the connection's [`DrainSignal`].
/// Long-running handlers (a WebSocket, a stream of events) can use the signal to finish in time.
///
/// When a connection drains, requests in progress finish and no new one begins: HTTP/2 clients get GOAWAY,
/// and HTTP/1.1 connections close after the response. gRPC calls that are still open shortly before the end
/// of the drain time end with the status `UNAVAILABLE` and the reason, such as `max_age`.
///
/// A request is answered with 400 if another server could read it as one for another host or with another body:
/// two `Host` headers, one that is no host or differs from the authority, none in HTTP/1.1 (RFC 9112 section 3.2),
/// and a transfer coding other than `chunked`.
///
/// When the peer is denied or revoked, its connection is cut at once, with its requests. The last record
/// before the alert has a GOAWAY frame with the reason as its debug data (HTTP/2).
///
/// ```no_run
/// use std::time::Duration;
///
/// use countersign::identity::SpiffeId;
/// use countersign::integration::hyper::Server;
/// use countersign::{Acceptor, Listener};
///
/// # async fn serve(acceptor: Acceptor<SpiffeId>, app: axum::Router) -> std::io::Result<()> {
/// let listener = Listener::bind(acceptor, "0.0.0.0:8443").await?;
/// let handle = listener.handle();
/// tokio::spawn(async move {
///     tokio::signal::ctrl_c().await.ok();
///     handle.shutdown(Duration::from_secs(30)).await; // GOAWAY, and 30 s to finish
/// });
/// Server::new()
///     .http2(|http2| {
///         http2.max_concurrent_streams(100);
///     })
///     .serve(listener, app)
///     .await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[doc(alias = "mtls")]
#[doc(alias = "https")]
#[doc(alias = "client certificate")]
#[must_use = "it does nothing until serve() is called"]
pub struct Server {
    http1: http1::Builder,
    http2: http2::Builder<StreamExecutor>,
    header_read_timeout: Duration,
    progress_timeout: Option<Duration>,
}

type BoxError = Box<dyn Error + Send + Sync>;

/// The limit of a head of HTTP/1.1. Without it, hyper's is that of its buffers, 408 KiB.
const HTTP1_HEAD: usize = 128 * 1024;

impl Server {
    /// A server with the defaults: a request's head must arrive within 30 s, its body must make progress
    /// every 60 s, and HTTP/2 clients are pinged every 30 s and have 20 s to answer.
    ///
    /// What one connection can hold is limited, too. [`http1`](Self::http1) and [`http2`](Self::http2) change it:
    ///
    /// | limit | HTTP/1.1 | HTTP/2 | beyond it |
    /// |---|---|---|---|
    /// | bytes of a head | 128 KiB (`max_header_size`) | 16 KiB (`max_header_list_size`) | 431; HTTP/1.1 also closes |
    /// | headers | 100 (`max_headers`) | 511, by their bytes | 431 |
    /// | requests at once | 1 | 200 (`max_concurrent_streams`) | wait, or `REFUSED_STREAM` |
    /// | requests that the client cancels before they are served | | 20 (`max_pending_accept_reset_streams`) | the connection closes |
    /// | requests that it makes the server cancel | | 1,024 (`max_local_error_reset_streams`) | the connection closes |
    ///
    /// A head of 128 KiB has room for a proxy's header with a chain, which may have 64 KiB, and is more than nginx
    /// (32 KiB) and Envoy (60 KiB) accept. Trailers of HTTP/1.1 have the same limit.
    pub fn new() -> Self {
        let mut http2 = http2::Builder::new(StreamExecutor);
        http2
            .timer(TokioTimer::new())
            .keep_alive_interval(Duration::from_secs(30))
            .keep_alive_timeout(Duration::from_secs(20));
        let mut http1 = http1::Builder::new();
        http1.max_header_size(HTTP1_HEAD);
        Self {
            http1,
            http2,
            header_read_timeout: Duration::from_secs(30),
            progress_timeout: Some(Duration::from_secs(60)),
        }
    }

    /// Sets the time that a client has to send a request's head, from the end of the handshake or of the
    /// last response. It is also the time to begin HTTP/2. Default: 30 s. The maximum is 30 years.
    pub const fn header_read_timeout(mut self, time: Duration) -> Self {
        // hyper adds it to an instant.
        self.header_read_timeout = at_most_far(time);
        self
    }

    /// Sets the time that a client may make no progress; `None` disables the limit. Default: 60 s, as in
    /// nginx. It applies in three cases:
    ///
    /// * A handler reads a request's body and has not begun its response, and the client sends nothing more.
    ///   The body fails with [`RequestBodyError::TimedOut`](super::RequestBodyError::TimedOut), and the
    ///   response is 408 (RFC 9110 section 15.5.9) for any result of the handler. An HTTP/1.1 connection
    ///   closes after it; with HTTP/2 only the stream is closed.
    /// * The client reads nothing of what is written. Its connection fails, with all its requests.
    /// * An HTTP/2 client grants no window to a stream whose response has more data. The stream is reset.
    ///
    /// After the response has begun, both sides may pause without limit. Disable the limit, or raise it, if
    /// clients send streams with longer pauses before the response (client streaming of gRPC), or if they
    /// read so slowly that the system's send buffer stays full for longer.
    ///
    /// # Security
    /// It limits pauses, not the total time of a request: a client that sends one byte per minute continues, and
    /// so does one that grants a window of one byte per minute. What hyper has taken from the body is buffered: of
    /// each stream, one frame.
    pub fn progress_timeout(mut self, time: impl Into<Option<Duration>>) -> Self {
        self.progress_timeout = time.into();
        self
    }

    /// Changes hyper's settings of HTTP/1.1, except the header read timeout.
    pub fn http1(mut self, configure: impl FnOnce(&mut http1::Builder)) -> Self {
        configure(&mut self.http1);
        self
    }

    /// Changes hyper's settings of HTTP/2.
    pub fn http2(mut self, configure: impl FnOnce(&mut http2::Builder<StreamExecutor>)) -> Self {
        configure(&mut self.http2);
        self
    }

    /// Serves all connections of a listener, until it is
    /// [shut down](crate::ListenerHandle::shutdown) and the last connection is closed.
    ///
    /// # Cancel safety
    /// Dropping the future drops the listener. Open connections continue on their own tasks.
    pub async fn serve<IO, I, S, B>(self, mut listener: Listener<IO, I>, service: S)
    where
        IO: AsyncRead + AsyncWrite + Send + Unpin + 'static,
        I: Send + Sync + 'static,
        S: Service<Request<RequestBody>, Response = Response<B>> + Clone + Send + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send + 'static,
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        let (open, _) = watch::channel(());
        let (server, open, runtime) = (Arc::new(self), Arc::new(open), Handle::current());
        let counted = Arc::clone(&open);
        // A service need not be `Sync`.
        let service = Mutex::new(service);
        let serve = move |stream| {
            let service = S::clone(&service.lock().unwrap_or_else(PoisonError::into_inner));
            let (server, open) = (Arc::clone(&server), counted.subscribe());
            runtime.spawn(async move {
                // `serve_connection` has logged the error.
                let _ = server.serve_connection(stream, service).await;
                drop(open);
            });
        };
        listener.for_each(Box::new(serve)).await;
        open.closed().await;
    }

    /// Serves one connection until it is closed.
    ///
    /// # Errors
    /// The connection closed early: the client aborted or violated HTTP, a timeout expired, or the connection
    /// was cut. With HTTP/2, hyper keeps only the text of a cut: the reason is in [`DrainSignal::why`] of a
    /// signal that you took before by [`TlsStream::draining`].
    ///
    /// # Cancel safety
    /// Dropping the future drops the connection, with its requests in progress.
    pub async fn serve_connection<IO, I, S, B>(
        &self,
        mut stream: TlsStream<IO, I>,
        service: S,
    ) -> Result<(), hyper::Error>
    where
        IO: AsyncRead + AsyncWrite + Send + Unpin + 'static,
        I: Send + Sync + 'static,
        S: Service<Request<RequestBody>, Response = Response<B>> + Clone + Send + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send + 'static,
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        stream.serves_http2();
        let draining = stream.draining();
        let peer = stream.peer().clone();
        let remote = peer.connection().remote_addr();
        let is_http2 = peer.connection().alpn() == Some(b"h2");
        let mut extensions = Extensions::new();
        extensions.insert(peer);
        extensions.insert(draining.clone());
        let requests = Requests {
            extensions,
            remote,
            draining: draining.clone(),
            progress_timeout: self.progress_timeout,
            service,
        };
        let stream = WriteTimeout::new(stream, self.progress_timeout);
        let result = if is_http2 {
            let io = TokioIo::new(Preface::expected_within(stream, self.header_read_timeout));
            let connection = Box::pin(self.http2.serve_connection(io, requests));
            until_drained(connection, http2::Connection::graceful_shutdown, draining).await
        } else {
            let mut http1 = self.http1.clone();
            http1.timer(HeadTimer::default());
            http1.header_read_timeout(self.header_read_timeout);
            let connection = http1.serve_connection(TokioIo::new(stream), requests);
            let connection = Box::pin(connection.with_upgrades());
            let finish = http1::UpgradeableConnection::graceful_shutdown;
            until_drained(connection, finish, draining).await
        };
        match &result {
            Err(error) if error.is_parse_version_h2() => tracing::warn!(
                ?remote,
                "a client sends HTTP/2 without having negotiated it; give the acceptor alpn([\"h2\", \"http/1.1\"])"
            ),
            Err(error) => {
                let cause = error.source().map(ToString::to_string);
                tracing::debug!(?remote, %error, cause, "HTTP connection closed early");
            }
            Ok(()) => {}
        }
        result
    }
}

/// Runs a connection until it is closed, and calls `finish` when it drains.
///
/// It is in a box, so that its task does not have place for both versions of HTTP.
async fn until_drained<C: Future>(
    mut connection: Pin<Box<C>>,
    finish: impl Fn(Pin<&mut C>),
    mut draining: DrainSignal,
) -> C::Output {
    let mut is_finishing = false;
    poll_fn(|cx| {
        if !is_finishing && pin!(&mut draining).poll(cx).is_ready() {
            is_finishing = true;
            finish(connection.as_mut());
        }
        connection.as_mut().poll(cx)
    })
    .await
}

/// Adds the peer and the drain signal to each request.
struct Requests<S> {
    /// Of each request. A clone of them takes less than to put them into a map for each.
    extensions: Extensions,
    remote: Option<SocketAddr>,
    draining: DrainSignal,
    progress_timeout: Option<Duration>,
    service: S,
}

impl<S, B> hyper::service::Service<Request<Incoming>> for Requests<S>
where
    S: Service<Request<RequestBody>, Response = Response<B>> + Clone,
    S::Error: Into<BoxError>,
{
    type Response = Response<Answer<B>>;
    type Error = BoxError;
    type Future = Served<S>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        request.extensions_mut().extend(self.extensions.clone());
        let version = request.version();
        let call = is_grpc(version, request.headers()).then(|| CallEnd::new(self.draining.clone()));
        let is_unclear = unclear(&request).inspect(|why| {
            tracing::debug!(remote = ?self.remote, why, "request rejected");
        });
        let is_unclear = is_unclear.is_some();
        let (head, body) = request.into_parts();
        let (body, watched) = RequestBody::watched(body, self.progress_timeout);
        let request = Request::from_parts(head, body);
        // A request that hyper had read before the cut is not served after it.
        let serving = match is_unclear || self.draining.is_cut() {
            true => Serving::Nothing,
            false => Serving::new(self.service.clone(), request),
        };
        Served {
            serving,
            is_unclear,
            watched,
            stall_timeout: self.progress_timeout,
            version,
            call,
        }
    }
}

pin_project! {
    /// The response of the service; 400 to an unclear request; pending on a cut connection, which hyper closes.
    struct Served<S>
    where
        S: Service<Request<RequestBody>>,
    {
        #[pin]
        serving: Serving<S>,
        is_unclear: bool,
        watched: Watched,
        stall_timeout: Option<Duration>,
        version: Version,
        // Of a gRPC call.
        call: Option<CallEnd>,
    }
}

impl<S, B> Future for Served<S>
where
    S: Service<Request<RequestBody>, Response = Response<B>>,
    S::Error: Into<BoxError>,
{
    type Output = Result<Response<Answer<B>>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if *this.is_unclear {
            return Poll::Ready(Ok(rejected(StatusCode::BAD_REQUEST, *this.version)));
        }
        let poll = this.serving.as_mut().poll(cx);
        streams::was_polled(poll.is_pending());
        if this.watched.timed_out() {
            this.serving.set(Serving::Nothing);
            return Poll::Ready(Ok(rejected(StatusCode::REQUEST_TIMEOUT, *this.version)));
        }
        if poll.is_pending()
            && let Some(call) = this.call
            && let Poll::Ready(reason) = call.poll_due(cx)
        {
            this.serving.set(Serving::Nothing);
            return Poll::Ready(Ok(unavailable(reason)));
        }
        poll.map_ok(|response| {
            streams::limited_to(*this.stall_timeout);
            this.watched.is_answered();
            match this.call.take() {
                Some(end) if is_grpc(*this.version, response.headers()) => {
                    let end = Some(end);
                    response.map(|body| Answer::Call { body, end })
                }
                _ => response.map(|body| Answer::Served { body }),
            }
        })
    }
}

pin_project! {
    /// A request in the service. Most services are ready at once, and are called without a detour.
    #[project = ServingProjection]
    enum Serving<S>
    where
        S: Service<Request<RequestBody>>,
    {
        // In a box, so that all requests in progress are smaller: it is rare.
        Waiting { waiting: Box<(S, Option<Request<RequestBody>>)> },
        Called { #[pin] response: S::Future },
        Failed { error: Option<BoxError> },
        Nothing,
    }
}

impl<S> Serving<S>
where
    S: Service<Request<RequestBody>>,
    S::Error: Into<BoxError>,
{
    fn new(mut service: S, request: Request<RequestBody>) -> Self {
        // If it is not ready, it is asked again, by the task of the connection.
        match service.poll_ready(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(())) => Self::Called {
                response: service.call(request),
            },
            Poll::Ready(Err(error)) => Self::Failed {
                error: Some(error.into()),
            },
            Poll::Pending => Self::Waiting {
                waiting: Box::new((service, Some(request))),
            },
        }
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<S::Response, BoxError>> {
        loop {
            let response = match self.as_mut().project() {
                ServingProjection::Called { response } => {
                    return response.poll(cx).map_err(Into::into);
                }
                ServingProjection::Waiting { waiting } => {
                    let (service, request) = &mut **waiting;
                    ready!(service.poll_ready(cx)).map_err(Into::into)?;
                    match request.take() {
                        Some(request) => service.call(request),
                        None => return Poll::Pending, // it is taken once
                    }
                }
                ServingProjection::Failed { error } => match error.take() {
                    Some(error) => return Poll::Ready(Err(error)),
                    None => return Poll::Pending,
                },
                ServingProjection::Nothing => return Poll::Pending,
            };
            self.set(Self::Called { response });
        }
    }
}

/// The response to a gRPC call that ends before its service has responded ("Trailers-Only").
fn unavailable<B>(reason: &'static str) -> Response<Answer<B>> {
    let mut response = Response::new(Answer::Nothing);
    *response.headers_mut() = grpc_status::unavailable(reason);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(GRPC));
    response
}

/// The response to a request that is unclear, or whose body timed out.
fn rejected<B>(status: StatusCode, version: Version) -> Response<Answer<B>> {
    let mut response = Response::new(Answer::Nothing);
    *response.status_mut() = status;
    if version < Version::HTTP_2 {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
    response
}

impl Default for Server {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("header_read_timeout", &self.header_read_timeout)
            .field("progress_timeout", &self.progress_timeout)
            .finish_non_exhaustive()
    }
}
