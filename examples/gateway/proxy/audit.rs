//! One line for each request, when all is over.

use std::sync::Arc;
use std::time::Instant;

use http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};

/// Where the lines go.
#[derive(Clone)]
pub(crate) struct Audit(Arc<dyn Fn(Value) + Send + Sync>);

impl Audit {
    pub(crate) fn new(write: impl Fn(Value) + Send + Sync + 'static) -> Self {
        Self(Arc::new(write))
    }

    pub(crate) fn write(&self, line: Value) {
        (self.0)(line);
    }
}

/// What is known of a request so far; dropped, it is written.
#[derive(Serialize)]
pub(crate) struct Entry {
    event: &'static str,
    method: String,
    /// Without the query, in which secrets may stand.
    path: String,
    identity: String,
    pub(crate) status: Option<u16>,
    pub(crate) route: Option<String>,
    pub(crate) upstream: Option<String>,
    duration_ms: f64,
    /// Bytes of the response's body.
    pub(crate) bytes: u64,
    /// Why it was denied, or could not be answered.
    pub(crate) reason: Option<String>,
    /// Whether the response was sent to its end.
    pub(crate) complete: bool,
    #[serde(skip)]
    began: Instant,
    #[serde(skip)]
    audit: Audit,
}

impl Entry {
    pub(crate) fn new(request: &http::request::Parts, identity: String, audit: &Audit) -> Self {
        Self {
            event: "request",
            method: request.method.to_string(),
            path: request.uri.path().to_owned(),
            identity,
            status: None,
            route: None,
            upstream: None,
            duration_ms: 0.0,
            bytes: 0,
            reason: None,
            complete: false,
            began: Instant::now(),
            audit: audit.clone(),
        }
    }

    pub(crate) fn is_head(&self) -> bool {
        self.method == "HEAD"
    }

    pub(crate) fn answered(&mut self, status: StatusCode) {
        self.status = Some(status.as_u16());
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.duration_ms = self.began.elapsed().as_micros() as f64 / 1000.0;
        // Nothing of it can fail to become JSON.
        let line = serde_json::to_value(&*self).unwrap_or_else(|_| json!({"event": self.event}));
        self.audit.write(line);
    }
}
