//! The layer that authorizes requests.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arc_swap::ArcSwap;
use http::request::Parts;
use http::{Request, Response};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::RequestPolicy;
use super::denial::{DenialResponse, Forbidden};
use super::mcp::McpRequest;
use crate::audit::{Action, AuditEvent, AuditedRequest, Recorder};
use crate::integration::http::peer_in;
use crate::pki::contained::caught;
use crate::pki::text::{Escaped, Sentence};
use crate::{Acceptor, Peer};

/// A layer that authorizes each request by a [`RequestPolicy`].
///
/// A denied request gets the status 403; a denied gRPC call (HTTP/2 with a content type
/// `application/grpc`) gets `PERMISSION_DENIED`. The response has an empty body and no reason; the
/// application can make [its own](Self::respond). The denial is recorded by an event of `tracing` or of an
/// acceptor's [audit trail](Self::audit), and passed to [`on_denied`](Self::on_denied).
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
pub struct AuthorizeRequest<I, D = Forbidden> {
    policy: Arc<ArcSwap<Box<dyn RequestPolicy<I>>>>,
    recorder: Option<Arc<Recorder>>,
    audits_allowed: bool,
    on_denied: Option<OnDenied<I>>,
    denial: D,
}

type OnDenied<I> = Arc<dyn Fn(&Denied<'_, I>) + Send + Sync>;

/// A denied request, for [`AuthorizeRequest::on_denied`] and [`AuthorizeRequest::respond`].
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
            audits_allowed: false,
            on_denied: None,
            denial: Forbidden,
        }
    }
}

impl<I: Send + Sync + 'static, D> AuthorizeRequest<I, D> {
    /// Records every denied request in this acceptor's [audit trail](crate::audit), and counts it there.
    /// Default: an event of `tracing` instead.
    pub fn audit(mut self, acceptor: &Acceptor<I>) -> Self {
        self.recorder = Some(Arc::clone(acceptor.control().recorder()));
        self
    }

    /// Records allowed requests too, as [`Action::RequestAllowed`] with the rule that allowed them.
    /// Default: only denied requests. Without [`audit`](Self::audit), it has no effect.
    #[must_use]
    pub fn audit_allowed(mut self) -> Self {
        self.audits_allowed = true;
        self
    }

    /// Sets the response to a denied request, such as one with a problem document (RFC 9457). Default:
    /// [`Forbidden`].
    ///
    /// The function runs on the request's task, so it must not block. The request is denied also if it
    /// panics: the panic goes on to the server, which closes the connection.
    ///
    /// ```
    /// use axum::body::Body;
    /// use countersign::identity::SpiffeId;
    /// use countersign::integration::tower::{AuthorizeRequest, Denied, RequestRules};
    /// use http::{Response, StatusCode, header};
    ///
    /// let problem = |_: &Denied<'_, SpiffeId>| {
    ///     let mut response = Response::new(Body::from(r#"{"title":"Forbidden","status":403}"#));
    ///     *response.status_mut() = StatusCode::FORBIDDEN;
    ///     let kind = header::HeaderValue::from_static("application/problem+json");
    ///     response.headers_mut().insert(header::CONTENT_TYPE, kind);
    ///     response
    /// };
    /// let authorize = AuthorizeRequest::new(RequestRules::<SpiffeId>::new()).respond(problem);
    /// # let _ = authorize;
    /// ```
    ///
    /// # Security
    /// [`Denied::why`] has the names of rules. A peer does not need them.
    pub fn respond<F>(self, response: F) -> AuthorizeRequest<I, F> {
        AuthorizeRequest {
            policy: self.policy,
            recorder: self.recorder,
            audits_allowed: self.audits_allowed,
            on_denied: self.on_denied,
            denial: response,
        }
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

    /// Whether a request is allowed; if not, the response to it.
    fn authorize<R>(&self, request: &Parts) -> Result<(), Response<R>>
    where
        D: DenialResponse<I, R>,
    {
        let Some(peer) = peer_in::<I>(&request.extensions) else {
            let why = "the request has no peer with this layer's type of identity: its connection was not accepted by an acceptor with that type";
            return Err(self.deny("no_peer", why, None, request));
        };
        let policy = self.policy.load();
        let Some(decision) = caught(|| policy.authorize(peer, request)) else {
            let why = "the policy panicked (see its panic message)";
            return Err(self.deny("policy_panicked", why, Some(peer), request));
        };
        match decision.into_result() {
            Ok(rule) => {
                if self.audits_allowed
                    && let Some(recorder) = &self.recorder
                {
                    recorder.emit(Action::RequestAllowed, None, |event| {
                        event.rule = Some(rule);
                        describe(event, recorder, Some(peer), request);
                    });
                }
                Ok(())
            }
            Err(why) => Err(self.deny("denied", &why, Some(peer), request)),
        }
    }

    /// Records a denial, and makes the response: the only place that does.
    fn deny<R>(
        &self,
        reason: &'static str,
        why: &str,
        peer: Option<&Peer<I>>,
        request: &Parts,
    ) -> Response<R>
    where
        D: DenialResponse<I, R>,
    {
        record_denied(self.recorder.as_deref(), reason, why, peer, request);
        let denied = Denied {
            reason,
            why,
            peer,
            request,
        };
        if let Some(hook) = &self.on_denied {
            // The request is denied also if the hook panics.
            caught(|| hook(&denied));
        }
        self.denial.respond(&denied)
    }
}

