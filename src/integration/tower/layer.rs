//! The layer that authorizes requests.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arc_swap::ArcSwap;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::request::Parts;
use http::{Request, Response, StatusCode, Version};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::RequestPolicy;
use crate::audit::{Action, AuditedRequest, Proof, Recorder};
use crate::integration::http::peer_in;
use crate::pki::contained::caught;
use crate::pki::text::{Escaped, Sentence};
use crate::{Acceptor, Peer};

/// A layer that authorizes each request by a [`RequestPolicy`].
///
/// A denied request gets the status 403; a denied gRPC call (HTTP/2 with a content type
/// `application/grpc`) gets `PERMISSION_DENIED`. The response has an empty body and no reason. The denial
/// is recorded by an event of `tracing` or of an acceptor's [audit trail](Self::audit), and passed to
/// [`on_denied`](Self::on_denied).
///
/// The layer needs the [`Peer`] in the request's extensions, where `hyper::Server` puts it. A request
/// without a peer is denied.
///
/// Clones share the policy and the settings.
///
/// ```
/// use countersign::identity::SpiffeId;
/// use countersign::integration::tower::{AuthorizeRequest, Denied, RequestRules};
/// use tower_layer::Layer as _;
///
/// # fn app(router: axum::Router, acceptor: &countersign::Acceptor<SpiffeId>) {
/// let authorize = AuthorizeRequest::new(RequestRules::<SpiffeId>::new())
///     .audit(acceptor)
///     .on_denied(|denied: &Denied<'_, SpiffeId>| eprintln!("{}: {}", denied.reason, denied.why));
/// let app = authorize.layer(router);
/// # }
/// ```
#[doc(alias = "rbac")]
#[doc(alias = "authorization")]
pub struct AuthorizeRequest<I> {
    policy: Arc<ArcSwap<Box<dyn RequestPolicy<I>>>>,
    recorder: Option<Arc<Recorder>>,
    on_denied: Option<OnDenied<I>>,
}

type OnDenied<I> = Arc<dyn Fn(&Denied<'_, I>) + Send + Sync>;

/// A denied request, for [`AuthorizeRequest::on_denied`].
///
/// ```
/// use countersign::identity::SpiffeId;
/// use countersign::integration::tower::Denied;
///
/// fn log(denied: &Denied<'_, SpiffeId>) {
///     let peer = denied.peer.map(|peer| peer.identity().to_string());
///     eprintln!("{:?} {} {}: {}", peer, denied.request.method, denied.request.uri.path(), denied.why);
/// }
/// ```
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Denied<'a, I> {
    /// A stable code for programs: `"denied"`, `"no_peer"`, `"policy_panicked"`.
    pub reason: &'static str,
    /// The cause, for people; with the names of the rules that denied.
    pub why: &'a str,
    /// The peer that sent it.
    pub peer: Option<&'a Peer<I>>,
    /// The request.
    pub request: &'a Parts,
}

impl<I: Send + Sync + 'static> AuthorizeRequest<I> {
    /// Authorizes by this policy: [`RequestRules`](super::RequestRules), a closure, or your own type.
    pub fn new(policy: impl RequestPolicy<I> + 'static) -> Self {
        Self {
            policy: Arc::new(ArcSwap::from_pointee(Box::new(policy))),
            recorder: None,
            on_denied: None,
        }
    }

    /// Records every denied request in this acceptor's [audit trail](crate::audit), and counts it there.
    /// Default: an event of `tracing` instead.
    pub fn audit(mut self, acceptor: &Acceptor<I>) -> Self {
        self.recorder = Some(Arc::clone(acceptor.control().recorder()));
        self
    }

    /// Sets a hook for denied requests. It runs on the request's task, so it must not block. Default: no
    /// hook.
    pub fn on_denied(mut self, hook: impl Fn(&Denied<'_, I>) + Send + Sync + 'static) -> Self {
        self.on_denied = Some(Arc::new(hook));
        self
    }

    /// Replaces the policy in all clones and their services. It applies from the next request on.
    pub fn set_policy(&self, policy: impl RequestPolicy<I> + 'static) {
        self.policy.store(Arc::new(Box::new(policy)));
    }

    fn is_allowed(&self, request: &Parts) -> bool {
        let Some(peer) = peer_in::<I>(&request.extensions) else {
            let why = "the request has no peer with this layer's type of identity: its connection was not accepted by an acceptor with that type";
            self.report("no_peer", why, None, request);
            return false;
        };
        let policy = self.policy.load();
        match caught(|| policy.authorize(peer, request)) {
            Some(decision) => match decision.reason() {
                None => true,
                Some(why) => {
                    self.report("denied", why, Some(peer), request);
                    false
                }
            },
            None => {
                let why = "the policy panicked (see its panic message)";
                self.report("policy_panicked", why, Some(peer), request);
                false
            }
        }
    }

    /// Reports a denial: the only place that does.
    fn report(&self, reason: &'static str, why: &str, peer: Option<&Peer<I>>, request: &Parts) {
        match &self.recorder {
            Some(recorder) => record(recorder, reason, why, peer, request),
            None => tracing::warn!(
                remote = ?peer.and_then(|peer| peer.connection().remote_addr()),
                certificate = peer.map(|peer| peer.certificate().to_string()),
                method = %Escaped(request.method.as_str()),
                path = %Sentence(request.uri.path()),
                reason,
                why = %Sentence(why),
                "request denied"
            ),
        }
        if let Some(hook) = &self.on_denied {
            let denied = Denied {
                reason,
                why,
                peer,
                request,
            };
            // The request is denied also if the hook panics.
            caught(|| hook(&denied));
        }
    }
}

