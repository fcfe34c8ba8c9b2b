//! A channel of tonic's clients over mutual TLS.

use std::borrow::Cow;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response, Uri};
use hyper::rt::{Read, Write};
use hyper_util::client::legacy::connect::Connection;
use tonic::ConnectError;
use tonic::body::Body;
use tonic::transport::channel::ResponseFuture;
use tonic::transport::{self, Endpoint, Error};
use tower_service::Service;

use crate::diagnostic::display_diagnostic;
use crate::integration::hyper::{HttpsConnector, HttpsError, HttpsStream};
use crate::{Connector, Diagnostic, DrainSignal};

/// The channel of a tonic client: to a server that proves who it is, whom the policy allows, and that
/// asks for our certificate.
///
/// It connects at the first call, and anew whenever it has to. When the connection is to
/// [drain](crate::TlsStream::draining), because our credentials were replaced or a certificate of the
/// server's path expired, the next call goes over a new one, and those under way finish on the old one,
/// for which they have the connector's drain time (30 s by default). So no call is lost when credentials
/// change, but one that takes longer than that: a stream without end is to be opened again by the client.
/// (Where it is the server that ends a connection, by GOAWAY, a call that is on its way may fail, as gRPC has
/// it: tonic does not try again.)
///
/// Clones are cheap, share the connection, and can call at the same time.
///
/// ```no_run
/// use countersign::identity::SpiffeId;
/// use countersign::integration::tonic::Channel;
/// use countersign::{Credentials, Connector, TrustStore, policy};
/// use tonic::transport::Endpoint;
///
/// # fn call() -> Result<(), Box<dyn std::error::Error>> {
/// let connector = Connector::builder()
///     .credentials(Credentials::from_pem_files("billing.crt", "billing.key")?)
///     .trust(TrustStore::from_pem_file("servers-ca.crt")?)
///     .identify(SpiffeId::extractor())
///     .authorize(policy::exact(["spiffe://example.org/ns/orders".parse()?]))
///     .alpn(["h2"])
///     .build()?;
/// let channel = Channel::new(connector, Endpoint::from_static("https://orders.internal"));
/// // OrdersClient::new(channel)
/// # Ok(())
/// # }
/// ```
///
/// # tonic's own TLS
/// It is not used, and need not be compiled in. Where somebody else compiles it in (a feature such as
/// `tls-ring`), `Endpoint::connect_with_connector` refuses every `https://` URI whose connector is not
/// tonic's, and an endpoint's `tls_config` would put a second TLS inside of ours; this channel goes by
/// neither.
///
/// # Errors
/// A call without a connection ends with the status `UNAVAILABLE`, and among the sources is an
/// [`HttpsError`](crate::integration::hyper::HttpsError) or [`Http2RequiredError`]. With TLS 1.3 a server can
/// refuse us only after our side of the handshake: then the first call ends with the server's alert.
#[derive(Clone)]
pub struct Channel {
    shared: Arc<Shared>,
    line: Line,
}

/// What the clones of a channel have in common.
struct Shared {
    open: Box<dyn Fn() -> Line + Send + Sync>,
    /// The line for calls to come.
    current: Mutex<Line>,
}

/// A channel of tonic's, and what is known of its connection.
#[derive(Clone)]
struct Line {
    channel: transport::Channel,
    draining: NotedDrainSignal,
}

/// The notice of the connection that was made last.
#[derive(Clone, Default)]
struct NotedDrainSignal(Arc<Mutex<Option<DrainSignal>>>);

