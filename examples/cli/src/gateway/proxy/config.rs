//! The configuration: one TOML file.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueEnum as _;
use countersign::TrustStore;
use countersign::integration::http::{ForwardedIdentity, XfccField};
use countersign::integration::spiffe::Workload;
use countersign::integration::tower::Conditions;
use countersign::reload::Source;
use countersign::trust::{Trust, TrustError};
use http::HeaderName;
use serde::{Deserialize, Deserializer};

use super::model::ModelRule;
use crate::options::{IdentityKind, KeyOption, Sources};
use crate::terminal::Failure;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The address to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The gateway's certificate, and the clients that may connect.
    pub tls: Tls,
    #[serde(default)]
    pub limits: Limits,
    #[serde(default)]
    pub forward: Forward,
    pub upstreams: BTreeMap<String, Upstream>,
    pub routes: Vec<Route>,
}

/// One side of mutual TLS.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    pub cert: Option<PathBuf>,
    /// A file, or a PKCS #11 URI.
    #[serde(default, deserialize_with = "key_option")]
    pub key: Option<KeyOption>,
    /// Roots, in PEM files.
    #[serde(default)]
    pub trust: Vec<PathBuf>,
    /// The agent, in place of these.
    #[serde(skip)]
    agent: Option<Agent>,
    /// The field of the peer's certificate that is its identity: as `serve --identity`.
    #[serde(deserialize_with = "identity_kind")]
    pub identity: IdentityKind,
    /// The allowed peers: as `serve --allow`.
    pub allow: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// The time for the head of a request.
    #[serde(rename = "head_seconds", deserialize_with = "seconds")]
    pub head: Duration,
    /// The time to connect to an upstream, its handshake included.
    #[serde(rename = "connect_seconds", deserialize_with = "seconds")]
    pub connect: Duration,
    /// The time from then to the head of its response, including the request's body.
    #[serde(rename = "answer_seconds", deserialize_with = "seconds")]
    pub answer: Duration,
    /// The time for requests in flight when the gateway stops, and on connections to an upstream when the
    /// gateway's certificate for it was replaced.
    #[serde(rename = "drain_seconds", deserialize_with = "seconds")]
    pub drain: Duration,
    /// The interval between checks of the certificates' files.
    #[serde(rename = "reload_seconds", deserialize_with = "seconds")]
    pub reload: Duration,
    /// The time that a client may read nothing of what is written.
    #[serde(rename = "stall_seconds", deserialize_with = "seconds")]
    pub stall: Duration,
    /// The limit of concurrent requests on one HTTP/2 connection.
    pub max_streams: u32,
    /// In bytes.
    pub max_request_body: usize,
    /// In bytes; without it, responses are unlimited.
    pub max_response_body: Option<usize>,
    /// For each identity; without it, there is no limit.
    pub rate: Option<Rate>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(10),
            connect: Duration::from_secs(5),
            answer: Duration::from_secs(60),
            drain: Duration::from_secs(30),
            reload: Duration::from_secs(60),
            stall: Duration::from_secs(60),
            max_streams: 128,
            max_request_body: 10 << 20,
            max_response_body: None,
            rate: None,
        }
    }
}

/// The rate of requests of each identity.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    pub per_minute: NonZeroU32,
    /// The number of requests at once after a pause.
    pub burst: NonZeroU32,
}

/// How the gateway forwards the client's identity. It never forwards such headers of a client.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Forward {
    /// `Client-Cert` of RFC 9440.
    client_cert: bool,
    /// Also `Client-Cert-Chain`.
    client_cert_chain: bool,
    /// The fields of Envoy's `X-Forwarded-Client-Cert`: hash, subject, uri, dns.
    xfcc: Vec<Xfcc>,
    /// Further headers that a client may not send; `x-portkey-*` are all that begin so.
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
pub struct Upstream {
    /// `https://host:port`, or `http://` and a loopback address.
    pub url: String,
    /// The gateway's certificate for it, and the allowed servers: for `https`.
    pub tls: Option<Tls>,
    /// Whether to send all requests over one HTTP/2 connection if the upstream supports it. HTTP/1.1 is
    /// better for streams of events: each takes one of the streams that the upstream allows on a connection
    /// (hyper 200, others 100) for its whole duration.
    #[serde(default)]
    pub http2: bool,
    /// Headers that the gateway sets, in place of the client's.
    #[serde(default)]
    pub headers: BTreeMap<String, HeaderText>,
}

/// The value of a header.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum HeaderText {
    /// `{identity}` is the client's identity.
    Template(String),
    /// The content of a file, such as a key of the provider.
    File(HeaderFile),
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeaderFile {
    pub file: PathBuf,
}

/// Which clients may send which requests, and the upstream that gets them.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    pub name: String,
    /// As `allow` above.
    pub who: Vec<String>,
    pub methods: Vec<String>,
    /// A path pattern of axum: `/v1/invoices/{id}`, `/v1/{*rest}`.
    pub path: String,
    pub upstream: String,
    /// Headers that a request must have exactly once, with one of these values.
    #[serde(default)]
    headers: BTreeMap<String, Vec<String>>,
    /// The tools of the Model Context Protocol that a request may call.
    mcp_tools: Option<Vec<String>>,
    /// The methods of the Model Context Protocol that a request may have.
    mcp_methods: Option<Vec<String>>,
    /// The models that the JSON body may name. The body is read before the request is forwarded.
    models: Option<Vec<String>>,
    /// With `models`: further fields that the body may have, such as `user`.
    fields: Option<Vec<String>>,
    /// Whether the audit line has the tokens that the response reports.
    #[serde(default)]
    pub usage: bool,
}

