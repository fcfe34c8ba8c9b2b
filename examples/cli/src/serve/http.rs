//! The responses of the server.

use std::fmt::Display;
use std::net::SocketAddr;

use countersign::rustls::ProtocolVersion;
use countersign::{Acceptor, ConnectionInfo, Peer};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use serde::Serialize;

use super::connections::Shared;
use crate::options::Identity;

/// The body of `GET /`.
#[derive(Serialize)]
struct About<'a> {
    identity: String,
    /// SHA-256 of the client's certificate, in hexadecimal.
    fingerprint: String,
    resumed: bool,
    tls: &'static str,
    rule: &'a str,
    /// The client's address, where proxies send PROXY headers.
    #[serde(skip_serializing_if = "Option::is_none")]
    remote: Option<SocketAddr>,
    /// The identity of the proxy that vouches for the client.
    #[serde(skip_serializing_if = "Option::is_none")]
    proxy: Option<String>,
}

/// The response to one connection's requests: the client's identity and the rule that allows it.
#[derive(Clone)]
pub(super) struct Answer(Bytes);

impl Answer {
    /// To a peer that this rule allows.
    pub(super) fn to<I: Display>(peer: &Peer<I>, rule: &str, shared: &Shared) -> Self {
        Self::about(peer, rule, peer.connection(), shared)
    }

    /// About a peer that this rule allows, over this connection.
    fn about<I: Display>(
        peer: &Peer<I>,
        rule: &str,
        connection: &ConnectionInfo,
        shared: &Shared,
    ) -> Self {
        let remote = peer.connection().remote_addr();
        let about = About {
            identity: peer.identity().to_string(),
            fingerprint: peer.certificate().sha256().to_string(),
            resumed: connection.is_resumed(),
            tls: match connection.version() {
                Some(ProtocolVersion::TLSv1_3) => "1.3",
                Some(ProtocolVersion::TLSv1_2) => "1.2",
                _ => "unknown",
            },
            rule,
            remote: remote.filter(|_| shared.shows_address),
            proxy: peer.vouched_by().map(|proxy| proxy.identity().to_string()),
        };
        let mut json = serde_json::to_vec(&about).unwrap_or_default(); // only text and a bool
        json.push(b'\n');
        Self(json.into())
    }

    /// The response to a request over the connection of `peer`.
    pub(super) async fn respond<B>(
        &self,
        request: Request<B>,
        peer: Peer<Identity>,
        shared: &Shared,
    ) -> Response<Full<Bytes>> {
        let Some(proxied) = &shared.proxied else {
            return self.respond_to(&request, &peer, shared);
        };
        let (mut parts, body) = request.into_parts();
        parts.extensions.insert(peer.clone());
        match proxied.identify(&mut parts).await {
            Ok(None) => self.respond_to(&Request::from_parts(parts, body), &peer, shared),
            Ok(Some(vouched)) => {
                let connection = peer.connection();
                let answer = Self::about(vouched.peer(), vouched.rule(), connection, shared);
                answer.respond_to(&Request::from_parts(parts, body), vouched.peer(), shared)
            }
            // The audit trail has the reason.
            Err(_) => response(
                StatusCode::FORBIDDEN,
                (CONTENT_TYPE, "text/plain"),
                "the proxy's client is not admitted\n",
            ),
        }
    }

    fn respond_to<B>(
        &self,
        request: &Request<B>,
        peer: &Peer<Identity>,
        shared: &Shared,
    ) -> Response<Full<Bytes>> {
        let is_admin = shared
            .admins
            .as_ref()
            .is_some_and(|admins| admins.rule_for(peer.identity()).is_some());
        match (request.uri().path(), request.method()) {
            // Other clients get 404.
            ("/connections", &Method::GET) if is_admin => response(
                StatusCode::OK,
                (CONTENT_TYPE, "application/json"),
                connections(&shared.acceptor),
            ),
            ("/", &Method::GET) => response(
                StatusCode::OK,
                (CONTENT_TYPE, "application/json"),
                self.0.clone(),
            ),
            ("/", _) => response(
                StatusCode::METHOD_NOT_ALLOWED,
                (ALLOW, "GET"),
                "only GET is served here\n",
            ),
            _ => response(
                StatusCode::NOT_FOUND,
                (CONTENT_TYPE, "text/plain"),
                "only / is served here\n",
            ),
        }
    }
}

/// An open connection, in the body of `GET /connections`.
#[derive(Serialize)]
struct Open {
    id: u64,
    identity: String,
    remote: Option<SocketAddr>,
    /// Seconds since 1970.
    since: u64,
    generation: u64,
    /// The reason for which it will close.
    ending: Option<&'static str>,
}

fn connections(acceptor: &Acceptor<Identity>) -> Vec<u8> {
    let open = acceptor
        .control()
        .connections()
        .into_iter()
        .map(|connection| Open {
            id: connection.id(),
            identity: connection.peer().identity().to_string(),
            remote: connection.peer().connection().remote_addr(),
            since: connection.since().as_secs(),
            generation: connection.generation(),
            ending: connection.close_reason().map(|why| why.reason()),
        });
    let mut json = serde_json::to_vec(&open.collect::<Vec<_>>()).unwrap_or_default();
    json.push(b'\n');
    json
}

fn response(
    status: StatusCode,
    (name, value): (HeaderName, &'static str),
    body: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(name, HeaderValue::from_static(value));
    response
}
