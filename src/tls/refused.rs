//! Why a peer gets no connection, from either of the two who can say no.

use rustls::AlertDescription;

use super::HandshakeError;
use super::capture::Capture;
use crate::Peer;
use crate::audit::{Action, Alert, AuditEvent, Stage, Witness};
use crate::gate::{AdmitError, Gate, alert_name};
use crate::trust::ChainError;

/// Why a peer gets no connection.
pub(crate) enum Refused {
    /// The gate refused it, in its handshake or after it.
    Gate(AdmitError),
    /// The handshake failed, or was not over in time.
    Handshake(HandshakeError),
}

impl Refused {
    /// The gate's own reason is more telling than what rustls made of it.
    pub(crate) fn of(error: HandshakeError, capture: &Capture) -> Self {
        let no_certificate = matches!(
            error,
            HandshakeError::Tls(rustls::Error::NoCertificatesPresented)
        );
        match capture.chain_error() {
            Some(chain) => Self::Gate(chain.clone().into()),
            None if no_certificate => Self::Gate(ChainError::NoCertificate.into()),
            None => Self::Handshake(error),
        }
    }

    /// What tells a peer whose handshake is over.
    #[cfg(feature = "tokio")]
    pub(crate) fn alert(&self) -> AlertDescription {
        match self {
            Self::Gate(error) => error.alert(),
            Self::Handshake(_) => AlertDescription::AccessDenied,
        }
    }

    /// Records it. `who` it is is known once it was identified; its handshake is over then.
    pub(crate) fn record<I>(
        &self,
        gate: &Gate<I>,
        witness: &mut Witness,
        who: Option<&Peer<I>>,
        capture: &Capture,
    ) {
        learn(witness, capture);
        witness.is_proven |= who.is_some();
        let error = match self {
            Self::Gate(error) => {
                let shown = (capture.presented(), capture.read());
                return gate.record_refused(witness, error, who, shown);
            }
            Self::Handshake(error) => error,
        };
        let action = match error {
            HandshakeError::TimedOut { .. } => Action::TimedOut,
            _ => Action::HandshakeFailed,
        };
        if capture.verified_chain().is_some() {
            witness.stage = witness.stage.max(Stage::Proof);
        }
        // It has failed in any case.
        let _ = witness.conclude(action, Some(error.reason()), |event| {
            event.detail = Some(error.to_string());
            event.alert = alert(error, who.is_some(), capture);
            event.generation = gate.generation();
            match who {
                Some(peer) => gate.name(event, peer),
                None => {
                    show(event, capture);
                    gate.claim(event);
                }
            }
        });
    }
}

/// What a handshake that never ended has told.
fn learn(witness: &mut Witness, capture: &Capture) {
    if let Some(name) = capture.server_name()
        && witness.info.server_name().is_none()
    {
        let info = std::mem::take(&mut witness.info);
        witness.info = info.with_server_name(name.clone());
    }
    if let Some(hello) = capture.server_hello()
        && witness.info.version().is_none()
    {
        let info = std::mem::take(&mut witness.info);
        witness.info = info.with_choices(hello.version, hello.cipher_suite, hello.group);
    }
}

fn show(event: &mut AuditEvent, capture: &Capture) {
    match capture.verified_chain() {
        Some(chain) => event.set_certificates(chain.certificates()),
        None => event.set_presented(capture.presented(), capture.read()),
    }
}

fn alert(error: &HandshakeError, is_handshaken: bool, capture: &Capture) -> Option<Alert> {
    let sent = match error {
        HandshakeError::Alert(alert) => {
            return Some(Alert::Received(alert_name(alert.alert()).into()));
        }
        // Encrypted, with TLS 1.3.
        HandshakeError::KeyNotProven { .. } => AlertDescription::DecryptError,
        HandshakeError::TimedOut { .. } if is_handshaken => AlertDescription::AccessDenied,
        _ => capture.sent_alert()?,
    };
    Some(Alert::Sent(alert_name(sent).into()))
}
