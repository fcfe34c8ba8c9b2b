//! The path of a request: rate, rules, limits, upstream.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::error::Error;
use std::iter::successors;
use std::sync::Arc;

use countersign::Peer;
use countersign::integration::http::{ProxiedIdentity, peer_in};
use countersign::integration::hyper::RequestBody as Received;
use countersign::integration::tower::{RequestPolicy as _, RequestRules};
use http::header::{ACCEPT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{Full, LengthLimitError};
use hyper::body::{Body as _, Incoming};
use hyper_util::client::legacy;
use tokio::time::timeout;
use tower::Service;

use super::BoxError;
use super::audit::{Audit, Entry};
use super::body::{RequestBody, ResponseBody};
use super::config::{Config, Limits};
use super::headers::{strip_addressing, strip_hop_by_hop};
use super::limits::RateLimits;
use super::model::{BodyFacts, ModelRequest};
use super::upstream::Upstream;
use super::usage::UsageTap;
use crate::options::{AllowList, Identity};
use crate::terminal::Failure;

/// The state that requests share.
pub(super) struct Forwarder {
    rules: RequestRules<Identity>,
    /// By the rule's name.
    routes: BTreeMap<Arc<str>, Target>,
    /// The proxies that vouch for clients.
    proxied: Option<ProxiedIdentity<Identity>>,
    rates: RateLimits,
    limits: Limits,
    audit: Audit,
}

/// What happens to the requests of a route.
struct Target {
    route: Arc<str>,
    upstream_name: Arc<str>,
    upstream: Arc<Upstream>,
    reads_body: bool,
    usage: bool,
}

/// Why the gateway does not forward a request, or has no response.
struct Refused {
    status: StatusCode,
    /// For the audit.
    reason: String,
    /// For the client.
    code: Option<&'static str>,
    retry_after: Option<u64>,
}

pub(super) fn service(
    forwarder: Arc<Forwarder>,
) -> impl Service<Request<Received>, Response = Response<ResponseBody>, Error = Infallible, Future: Send>
+ Clone {
    tower::service_fn(move |request| {
        let forwarder = Arc::clone(&forwarder);
        async move { Ok(forwarder.respond(request).await) }
    })
}

impl Forwarder {
    pub(super) fn new(
        config: &Config,
        upstreams: BTreeMap<String, Upstream>,
        proxied: Option<ProxiedIdentity<Identity>>,
        audit: Audit,
    ) -> Result<Self, Failure> {
        let mut rules = RequestRules::new();
        let mut routes = BTreeMap::new();
        let upstreams: BTreeMap<Arc<str>, Arc<Upstream>> = upstreams
            .into_iter()
            .map(|(name, upstream)| (name.into(), Arc::new(upstream)))
            .collect();
        for route in &config.routes {
            let name = &route.name;
            let at = |error: Failure| error.at(format_args!("routes: {name}"));
            let Some((upstream_name, upstream)) = upstreams.get_key_value(&*route.upstream) else {
                let problem = format!("no upstream is called {}", route.upstream);
                return Err(at(problem.into()));
            };
            let target = Target {
                route: Arc::from(&**name),
                upstream_name: Arc::clone(upstream_name),
                upstream: Arc::clone(upstream),
                reads_body: route.reads_body(),
                usage: route.usage,
            };
            let before = routes.insert(Arc::clone(&target.route), target);
            if before.is_some() {
                return Err(at("two routes have this name".into()));
            }
            let who = AllowList::parse_option("who", config.tls.identity, &route.who);
            let methods = route.methods.iter().map(|method| method.parse::<Method>());
            let methods = methods.collect::<Result<Vec<_>, _>>();
            let methods = methods.map_err(|error| at(error.into()))?;
            if methods.contains(&Method::CONNECT) {
                return Err(at("CONNECT cannot be forwarded".into()));
            }
            let conditions = route.conditions().map_err(at)?;
            rules = rules
                .allow_if(
                    name.clone(),
                    who.map_err(|error| at(error.into()))?,
                    methods,
                    &route.path,
                    conditions,
                )
                .map_err(|error| at(error.into()))?;
        }
        Ok(Self {
            rules,
            routes,
            proxied,
            rates: RateLimits::new(config.limits.rate),
            limits: config.limits.clone(),
            audit,
        })
    }

    pub(super) fn tidy(&self) {
        self.rates.tidy();
    }

    async fn respond(&self, request: Request<Received>) -> Response<ResponseBody> {
        let (mut parts, body) = request.into_parts();
        let identified = match &self.proxied {
            Some(proxied) => proxied.identify(&mut parts).await.map(drop),
            None => Ok(()),
        };
        let peer = peer_in::<Identity>(&parts.extensions).cloned();
        let mut entry = Entry::new(&parts, peer.as_ref(), &self.audit);
        let response = match (identified, peer) {
            (Ok(()), Some(peer)) => self.forward_request(parts, body, &peer, &mut entry).await,
            (Ok(()), None) => Err(Refused::with(StatusCode::FORBIDDEN, "no peer")),
            (Err(error), _) => Err(Refused::with(StatusCode::FORBIDDEN, error.reason())),
        };
        match response {
            Ok(response) => {
                entry.responded(response.status());
                let limit = self.limits.max_response_body;
                let usage = entry.reads_usage.then(|| UsageTap::new(response.headers()));
                let usage = match usage {
                    Some(Err(why)) => {
                        entry.usage_missing = Some(why);
                        None
                    }
                    usage => usage.and_then(Result::ok),
                };
                response.map(|body| ResponseBody::upstream(body, limit, usage, entry))
            }
            Err(refused) => refused.into_response(entry),
        }
    }

    async fn forward_request(
        &self,
        mut parts: http::request::Parts,
        body: Received,
        peer: &Peer<Identity>,
        entry: &mut Entry,
    ) -> Result<Response<Incoming>, Refused> {
        const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

        // First, so that denied requests count, too.
        self.rates
            .check(peer.identity())
            .map_err(Refused::too_many)?;
        // RFC 9112 section 3.2: an invalid target is not forwarded, and only ASCII is valid. The rules look at the path
        // only. There are servers that read 0x85 and 0xA0 as the space at the end of the target.
        if parts.uri.query().is_some_and(|query| !query.is_ascii()) {
            let reason = "the query has a character outside ASCII";
            return Err(Refused::with(StatusCode::BAD_REQUEST, reason));
        }
        // First, so that the rules see the headers that the upstream gets, and so that a `Connection` header
        // cannot name a header of the gateway.
        strip_hop_by_hop(&mut parts.headers);
        parts.extensions.insert(BodyFacts::Unread);
        let limit = self.limits.max_request_body;
        let is_too_large = body.size_hint().lower() > limit as u64;
        let mut body = RequestBody::new(body, limit);
        let mut target = self.target(&parts, peer, entry)?;
        if target.reads_body {
            if is_too_large {
                return Err(Refused::too_large());
            }
            let read = timeout(self.limits.answer, body.read()).await;
            let read = read
                .map_err(|_| Refused::with(StatusCode::REQUEST_TIMEOUT, "the body is late"))?
                .map_err(Refused::unread)?;
            let found = ModelRequest::read(&parts.headers, &read);
            let code = match &found {
                Ok(found) => {
                    entry.model = Some(found.model.clone());
                    "model_not_allowed"
                }
                Err(_) => "invalid_model_request",
            };
            parts.extensions.insert(BodyFacts::Read(found));
            // The rules decide again, by the same peer and head, and by the model.
            target = self
                .target(&parts, peer, entry)
                .map_err(|refused| refused.code(code))?;
            body = RequestBody::Whole(Full::new(read));
        }
        let upstream = &target.upstream;
        entry.upstream = Some(Arc::clone(&target.upstream_name));
        if is_too_large {
            return Err(Refused::too_large());
        }

        strip_addressing(&mut parts.headers);
        upstream
            .set_headers(&mut parts.headers, peer)
            .map_err(|why| Refused::with(StatusCode::FORBIDDEN, why))?;
        if target.usage {
            // The usage of an encoded response cannot be read.
            let identity = HeaderValue::from_static("identity");
            parts.headers.insert(ACCEPT_ENCODING, identity);
            entry.reads_usage = true;
        }
        if let Some(remote) = peer.connection().remote_addr() {
            let address = HeaderValue::try_from(remote.ip().to_string());
            let address = address
                .map_err(|error| Refused::with(StatusCode::BAD_GATEWAY, &error.to_string()))?;
            parts.headers.insert(X_FORWARDED_FOR, address);
        }
        let mut request = Request::new(body);
        *request.method_mut() = parts.method;
        *request.uri_mut() = parts.uri;
        *request.headers_mut() = parts.headers;

        let time = self.limits.connect + self.limits.answer;
        let mut response = timeout(time, upstream.send(request))
            .await
            .map_err(|_| Refused::with(StatusCode::GATEWAY_TIMEOUT, "the upstream is late"))?
            .map_err(Refused::by_upstream)?;
        if let Some(limit) = self.limits.max_response_body
            && response.body().size_hint().lower() > limit as u64
        {
            let reason = "the response is too large";
            return Err(Refused::with(StatusCode::BAD_GATEWAY, reason));
        }
        strip_hop_by_hop(response.headers_mut());
        Ok(response)
    }

    /// The target of the rule that allows a request.
    fn target(
        &self,
        parts: &http::request::Parts,
        peer: &Peer<Identity>,
        entry: &mut Entry,
    ) -> Result<&Target, Refused> {
        let decision = self.rules.authorize(peer, parts);
        // That of an earlier decision does not count any more.
        entry.route = None;
        let Some(rule) = decision.rule() else {
            let reason = decision.reason().unwrap_or_default();
            return Err(Refused::with(StatusCode::FORBIDDEN, reason));
        };
        let target = self.routes.get(rule);
        let target = target.ok_or_else(|| Refused::with(StatusCode::BAD_GATEWAY, "no route"))?;
        entry.route = Some(Arc::clone(&target.route));
        Ok(target)
    }
}

impl Refused {
    fn with(status: StatusCode, reason: &str) -> Self {
        Self {
            status,
            reason: reason.to_owned(),
            code: None,
            retry_after: None,
        }
    }

    fn too_many(seconds: u64) -> Self {
        Self {
            retry_after: Some(seconds),
            ..Self::with(StatusCode::TOO_MANY_REQUESTS, "rate limit")
        }
    }

    fn too_large() -> Self {
        Self::with(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large")
    }

    fn code(self, code: &'static str) -> Self {
        Self {
            code: Some(code),
            ..self
        }
    }

    fn unread(error: BoxError) -> Self {
        if error.is::<LengthLimitError>() {
            return Self::too_large();
        }
        Self::with(StatusCode::BAD_REQUEST, &error.to_string())
    }

    fn by_upstream(error: legacy::Error) -> Self {
        let first: &(dyn Error + 'static) = &error;
        let causes: Vec<_> = successors(Some(first), |&error| error.source()).collect();
        if causes.iter().any(|cause| cause.is::<LengthLimitError>()) {
            return Self::too_large();
        }
        let causes: Vec<_> = causes.iter().map(ToString::to_string).collect();
        Self::with(StatusCode::BAD_GATEWAY, &causes.join(": "))
    }

    /// The client gets the status only, and a code in the form of OpenAI's API.
    fn into_response(self, mut entry: Entry) -> Response<ResponseBody> {
        entry.responded(self.status);
        entry.reason = Some(self.reason);
        let text = self.status.canonical_reason().unwrap_or_default();
        let text = match self.code {
            None => serde_json::json!({ "error": text }),
            Some(code) => serde_json::json!({
                "error": { "message": text, "type": "invalid_request_error", "param": null, "code": code }
            }),
        };
        let text = text.to_string();
        let mut response = Response::new(ResponseBody::own(text, entry));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
