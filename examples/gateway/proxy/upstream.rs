//! The servers behind.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use countersign::gate::ServerNameVerification;
use countersign::integration::hyper::{Client, HttpsConnector};
use countersign::reload::{Handle, Reload};
use countersign::{Certificate, Connector};
use http::uri::{Authority, Scheme};
use http::{Request, Response, Uri, Version};
use hyper::body::Incoming;
use hyper_util::client::legacy::{self, Builder, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::watch;

use super::body::RequestBody;
use super::config::{self, Limits};
use super::{BoxError, trust_of};
use crate::shared::{AllowList, Identity, IdentityKind};

/// A server behind, with a pool of connections.
pub(crate) struct Upstream {
    scheme: Scheme,
    authority: Authority,
    client: To,
}

enum To {
    Loopback(Box<legacy::Client<HttpConnector, RequestBody>>),
    Mtls(Box<Mtls>),
}

/// Its pool is exchanged when our certificate or its roots were: what is left in the old one is cut soon,
/// and a stream that begins now may take long.
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
    pub(crate) async fn new(config: &config::Upstream, limits: &Limits) -> Result<Self, BoxError> {
        let uri: Uri = config.url.parse()?;
        let (scheme, authority) = match (uri.scheme(), uri.authority(), uri.path()) {
            (Some(scheme), Some(authority), "/") if uri.query().is_none() => {
                (scheme.clone(), authority.clone())
            }
            _ => return Err("a URL without a path is wanted".into()),
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
            ("http", None) => return Err("http:// leads to loopback addresses only".into()),
            ("https", Some(tls)) => {
                let connector = connector(tls, config.http2, limits)?;
                let reload = super::keep(Reload::of(&connector), tls, limits).await?;
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
            ("https", None) => return Err("https:// wants a [tls] of its own".into()),
            _ => return Err("http:// without [tls], or https:// with it".into()),
        };
        Ok(Self {
            scheme,
            authority,
            client,
        })
    }

    /// Keeps our certificate for it, and its roots, at what their files say.
    pub(crate) fn reload(&self) -> Option<&Handle> {
        match &self.client {
            To::Loopback(_) => None,
            To::Mtls(mtls) => Some(&mtls.reload),
        }
    }

    /// Sends a request there, whatever host it was sent to.
    pub(crate) async fn send(
        &self,
        mut request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, legacy::Error> {
        let mut parts = std::mem::take(request.uri_mut()).into_parts();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
        // Theirs may be another one; the connection decides.
        *request.version_mut() = Version::HTTP_11;
        match &self.client {
            To::Loopback(client) => client.request(request).await,
            To::Mtls(mtls) => mtls.client().request(request).await,
        }
    }
}

impl Mtls {
    fn client(&self) -> Client<Identity, RequestBody> {
        // A panic cannot leave it half-changed.
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
) -> Result<Connector<Identity>, BoxError> {
    let kind = tls.identity;
    let protocols: &[&str] = if http2 {
        &["h2", "http/1.1"]
    } else {
        &["http/1.1"]
    };
    let mut builder = Connector::builder()
        .credentials(super::credentials_of(tls)?)
        .trust(trust_of(tls)?)
        .identify(move |certificate: &Certificate| kind.extract(certificate))
        .authorize(AllowList::parse_option("allow", kind, &tls.allow)?)
        .handshake_timeout(limits.connect)
        .drain_time(limits.drain)
        .alpn(protocols.iter().copied());
    if kind == IdentityKind::Spiffe {
        // The ID says who the server is; its certificate need not have a host's name.
        builder = builder.server_names(ServerNameVerification::ByPolicy);
    }
    Ok(builder.build()?)
}
