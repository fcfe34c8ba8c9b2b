//! The servers that get the requests.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use countersign::gate::ServerNameVerification;
use countersign::integration::http::ForwardedIdentity;
use countersign::integration::hyper::{Client, HttpsConnector};
use countersign::reload::{Handle, Reload};
use countersign::{Certificate, Connector, Peer};
use http::uri::{Authority, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, Uri, Version};
use hyper::body::Incoming;
use hyper_util::client::legacy::{self, Builder, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::watch;

use super::body::RequestBody;
use super::config::{self, HeaderFile, HeaderText, Limits};
use crate::options::{AllowList, Identity, IdentityKind};
use crate::terminal::Failure;

/// A server, with a pool of connections.
pub(super) struct Upstream {
    scheme: Scheme,
    authority: Authority,
    client: To,
    forward: ForwardedIdentity,
    headers: Vec<(HeaderName, HeaderTemplate)>,
}

/// The value of a header of the gateway.
enum HeaderTemplate {
    Fixed(HeaderValue),
    /// With `{identity}`.
    OfClient(String),
}

enum To {
    Loopback(Box<legacy::Client<HttpConnector, RequestBody>>),
    Mtls(Box<Mtls>),
}

/// A new certificate or new roots replace the pool. The connections of the old pool drain and close, so a
/// long stream must not start on them.
struct Mtls {
    builder: Builder,
    https: HttpsConnector<Identity>,
    pool: Mutex<Pool>,
    reload: Handle,
}

struct Pool {
    client: Client<Identity, RequestBody>,
    generations: watch::Receiver<u64>,
}

impl Upstream {
    pub(super) async fn new(
        config: &config::Upstream,
        forward: ForwardedIdentity,
        limits: &Limits,
    ) -> Result<Self, Failure> {
        let uri: Uri = config.url.parse()?;
        let (scheme, authority) = match (uri.scheme(), uri.authority(), uri.path()) {
            (Some(scheme), Some(authority), "/") if uri.query().is_none() => {
                (scheme.clone(), authority.clone())
            }
            _ => return Err("expected a URL without a path".into()),
        };
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(limits.connect));
        tcp.set_nodelay(true);
        let mut builder = legacy::Client::builder(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .http2_keep_alive_interval(Duration::from_secs(30));
        let client = match (scheme.as_str(), &config.tls) {
            ("http", _) if config.http2 => return Err("http2 is for https://".into()),
            ("http", None) if is_loopback(authority.host()) => {
                To::Loopback(Box::new(builder.build(tcp)))
            }
            ("http", None) => return Err("http:// is for loopback addresses only".into()),
            ("https", Some(tls)) => {
                let connector = connector(tls, config.http2, limits)?;
                let reload = super::keep(Reload::of(&connector), limits).await?;
                let https = HttpsConnector::over(connector, tcp);
                To::Mtls(Box::new(Mtls {
                    pool: Mutex::new(Pool {
                        client: Client::built_by(&builder, https.clone()),
                        generations: reload.generations(),
                    }),
                    builder,
                    https,
                    reload,
                }))
            }
            ("https", None) => return Err("https:// requires a [tls] table".into()),
            _ => return Err("expected http:// without [tls], or https:// with it".into()),
        };
        let mut headers = Vec::new();
        let mut forward = forward;
        for (name, text) in &config.headers {
            let at = |error: Failure| error.at(format_args!("headers.{name}"));
            let header = HeaderName::try_from(name).map_err(|error| at(error.into()))?;
            // With those names that a server may take for it.
            forward = forward.strip(header.clone());
            headers.push((header, HeaderTemplate::new(text).map_err(at)?));
        }
        Ok(Self {
            scheme,
            authority,
            client,
            forward,
            headers,
        })
    }

    /// Removes the headers that only the gateway may set, and sets them.
    ///
    /// # Errors
    /// The reason for which the client's identity cannot be forwarded.
    pub(super) fn set_headers(
        &self,
        headers: &mut HeaderMap,
        peer: &Peer<Identity>,
    ) -> Result<(), &'static str> {
        let applied = self.forward.apply(headers, peer);
        applied.map_err(|error| error.reason())?;
        for (name, template) in &self.headers {
            headers.insert(name, template.value(peer.identity())?);
        }
        Ok(())
    }

    /// Removes the headers of a client without a certificate.
    pub(super) fn remove_headers(&self, headers: &mut HeaderMap) {
        self.forward.remove(headers);
    }

    /// The reload of the gateway's certificate for it, and of its roots.
    pub(super) fn reload(&self) -> Option<&Handle> {
        match &self.client {
            To::Loopback(_) => None,
            To::Mtls(mtls) => Some(&mtls.reload),
        }
    }

    /// Sends a request to this server, and replaces its host.
    pub(super) async fn send(
        &self,
        mut request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, legacy::Error> {
        let mut parts = std::mem::take(request.uri_mut()).into_parts();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
        // The connection to the upstream determines the version.
        *request.version_mut() = Version::HTTP_11;
        match &self.client {
            To::Loopback(client) => client.request(request).await,
            To::Mtls(mtls) => mtls.client().request(request).await,
        }
    }
}

impl HeaderTemplate {
    fn new(text: &HeaderText) -> Result<Self, Failure> {
        let fixed = |text: &str| {
            let mut value = HeaderValue::from_str(text)?;
            value.set_sensitive(true);
            Ok::<_, Failure>(Self::Fixed(value))
        };
        match text {
            HeaderText::Template(text) if text.contains("{identity}") => {
                HeaderValue::from_str(text)?;
                Ok(Self::OfClient(text.clone()))
            }
            HeaderText::Template(text) => fixed(text),
            HeaderText::File(HeaderFile { file }) => {
                let text = std::fs::read_to_string(file)
                    .map_err(|error| format!("{}: {error}", file.display()))?;
                fixed(text.trim_end_matches(['\r', '\n']))
            }
        }
    }

    /// An identity with a quote, a backslash or a character outside printable ASCII is an error: it could end
    /// the string in which the header has it.
    fn value(&self, identity: &Identity) -> Result<HeaderValue, &'static str> {
        match self {
            Self::Fixed(value) => Ok(value.clone()),
            Self::OfClient(template) => {
                let identity = identity.to_string();
                let is_plain = |byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
                if !identity.bytes().all(is_plain) {
                    return Err("unrepresentable_identity");
                }
                let value = template.replace("{identity}", &identity);
                HeaderValue::try_from(value).map_err(|_| "unrepresentable_identity")
            }
        }
    }
}

