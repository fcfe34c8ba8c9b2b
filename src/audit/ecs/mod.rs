//! Events as JSON, with the names of the Elastic Common Schema and of OpenTelemetry's semantic
//! conventions.

mod certificates;
mod object;

use std::fmt::{self, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use time::OffsetDateTime;

use super::{
    Action, Alert, AuditEvent, AuditedRequest, Outcome, PresentedCertificate, Proof, Stage,
};
use crate::pki::Certificate;
use crate::pki::text::{MAX_SENTENCE, MAX_VALUE};
use crate::side::Side;
use certificates::Text;
pub(super) use certificates::Texts;
use object::Object;

/// The version of the Elastic Common Schema.
const ECS_VERSION: &str = "8.17.0";

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
        let mut json = String::with_capacity(2048);
        self.write_json(&mut json, &|certificate| Arc::new(Text::of(certificate)));
        json
    }

    /// Appends the event as JSON. What it says of certificates is remembered.
    pub(super) fn append_json(&self, json: &mut String, texts: &Texts) {
        self.write_json(json, &|certificate| texts.of(certificate));
    }

    fn write_json(&self, json: &mut String, text: &TextOf<'_>) {
        Object::write(json, |it| {
            it.shown("@timestamp", Timestamp(self.time));
            // As a whole, so that a cut shows how much is missing.
            let mut message = String::with_capacity(MAX_VALUE);
            // Writing to a string does not fail.
            let _ = write!(message, "{self}");
            it.text("message", &message, MAX_SENTENCE);
            it.object("ecs", |ecs| ecs.code("version", ECS_VERSION));
            it.object("log", |log| log.code("level", level(self)));
            it.object("event", |it| event(it, self));
            endpoints(it, self);
            tls(it, self, text);
            if let Some(request) = &self.request {
                it.object("http", |http| {
                    http.object("request", |it| {
                        it.text("method", &request.method, Self::MAX_METHOD);
                    });
                });
                it.object("url", |url| url.text("path", &request.path, Self::MAX_PATH));
            }
            let user = self.identity.as_ref();
            if let Some(who) = user.filter(|who| who.proof != Proof::Claimed)
                && self.side == Side::Server
            {
                it.object("user", |user| {
                    user.text("name", &who.text, Self::MAX_IDENTITY)
                });
            }
            if let Some(rule) = &self.rule {
                it.object("rule", |it| it.text("name", rule, MAX_VALUE));
            }
            if self.outcome() == Some(Outcome::Failure) {
                it.object("error", |it| error(it, self));
            }
            it.object("countersign", |it| own(it, self, text));
        });
    }
}

/// Makes the text of a certificate, or remembers it.
type TextOf<'a> = dyn Fn(&Certificate) -> Arc<Text> + 'a;

fn event(out: &mut Object<'_>, event: &AuditEvent) {
    let (category, types) = classes(event.action);
    out.shown("id", event.id);
    out.code("kind", "event");
    out.codes("category", category);
    out.codes("type", types);
    out.code("action", event.action.as_str());
    if let Some(outcome) = event.outcome() {
        out.code("outcome", outcome.as_str());
    }
    if let Some(reason) = event.reason {
        out.code("reason", reason);
    }
    if let Some(time) = event.duration {
        // Nanoseconds.
        out.value(
            "duration",
            u64::try_from(time.as_nanos()).unwrap_or(u64::MAX),
        );
    }
    out.code("module", "countersign");
    out.code("dataset", "countersign.audit");
}

fn error(out: &mut Object<'_>, event: &AuditEvent) {
    if let Some(reason) = event.reason {
        out.code("code", reason);
        out.code("type", reason); // OpenTelemetry's name of the same
    }
    if let Some(detail) = &event.detail {
        out.text("message", detail, AuditEvent::MAX_DETAIL);
    }
}

/// Values without a name in both schemas.
fn own(out: &mut Object<'_>, event: &AuditEvent, text: &TextOf<'_>) {
    out.code("side", event.side.as_str());
    if let Some(name) = &event.name {
        out.text("name", name, MAX_VALUE);
    }
    if let Some(id) = event.connection {
        out.object("connection", |it| it.value("id", id));
    }
    if let Some(stage) = event.stage {
        out.code("stage", stage.as_str());
    }
    if let Some(who) = &event.identity {
        out.object("identity", |it| {
            it.text("value", &who.text, AuditEvent::MAX_IDENTITY);
            it.code("proof", who.proof.as_str());
        });
    }
    out.object_if_any("proxy", |it| proxy(it, event));
    if let Some(alert) = &event.alert {
        let (direction, name) = match alert {
            Alert::Sent(name) => ("sent", name),
            Alert::Received(name) => ("received", name),
        };
        out.object("alert", |it| {
            it.code("direction", direction);
            it.text("name", name, MAX_VALUE);
        });
    }
    if event.generation > 0 {
        out.value("generation", event.generation);
    }
    if !event.certificates.is_empty() {
        let presented = event.certificates.iter();
        out.objects(
            "certificates",
            presented.take(AuditEvent::MAX_CERTIFICATES),
            |it, presented| certificate(it, presented, text),
        );
    }
    if let Some(own) = &event.own_certificate {
        out.object("own_certificate", |it| it.insert(&text(own).listed));
    }
    if event.action == Action::ReloadApplied {
        out.object("reload", |it| it.texts("changed", event.reloaded.iter()));
    }
    if let Some(request) = &event.request {
        out.object_if_any("mcp", |it| mcp(it, request));
    }
    if let Some(missing) = event.dropped {
        out.value("dropped", missing);
    }
    if let Some(refusals) = event.suppressed {
        out.object("suppressed", |it| {
            it.code("action", refusals.action.as_str());
            it.value("count", refusals.count);
        });
    }
}

