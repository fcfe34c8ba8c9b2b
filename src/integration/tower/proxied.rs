//! The identity of a request's client, by the word of a proxy, as a layer.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Request, Response};
use tower_layer::Layer;
use tower_service::Service;

use super::denial::forbidden;
use crate::integration::http::ProxiedIdentity;

impl<S, I> Layer<S> for ProxiedIdentity<I> {
    type Service = ProxiedRequests<S, I>;

    fn layer(&self, inner: S) -> Self::Service {
        ProxiedRequests {
            inner,
            proxied: self.clone(),
        }
    }
}

/// A service whose requests have the peer that their proxy vouches for, made by [`ProxiedIdentity`].
///
/// ```
/// use countersign::identity::SpiffeId;
/// use countersign::integration::http::ProxiedIdentity;
/// use countersign::integration::tower::{AuthorizeRequest, AuthorizedRequests, ProxiedRequests};
/// use tower_layer::Layer as _;
///
/// /// Who may send which request is decided about the client, and not about the proxy.
/// fn wrap<S>(
///     service: S,
///     proxied: &ProxiedIdentity<SpiffeId>,
///     authorize: &AuthorizeRequest<SpiffeId>,
/// ) -> ProxiedRequests<AuthorizedRequests<S, SpiffeId>, SpiffeId> {
///     proxied.layer(authorize.layer(service))
/// }
/// ```
pub struct ProxiedRequests<S, I> {
    inner: S,
    proxied: ProxiedIdentity<I>,
}

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl<S, I, B, R> Service<Request<B>> for ProxiedRequests<S, I>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    I: Send + Sync + 'static,
    B: Send + 'static,
    R: Default,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let proxied = self.proxied.clone();
        // The service that is ready is the one that is called.
        let next = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, next);
        Box::pin(async move {
            let (mut parts, body) = request.into_parts();
            match proxied.identify(&mut parts).await {
                Ok(_) => inner.call(Request::from_parts(parts, body)).await,
                Err(_) => Ok(forbidden(&parts)),
            }
        })
    }
}

impl<S: Clone, I> Clone for ProxiedRequests<S, I> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            proxied: self.proxied.clone(),
        }
    }
}

impl<S: fmt::Debug, I> fmt::Debug for ProxiedRequests<S, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProxiedRequests")
            .field("inner", &self.inner)
            .field("proxied", &self.proxied)
            .finish()
    }
}
