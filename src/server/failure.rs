//! How the audit trail and the client see an error of accepting.

use rustls::AlertDescription;

use super::AcceptError;
use crate::audit::{Action, Alert, Stage};
use crate::tls::{AlertContext, Failure};

impl Failure for AcceptError {
    fn action(&self) -> Action {
        match self {
            Self::NotAdmitted(error) => error.action(),
            Self::Handshake(error) => error.action(),
            Self::Shed(_) => Action::Shed,
            Self::Preamble(error) if error.timed_out => Action::TimedOut,
            Self::Preamble(_) => Action::HandshakeFailed,
        }
    }

    fn reason(&self) -> &'static str {
        self.reason()
    }

    fn stage(&self) -> Option<Stage> {
        match self {
            Self::NotAdmitted(error) => error.stage(),
            Self::Handshake(error) => error.stage(),
            Self::Shed(_) | Self::Preamble(_) => None,
        }
    }

    fn seen_alert(&self, context: AlertContext<'_>) -> Option<Alert> {
        match self {
            Self::NotAdmitted(error) => error.seen_alert(context),
            Self::Handshake(error) => error.seen_alert(context),
            Self::Shed(_) | Self::Preamble(_) => None,
        }
    }

    fn late_alert(&self) -> AlertDescription {
        match self {
            Self::NotAdmitted(error) => error.late_alert(),
            Self::Handshake(error) => error.late_alert(),
            Self::Shed(_) | Self::Preamble(_) => AlertDescription::InternalError,
        }
    }
}
