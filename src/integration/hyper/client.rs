//! hyper-util's client over mutual TLS.

use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::body::{Body, Incoming};
use hyper::{Request, Response};
use hyper_util::client::legacy::connect::capture_connection;
use hyper_util::client::legacy::{self, Builder, Error};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tower_service::Service;

use super::HttpsConnector;
use super::pool::{Pool, Pools};
use super::unsent::{Unsent, is_not_processed};
use crate::Connector;

/// hyper-util's client with a connection pool, over mutual TLS.
///
/// Each response has the server's [`Peer`](crate::Peer) in its extensions.
///
/// # Rotation
/// A connection [drains](crate::TlsStream::draining) if our credentials were replaced, if it is too old, or
/// if a certificate of the server's path expired. It gets no further requests. A request that starts after
/// [`Control::update`](crate::Control::update) has returned uses the new credentials, with every version of HTTP and any number of
/// concurrent requests.
///
/// Earlier requests finish on the old connection within the connector's drain time (30 s by default). So do
/// requests that wait there for the server's limit of concurrent streams. If an HTTP/2 server did not
/// process a request, according to its GOAWAY, the request is sent again unless its body was read.
///
/// ```no_run
/// use countersign::identity::SpiffeId;
/// use countersign::integration::hyper::Client;
/// use countersign::{Connector, Peer};
/// use hyper::Request;
///
/// # async fn call(connector: Connector<SpiffeId>) -> Result<(), Box<dyn std::error::Error>> {
/// let client = Client::new(connector);
/// let request = Request::get("https://orders.internal/").body(String::new())?;
/// let response = client.request(request).await?;
/// let server = response.extensions().get::<Peer<SpiffeId>>();
/// # Ok(())
/// # }
/// ```
#[doc(alias = "mtls")]
#[doc(alias = "https")]
pub struct Client<I, B> {
    pools: Arc<Pools<I, Unsent<B>>>,
}

impl<I, B> Client<I, B>
where
    I: Send + Sync + 'static,
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    /// A client with hyper-util's defaults.
    pub fn new(connector: Connector<I>) -> Self {
        let mut builder = legacy::Client::builder(TokioExecutor::new());
        builder
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new());
        Self::built_by(&builder, HttpsConnector::new(connector))
    }

    /// A client with your own settings.
    pub fn built_by(builder: &Builder, connector: HttpsConnector<I>) -> Self {
        Self {
            pools: Arc::new(Pools::new(builder.clone(), connector)),
        }
    }

    /// Sends a request to its `https` URI.
    ///
    /// # Errors
    /// hyper-util's error. If there was no connection, an [`HttpsError`](super::HttpsError) is among its
    /// sources. If the connection ends before the response, the request ends within about a second, or within a
    /// minute while new connections to the server are being made.
    ///
    /// # Cancel safety
    /// Dropping the future cancels the request. The server may have received it.
    pub async fn request(&self, request: Request<B>) -> Result<Response<Incoming>, Error> {
        /// Limits the attempts for a server that closes every connection.
        const ATTEMPTS: usize = 3;

        let (head, mut body) = request.into_parts();
        for _ in 1..ATTEMPTS {
            let pool = self.pools.to(&head.uri);
            if pool.is_http1() {
                let only = Request::from_parts(head, Unsent::new(body).0);
                return answer(&pool, only).await;
            }
            let (sent, kept) = Unsent::new(body);
            let attempt = Request::from_parts(head.clone(), sent);
            match answer(&pool, attempt).await {
                Err(error) if is_not_processed(&error) => match kept.take_back() {
                    Some(unsent) => body = unsent,
                    None => return Err(error),
                },
                answer => return answer,
            }
        }
        let pool = self.pools.to(&head.uri);
        let last = Request::from_parts(head, Unsent::new(body).0);
        answer(&pool, last).await
    }
}

/// The answer of hyper-util's client, or an error when the connection ended without one.
async fn answer<I, B>(
    pool: &Pool<I, B>,
    mut request: Request<B>,
) -> Result<Response<Incoming>, Error>
where
    I: Send + Sync + 'static,
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let connection = capture_connection(&mut request);
    let mut answer = pool.client.request(request);
    let mut ended = pin!(pool.ended_without_answer(connection));
    let first = poll_fn(|cx| match Pin::new(&mut answer).poll(cx) {
        Poll::Ready(answer) => Poll::Ready(Ok(answer)),
        Poll::Pending => ended.as_mut().poll(cx).map(Err),
    });
    match first.await {
        Ok(answer) => answer,
        Err(failure) => failure.into_error().await,
    }
}

impl<I, B> Service<Request<B>> for Client<I, B>
where
    I: Send + Sync + 'static,
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response<Incoming>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let client = self.clone();
        Box::pin(async move { client.request(request).await })
    }
}

impl<I, B> Clone for Client<I, B> {
    fn clone(&self) -> Self {
        Self {
            pools: Arc::clone(&self.pools),
        }
    }
}

impl<I, B> fmt::Debug for Client<I, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}