/// The proxy that forwards the client, and the identity of one that vouches for it.
fn proxy(out: &mut Object<'_>, event: &AuditEvent) {
    if let Some(address) = event.info.proxy_addr() {
        out.shown("ip", address.ip().to_canonical());
        out.value("port", address.port());
    }
    if let Some(who) = &event.vouched_by {
        out.text("identity", &who.text, AuditEvent::MAX_PROXY);
    }
}

/// The request of the Model Context Protocol.
fn mcp(out: &mut Object<'_>, request: &AuditedRequest) {
    let Some(method) = &request.mcp_method else {
        return;
    };
    out.text("method", method, AuditEvent::MAX_METHOD);
    if let Some(name) = &request.mcp_name {
        out.text("name", name, AuditEvent::MAX_MCP_NAME);
    }
}

fn certificate(out: &mut Object<'_>, presented: &PresentedCertificate, text: &TextOf<'_>) {
    match presented {
        PresentedCertificate::Read(certificate) => out.insert(&text(certificate).listed),
        PresentedCertificate::Unreadable { sha256, length } => {
            out.shown("sha256", sha256);
            out.value("length", length); // bytes
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

/// RFC 3339 to the microsecond, in UTC. A time that it cannot represent is empty.
struct Timestamp(SystemTime);

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = OffsetDateTime::from(self.0);
        let Ok(year @ 0..=9999) = u16::try_from(time.year()) else {
            return Ok(());
        };
        let (month, day) = (u8::from(time.month()), time.day());
        let (hour, minute, second) = time.to_hms();
        let mut text = *b"0000-00-00T00:00:00.000000Z";
        digits(&mut text[..4], u32::from(year));
        for (place, value) in [(5, month), (8, day), (11, hour), (14, minute), (17, second)] {
            digits(&mut text[place..place + 2], u32::from(value));
        }
        digits(&mut text[20..26], time.microsecond());
        f.write_str(str::from_utf8(&text).unwrap_or_default())
    }
}

/// Writes a number in as many digits as there are places.
fn digits(places: &mut [u8], mut number: u32) {
    for place in places.iter_mut().rev() {
        *place = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// The client and the server: one is the peer, the other this side.
fn endpoints(out: &mut Object<'_>, event: &AuditEvent) {
    let info = &event.info;
    let peer = (info.remote_addr(), event.traffic.map(|it| it.received));
    let own = (info.local_addr(), event.traffic.map(|it| it.sent));
    let (client, server, name) = match event.side {
        Side::Server => (peer, own, None),
        Side::Client => (own, peer, info.server_name()),
    };
    out.object_if_any("client", |it| endpoint(it, client, None));
    out.object_if_any("server", |it| endpoint(it, server, name));
}

fn endpoint(
    out: &mut Object<'_>,
    (address, sent): (Option<SocketAddr>, Option<u64>),
    name: Option<&str>,
) {
    if let Some(address) = address {
        let ip = address.ip().to_canonical().to_string();
        out.code("address", &ip);
        out.code("ip", &ip);
        out.value("port", address.port());
    }
    if let Some(name) = name {
        out.text("domain", name, MAX_VALUE);
    }
    if let Some(bytes) = sent {
        out.value("bytes", bytes);
    }
}

fn tls(out: &mut Object<'_>, event: &AuditEvent, text: &TextOf<'_>) {
    let info = &event.info;
    let leaf = event.certificates.first();
    let leaf = leaf.and_then(PresentedCertificate::certificate);
    if info.version().is_none() && info.server_name().is_none() && leaf.is_none() {
        return;
    }
    let version = info.version_number();
    // A full handshake verifies the chain inside of it; a resumed session is verified after it.
    let is_after_handshake = |stage| stage >= Stage::Identity || info.is_resumed();
    let established = version.is_some() && event.stage.is_none_or(is_after_handshake);
    let leaf = leaf.map(text);
    let show = |out: &mut Object<'_>| {
        if let Some(leaf) = &leaf {
            out.insert(&leaf.side);
        }
    };
    out.object("tls", |out| {
        if let Some(version) = version {
            out.code("version", version);
            out.code("version_protocol", "tls");
            // OpenTelemetry's names of the two above.
            out.object("protocol", |it| {
                it.code("name", "tls");
                it.code("version", version);
            });
        }
        if let Some(cipher) = info.cipher_suite_name() {
            out.code("cipher", &cipher);
        }
        if let Some(curve) = info.key_exchange_group_name() {
            out.code("curve", &curve);
        }
        if let Some(protocol) = info.alpn() {
            let protocol = String::from_utf8_lossy(protocol);
            out.text("next_protocol", &protocol, MAX_VALUE);
        }
        if established {
            out.value("resumed", info.is_resumed());
        }
        out.value("established", established);
        out.object_if_any("client", |client| {
            if let Some(name) = info.server_name() {
                client.text("server_name", name, MAX_VALUE);
            }
            if event.side == Side::Server {
                show(client);
            }
        });
        if event.side == Side::Client {
            out.object_if_any("server", show);
        }
    });
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn timestamps_have_microseconds() {
        let at = |seconds, nanos| {
            let time = SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos);
            Timestamp(time).to_string()
        };
        assert_eq!(at(0, 0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(at(1_709_210_096, 7_999), "2024-02-29T12:34:56.000007Z");
        assert_eq!(
            at(253_402_300_799, 999_999_999),
            "9999-12-31T23:59:59.999999Z"
        );
        assert_eq!(
            Timestamp(SystemTime::UNIX_EPOCH - Duration::from_secs(1)).to_string(),
            "1969-12-31T23:59:59.000000Z"
        );
    }
}
