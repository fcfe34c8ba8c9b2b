//! A sink that makes events of `tracing`.

use std::fmt;
use std::sync::Arc;

use tracing::{Level, enabled, event};

use super::{AuditSink, RecordError};
use crate::audit::text::{Cut, Parts};
use crate::audit::{Action, Alert, AuditEvent, PresentedCertificate};
use crate::pki::Certificate;
use crate::pki::text::{Brief, Escaped};
use crate::pki::time::Rfc3339;
use crate::side::Side;

/// Makes one event of [`tracing`] of each audit event, with the target `countersign::audit`. It is the
/// default sink.
///
/// The level is `debug` for admitted and closed connections and for allowed requests, `info` for drained
/// and cut connections and for applied reloads, and `warn` for refusals and failures. It is `error` if no connection can be
/// accepted, if events were lost, and if our certificate has expired. Events without an interested
/// subscriber are not made.
///
/// ```
/// use countersign::audit::{FanOut, Memory, Tracing};
///
/// // Beside another sink, the default one has to be added explicitly.
/// let sinks = FanOut::new().and(Memory::new()).and(Tracing);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Tracing;

/// `event!` needs its level at compile time.
macro_rules! emit {
    ($level:expr, $event:expr) => {{
        let event: &AuditEvent = $event;
        let (info, alert) = (&event.info, event.alert.as_ref());
        event!(
            target: "countersign::audit",
            $level,
            action = event.action.as_str(),
            name = event.name.as_deref().map(|name| display(Escaped(name))),
            connection = event.connection,
            remote = event.is_of_connection().then(|| debug(info.remote_addr())),
            proxy = info.proxy_addr().map(debug),
            server_name = info.server_name().map(|name| display(Escaped(name))),
            reason = event.reason,
            rule = event.rule.as_deref().map(|rule| display(Escaped(rule))),
            identity = event.identity.as_ref().map(|who| display(Cut(&who.text, AuditEvent::MAX_IDENTITY))),
            proof = event.identity.as_ref().map(|who| who.proof.as_str()),
            vouched_by = event.vouched_by.as_ref().map(|who| display(Cut(&who.text, AuditEvent::MAX_PROXY))),
            certificate = event.subject_certificate().map(display),
            not_after = event.own_certificate.as_ref().map(|own| display(Rfc3339(own.not_after()))),
            method = event.request.as_ref().map(|it| display(Cut(&it.method, AuditEvent::MAX_METHOD))),
            path = event.request.as_ref().map(|it| display(Cut(&it.path, AuditEvent::MAX_PATH))),
            mcp_method = event.request.as_ref().and_then(|it| it.mcp_method.as_ref()).map(|it| display(Cut(it, AuditEvent::MAX_METHOD))),
            mcp_name = event.request.as_ref().and_then(|it| it.mcp_name.as_ref()).map(|it| display(Cut(it, AuditEvent::MAX_MCP_NAME))),
            alert = alert.map(|alert| display(ShownAlert(alert))),
            generation = event.generation,
            changed = (!event.reloaded.is_empty()).then(|| display(Parts(&event.reloaded))),
            dropped = event.dropped,
            suppressed = event.suppressed.map(|it| it.count),
            error = event.detail.as_deref().map(|it| display(Cut(it, AuditEvent::MAX_DETAIL))),
            "{}",
            event.title()
        );
    }};
}

impl AuditSink for Tracing {
    fn record(&self, event: &Arc<AuditEvent>) -> Result<(), RecordError> {
        match level(event) {
            Level::ERROR => emit!(Level::ERROR, event),
            Level::WARN => emit!(Level::WARN, event),
            Level::INFO => emit!(Level::INFO, event),
            _ => emit!(Level::DEBUG, event),
        }
        Ok(())
    }

    fn wants(&self, action: Action) -> bool {
        match action {
            Action::Admitted | Action::Vouched | Action::RequestAllowed | Action::Closed => {
                enabled!(target: "countersign::audit", Level::DEBUG)
            }
            Action::Draining | Action::Cut | Action::ReloadApplied | Action::ReloadRecovered => {
                enabled!(target: "countersign::audit", Level::INFO)
            }
            _ => enabled!(target: "countersign::audit", Level::WARN),
        }
    }
}

/// The debug form of an alert, cut.
struct ShownAlert<'a>(&'a Alert);

impl fmt::Display for ShownAlert<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Brief(format_args!("{:?}", self.0)).fmt(f)
    }
}

fn level(event: &AuditEvent) -> Level {
    match event.action {
        Action::Admitted | Action::Vouched | Action::RequestAllowed | Action::Closed => {
            Level::DEBUG
        }
        Action::Draining | Action::Cut | Action::ReloadApplied | Action::ReloadRecovered => {
            Level::INFO
        }
        Action::AcceptFailed | Action::EventsDropped => Level::ERROR,
        Action::CertificateExpiring if event.is_of_expired() => Level::ERROR,
        _ => Level::WARN,
    }
}

impl AuditEvent {
    fn is_of_expired(&self) -> bool {
        self.reason == Some("own_certificate_expired")
    }

    /// The certificate of the event: our own, or the peer's.
    fn subject_certificate(&self) -> Option<&Certificate> {
        let peer = self.certificates.first();
        let peer = peer.and_then(PresentedCertificate::certificate);
        self.own_certificate.as_ref().or(peer)
    }

    fn is_of_connection(&self) -> bool {
        self.connection.is_some() || self.action.ends_attempt()
    }

    /// The title of the line, without any text of the peer.
    pub(in crate::audit) fn title(&self) -> &'static str {
        let of_client = matches!(self.side, Side::Server);
        match self.action {
            Action::Admitted if of_client => "client admitted",
            Action::Admitted => "server admitted",
            Action::Shed => "connection shed",
            Action::Draining => "connection draining",
            Action::Cut => "connection cut",
            Action::Closed => "connection closed",
            Action::RequestAllowed => "request allowed",
            Action::RequestDenied => "request denied",
            Action::Vouched => "client admitted by the word of a proxy",
            Action::AcceptFailed => "cannot accept connections, retrying",
            Action::ReloadApplied => "reload applied",
            Action::ReloadRefused => "reload refused, nothing changed",
            Action::ReloadRecovered => "the reload has recovered",
            Action::CredentialsWarning => "our credentials have a problem",
            Action::CrlRolledBack => "a CRL was replaced with an earlier one",
            Action::CrlSkipped => "a CRL was skipped",
            Action::CertificateExpiring if self.is_of_expired() => "our certificate has expired",
            Action::CertificateExpiring => "our certificate expires soon",
            Action::EventsDropped => "audit events were lost",
            Action::RefusalsSuppressed => "refusals were not recorded individually",
            _ if of_client => "client refused",
            _ => "server refused",
        }
    }
}