impl Mtls {
    fn client(&self) -> Client<Identity, RequestBody> {
        // A panic cannot leave it in an invalid state.
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        if pool.generations.has_changed().unwrap_or(false) {
            pool.generations.mark_unchanged();
            pool.client = Client::built_by(&self.builder, self.https.clone());
        }
        pool.client.clone()
    }
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let address = host.parse::<std::net::IpAddr>();
    address.is_ok_and(|address| address.is_loopback())
}

fn connector(
    tls: &config::Tls,
    http2: bool,
    limits: &Limits,
) -> Result<Connector<Identity>, Failure> {
    let kind = tls.identity;
    let protocols: &[&str] = if http2 {
        &["h2", "http/1.1"]
    } else {
        &["http/1.1"]
    };
    let sources = tls.sources()?;
    let mut builder = Connector::builder()
        .credentials_from(sources.credentials)?
        .trust_from(sources.trust)?
        .identify(move |certificate: &Certificate| kind.extract(certificate))
        .authorize(AllowList::parse_option("allow", kind, &tls.allow)?)
        .handshake_timeout(limits.connect)
        .drain_time(limits.drain)
        .alpn(protocols.iter().copied());
    if let Some(revocation) = sources.revocation {
        builder = builder.revocation_from(revocation)?;
    }
    if kind == IdentityKind::Spiffe {
        // The policy checks the ID; the certificate needs no host name.
        builder = builder.server_names(ServerNameVerification::ByPolicy);
    }
    Ok(builder.build()?)
}
