//! A channel for tonic's clients over mutual TLS.

use std::borrow::Cow;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response, Uri};
use hyper::rt::{Read, Write};
use hyper_util::client::legacy::connect::Connection;
use tonic::body::Body;
use tonic::transport::{self, Endpoint};
use tonic::{ConnectError, Status};
use tower_service::Service;

use super::call_error::explained;
use super::connections::Connections;
use super::response;
use crate::diagnostic::display_diagnostic;
use crate::integration::hyper::{HttpsConnector, HttpsError, HttpsStream};
use crate::{Connector, Diagnostic};

/// The channel of a tonic client over mutual TLS.
///
/// The server must prove its identity, the policy must allow it, and it must request our certificate.
///
/// The channel connects at the first call, and again when necessary. Its connection
/// [drains](crate::TlsStream::draining) if our credentials were replaced or a certificate of the server's
/// path expired. Then the next call uses a new connection, and calls in progress finish on the old one
/// within the connector's drain time (30 s by default). A call that takes longer is cut: the client must
/// open an endless stream again. Other calls are not lost.
///
/// If the server closes a connection by GOAWAY, a call in progress may fail: tonic does not retry.
///
/// Clones are cheap, share the connection, and can call concurrently.
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
/// It is not used and need not be compiled in. If another crate enables it (a feature such as `tls-ring`),
/// this channel still works: it uses neither `Endpoint::connect_with_connector`, which then rejects every
/// `https://` URI with another connector, nor the endpoint's `tls_config`.
///
/// # Errors
/// A call without a connection gets the status `UNAVAILABLE`, with an
/// [`HttpsError`](crate::integration::hyper::HttpsError) or [`Http2RequiredError`] among its sources.
///
/// If the server rejects us with an alert, the status is `PERMISSION_DENIED` where our certificate would be
/// rejected again (`access_denied`, `certificate_revoked`, `unknown_ca`, `bad_certificate`,
/// `unsupported_certificate`, `certificate_required`), and `UNAVAILABLE` otherwise.
/// [`StatusExt::peer_alert`](super::StatusExt::peer_alert) returns the alert. That applies to the handshake
/// (with TLS 1.3 a server rejects our certificate only after our side of it, at the first call) and to every
/// call in progress when the server cuts the connection:
///
/// ```
/// use countersign::integration::tonic::StatusExt as _;
/// use tonic::{Code, Status};
///
/// fn log(status: &Status) {
///     if let Some(alert) = status.peer_alert() {
///         eprintln!("not called again: {alert}"); // PERMISSION_DENIED, mostly
///     } else if status.code() == Code::Unavailable {
///         eprintln!("called again: {}", status.reason().unwrap_or("unavailable"));
///     }
/// }
/// # log(&Status::unavailable(""));
/// ```
///
/// Other calls in progress on a connection that closes get `UNAVAILABLE`, with a
/// [`CallError`](super::CallError) as source. All these have a `google.rpc.ErrorInfo` in their details
/// ([`StatusExt::reason`](super::StatusExt::reason)).
///
/// # Security
/// Message and details of such a status name the alert or the reason code and no certificate, so that a
/// handler can return it to its own client. The code `PERMISSION_DENIED` is then about this program, not about
/// that client.
#[doc(alias = "grpc")]
#[doc(alias = "mtls")]
#[derive(Clone)]
pub struct Channel {
    shared: Arc<Shared>,
    inner: Inner,
}

/// The state that clones of a channel share.
struct Shared {
    open: Box<dyn Fn() -> Inner + Send + Sync>,
    /// The channel for new calls.
    current: Mutex<Inner>,
}

/// A channel of tonic with its connections.
#[derive(Clone)]
struct Inner {
    channel: transport::Channel,
    connections: Connections,
}

impl Channel {
    /// A channel to this endpoint over TCP. The URI is `https`, and the server's certificate must be for its
    /// host.
    ///
    /// The endpoint's settings apply, except those of TCP (`tcp_nodelay`, which is on, and
    /// `tcp_keepalive`); to set them, use [`over`](Self::over). Its `connect_timeout` is for TCP and TLS
    /// together.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn new<I: Send + Sync + 'static>(connector: Connector<I>, endpoint: Endpoint) -> Self {
        Self::over(HttpsConnector::new(connector), endpoint)
    }

    /// Like [`new`](Self::new), over another transport.
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
            let connections = Connections::default();
            let connecting = ChannelConnector {
                connector: connector.clone(),
                timeout: endpoint.get_connect_timeout(),
                connections: connections.clone(),
            };
            // `Endpoint::connect_with_connector` would require tonic's own TLS.
            Inner {
                channel: transport::Channel::new(connecting, endpoint.clone()),
                connections,
            }
        };
        let inner = open();
        Self {
            shared: Arc::new(Shared {
                open: Box::new(open),
                current: Mutex::new(inner.clone()),
            }),
            inner,
        }
    }
}

impl Shared {
    /// The channel for new calls: the shared one, or a new one if that drains.
    fn fresh(&self) -> Inner {
        let mut current = locked(&self.current);
        if current.connections.is_draining() {
            *current = (self.open)();
        }
        current.clone()
    }
}

impl Service<Request<Body>> for Channel {
    type Response = Response<Body>;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Status>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        if self.inner.connections.is_draining() {
            self.inner = self.shared.fresh();
        }
        let ready = self.inner.channel.poll_ready(cx);
        ready.map_err(|error| Status::from_error(error.into()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let connections = self.inner.connections.clone();
        let since = connections.current();
        let calling = self.inner.channel.call(request);
        Box::pin(async move {
            match calling.await {
                Ok(answer) => Ok(response::named(answer, connections, since)),
                Err(error) => {
                    let status = Status::from_error(error.into());
                    Err(explained(status, &connections, since))
                }
            }
        })
    }
}

/// No panic leaves a locked value half-changed.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes the connections of one channel of tonic.
struct ChannelConnector<I, C> {
    connector: HttpsConnector<I, C>,
    timeout: Option<Duration>,
    connections: Connections,
}

impl<I, C> Service<Uri> for ChannelConnector<I, C>
where
    I: Send + Sync + 'static,
    C: Service<Uri> + Clone + Send + 'static,
    C::Response: Read + Write + Connection + Send + Unpin + 'static,
    C::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    C::Future: Send + 'static,
{
    type Response = HttpsStream<C::Response, I>;
    /// tonic maps this type to the status `UNAVAILABLE`.
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, ConnectError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        let ready = self.connector.poll_ready(cx);
        ready.map_err(|error| ConnectError(error.into()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.connector.call(uri);
        let timeout = self.timeout;
        let connections = self.connections.clone();
        Box::pin(async move {
            let connected = match timeout {
                None => connecting.await,
                Some(time) => tokio::time::timeout(time, connecting)
                    .await
                    .unwrap_or_else(|late| Err(HttpsError::Transport(late.into()))),
            };
            let mut stream = connected.map_err(|error| ConnectError(error.into()))?;
            let tls = stream.get_ref();
            if tls.peer().connection().alpn() != Some(b"h2") {
                return Err(ConnectError(Http2RequiredError.into()));
            }
            let draining = tls.draining();
            connections.add(draining, stream.alert_watch());
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
