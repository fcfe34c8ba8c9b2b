//! A connector for hyper-util's client.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector, HttpInfo};
use hyper_util::rt::TokioIo;
use tower_service::Service;

use super::pool::Registration;
#[cfg(feature = "tonic")]
use crate::AlertWatch;
use crate::diagnostic::display_diagnostic;
use crate::{ConnectError, Connector, Diagnostic, DrainSignal, TlsStream};

/// Connects hyper-util's client over mutual TLS.
///
/// The server must prove its identity, the policy must allow it, and it must request our certificate. Other
/// URIs than `https` are errors without a connection. Each response has the server's
/// [`Peer`](crate::Peer) in its extensions.
///
/// [`Client`](super::Client) is hyper-util's client with this connector. Use the connector to build a
/// client of your own. Bound the time of its requests: rarely, hyper (1.12) leaves a request over HTTP/2 without
/// an answer although its connection has ended. `Client` ends such requests.
///
/// ```no_run
/// use countersign::identity::SpiffeId;
/// use countersign::integration::hyper::HttpsConnector;
/// use countersign::{Connector, Peer};
/// use hyper_util::client::legacy::Client;
/// use hyper_util::rt::TokioExecutor;
///
/// # async fn call(connector: Connector<SpiffeId>) -> Result<(), Box<dyn std::error::Error>> {
/// let client = Client::builder(TokioExecutor::new())
///     .build::<_, String>(HttpsConnector::new(connector));
/// let response = client.get("https://orders.internal/".parse()?).await?;
/// let server = response.extensions().get::<Peer<SpiffeId>>();
/// # Ok(())
/// # }
/// ```
#[doc(alias = "hyper-rustls")]
#[doc(alias = "mtls")]
pub struct HttpsConnector<I, C = HttpConnector> {
    connector: Connector<I>,
    transport: C,
}

impl<I> HttpsConnector<I> {
    /// Connects over TCP. The operating system resolves host names, and the TCP connect timeout is 10 s.
    pub fn new(connector: Connector<I>) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false); // `call` checks the URI
        tcp.set_connect_timeout(Some(Duration::from_secs(10)));
        tcp.set_nodelay(true);
        Self::over(connector, tcp)
    }
}

impl<I, C> HttpsConnector<I, C> {
    /// Connects over another transport: an [`HttpConnector`] with your own settings (and
    /// `enforce_http(false)`), a proxy's tunnel, a Unix socket.
    pub const fn over(connector: Connector<I>, transport: C) -> Self {
        Self {
            connector,
            transport,
        }
    }
}

impl<I, C> Service<Uri> for HttpsConnector<I, C>
where
    I: Send + Sync + 'static,
    C: Service<Uri> + Clone + Send + 'static,
    C::Response: Read + Write + Connection + Send + Unpin + 'static,
    C::Error: Into<Box<dyn Error + Send + Sync>>,
    C::Future: Send + 'static,
{
    type Response = HttpsStream<C::Response, I>;
    type Error = HttpsError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, HttpsError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), HttpsError>> {
        self.transport
            .poll_ready(cx)
            .map_err(|error| HttpsError::Transport(error.into()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let host = match host_of(&uri) {
            Ok(host) => host.to_owned(),
            Err(error) => return Box::pin(async { Err(error) }),
        };
        // Call the service that was polled ready, not its clone.
        let next = self.transport.clone();
        let transport = std::mem::replace(&mut self.transport, next);
        Box::pin(connect(self.connector.clone(), transport, host, uri))
    }
}

/// Connects, and connects again if the connection drains before its first use: if credentials are replaced
/// during the handshake, no request may use the old ones.
async fn connect<I, C>(
    connector: Connector<I>,
    mut transport: C,
    host: String,
    uri: Uri,
) -> Result<HttpsStream<C::Response, I>, HttpsError>
where
    I: Send + Sync + 'static,
    C: Service<Uri>,
    C::Response: Read + Write + Connection + Send + Unpin + 'static,
    C::Error: Into<Box<dyn Error + Send + Sync>>,
{
    /// Limits the attempts, so that frequent changes do not delay a request indefinitely.
    const ATTEMPTS: usize = 3;

    let mut left = ATTEMPTS;
    loop {
        left -= 1;
        let io = transport
            .call(uri.clone())
            .await
            .map_err(|error| HttpsError::Transport(error.into()))?;
        let mut extras = http::Extensions::new();
        io.connected().get_extras(&mut extras);
        let remote_addr = extras.get::<HttpInfo>().map(HttpInfo::remote_addr);
        let stream = connector
            .connect_to(&host, TokioIo::new(io), remote_addr)
            .await
            .map_err(HttpsError::Tls)?;
        let draining = stream.draining();
        if left == 0 || draining.why().is_none() {
            return Ok(HttpsStream {
                draining,
                stream: TokioIo::new(stream),
                registration: None,
            });
        }
        poll_fn(|cx| transport.poll_ready(cx))
            .await
            .map_err(|error| HttpsError::Transport(error.into()))?;
    }
}

/// The server name: the host that the server's certificate must be for.
fn host_of(uri: &Uri) -> Result<&str, HttpsError> {
    if uri.scheme_str() != Some("https") {
        return Err(HttpsError::NotHttps { uri: uri.clone() });
    }
    // An IPv6 address is in brackets.
    let host = uri.host().unwrap_or_default();
    let host = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    if host.is_empty() {
        return Err(HttpsError::NotHttps { uri: uri.clone() });
    }
    Ok(host)
}

impl<I, C> HttpsConnector<I, C> {
    pub(super) const fn connector(&self) -> &Connector<I> {
        &self.connector
    }
}

impl<I, C: Clone> Clone for HttpsConnector<I, C> {
    fn clone(&self) -> Self {
        Self {
            connector: self.connector.clone(),
            transport: self.transport.clone(),
        }
    }
}

impl<I, C> fmt::Debug for HttpsConnector<I, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpsConnector")
            .field("connector", &self.connector)
            .finish_non_exhaustive()
    }
}

