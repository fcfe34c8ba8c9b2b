//! Events as JSON, with the names of the Elastic Common Schema and of OpenTelemetry's semantic
//! conventions.

use std::net::SocketAddr;

use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339 as Rfc3339Format;

use super::{Action, Alert, AuditEvent, PresentedCertificate, Proof};
use crate::pki::text::{Bounded, MAX_SENTENCE, MAX_VALUE, Thousands};
use crate::pki::time::Rfc3339;
use crate::pki::{Certificate, DistinguishedName, GeneralName, ShortName, ShortSerial};
use crate::side::Side;

/// The version of the Elastic Common Schema.
const ECS_VERSION: &str = "8.17.0";

/// The maximum number of entries of a list of names.
const MAX_NAMES: usize = 32;
/// The maximum bytes of all names of a list, as JSON. The first name may have more.
const MAX_LIST: usize = MAX_SENTENCE;
/// The maximum bytes of a name in the list of certificates. The names of the leaf are also in `tls`, with
/// a higher limit.
const MAX_IN_CHAIN: usize = 128;

impl AuditEvent {
    /// The event as JSON without a line break, as the sink [`Json`](super::Json) writes it.
    ///
    /// The names of the nested objects are those of the Elastic Common Schema 8 (`@timestamp`, `event.*`,
    /// `client.*`, `server.*`, `tls.*`, `rule.name`, `error.*`), those of OpenTelemetry's semantic
    /// conventions where the two differ (`tls.protocol.*`), and `countersign.*` for everything else.
    /// [`JSON_SCHEMA`](super::JSON_SCHEMA) describes them.
    ///
    /// Unknown values are omitted. Control characters and bidirectional marks are escaped. The line has
    /// at most [`MAX_JSON`](Self::MAX_JSON) bytes: a name of a certificate is cut after 256 bytes (128 in
    /// the list of certificates), an identity and the cause after 2,048, other text after 1,024. A list of
    /// names ends after 32 names or 1,024 bytes. A cut is visible (`…(+1,234 bytes)`), also in a list
    /// (`… and 993 more`).
    pub fn to_json(&self) -> String {
        // Text, numbers and booleans always serialize.
        serde_json::to_string(&Record::of(self)).unwrap_or_default()
    }
}

#[derive(Serialize)]
struct Record {
    #[serde(rename = "@timestamp")]
    timestamp: String,
    message: String,
    ecs: Ecs,
    log: LogLevel,
    event: EventFields,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<Endpoint>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<Endpoint>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<Tls>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http: Option<Http>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<Url>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<Named>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<Named>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorFields>,
    countersign: Own,
}

#[derive(Serialize)]
struct Ecs {
    version: &'static str,
}

#[derive(Serialize)]
struct LogLevel {
    level: &'static str,
}

#[derive(Serialize)]
struct EventFields {
    id: String,
    kind: &'static str,
    category: &'static [&'static str],
    #[serde(rename = "type")]
    types: &'static [&'static str],
    action: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    /// Nanoseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    duration: Option<u64>,
    module: &'static str,
    dataset: &'static str,
}

#[derive(Serialize)]
struct Http {
    request: Method,
}

#[derive(Serialize)]
struct Method {
    method: String,
}

#[derive(Serialize)]
struct Url {
    path: String,
}

#[derive(Default, Serialize)]
struct Endpoint {
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ip: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    domain: Option<String>,
    /// The bytes that it sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
}

#[derive(Default, Serialize)]
struct Tls {
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version_protocol: Option<&'static str>,
    /// OpenTelemetry's names of the two above.
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol: Option<Protocol>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cipher: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    curve: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_protocol: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resumed: Option<bool>,
    established: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<TlsSide>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<TlsSide>,
}

#[derive(Serialize)]
struct Protocol {
    name: &'static str,
    version: &'static str,
}

#[derive(Default, Serialize)]
struct TlsSide {
    #[serde(skip_serializing_if = "Option::is_none")]
    server_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issuer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_before: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_after: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hash: Option<Hash>,
    #[serde(skip_serializing_if = "Option::is_none")]
    x509: Option<X509>,
}

