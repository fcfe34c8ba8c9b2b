//! One line for each request, when its response is complete or aborted.

use std::fmt::Display;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use countersign::Peer;
use http::{HeaderMap, HeaderName, Method, StatusCode};
use serde::{Serialize, Serializer};

use super::usage::Usage;
use crate::options::Identity;

/// The destination of the lines, each of which is JSON with a line feed.
#[derive(Clone)]
pub struct Audit(Arc<WriteLine>);

type WriteLine = dyn Fn(&[u8]) + Send + Sync;

impl Audit {
    pub fn new(write: impl Fn(&[u8]) + Send + Sync + 'static) -> Self {
        Self(Arc::new(write))
    }

    /// Writes each line to standard error by one call of the system, so that lines are not mixed.
    pub fn to_stderr() -> Self {
        // A closed pipe must not stop the gateway.
        Self::new(|line| drop(io::stderr().lock().write_all(line)))
    }

    pub fn write(&self, line: &impl Serialize) {
        /// Most lines are shorter.
        const USUAL: usize = 512;

        let mut text = Vec::with_capacity(USUAL);
        let mut json = serde_json::Serializer::with_formatter(&mut text, Ascii);
        // The fields of a line always serialize, and a vector takes every byte.
        if line.serialize(&mut json).is_ok() {
            text.push(b'\n');
            (self.0)(&text);
        }
    }
}

/// Escapes characters outside printable ASCII: a terminal could obey them, or show them in another order.
struct Ascii;

impl serde_json::ser::Formatter for Ascii {
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let is_plain = |byte: &u8| matches!(byte, b' '..=b'~');
        if fragment.as_bytes().iter().all(is_plain) {
            return writer.write_all(fragment.as_bytes());
        }
        for character in fragment.chars() {
            match character {
                ' '..='~' => writer.write_all(&[character as u8])?,
                _ => {
                    for unit in character.encode_utf16(&mut [0; 2]) {
                        write!(writer, "\\u{unit:04x}")?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// The line of one request; it is written when it is dropped.
#[derive(Serialize)]
pub(super) struct Entry {
    event: &'static str,
    #[serde(serialize_with = "method")]
    method: Method,
    /// Without the query, which may contain secrets.
    /// A copy: a part of the request would keep the whole buffer from which it was read, as long as a stream runs.
    path: Box<str>,
    /// The method and the name (of a tool) of the Model Context Protocol, as the client sent them.
    #[serde(skip_serializing_if = "Option::is_none")]
    mcp_method: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mcp_name: Option<String>,
    #[serde(serialize_with = "identity")]
    identity: Sender,
    /// The client's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    remote: Option<SocketAddr>,
    /// The proxy that vouches for the identity.
    #[serde(skip_serializing_if = "Option::is_none")]
    proxy: Option<String>,
    pub(super) status: Option<u16>,
    #[serde(serialize_with = "shared")]
    pub(super) route: Option<Arc<str>>,
    #[serde(serialize_with = "shared")]
    pub(super) upstream: Option<Arc<str>>,
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

/// Who sends a request.
enum Sender {
    Peer(Peer<Identity>),
    /// A local client, which has no identity.
    Local,
    Unknown,
}

impl Entry {
    pub(super) fn new(
        request: &http::request::Parts,
        peer: Option<&Peer<Identity>>,
        audit: &Audit,
    ) -> Self {
        const MCP_METHOD: HeaderName = HeaderName::from_static("mcp-method");
        const MCP_NAME: HeaderName = HeaderName::from_static("mcp-name");

        Self {
            event: "request",
            method: request.method.clone(),
            path: request.uri.path().into(),
            mcp_method: single(&request.headers, &MCP_METHOD),
            mcp_name: single(&request.headers, &MCP_NAME),
            identity: peer.cloned().map_or(Sender::Unknown, Sender::Peer),
            remote: peer.and_then(|peer| peer.connection().remote_addr()),
            proxy: peer
                .and_then(Peer::vouched_by)
                .map(|proxy| proxy.identity().to_string()),
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

    /// The line of a local client.
    pub(super) fn local(request: &http::request::Parts, audit: &Audit) -> Self {
        let mut entry = Self::new(request, None, audit);
        entry.identity = Sender::Local;
        entry
    }

    pub(super) fn is_head(&self) -> bool {
        self.method == Method::HEAD
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

fn method<S: Serializer>(method: &Method, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(method.as_str())
}

fn shared<S: Serializer>(name: &Option<Arc<str>>, serializer: S) -> Result<S::Ok, S::Error> {
    name.as_deref().serialize(serializer)
}

fn identity<S: Serializer>(sender: &Sender, serializer: S) -> Result<S::Ok, S::Error> {
    let identity: &dyn Display = match sender {
        Sender::Peer(peer) => peer.identity(),
        Sender::Local => &"local",
        Sender::Unknown => &"",
    };
    serializer.collect_str(identity)
}

/// The value of a header that the request has once.
fn single(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then(|| value.to_owned())
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.duration_ms = self.began.elapsed().as_micros() as f64 / 1000.0;
        self.audit.write(self);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn a_line_is_one_line_of_printable_characters() {
        let written = Arc::<Mutex<Vec<u8>>>::default();
        let kept = Arc::clone(&written);
        let audit = Audit::new(move |line| kept.lock().unwrap().extend_from_slice(line));
        let texts = [
            "a\"\\\n\u{1b}[2J\u{7f}\u{9b}",
            "\u{202e}ü\u{10ffff}",
            "plain",
        ];
        audit.write(&texts);
        let written = written.lock().unwrap().clone();
        let (end, line) = written.split_last().unwrap();
        assert_eq!(*end, b'\n');
        assert!(line.iter().all(|byte| matches!(byte, b' '..=b'~')));
        let read: Vec<String> = serde_json::from_slice(line).unwrap();
        assert_eq!(read, texts);
    }
}