/// Why there is no connection to send a request over.
///
/// ```
/// use countersign::Diagnostic as _;
/// use countersign::integration::hyper::HttpsError;
///
/// let uri = "http://orders.internal/".parse().unwrap();
/// let error = HttpsError::NotHttps { uri };
/// assert_eq!(error.reason(), "not_https");
/// assert_eq!(error.remedy(), "write https:// and the name of a host");
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpsError {
    /// The URI is not `https://` with a host.
    NotHttps {
        /// The URI.
        uri: Uri,
    },
    /// There is no connection below TLS: the name could not be resolved, or no server listens.
    Transport(#[source] Box<dyn Error + Send + Sync>),
    /// There is no mutual TLS with the server.
    Tls(#[source] ConnectError),
}

impl HttpsError {
    /// A stable code for programs: `"not_https"`, `"transport"`, or that of the [`ConnectError`].
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::NotHttps { .. } => "not_https",
            Self::Transport(_) => "transport",
            Self::Tls(error) => error.reason(),
        }
    }
}

impl Diagnostic for HttpsError {
    fn reason(&self) -> &'static str {
        self.reason()
    }

    fn cause(&self) -> Cow<'_, str> {
        match self {
            Self::NotHttps { uri } => {
                format!("{uri} is no https:// URI with a host, and mutual TLS needs TLS").into()
            }
            Self::Transport(error) => format!("cannot connect: {error}").into(),
            Self::Tls(error) => Diagnostic::cause(error),
        }
    }

    fn remedy(&self) -> Cow<'_, str> {
        match self {
            Self::NotHttps { .. } => "write https:// and the name of a host".into(),
            Self::Transport(_) => {
                "see that the server's name resolves and that the server listens there".into()
            }
            Self::Tls(error) => error.remedy(),
        }
    }
}

display_diagnostic!(HttpsError);

/// A connection to an admitted server, for hyper.
///
/// ```
/// use countersign::Peer;
/// use countersign::identity::SpiffeId;
/// use countersign::integration::hyper::HttpsStream;
///
/// fn server<T>(stream: &HttpsStream<T, SpiffeId>) -> &Peer<SpiffeId> {
///     stream.get_ref().peer()
/// }
/// ```
pub struct HttpsStream<T, I> {
    stream: TokioIo<TlsStream<TokioIo<T>, I>>,
    draining: DrainSignal,
    /// Its registration in a client's pool.
    pub(super) registration: Option<Registration>,
}

impl<T, I> HttpsStream<T, I> {
    /// The TLS stream.
    pub fn get_ref(&self) -> &TlsStream<TokioIo<T>, I> {
        self.stream.inner()
    }

    /// Keeps an error for the requests that hyper does not answer.
    fn recorded<R>(&self, result: Poll<io::Result<R>>) -> Poll<io::Result<R>> {
        if let (Poll::Ready(Err(error)), Some(registration)) = (&result, &self.registration) {
            registration.end.record(error);
        }
        result
    }

    /// As [`TlsStream::alert_watch`].
    #[cfg(feature = "tonic")]
    pub(in crate::integration) fn alert_watch(&mut self) -> AlertWatch {
        self.stream.inner_mut().alert_watch()
    }
}

impl<T, I> Connection for HttpsStream<T, I>
where
    T: Connection,
    I: Send + Sync + 'static,
{
    fn connected(&self) -> Connected {
        let stream = self.get_ref();
        let connected = stream
            .get_ref()
            .inner()
            .connected()
            .proxy(false) // TLS ends at the server itself
            .extra(stream.peer().clone())
            .extra(self.draining.clone());
        let connected = match &self.registration {
            Some(registration) => connected.extra(registration.end.watch()),
            None => connected,
        };
        if stream.peer().connection().alpn() == Some(b"h2") {
            connected.negotiated_h2()
        } else {
            connected
        }
    }
}

impl<T: Read + Write + Unpin, I> Read for HttpsStream<T, I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.recorded(result)
    }
}

impl<T: Read + Write + Unpin, I> Write for HttpsStream<T, I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.recorded(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.recorded(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_flush(cx);
        self.recorded(result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl<T, I: fmt::Debug> fmt::Debug for HttpsStream<T, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HttpsStream").field(self.get_ref()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_uris_have_a_server_name() {
        for (uri, host) in [
            ("https://orders.internal/x", Some("orders.internal")),
            ("https://orders.internal:8443", Some("orders.internal")),
            ("https://user@orders.internal/", Some("orders.internal")),
            ("https://[::1]:8443/", Some("::1")),
            ("HTTPS://orders.internal/", Some("orders.internal")),
            ("http://orders.internal/", None),
            ("wss://orders.internal/", None),
            ("orders.internal", None),
            ("orders.internal:443", None),
            ("/x", None),
        ] {
            let uri: Uri = uri.parse().expect("a URI");
            assert_eq!(host_of(&uri).ok(), host, "{uri}");
        }
    }
}