/// In upper case, as the Elastic Common Schema requires.
#[derive(Serialize)]
struct Hash {
    sha256: String,
}

#[derive(Serialize)]
struct X509 {
    version_number: String,
    serial_number: String,
    subject: Name,
    issuer: Name,
    not_before: String,
    not_after: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    alternative_names: Vec<String>,
}

#[derive(Serialize)]
struct Name {
    distinguished_name: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    common_name: Vec<String>,
}

#[derive(Serialize)]
struct Named {
    name: String,
}

#[derive(Serialize)]
struct ErrorFields {
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    /// OpenTelemetry's name of the same.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

/// Values without a name in both schemas.
#[derive(Serialize)]
struct Own {
    side: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    connection: Option<Numbered>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stage: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    identity: Option<Identity>,
    #[serde(skip_serializing_if = "Option::is_none")]
    proxy: Option<Proxy>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alert: Option<AlertFields>,
    #[serde(skip_serializing_if = "Option::is_none")]
    generation: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    certificates: Vec<Described>,
    #[serde(skip_serializing_if = "Option::is_none")]
    own_certificate: Option<Described>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reload: Option<Reload>,
    /// The request of the Model Context Protocol.
    #[serde(skip_serializing_if = "Option::is_none")]
    mcp: Option<Mcp>,
    /// The number of missing events before this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    dropped: Option<u64>,
    /// The refusals that a summary covers.
    #[serde(skip_serializing_if = "Option::is_none")]
    suppressed: Option<SuppressedFields>,
}

#[derive(Serialize)]
struct Mcp {
    method: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
}

#[derive(Serialize)]
struct SuppressedFields {
    action: &'static str,
    count: u64,
}

#[derive(Serialize)]
struct Numbered {
    id: u64,
}

#[derive(Serialize)]
struct Identity {
    value: String,
    proof: &'static str,
}

/// The proxy that forwards the client.
#[derive(Serialize)]
struct Proxy {
    #[serde(skip_serializing_if = "Option::is_none")]
    ip: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    /// Of the proxy that vouches for the client.
    #[serde(skip_serializing_if = "Option::is_none")]
    identity: Option<String>,
}

#[derive(Serialize)]
struct AlertFields {
    direction: &'static str,
    name: String,
}

#[derive(Serialize)]
struct Reload {
    changed: Vec<String>,
}

/// A presented certificate.
#[derive(Serialize)]
#[serde(untagged)]
enum Described {
    Read {
        subject: String,
        issuer: String,
        serial: String,
        sha256: String,
        spki_sha256: String,
        not_before: String,
        not_after: String,
    },
    Unreadable {
        sha256: String,
        /// Bytes.
        length: usize,
    },
}

impl Record {
    fn of(event: &AuditEvent) -> Self {
        let (category, types) = classes(event.action);
        let failed = event.outcome() == Some(super::Outcome::Failure);
        let (client, server) = endpoints(event);
        Self {
            timestamp: timestamp(event),
            message: cut(&event.to_string(), MAX_SENTENCE),
            ecs: Ecs {
                version: ECS_VERSION,
            },
            log: LogLevel {
                level: level(event),
            },
            event: EventFields {
                id: event.id.to_string(),
                kind: "event",
                category,
                types,
                action: event.action.as_str(),
                outcome: event.outcome().map(super::Outcome::as_str),
                reason: event.reason,
                duration: event
                    .duration
                    .map(|time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)),
                module: "countersign",
                dataset: "countersign.audit",
            },
            client,
            server,
            tls: tls(event),
            http: event.request.as_ref().map(|request| Http {
                request: Method {
                    method: cut(&request.method, AuditEvent::MAX_METHOD),
                },
            }),
            url: event.request.as_ref().map(|request| Url {
                path: cut(&request.path, AuditEvent::MAX_PATH),
            }),
            user: event
                .identity
                .as_ref()
                .filter(|who| event.side == Side::Server && who.proof != Proof::Claimed)
                .map(|who| Named {
                    name: cut(&who.text, AuditEvent::MAX_IDENTITY),
                }),
            rule: event.rule.as_ref().map(|rule| Named {
                name: cut(rule, MAX_VALUE),
            }),
            error: failed.then(|| ErrorFields {
                code: event.reason,
                kind: event.reason,
                message: event
                    .detail
                    .as_ref()
                    .map(|detail| cut(detail, AuditEvent::MAX_DETAIL)),
            }),
            countersign: Own::of(event),
        }
    }
}

