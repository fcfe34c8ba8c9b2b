//! Why a connection ended a call, in place of an error of HTTP/2.
//!
//! h2 gives each call in progress the text of the error that closed its connection, and tonic converts that
//! to `UNKNOWN`. Here the text is compared with the alert that the connection has received, and with our own
//! reason to close it, so that the error itself can be returned.

use std::borrow::Cow;
use std::error::Error;
use std::io;
use std::iter::successors;
use std::sync::Arc;

use tonic::{Code, Status};

use super::connections::Connections;
use super::status::StatusExt as _;
use crate::diagnostic::display_diagnostic;
use crate::gate::alert_name;
use crate::integration::hyper::grpc_status;
use crate::live::CloseReason;
use crate::{Diagnostic, PeerAlert};

/// Why a call over a [`Channel`](super::Channel) ended with its connection.
///
/// It is the source of the call's [`Status`].
///
/// ```
/// use std::error::Error as _;
///
/// use countersign::integration::tonic::CallError;
/// use tonic::Status;
///
/// /// Whether the call may be sent again, over a new connection.
/// fn may_retry(status: &Status) -> bool {
///     match status.source().and_then(|source| source.downcast_ref()) {
///         Some(CallError::Alert(_)) => false, // the server rejects us
///         Some(CallError::Closed(_) | CallError::Lost(_)) => true,
///         _ => false,
///     }
/// }
/// # assert!(!may_retry(&Status::unavailable("")));
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The server rejected us with an alert, after the handshake.
    Alert(#[source] PeerAlert),
    /// Our side closed the connection: its own rules no longer admit the server, or the drain time of the
    /// connection ended.
    Closed(#[source] CloseReason),
    /// The server or the network closed the connection. The source is tonic's status.
    Lost(#[source] Status),
}

impl Diagnostic for CallError {
    fn reason(&self) -> &'static str {
        match self {
            Self::Alert(alert) => alert.reason(),
            Self::Closed(why) => why.reason(),
            Self::Lost(_) => "connection_lost",
        }
    }

    fn cause(&self) -> Cow<'_, str> {
        match self {
            Self::Alert(alert) => Diagnostic::cause(alert),
            Self::Closed(why) => Diagnostic::cause(why),
            Self::Lost(status) => format!(
                "the connection closed during the call: {}",
                status.message()
            )
            .into(),
        }
    }

    fn remedy(&self) -> Cow<'_, str> {
        match self {
            Self::Alert(alert) => alert.remedy(),
            Self::Closed(why) => why.remedy(),
            Self::Lost(_) => "call again, and see the server's log if it happens often".into(),
        }
    }
}

display_diagnostic!(CallError);

impl CallError {
    /// The status of a call that ended so.
    fn into_status(self) -> Status {
        let mut status = match &self {
            Self::Alert(alert) => of_alert(alert),
            Self::Closed(why) => {
                let message = format!("our side closed the connection: {}", why.reason());
                status(Code::Unavailable, message, why.reason(), &[])
            }
            Self::Lost(_) => {
                let message = "the connection closed during the call".to_owned();
                status(Code::Unavailable, message, self.reason(), &[])
            }
        };
        status.set_source(Arc::new(self));
        status
    }
}

/// The status of a call that a server rejected with this alert. It names nothing but the alert, because
/// handlers pass a status of their own calls on to their clients.
fn of_alert(alert: &PeerAlert) -> Status {
    let name = alert_name(alert.alert());
    let message = format!("the server rejected us with the alert {name}");
    status(code(&name), message, "alert_received", &[("alert", &name)])
}

fn status(code: Code, message: String, reason: &str, metadata: &[(&str, &str)]) -> Status {
    let number = u8::try_from(i32::from(code)).unwrap_or_default();
    let details = grpc_status::details(number, &message, reason, metadata);
    Status::with_details(code, message, details.into())
}

/// `PERMISSION_DENIED` where the same certificate would be rejected again.
fn code(alert: &str) -> Code {
    match alert {
        "access_denied"
        | "certificate_revoked"
        | "unknown_ca"
        | "bad_certificate"
        | "unsupported_certificate"
        | "certificate_required" => Code::PermissionDenied,
        _ => Code::Unavailable,
    }
}

/// Names the reason of a status if the call's connection ended it: that which was current when the call
/// began, or a later one. A status that the server has sent stays as it is.
pub(super) fn explained(status: Status, connections: &Connections, since: u64) -> Status {
    if let Some(alert) = status.peer_alert() {
        // In the handshake: tonic's error is the source already.
        let mut named = of_alert(alert);
        named.set_source(Arc::new(status));
        return named;
    }
    let Some(failure) = Failure::of(&status) else {
        return status;
    };
    let error = match failure {
        Failure::Io(error) => connections.why_closed(since, Some(&error.to_string())),
        Failure::NotSent => connections.why_closed(since, None),
        Failure::GoAway => None,
    };
    error.unwrap_or(CallError::Lost(status)).into_status()
}

/// How a call failed below gRPC.
#[derive(Clone, Copy)]
enum Failure<'e> {
    /// The connection failed.
    Io(&'e io::Error),
    /// The server closed it, and did not process the call.
    GoAway,
    /// The connection closed before the call was sent over it.
    NotSent,
}

impl<'e> Failure<'e> {
    fn of(status: &'e Status) -> Option<Self> {
        successors(status.source(), |&error| error.source()).find_map(|error| {
            if let Some(error) = error.downcast_ref::<h2::Error>() {
                if let Some(error) = error.get_io() {
                    return Some(Self::Io(error));
                }
                let is_graceful = error.reason() == Some(h2::Reason::NO_ERROR);
                return (error.is_go_away() && is_graceful).then_some(Self::GoAway);
            }
            let error = error.downcast_ref::<hyper::Error>()?;
            if let Some(error) = error.source().and_then(|source| source.downcast_ref()) {
                return Some(Self::Io(error));
            }
            let is_not_sent = error.is_canceled() || error.is_closed();
            is_not_sent.then_some(Self::NotSent)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_is_that_of_the_alert() {
        for (alert, name, expected) in [
            (49, "access_denied", Code::PermissionDenied),
            (44, "certificate_revoked", Code::PermissionDenied),
            (48, "unknown_ca", Code::PermissionDenied),
            (42, "bad_certificate", Code::PermissionDenied),
            (43, "unsupported_certificate", Code::PermissionDenied),
            (116, "certificate_required", Code::PermissionDenied),
            (45, "certificate_expired", Code::Unavailable),
            (46, "certificate_unknown", Code::Unavailable),
            (80, "internal_error", Code::Unavailable),
        ] {
            let alert = PeerAlert::new(alert.into(), crate::Side::Server, None);
            let status = CallError::Alert(alert.clone()).into_status();
            assert_eq!(status.code(), expected, "{name}");
            let message = format!("the server rejected us with the alert {name}");
            assert_eq!(status.message(), message);
            assert_eq!(status.reason(), Some("alert_received"));
            assert_eq!(status.peer_alert(), Some(&alert));
        }
    }

    #[test]
    fn other_errors_stay_as_they_are() {
        let connections = Connections::default();
        for status in [
            Status::cancelled("by the server"),
            Status::from_error(h2::Error::from(h2::Reason::CANCEL).into()),
            Status::from_error(h2::Error::from(h2::Reason::NO_ERROR).into()), // RST_STREAM
            Status::from_error(io::Error::other("of the application").into()),
        ] {
            let same = explained(status.clone(), &connections, 0);
            assert_eq!(
                (same.code(), same.message()),
                (status.code(), status.message())
            );
            assert_eq!(same.reason(), None);
        }
    }
}