/// Records a denied request in the audit trail, or else as an event of `tracing`.
pub(super) fn record_denied<I: 'static>(
    recorder: Option<&Recorder>,
    reason: &'static str,
    why: &str,
    peer: Option<&Peer<I>>,
    request: &Parts,
) {
    match recorder {
        Some(recorder) => recorder.emit(Action::RequestDenied, Some(reason), |event| {
            event.detail = Some(why.to_owned());
            describe(event, recorder, peer, request);
        }),
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
}

/// Fills in the request and its peer.
fn describe<I: 'static>(
    event: &mut AuditEvent,
    recorder: &Recorder,
    peer: Option<&Peer<I>>,
    request: &Parts,
) {
    let mcp = McpRequest::claimed(&request.headers);
    let (mcp_method, mcp_name) = mcp.map(|mcp| (mcp.method, mcp.name)).unzip();
    event.request = Some(AuditedRequest {
        method: request.method.to_string(),
        path: request.uri.path().to_owned(),
        mcp_method,
        mcp_name: mcp_name.flatten(),
    });
    if let Some(peer) = peer {
        recorder.show_peer(event, peer);
    }
}

impl<S, I, D: Clone> Layer<S> for AuthorizeRequest<I, D> {
    type Service = AuthorizedRequests<S, I, D>;

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
pub struct AuthorizedRequests<S, I, D = Forbidden> {
    inner: S,
    layer: AuthorizeRequest<I, D>,
}

impl<S, I, D, B, R> Service<Request<B>> for AuthorizedRequests<S, I, D>
where
    S: Service<Request<B>, Response = Response<R>>,
    I: Send + Sync + 'static,
    D: DenialResponse<I, R>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (parts, body) = request.into_parts();
        match self.layer.authorize(&parts) {
            Ok(()) => ResponseFuture {
                allowed: Some(self.inner.call(Request::from_parts(parts, body))),
                denied: None,
            },
            Err(denied) => ResponseFuture {
                allowed: None,
                denied: Some(denied),
            },
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
    /// fn call<S>(service: &mut AuthorizedRequests<S, SpiffeId>) -> ResponseFuture<S::Future, String>
    /// where
    ///     S: Service<Request<String>, Response = Response<String>>,
    /// {
    ///     service.call(Request::new(String::new()))
    /// }
    /// ```
    pub struct ResponseFuture<F, R> {
        #[pin]
        allowed: Option<F>,
        denied: Option<Response<R>>,
    }
}

impl<F, R, E> Future for ResponseFuture<F, R>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        match this.allowed.as_pin_mut() {
            Some(allowed) => allowed.poll(cx),
            None => match this.denied.take() {
                Some(denied) => Poll::Ready(Ok(denied)),
                None => Poll::Pending, // polled again after its result
            },
        }
    }
}

impl<I, D: Clone> Clone for AuthorizeRequest<I, D> {
    fn clone(&self) -> Self {
        Self {
            policy: Arc::clone(&self.policy),
            recorder: self.recorder.clone(),
            audits_allowed: self.audits_allowed,
            denial: self.denial.clone(),
            on_denied: self.on_denied.clone(),
        }
    }
}

impl<S: Clone, I, D: Clone> Clone for AuthorizedRequests<S, I, D> {
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

impl<I, D> fmt::Debug for AuthorizeRequest<I, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorizeRequest").finish_non_exhaustive()
    }
}

impl<S: fmt::Debug, I, D> fmt::Debug for AuthorizedRequests<S, I, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorizedRequests")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

impl<F, R> fmt::Debug for ResponseFuture<F, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture")
            .field("allowed", &self.allowed.is_some())
            .finish()
    }
}