impl Own {
    fn of(event: &AuditEvent) -> Self {
        Self {
            side: event.side.as_str(),
            name: event.name.as_ref().map(|name| cut(name, MAX_VALUE)),
            connection: event.connection.map(|id| Numbered { id }),
            stage: event.stage.map(super::Stage::as_str),
            identity: event.identity.as_ref().map(|who| Identity {
                value: cut(&who.text, AuditEvent::MAX_IDENTITY),
                proof: who.proof.as_str(),
            }),
            proxy: Proxy::of(event),
            alert: event.alert.as_ref().map(|alert| match alert {
                Alert::Sent(name) => AlertFields {
                    direction: "sent",
                    name: cut(name, MAX_VALUE),
                },
                Alert::Received(name) => AlertFields {
                    direction: "received",
                    name: cut(name, MAX_VALUE),
                },
            }),
            generation: (event.generation > 0).then_some(event.generation),
            certificates: event
                .certificates
                .iter()
                .take(AuditEvent::MAX_CERTIFICATES)
                .map(Described::of)
                .collect(),
            own_certificate: event.own_certificate.as_ref().map(Described::read),
            reload: (event.action == Action::ReloadApplied).then(|| Reload {
                changed: list(event.reloaded.iter().map(|part| cut(part, MAX_VALUE))),
            }),
            dropped: event.dropped,
            mcp: event.request.as_ref().and_then(|request| {
                Some(Mcp {
                    method: cut(request.mcp_method.as_ref()?, AuditEvent::MAX_METHOD),
                    name: request
                        .mcp_name
                        .as_ref()
                        .map(|name| cut(name, AuditEvent::MAX_MCP_NAME)),
                })
            }),
            suppressed: event.suppressed.map(|it| SuppressedFields {
                action: it.action.as_str(),
                count: it.count,
            }),
        }
    }
}

impl Proxy {
    fn of(event: &AuditEvent) -> Option<Self> {
        let address = event.info.proxy_addr();
        let identity = event.vouched_by.as_ref();
        if address.is_none() && identity.is_none() {
            return None;
        }
        Some(Self {
            ip: address.map(|address| address.ip().to_canonical().to_string()),
            port: address.map(|address| address.port()),
            identity: identity.map(|who| cut(&who.text, AuditEvent::MAX_PROXY)),
        })
    }
}

impl Described {
    fn of(presented: &PresentedCertificate) -> Self {
        match presented {
            PresentedCertificate::Read(certificate) => Self::read(certificate),
            PresentedCertificate::Unreadable { sha256, length } => Self::Unreadable {
                sha256: sha256.to_string(),
                length: *length,
            },
        }
    }

    fn read(certificate: &Certificate) -> Self {
        Self::Read {
            subject: cut_name(certificate.subject(), MAX_IN_CHAIN),
            issuer: cut_name(certificate.issuer(), MAX_IN_CHAIN),
            serial: ShortSerial(certificate.serial()).to_string(),
            sha256: certificate.sha256().to_string(),
            spki_sha256: certificate.spki_sha256().to_string(),
            not_before: Rfc3339(certificate.not_before()).to_string(),
            not_after: Rfc3339(certificate.not_after()).to_string(),
        }
    }
}

