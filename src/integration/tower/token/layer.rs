//! The layer that requires a bound token.

use std::fmt;
use std::marker::PhantomData;
use std::mem;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::{HeaderValue, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{Request, Response, StatusCode};
use tower_layer::Layer;
use tower_service::Service;

use super::authorization::{Unusable, bearer};
use super::{CertificateBinding, ProofOfPossession, TokenError, TokenVerifier};
use crate::Acceptor;
use crate::audit::Recorder;
use crate::diagnostic::Diagnostic as _;
use crate::integration::http::peer_in;
use crate::integration::tower::layer::record_denied;

/// A layer that requires an access token which is bound to the peer's certificate (RFC 8705 section 3).
///
/// A request without a token gets the status 401 and `WWW-Authenticate: Bearer`; one whose token is not
/// valid, not bound, or bound to another certificate, 401 with `error="invalid_token"`; one whose
/// `Authorization` header is repeated or malformed, 400 with `error="invalid_request"` (RFC 6750
/// section 3.1); 503 if the verifier is not available. The body is empty. Each is recorded with its reason.
///
/// The layer needs the [`Peer`](crate::Peer) in the request's extensions, where `hyper::Server` puts it. Behind a
/// trusted proxy, that is the peer that the proxy vouches for. The service finds the claims as
/// [`BoundClaims`] in the request's extensions.
///
/// Only the header `Authorization` is read, not the query and not a form (RFC 9700 section 4.3.2).
///
/// ```
/// use countersign::identity::SpiffeId;
/// use countersign::integration::tower::{BoundToken, Confirmation, TokenError, VerifiedToken};
/// use tower_layer::Layer as _;
///
/// struct Claims {
///     subject: String,
/// }
///
/// /// Verifies the token's signature, issuer, audience and time, for example with `jsonwebtoken`.
/// fn verify(token: &str) -> Result<VerifiedToken<Claims>, TokenError> {
/// #   let decode = |_: &str| Err::<(String, String), _>("no");
///     let (subject, thumbprint) = decode(token).map_err(|_| TokenError::invalid("bad signature"))?;
///     let claims = Claims { subject };
///     Ok(VerifiedToken::new(claims, Some(Confirmation::certificate(thumbprint))))
/// }
///
/// # fn app(router: axum::Router) {
/// // Handlers find the claims in the request's extensions: `Extension<BoundClaims<Claims>>` in axum.
/// let app = BoundToken::<SpiffeId, _>::new(verify).layer(router);
/// # }
/// ```
#[doc(alias = "oauth")]
#[doc(alias = "jwt")]
#[doc(alias = "cnf")]
pub struct BoundToken<I, V, P = CertificateBinding> {
    shared: Arc<Shared<V, P>>,
    recorder: Option<Arc<Recorder>>,
    challenge: Arc<str>,
    identity: PhantomData<fn(I)>,
}

struct Shared<V, P> {
    verifier: V,
    proof: P,
}

impl<I, V> BoundToken<I, V> {
    /// Requires a token that this verifier accepts and that is bound to the peer's certificate.
    pub fn new(verifier: V) -> Self {
        Self::with_proof(verifier, CertificateBinding::default())
    }
}

impl<I, V, P> BoundToken<I, V, P> {
    /// As [`new`](BoundToken::new), with another proof that a request comes from the token's owner.
    pub fn with_proof(verifier: V, proof: P) -> Self {
        Self {
            shared: Arc::new(Shared { verifier, proof }),
            recorder: None,
            challenge: Arc::from("Bearer"),
            identity: PhantomData,
        }
    }

    /// Records every refused request in this acceptor's [audit trail](crate::audit), and counts it there.
    /// Default: an event of `tracing` instead.
    #[must_use]
    pub fn audit(mut self, acceptor: &Acceptor<I>) -> Self
    where
        I: Send + Sync + 'static,
    {
        self.recorder = Some(Arc::clone(acceptor.control().recorder()));
        self
    }

    /// Adds `resource_metadata` to the challenge (RFC 9728 section 5.1): where a client finds the
    /// authorization server of this resource. Clients of the Model Context Protocol need it. Default: none.
    ///
    /// Characters that a quoted string may not have (`"`, `\`, control characters, those outside ASCII) are
    /// percent-encoded.
    #[must_use]
    pub fn resource_metadata(mut self, url: &str) -> Self {
        let mut quoted = String::with_capacity(url.len());
        for byte in url.bytes() {
            match byte {
                b'"' | b'\\' | ..b' ' | 0x7f.. => quoted.push_str(&format!("%{byte:02X}")),
                _ => quoted.push(char::from(byte)),
            }
        }
        self.challenge = format!("Bearer resource_metadata=\"{quoted}\"").into();
        self
    }

    /// The response to a refused request.
    fn refused<R: Default>(&self, refusal: Refusal) -> Response<R> {
        let mut response = Response::new(R::default());
        let (status, error) = match refusal {
            Refusal::NoToken => (StatusCode::UNAUTHORIZED, None),
            Refusal::InvalidRequest => (StatusCode::BAD_REQUEST, Some("invalid_request")),
            Refusal::InvalidToken => (StatusCode::UNAUTHORIZED, Some("invalid_token")),
            Refusal::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, None),
            Refusal::NoPeer => (StatusCode::FORBIDDEN, None),
        };
        *response.status_mut() = status;
        if matches!(refusal, Refusal::Unavailable | Refusal::NoPeer) {
            return response;
        }
        let separator = if self.challenge.contains('=') {
            ", "
        } else {
            " "
        };
        let challenge = match error {
            None => self.challenge.to_string(),
            Some(error) => format!("{}{separator}error=\"{error}\"", self.challenge),
        };
        if let Ok(challenge) = HeaderValue::try_from(challenge) {
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

/// Why a request is refused, as far as the client learns it.
#[derive(Clone, Copy)]
enum Refusal {
    NoPeer,
    NoToken,
    InvalidRequest,
    InvalidToken,
    Unavailable,
}

impl<I, V, P> BoundToken<I, V, P>
where
    I: Send + Sync + 'static,
    V: TokenVerifier,
    P: ProofOfPossession<I, V::Claims>,
{
    /// The claims of the request's token.
    async fn check(&self, request: &Parts) -> Result<V::Claims, Refusal> {
        let peer = peer_in::<I>(&request.extensions);
        let refuse = |refusal, reason, why: &str| {
            record_denied(self.recorder.as_deref(), reason, why, peer, request);
            refusal
        };
        let Some(owner) = peer else {
            let why = "the request has no peer with this layer's type of identity: its connection was not accepted by an acceptor with that type";
            return Err(refuse(Refusal::NoPeer, "no_peer", why));
        };
        let token = match bearer(&request.headers) {
            Ok(token) => token,
            Err(Unusable::Missing) => {
                let why = "the request has no bearer token in its Authorization header";
                return Err(refuse(Refusal::NoToken, "no_token", why));
            }
            Err(Unusable::Malformed(why)) => {
                return Err(refuse(Refusal::InvalidRequest, "token_malformed", why));
            }
        };
        let token = match self.shared.verifier.verify(token).await {
            Ok(token) => token,
            Err(error) => {
                let refusal = match error {
                    TokenError::Unavailable { .. } => Refusal::Unavailable,
                    _ => Refusal::InvalidToken,
                };
                return Err(refuse(refusal, error.reason(), &error.cause()));
            }
        };
        match self.shared.proof.check(owner, request, &token) {
            Ok(()) => Ok(token.into_claims()),
            Err(error) => Err(refuse(
                Refusal::InvalidToken,
                error.reason(),
                &error.cause(),
            )),
        }
    }
}

/// What the request's token says, in its extensions.
///
/// ```
/// use countersign::integration::tower::BoundClaims;
/// use http::Request;
///
/// struct Claims {
///     scope: String,
/// }
///
/// fn may_write<B>(request: &Request<B>) -> bool {
///     let claims = request.extensions().get::<BoundClaims<Claims>>();
///     claims.is_some_and(|claims| claims.scope.split(' ').any(|scope| scope == "write"))
/// }
/// ```
#[derive(Debug)]
pub struct BoundClaims<C>(Arc<C>);

impl<C> Deref for BoundClaims<C> {
    type Target = C;

    fn deref(&self) -> &C {
        &self.0
    }
}

impl<C> Clone for BoundClaims<C> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S, I, V, P> Layer<S> for BoundToken<I, V, P> {
    type Service = BoundTokenService<S, I, V, P>;

    fn layer(&self, inner: S) -> Self::Service {
        BoundTokenService {
            inner,
            layer: self.clone(),
        }
    }
}

/// A service that receives only requests with a bound token, made by [`BoundToken`].
///
/// ```
/// use countersign::identity::SpiffeId;
/// use countersign::integration::tower::{BoundToken, BoundTokenService};
/// use tower_layer::Layer as _;
///
/// fn wrap<S, V>(service: S, layer: &BoundToken<SpiffeId, V>) -> BoundTokenService<S, SpiffeId, V> {
///     layer.layer(service)
/// }
/// ```
pub struct BoundTokenService<S, I, V, P = CertificateBinding> {
    inner: S,
    layer: BoundToken<I, V, P>,
}

impl<S, I, V, P, B, R> Service<Request<B>> for BoundTokenService<S, I, V, P>
where
    S: Service<Request<B>, Response = Response<R>, Future: Send> + Clone + Send + 'static,
    I: Send + Sync + 'static,
    V: TokenVerifier + 'static,
    P: ProofOfPossession<I, V::Claims> + 'static,
    B: Send + 'static,
    R: Default,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<R>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let clone = self.inner.clone();
        // The service that is ready, not its clone.
        let mut inner = mem::replace(&mut self.inner, clone);
        let layer = self.layer.clone();
        Box::pin(async move {
            let (mut parts, body) = request.into_parts();
            match layer.check(&parts).await {
                Ok(claims) => {
                    parts.extensions.insert(BoundClaims(Arc::new(claims)));
                    inner.call(Request::from_parts(parts, body)).await
                }
                Err(refusal) => Ok(layer.refused(refusal)),
            }
        })
    }
}

impl<I, V, P> Clone for BoundToken<I, V, P> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            recorder: self.recorder.clone(),
            challenge: Arc::clone(&self.challenge),
            identity: PhantomData,
        }
    }
}

impl<S: Clone, I, V, P> Clone for BoundTokenService<S, I, V, P> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            layer: self.layer.clone(),
        }
    }
}

impl<I, V, P> fmt::Debug for BoundToken<I, V, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoundToken")
            .field("challenge", &self.challenge)
            .finish_non_exhaustive()
    }
}

impl<S: fmt::Debug, I, V, P> fmt::Debug for BoundTokenService<S, I, V, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoundTokenService")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}