fn record<I: 'static>(
    recorder: &Recorder,
    reason: &'static str,
    why: &str,
    peer: Option<&Peer<I>>,
    request: &Parts,
) {
    recorder.emit(Action::RequestDenied, Some(reason), |event| {
        event.detail = Some(why.to_owned());
        event.request = Some(AuditedRequest {
            method: request.method.to_string(),
            path: request.uri.path().to_owned(),
        });
        if let Some(peer) = peer {
            event.identity = recorder.identity(peer.identity(), Proof::Proven);
            event.info = peer.connection().clone();
            event.set_certificates(peer.chain().certificates());
        }
    });
}

impl<S, I> Layer<S> for AuthorizeRequest<I> {
    type Service = AuthorizedRequests<S, I>;

    fn layer(&self, inner: S) -> Self::Service {
        AuthorizedRequests {
            inner,
            layer: self.clone(),
        }
    }
}

/// A service that receives only allowed requests, made by [`AuthorizeRequest`].
///
/// ```
/// use countersign::identity::SpiffeId;
/// use countersign::integration::tower::{AuthorizeRequest, AuthorizedRequests};
/// use tower_layer::Layer as _;
///
/// fn wrap<S>(service: S, layer: &AuthorizeRequest<SpiffeId>) -> AuthorizedRequests<S, SpiffeId> {
///     layer.layer(service)
/// }
/// ```
pub struct AuthorizedRequests<S, I> {
    inner: S,
    layer: AuthorizeRequest<I>,
}

impl<S, I, B, R> Service<Request<B>> for AuthorizedRequests<S, I>
where
    S: Service<Request<B>, Response = Response<R>>,
    I: Send + Sync + 'static,
    R: Default,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (parts, body) = request.into_parts();
        ResponseFuture {
            is_grpc: is_grpc(&parts),
            allowed: self
                .layer
                .is_allowed(&parts)
                .then(|| self.inner.call(Request::from_parts(parts, body))),
        }
    }
}

pin_project! {
    /// The future of [`AuthorizedRequests`]: the response of the service, or the response to a denied
    /// request.
    ///
    /// ```
    /// use countersign::identity::SpiffeId;
    /// use countersign::integration::tower::{AuthorizedRequests, ResponseFuture};
    /// use http::{Request, Response};
    /// use tower_service::Service;
    ///
    /// fn call<S>(service: &mut AuthorizedRequests<S, SpiffeId>) -> ResponseFuture<S::Future>
    /// where
    ///     S: Service<Request<String>, Response = Response<String>>,
    /// {
    ///     service.call(Request::new(String::new()))
    /// }
    /// ```
    pub struct ResponseFuture<F> {
        #[pin]
        allowed: Option<F>,
        is_grpc: bool,
    }
}

impl<F, R, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: Default,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let is_grpc = self.is_grpc;
        match self.project().allowed.as_pin_mut() {
            Some(allowed) => allowed.poll(cx),
            None => Poll::Ready(Ok(denied(is_grpc))),
        }
    }
}

const GRPC: &str = "application/grpc";

/// Whether the client expects a gRPC status.
fn is_grpc(request: &Parts) -> bool {
    let content_type = request.headers.get(CONTENT_TYPE);
    let rest = content_type.and_then(|value| value.as_bytes().strip_prefix(GRPC.as_bytes()));
    request.version == Version::HTTP_2 && matches!(rest, Some([] | [b'+' | b';', ..]))
}

fn denied<R: Default>(is_grpc: bool) -> Response<R> {
    let mut denied = Response::new(R::default());
    if is_grpc {
        // "Trailers-Only": the HTTP status is 200, and headers have the gRPC status.
        const PERMISSION_DENIED: HeaderValue = HeaderValue::from_static("7");
        let headers = denied.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(GRPC));
        headers.insert("grpc-status", PERMISSION_DENIED);
    } else {
        *denied.status_mut() = StatusCode::FORBIDDEN;
    }
    denied
}

impl<I> Clone for AuthorizeRequest<I> {
    fn clone(&self) -> Self {
        Self {
            policy: Arc::clone(&self.policy),
            recorder: self.recorder.clone(),
            on_denied: self.on_denied.clone(),
        }
    }
}

impl<S: Clone, I> Clone for AuthorizedRequests<S, I> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            layer: self.layer.clone(),
        }
    }
}

impl<I: fmt::Debug> fmt::Debug for Denied<'_, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Denied")
            .field("reason", &self.reason)
            .field("why", &self.why)
            .field("peer", &self.peer)
            .field("method", &self.request.method)
            .field("path", &self.request.uri.path())
            .finish()
    }
}

impl<I> fmt::Debug for AuthorizeRequest<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorizeRequest").finish_non_exhaustive()
    }
}

impl<S: fmt::Debug, I> fmt::Debug for AuthorizedRequests<S, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorizedRequests")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

impl<F> fmt::Debug for ResponseFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture")
            .field("allowed", &self.allowed.is_some())
            .finish()
    }
}