/// `event.category` and `event.type`: the classes of the schema.
const fn classes(action: Action) -> (&'static [&'static str], &'static [&'static str]) {
    match action {
        Action::Admitted => (
            &["authentication", "network"],
            &["connection", "start", "allowed"],
        ),
        Action::Denied | Action::NotIdentified | Action::ChainRefused | Action::Shed => {
            (&["authentication", "network"], &["connection", "denied"])
        }
        Action::HandshakeFailed | Action::TimedOut | Action::Abandoned => {
            (&["authentication", "network"], &["connection", "info"])
        }
        Action::RequestAllowed => (&["network"], &["access", "allowed"]),
        Action::RequestDenied => (&["network"], &["access", "denied"]),
        Action::Vouched => (&["authentication", "network"], &["access", "allowed"]),
        Action::AcceptFailed => (&["network"], &["info"]),
        Action::Draining => (&["network", "session"], &["info"]),
        Action::Cut => (&["network", "session"], &["denied", "end"]),
        Action::Closed => (&["network", "session"], &["end"]),
        Action::ReloadApplied | Action::CrlRolledBack | Action::CrlSkipped => {
            (&["configuration"], &["change"])
        }
        Action::RefusalsSuppressed => (&["authentication", "network"], &["denied", "info"]),
        Action::ReloadRefused
        | Action::ReloadRecovered
        | Action::CredentialsWarning
        | Action::CertificateExpiring
        | Action::EventsDropped => (&["configuration"], &["info"]),
    }
}

fn level(event: &AuditEvent) -> &'static str {
    match event.action {
        Action::Admitted | Action::Vouched | Action::RequestAllowed => "info",
        Action::Draining | Action::Cut | Action::Closed => "info",
        Action::ReloadApplied | Action::ReloadRecovered => "info",
        Action::AcceptFailed | Action::EventsDropped => "error",
        _ => "warn",
    }
}

fn timestamp(event: &AuditEvent) -> String {
    let time = OffsetDateTime::from(event.time);
    // To the microsecond, in UTC.
    let micros = time.replace_microsecond(time.microsecond()).unwrap_or(time);
    micros.format(&Rfc3339Format).unwrap_or_default()
}

/// The client and the server: one is the peer, the other this side.
fn endpoints(event: &AuditEvent) -> (Option<Endpoint>, Option<Endpoint>) {
    let info = &event.info;
    let mut peer = Endpoint::at(info.remote_addr());
    let mut own = Endpoint::at(info.local_addr());
    if let Some(traffic) = event.traffic {
        peer.bytes = Some(traffic.received);
        own.bytes = Some(traffic.sent);
    }
    let (client, mut server) = match event.side {
        Side::Server => (peer, own),
        Side::Client => (own, peer),
    };
    if event.side == Side::Client {
        server.domain = info.server_name().map(|name| cut(name, MAX_VALUE));
    }
    (client.if_known(), server.if_known())
}

impl Endpoint {
    fn at(address: Option<SocketAddr>) -> Self {
        let ip = address.map(|address| address.ip().to_canonical().to_string());
        Self {
            address: ip.clone(),
            ip,
            port: address.map(|address| address.port()),
            ..Self::default()
        }
    }

    fn if_known(self) -> Option<Self> {
        (self.ip.is_some() || self.domain.is_some() || self.bytes.is_some()).then_some(self)
    }
}

fn tls(event: &AuditEvent) -> Option<Tls> {
    let info = &event.info;
    let leaf = event.certificates.first();
    let leaf = leaf.and_then(PresentedCertificate::certificate);
    if info.version().is_none() && info.server_name().is_none() && leaf.is_none() {
        return None;
    }
    let version = info.version_number();
    // A full handshake verifies the chain inside of it; a resumed session is verified after it.
    let is_after_handshake =
        |stage: super::Stage| stage >= super::Stage::Identity || info.is_resumed();
    let established = version.is_some() && event.stage.is_none_or(is_after_handshake);
    let mut client = TlsSide {
        server_name: info.server_name().map(|name| cut(name, MAX_VALUE)),
        ..TlsSide::default()
    };
    let mut server = TlsSide::default();
    if let Some(leaf) = leaf {
        match event.side {
            Side::Server => client.show(leaf),
            Side::Client => server.show(leaf),
        }
    }
    Some(Tls {
        version,
        version_protocol: version.map(|_| "tls"),
        protocol: version.map(|version| Protocol {
            name: "tls",
            version,
        }),
        cipher: info.cipher_suite_name(),
        curve: info.key_exchange_group_name(),
        next_protocol: info
            .alpn()
            .map(|protocol| cut(&String::from_utf8_lossy(protocol), MAX_VALUE)),
        resumed: established.then(|| info.is_resumed()),
        established,
        client: client.if_known(),
        server: server.if_known(),
    })
}

