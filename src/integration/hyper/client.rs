//! hyper-util's client over mutual TLS.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::body::{Body, Incoming};
use hyper::{Request, Response};
use hyper_util::client::legacy::{self, Builder, Error};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tower_service::Service;

use super::HttpsConnector;
use super::line::Lines;
use super::unsent::{Unsent, is_not_processed};
use crate::Connector;

/// A client with a pool of connections: hyper-util's, over mutual TLS.
///
/// Each response has in its extensions the server's [`Peer`](crate::Peer).
///
/// A connection that is to [drain](crate::TlsStream::draining), because our credentials were replaced, it is
/// too old, or a certificate of the server's path expired, gets no further requests: a request that starts
/// after [`Connector::update`] has returned uses the new credentials, whatever version of HTTP and however
/// many start at once. Requests that were sent before finish on the old connection, for which they have the
/// connector's drain time (30 s by default). So do requests that HTTP/2 holds back on the old connection
/// because the server's limit of concurrent streams is reached. A request that an HTTP/2 server did not
/// process, as its GOAWAY says, is sent again while nothing of its body was read.
///
/// ```no_run
/// use countersign::identity::SpiffeId;
/// use countersign::integration::hyper::Client;
/// use countersign::{Connector, Peer};
/// use http_body_util::Empty;
/// use hyper::body::Bytes;
/// use hyper::Request;
///
/// # async fn call(connector: Connector<SpiffeId>) -> Result<(), Box<dyn std::error::Error>> {
/// let client = Client::new(connector);
/// let request = Request::get("https://orders.internal/").body(Empty::<Bytes>::new())?;
/// let response = client.request(request).await?;
/// let server = response.extensions().get::<Peer<SpiffeId>>();
/// # Ok(())
/// # }
/// ```
pub struct Client<I, B> {
    lines: Arc<Lines<I, Unsent<B>>>,
}

impl<I, B> Client<I, B>
where
    I: Send + Sync + 'static,
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    /// With hyper-util's defaults.
    pub fn new(connector: Connector<I>) -> Self {
        let mut builder = legacy::Client::builder(TokioExecutor::new());
        builder
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new());
        Self::built_by(&builder, HttpsConnector::new(connector))
    }

    /// With settings of your own.
    pub fn built_by(builder: &Builder, connector: HttpsConnector<I>) -> Self {
        Self {
            lines: Arc::new(Lines::new(builder.clone(), connector)),
        }
    }

    /// Sends a request to its `https` URI.
    ///
    /// # Errors
    /// hyper-util's error; where there was no connection, an [`HttpsError`](super::HttpsError) is
    /// among its sources.
    ///
    /// # Cancel safety
    /// Dropping the future cancels the request, which the server may have received.
    pub async fn request(&self, request: Request<B>) -> Result<Response<Incoming>, Error> {
        /// A server that closes every connection does not keep a request here.
        const ATTEMPTS: usize = 3;

        let (head, mut body) = request.into_parts();
        for _ in 1..ATTEMPTS {
            let (sent, kept) = Unsent::new(body);
            let line = self.lines.to(&head.uri);
            let attempt = Request::from_parts(head.clone(), sent);
            match line.client.request(attempt).await {
                Err(error) if is_not_processed(&error) => match kept.take_back() {
                    Some(unsent) => body = unsent,
                    None => return Err(error),
                },
                answer => return answer,
            }
        }
        let line = self.lines.to(&head.uri);
        let last = Request::from_parts(head, Unsent::new(body).0);
        line.client.request(last).await
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
            lines: Arc::clone(&self.lines),
        }
    }
}

impl<I, B> fmt::Debug for Client<I, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}