impl Channel {
    /// To this endpoint, over TCP. Its URI is `https`, and the host's name is the one that the server's
    /// certificate must be for.
    ///
    /// The endpoint's settings count, but those of TCP (`tcp_nodelay`, on here, and `tcp_keepalive`):
    /// for these, see [`over`](Self::over). Its `connect_timeout` is for TCP and TLS together.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn new<I: Send + Sync + 'static>(connector: Connector<I>, endpoint: Endpoint) -> Self {
        Self::over(HttpsConnector::new(connector), endpoint)
    }

    /// As [`new`](Self::new), over another transport.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn over<I, C>(connector: HttpsConnector<I, C>, endpoint: Endpoint) -> Self
    where
        I: Send + Sync + 'static,
        C: Service<Uri> + Clone + Send + Sync + 'static,
        C::Response: Read + Write + Connection + Send + Unpin + 'static,
        C::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
        C::Future: Send + 'static,
    {
        let open = move || {
            let draining = NotedDrainSignal::default();
            let dial = Dial {
                connector: connector.clone(),
                timeout: endpoint.get_connect_timeout(),
                draining: draining.clone(),
            };
            // Not by `Endpoint::connect_with_connector`, which would look for tonic's own TLS.
            Line {
                channel: transport::Channel::new(dial, endpoint.clone()),
                draining,
            }
        };
        let line = open();
        Self {
            shared: Arc::new(Shared {
                open: Box::new(open),
                current: Mutex::new(line.clone()),
            }),
            line,
        }
    }
}

impl Shared {
    /// A line for calls to come: everybody's, unless that drains too.
    fn fresh(&self) -> Line {
        let mut current = locked(&self.current);
        if current.draining.is_now() {
            *current = (self.open)();
        }
        current.clone()
    }
}

impl Service<Request<Body>> for Channel {
    type Response = Response<Body>;
    type Error = Error;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if self.line.draining.is_now() {
            self.line = self.shared.fresh();
        }
        self.line.channel.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> ResponseFuture {
        self.line.channel.call(request)
    }
}

impl NotedDrainSignal {
    fn is_now(&self) -> bool {
        locked(&self.0)
            .as_ref()
            .is_some_and(|draining| draining.why().is_some())
    }
}

/// Nothing that is locked here can be left half-changed by a panic.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes the connections of one line.
struct Dial<I, C> {
    connector: HttpsConnector<I, C>,
    timeout: Option<Duration>,
    draining: NotedDrainSignal,
}

impl<I, C> Service<Uri> for Dial<I, C>
where
    I: Send + Sync + 'static,
    C: Service<Uri> + Clone + Send + 'static,
    C::Response: Read + Write + Connection + Send + Unpin + 'static,
    C::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    C::Future: Send + 'static,
{
    type Response = HttpsStream<C::Response, I>;
    /// By which tonic knows that the status is `UNAVAILABLE`.
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, ConnectError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        let ready = self.connector.poll_ready(cx);
        ready.map_err(|error| ConnectError(error.into()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.connector.call(uri);
        let timeout = self.timeout;
        let noted = self.draining.clone();
        Box::pin(async move {
            let connected = match timeout {
                None => connecting.await,
                Some(time) => tokio::time::timeout(time, connecting)
                    .await
                    .unwrap_or_else(|late| Err(HttpsError::Transport(late.into()))),
            };
            let stream = connected.map_err(|error| ConnectError(error.into()))?;
            let tls = stream.get_ref();
            if tls.peer().connection().alpn() != Some(b"h2") {
                return Err(ConnectError(Http2RequiredError.into()));
            }
            *locked(&noted.0) = Some(tls.draining());
            Ok(stream)
        })
    }
}

/// The two sides did not negotiate HTTP/2, which gRPC requires: one of them does not offer it by
/// `.alpn(["h2"])`.
///
/// ```
/// use std::error::Error;
///
/// use countersign::integration::tonic::Http2RequiredError;
///
/// fn lacks_http2(status: &tonic::Status) -> bool {
///     let mut cause = status.source();
///     while let Some(error) = cause {
///         if error.is::<Http2RequiredError>() {
///             return true;
///         }
///         cause = error.source();
///     }
///     false
/// }
/// # assert!(!lacks_http2(&tonic::Status::unavailable("")));
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub struct Http2RequiredError;

impl Diagnostic for Http2RequiredError {
    fn reason(&self) -> &'static str {
        "http2_required"
    }

    fn cause(&self) -> Cow<'_, str> {
        "HTTP/2 was not negotiated, and gRPC requires it".into()
    }

    fn remedy(&self) -> Cow<'_, str> {
        "give both sides alpn([\"h2\"])".into()
    }
}

display_diagnostic!(Http2RequiredError);

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel").finish_non_exhaustive()
    }
}