impl TlsSide {
    fn show(&mut self, leaf: &Certificate) {
        let subject = cut_name(leaf.subject(), MAX_VALUE);
        let issuer = cut_name(leaf.issuer(), MAX_VALUE);
        let not_before = Rfc3339(leaf.not_before()).to_string();
        let not_after = Rfc3339(leaf.not_after()).to_string();
        self.x509 = Some(X509 {
            version_number: leaf.version().to_string(),
            serial_number: ShortSerial(leaf.serial()).to_string().to_uppercase(),
            subject: Name {
                distinguished_name: subject.clone(),
                common_name: common_names(leaf.subject()),
            },
            issuer: Name {
                distinguished_name: issuer.clone(),
                common_name: common_names(leaf.issuer()),
            },
            not_before: not_before.clone(),
            not_after: not_after.clone(),
            alternative_names: alternative_names(leaf),
        });
        self.hash = Some(Hash {
            sha256: leaf.sha256().to_string().to_uppercase(),
        });
        self.subject = Some(subject);
        self.issuer = Some(issuer);
        self.not_before = Some(not_before);
        self.not_after = Some(not_after);
    }

    fn if_known(self) -> Option<Self> {
        (self.server_name.is_some() || self.x509.is_some()).then_some(self)
    }
}

fn common_names(name: &DistinguishedName) -> Vec<String> {
    let names = name.attributes_of("2.5.4.3");
    let readable = names.iter().filter_map(|attribute| attribute.text().ok());
    list(readable.map(|text| cut(&text, MAX_VALUE)))
}

/// The names that are text or an address.
fn alternative_names(certificate: &Certificate) -> Vec<String> {
    let names = certificate.subject_alternative_names().unwrap_or_default();
    list(names.iter().filter_map(|name| {
        match name {
            GeneralName::Email(text) | GeneralName::Dns(text) | GeneralName::Uri(text) => {
                Some(cut(&String::from_utf8_lossy(text), MAX_VALUE))
            }
            GeneralName::Ip(octets) => match **octets {
                [a, b, c, d] => Some(std::net::Ipv4Addr::from([a, b, c, d]).to_string()),
                _ => <[u8; 16]>::try_from(&**octets)
                    .ok()
                    .map(|octets| std::net::Ipv6Addr::from(octets).to_string()),
            },
            _ => None,
        }
    }))
}

/// A text, which may be the peer's, escaped and cut to this number of bytes as JSON.
fn cut(text: &str, limit: usize) -> String {
    let mut shown = String::new();
    // Writing to a string does not fail.
    let _ = Bounded::new(&mut shown, limit).counting_json().text(text);
    shown
}

/// A name, escaped and cut in the same way.
fn cut_name(name: &DistinguishedName, limit: usize) -> String {
    let mut shown = String::new();
    // Writing to a string does not fail.
    let _ = ShortName(name).write(Bounded::new(&mut shown, limit).counting_json());
    shown
}

/// The first texts of a list, and the number of further ones.
fn list(mut all: impl Iterator<Item = String>) -> Vec<String> {
    let (mut shown, mut bytes) = (Vec::new(), 0);
    while shown.len() < MAX_NAMES && bytes < MAX_LIST {
        let Some(next) = all.next() else {
            return shown;
        };
        bytes += next.len();
        shown.push(next);
    }
    match all.count() {
        0 => {}
        more => shown.push(format!("… and {} more", Thousands(more as u64))),
    }
    shown
}
