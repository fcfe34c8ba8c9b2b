//! The path of a local client's request to one server.

use std::error::Error;
use std::iter::successors;

use http::header::{CONTENT_TYPE, HOST, HeaderValue, ORIGIN};
use http::{Method, Request, Response, StatusCode};
use http_body_util::LengthLimitError;
use hyper::body::{Body as _, Incoming};
use tokio::time::timeout;

use super::audit::{Audit, Entry};
use super::body::{RequestBody, ResponseBody};
use super::config::{self, Forward, Limits};
use super::headers::{strip_addressing, strip_hop_by_hop};
use super::upstream::Upstream;
use crate::gateway::egress::is_local;
use crate::terminal::Failure;

/// Forwards to one server.
pub struct Egress {
    upstream: Upstream,
    limits: Limits,
    audit: Audit,
}

impl Egress {
    pub async fn new(
        upstream: &config::Upstream,
        limits: Limits,
        audit: Audit,
    ) -> Result<Self, Failure> {
        let forward = Forward::default().headers()?;
        Ok(Self {
            upstream: Upstream::new(upstream, forward, &limits).await?,
            limits,
            audit,
        })
    }

    pub async fn respond(&self, request: Request<Incoming>) -> Response<ResponseBody> {
        let (parts, body) = request.into_parts();
        let mut entry = Entry::local(&parts, &self.audit);
        match self.forward(parts, body).await {
            Ok(response) => {
                entry.responded(response.status());
                let limit = self.limits.max_response_body;
                response.map(|body| ResponseBody::upstream(body, limit, None, entry))
            }
            Err((status, reason)) => {
                entry.responded(status);
                entry.reason = Some(reason);
                let text = status.canonical_reason().unwrap_or_default();
                let text = serde_json::json!({ "error": text }).to_string();
                let mut response = Response::new(ResponseBody::own(text, entry));
                *response.status_mut() = status;
                let json = HeaderValue::from_static("application/json");
                response.headers_mut().insert(CONTENT_TYPE, json);
                response
            }
        }
    }

    async fn forward(
        &self,
        mut parts: http::request::Parts,
        body: Incoming,
    ) -> Result<Response<Incoming>, (StatusCode, String)> {
        let refused = |status, reason: &str| (status, reason.to_owned());
        let hosts: Vec<_> = parts.headers.get_all(HOST).iter().collect();
        let is_ours = |host: &&HeaderValue| host.to_str().is_ok_and(is_local);
        if hosts.len() != 1 || !hosts.iter().all(is_ours) {
            return Err(refused(StatusCode::FORBIDDEN, "the host is not local"));
        }
        if parts.headers.contains_key(ORIGIN) || parts.method == Method::CONNECT {
            return Err(refused(
                StatusCode::FORBIDDEN,
                "a browser or a proxy client",
            ));
        }
        let limit = self.limits.max_request_body;
        let too_large = || refused(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large");
        if body.size_hint().lower() > limit as u64 {
            return Err(too_large());
        }
        strip_hop_by_hop(&mut parts.headers);
        strip_addressing(&mut parts.headers);
        self.upstream.remove_headers(&mut parts.headers);
        let request = Request::from_parts(parts, RequestBody::local(body, limit));

        let time = self.limits.connect + self.limits.answer;
        let response = timeout(time, self.upstream.send(request)).await;
        let mut response = response
            .map_err(|_| refused(StatusCode::GATEWAY_TIMEOUT, "the server is late"))?
            .map_err(|error| {
                let first: &(dyn Error + 'static) = &error;
                let causes: Vec<_> = successors(Some(first), |&error| error.source()).collect();
                if causes.iter().any(|cause| cause.is::<LengthLimitError>()) {
                    return too_large();
                }
                let causes: Vec<_> = causes.iter().map(ToString::to_string).collect();
                (StatusCode::BAD_GATEWAY, causes.join(": "))
            })?;
        strip_hop_by_hop(response.headers_mut());
        Ok(response)
    }
}