impl Route {
    /// The conditions on a request. An empty list of tools, methods or models allows none.
    pub fn conditions(&self) -> Result<Conditions, Failure> {
        let mut conditions = Conditions::new();
        for (name, values) in &self.headers {
            conditions = conditions.header(name, values)?;
        }
        if let Some(tools) = &self.mcp_tools {
            conditions = conditions.mcp_tools(tools);
        }
        if let Some(methods) = &self.mcp_methods {
            conditions = conditions.mcp_methods(methods);
        }
        match (&self.models, &self.fields) {
            (Some(models), fields) => {
                let fields = fields.clone().unwrap_or_default();
                let rule = ModelRule::new(models.clone(), fields);
                conditions = conditions.check(move |request| rule.check(request));
            }
            (None, Some(_)) => return Err("fields is for a route with models".into()),
            (None, None) => {}
        }
        Ok(conditions)
    }

    /// Whether it depends on the body.
    pub const fn reads_body(&self) -> bool {
        self.models.is_some()
    }
}

impl Config {
    /// Paths are relative to the folder of the configuration.
    pub fn from_file(path: &Path) -> Result<Self, Failure> {
        let named = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let text = std::fs::read_to_string(path).map_err(|error| named(&error))?;
        let mut config: Self = toml::from_str(&text).map_err(|error| named(&error))?;
        let folder = path.parent().unwrap_or_else(|| Path::new(""));
        for upstream in config.upstreams.values_mut() {
            for text in upstream.headers.values_mut() {
                if let HeaderText::File(HeaderFile { file }) = text {
                    *file = folder.join(&*file);
                }
            }
        }
        let upstreams = config.upstreams.values_mut();
        let all = upstreams.filter_map(|upstream| upstream.tls.as_mut());
        for tls in all.chain([&mut config.tls]) {
            for file in tls.cert.iter_mut().chain(&mut tls.trust) {
                *file = folder.join(&*file);
            }
            if let Some(key) = &mut tls.key {
                key.within(folder);
            }
        }
        Ok(config)
    }

    /// Takes the certificates and the trust of a SPIFFE agent: for clients, and for the upstreams without
    /// files of their own.
    pub fn take_identity(&mut self, workload: &Workload) -> Result<(), Failure> {
        if self.tls.has_files() {
            return Err("tls: cert, key and trust are those of --spiffe; remove them".into());
        }
        let upstreams = self.upstreams.values_mut();
        let all = upstreams.filter_map(|upstream| upstream.tls.as_mut());
        for tls in all.chain([&mut self.tls]).filter(|tls| !tls.has_files()) {
            tls.agent = Some(Agent(Sources::of(workload)));
        }
        Ok(())
    }
}

/// What an agent gives.
#[derive(Clone)]
struct Agent(Sources);

impl Tls {
    /// Of these files.
    pub fn of_files(
        cert: &Path,
        key: &KeyOption,
        trust: &[PathBuf],
        identity: IdentityKind,
        allow: &[String],
    ) -> Self {
        Self {
            cert: Some(cert.to_owned()),
            key: Some(key.clone()),
            trust: trust.to_vec(),
            agent: None,
            identity,
            allow: allow.to_vec(),
        }
    }

    fn has_files(&self) -> bool {
        self.cert.is_some() || self.key.is_some() || !self.trust.is_empty()
    }

    /// The certificate and the trust.
    pub fn sources(&self) -> Result<Sources, Failure> {
        if let Some(Agent(sources)) = &self.agent {
            return Ok(sources.clone());
        }
        let (Some(cert), Some(key)) = (&self.cert, &self.key) else {
            return Err(
                "a [tls] table needs cert, key and trust, or the gateway needs --spiffe".into(),
            );
        };
        // Errors of the files as they are, and not as those of a reload.
        key.credentials(cert)?;
        let roots = self.trust.clone();
        let read = move || {
            let mut store = TrustStore::empty();
            for file in &roots {
                store = store.and(TrustStore::from_pem_file(file)?);
            }
            Ok::<_, TrustError>(Trust::from(store))
        };
        read()?;
        Ok(Sources {
            credentials: key.source(cert)?,
            trust: Source::files(self.trust.clone(), read),
            revocation: None,
        })
    }
}

impl std::fmt::Debug for Agent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Agent")
    }
}

impl Forward {
    pub fn headers(&self) -> Result<ForwardedIdentity, Failure> {
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
            let prefix = name.strip_suffix('*');
            let parsed = prefix.unwrap_or(name).parse::<HeaderName>();
            let parsed = parsed.map_err(|error| format!("forward.strip: {name:?}: {error}"))?;
            forward = match prefix {
                None => forward.strip(parsed),
                Some(_) => forward.strip_prefix(parsed),
            };
        }
        // Only the gateway may state these, also in a spelling such as `transfer_encoding`.
        for name in [
            "content-length",
            "host",
            "transfer-encoding",
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

fn key_option<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<KeyOption>, D::Error> {
    let text = String::deserialize(deserializer)?;
    Ok(Some(OsString::from(text).into()))
}

fn identity_kind<'de, D: Deserializer<'de>>(deserializer: D) -> Result<IdentityKind, D::Error> {
    let name = String::deserialize(deserializer)?;
    IdentityKind::from_str(&name, false).map_err(serde::de::Error::custom)
}
