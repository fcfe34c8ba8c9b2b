//! How the audit trail and the server see an error of connecting.

use rustls::AlertDescription;

use super::ConnectError;
use crate::audit::{Action, Alert, Stage};
use crate::tls::{AlertContext, Failure};

impl Failure for ConnectError {
    fn action(&self) -> Action {
        match self {
            Self::NotAdmitted(error) => error.action(),
            Self::Handshake(error) => error.action(),
            Self::NotAsked | Self::InvalidServerName { .. } => Action::HandshakeFailed,
        }
    }

    fn reason(&self) -> &'static str {
        self.reason()
    }

    fn stage(&self) -> Option<Stage> {
        match self {
            Self::NotAdmitted(error) => error.stage(),
            Self::Handshake(error) => error.stage(),
            Self::NotAsked | Self::InvalidServerName { .. } => None,
        }
    }

    fn seen_alert(&self, context: AlertContext<'_>) -> Option<Alert> {
        match self {
            Self::NotAdmitted(error) => error.seen_alert(context),
            Self::Handshake(error) => error.seen_alert(context),
            Self::NotAsked => context.sent(self.late_alert()),
            Self::InvalidServerName { .. } => None,
        }
    }

    fn late_alert(&self) -> AlertDescription {
        match self {
            Self::NotAdmitted(error) => error.late_alert(),
            Self::Handshake(error) => error.late_alert(),
            Self::NotAsked | Self::InvalidServerName { .. } => AlertDescription::HandshakeFailure,
        }
    }
}
