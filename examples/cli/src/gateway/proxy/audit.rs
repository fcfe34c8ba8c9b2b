//! One line for each request, when its response is complete or aborted.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use countersign::Peer;
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use serde_json::{Value, json};

use super::usage::Usage;
use crate::options::Identity;

/// The destination of the lines.
#[derive(Clone)]
pub struct Audit(Arc<dyn Fn(Value) + Send + Sync>);

impl Audit {
    pub fn new(write: impl Fn(Value) + Send + Sync + 'static) -> Self {
        Self(Arc::new(write))
    }

    pub fn write(&self, line: Value) {
        (self.0)(line);
    }
}

/// The line of one request; it is written when it is dropped.
#[derive(Serialize)]
pub(super) struct Entry {
    event: &'static str,
    method: String,
    /// Without the query, which may contain secrets.
    path: String,
    /// The method and the name (of a tool) of the Model Context Protocol, as the client sent them.
    #[serde(skip_serializing_if = "Option::is_none")]
    mcp_method: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mcp_name: Option<String>,
    identity: String,
    /// The client's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    remote: Option<SocketAddr>,
    /// The proxy that vouches for the identity.
    #[serde(skip_serializing_if = "Option::is_none")]
    proxy: Option<String>,
    pub(super) status: Option<u16>,
    pub(super) route: Option<String>,
    pub(super) upstream: Option<String>,
    /// The model that the body names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) model: Option<String>,
    /// The tokens that the response reports, for routes with `usage`.
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Usage>,
    /// Why it does not have them: encoded, not_json, incomplete, not_reported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) usage_missing: Option<&'static str>,
    duration_ms: f64,
    /// Bytes of the response's body.
    pub(super) bytes: u64,
    /// Why the request was denied or failed.
    pub(super) reason: Option<String>,
    /// Whether the whole response was sent.
    pub(super) complete: bool,
    /// Whether the route asks for the usage.
    #[serde(skip)]
    pub(super) reads_usage: bool,
    #[serde(skip)]
    began: Instant,
    #[serde(skip)]
    audit: Audit,
}

impl Entry {
    pub(super) fn new(
        request: &http::request::Parts,
        peer: Option<&Peer<Identity>>,
        audit: &Audit,
    ) -> Self {
        let text = |peer: &Peer<Identity>| peer.identity().to_string();
        Self {
            event: "request",
            method: request.method.to_string(),
            path: request.uri.path().to_owned(),
            mcp_method: single(&request.headers, "mcp-method"),
            mcp_name: single(&request.headers, "mcp-name"),
            identity: peer.map(text).unwrap_or_default(),
            remote: peer.and_then(|peer| peer.connection().remote_addr()),
            proxy: peer.and_then(Peer::vouched_by).map(text),
            status: None,
            route: None,
            upstream: None,
            model: None,
            usage: None,
            usage_missing: None,
            duration_ms: 0.0,
            bytes: 0,
            reason: None,
            complete: false,
            reads_usage: false,
            began: Instant::now(),
            audit: audit.clone(),
        }
    }

    /// The line of a local client, which has no identity.
    pub(super) fn local(request: &http::request::Parts, audit: &Audit) -> Self {
        let mut entry = Self::new(request, None, audit);
        "local".clone_into(&mut entry.identity);
        entry
    }

    pub(super) fn is_head(&self) -> bool {
        self.method == "HEAD"
    }

    /// Records what a response reported to its end.
    pub(super) fn used(&mut self, usage: Option<Usage>) {
        self.usage = usage;
        self.usage_missing = match usage {
            Some(_) => None,
            None if self.complete => Some("not_reported"),
            None => Some("incomplete"),
        };
    }

    pub(super) fn responded(&mut self, status: StatusCode) {
        self.status = Some(status.as_u16());
    }
}

/// The value of a header that the request has once.
fn single(headers: &HeaderMap, name: &str) -> Option<String> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then(|| value.to_owned())
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.duration_ms = self.began.elapsed().as_micros() as f64 / 1000.0;
        // Its fields always serialize.
        let line = serde_json::to_value(&*self).unwrap_or_else(|_| json!({"event": self.event}));
        self.audit.write(line);
    }
}
