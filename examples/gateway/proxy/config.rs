//! The configuration: one TOML file.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueEnum as _;
use countersign::integration::http::{ForwardedIdentity, XfccField};
use http::HeaderName;
use serde::{Deserialize, Deserializer};

use super::BoxError;
use crate::shared::IdentityKind;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Where to listen; port 0 takes a free one.
    pub(crate) listen: SocketAddr,
    /// Who we are to clients, and who of them may connect.
    pub(crate) tls: Tls,
    #[serde(default)]
    pub(crate) limits: Limits,
    #[serde(default)]
    pub(crate) forward: Forward,
    pub(crate) upstreams: BTreeMap<String, Upstream>,
    pub(crate) routes: Vec<Route>,
}

/// One side of mutual TLS.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tls {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
    /// Roots, in PEM files.
    pub(crate) trust: Vec<PathBuf>,
    /// Which field of the other's certificate says who it is: as `--identity` of the other examples.
    #[serde(deserialize_with = "identity_kind")]
    pub(crate) identity: IdentityKind,
    /// Who the other may be: as `--allow` of the other examples.
    pub(crate) allow: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Limits {
    /// The time for the head of a request.
    #[serde(rename = "head_seconds", deserialize_with = "seconds")]
    pub(crate) head: Duration,
    /// The time to connect to an upstream, its handshake included.
    #[serde(rename = "connect_seconds", deserialize_with = "seconds")]
    pub(crate) connect: Duration,
    /// The time from then until the head of its response, the request's body included.
    #[serde(rename = "answer_seconds", deserialize_with = "seconds")]
    pub(crate) answer: Duration,
    /// The time for requests under way to finish when the gateway stops, and on connections to an
    /// upstream when our certificate for it was replaced.
    #[serde(rename = "drain_seconds", deserialize_with = "seconds")]
    pub(crate) drain: Duration,
    /// How often the files of certificates are looked at.
    #[serde(rename = "reload_seconds", deserialize_with = "seconds")]
    pub(crate) reload: Duration,
    /// Requests at the same time on one connection of HTTP/2.
    pub(crate) max_streams: u32,
    /// In bytes.
    pub(crate) max_request_body: usize,
    /// In bytes; without it, responses have no limit.
    pub(crate) max_response_body: Option<usize>,
    /// For each identity; without it, there is no limit.
    pub(crate) rate: Option<Rate>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(10),
            connect: Duration::from_secs(5),
            answer: Duration::from_secs(60),
            drain: Duration::from_secs(30),
            reload: Duration::from_secs(60),
            max_streams: 128,
            max_request_body: 10 << 20,
            max_response_body: None,
            rate: None,
        }
    }
}

/// How often an identity may ask.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rate {
    pub(crate) per_minute: NonZeroU32,
    /// How many at once, if it has asked for nothing in a while.
    pub(crate) burst: NonZeroU32,
}

/// How the upstream is told who asks. What a client says of it is never passed on.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Forward {
    /// `Client-Cert` of RFC 9440.
    client_cert: bool,
    /// Also `Client-Cert-Chain`.
    client_cert_chain: bool,
    /// The fields of Envoy's `X-Forwarded-Client-Cert`: hash, subject, uri, dns.
    xfcc: Vec<Xfcc>,
    /// Further headers that a client may not send.
    strip: Vec<String>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Xfcc {
    Hash,
    Subject,
    Uri,
    Dns,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Upstream {
    /// `https://host:port`, or `http://` and a loopback address.
    pub(crate) url: String,
    /// Who we are to it, and who it may be: for `https`.
    pub(crate) tls: Option<Tls>,
    /// All over one connection of HTTP/2, if it will. Streams of events are better without: they take a
    /// place each, of those that it allows on a connection (hyper 200, others 100), for as long as they last.
    #[serde(default)]
    pub(crate) http2: bool,
}

/// Who may send which request, and where it goes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Route {
    pub(crate) name: String,
    /// As `allow` above.
    pub(crate) who: Vec<String>,
    pub(crate) methods: Vec<String>,
    /// As axum writes paths: `/v1/invoices/{id}`, `/v1/{*rest}`.
    pub(crate) path: String,
    pub(crate) upstream: String,
}

impl Config {
    /// Files are named from where the configuration is.
    pub(crate) fn from_file(path: &Path) -> Result<Self, BoxError> {
        let named = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let text = std::fs::read_to_string(path).map_err(|error| named(&error))?;
        let mut config: Self = toml::from_str(&text).map_err(|error| named(&error))?;
        let folder = path.parent().unwrap_or_else(|| Path::new(""));
        let upstreams = config.upstreams.values_mut();
        let all = upstreams.filter_map(|upstream| upstream.tls.as_mut());
        for tls in all.chain([&mut config.tls]) {
            for file in [&mut tls.cert, &mut tls.key]
                .into_iter()
                .chain(&mut tls.trust)
            {
                *file = folder.join(&*file);
            }
        }
        Ok(config)
    }
}

impl Forward {
    pub(crate) fn headers(&self) -> Result<ForwardedIdentity, BoxError> {
        let fields = self.xfcc.iter().map(|field| match field {
            Xfcc::Hash => XfccField::Hash,
            Xfcc::Subject => XfccField::Subject,
            Xfcc::Uri => XfccField::Uri,
            Xfcc::Dns => XfccField::Dns,
        });
        let mut forward = ForwardedIdentity::new().xfcc(fields);
        if self.client_cert {
            forward = forward.client_cert();
        }
        if self.client_cert_chain {
            forward = forward.client_cert_chain();
        }
        for name in &self.strip {
            let name = name.parse::<HeaderName>();
            forward = forward.strip(name.map_err(|error| format!("forward.strip: {error}"))?);
        }
        // What proxies say of clients is ours to say.
        for name in [
            "forwarded",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-proto",
        ] {
            forward = forward.strip(HeaderName::from_static(name));
        }
        Ok(forward)
    }
}

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    u64::deserialize(deserializer).map(Duration::from_secs)
}

fn identity_kind<'de, D: Deserializer<'de>>(deserializer: D) -> Result<IdentityKind, D::Error> {
    let name = String::deserialize(deserializer)?;
    IdentityKind::from_str(&name, false).map_err(serde::de::Error::custom)
}
