//! What a status has of this crate.

use std::error::Error;
use std::iter::successors;

use tonic::Status;

use crate::integration::hyper::grpc_status;
use crate::{ConnectError, HandshakeError, PeerAlert};

/// Finds the reason of this crate in a [`tonic::Status`].
///
/// ```
/// use countersign::integration::tonic::StatusExt as _;
/// use tonic::{Code, Status};
///
/// /// What to log about a failed call.
/// fn explain(status: &Status) -> String {
///     match status.peer_alert() {
///         // With our certificate, the meaning of the alert, and a remedy.
///         Some(alert) => alert.to_string(),
///         None => format!("{:?} ({})", status.code(), status.reason().unwrap_or("other")),
///     }
/// }
/// # assert_eq!(explain(&Status::unavailable("")), "Unavailable (other)");
/// ```
pub trait StatusExt: sealed::Sealed {
    /// The alert with which the server rejected us, in the handshake or later: of a call over a
    /// [`Channel`](super::Channel).
    ///
    /// An alert after the handshake is also among the sources of the status; one in the handshake is inside a
    /// [`ConnectError`](crate::ConnectError) there.
    ///
    /// ```
    /// use std::error::Error;
    ///
    /// use countersign::PeerAlert;
    ///
    /// fn alert_in(status: &tonic::Status) -> Option<&PeerAlert> {
    ///     let mut cause = status.source();
    ///     while let Some(error) = cause {
    ///         if let Some(alert) = error.downcast_ref() {
    ///             return Some(alert);
    ///         }
    ///         cause = error.source();
    ///     }
    ///     None
    /// }
    /// # assert!(alert_in(&tonic::Status::unavailable("")).is_none());
    /// ```
    fn peer_alert(&self) -> Option<&PeerAlert>;

    /// The reason code in the details of the status, in a `google.rpc.ErrorInfo` of the domain `countersign`:
    /// `"alert_received"`, `"connection_lost"`, a [`CloseReason::reason`](crate::live::CloseReason::reason).
    ///
    /// # Security
    /// The details are what the other side has sent, or a server behind it: use them for messages and
    /// retries, not for decisions about access.
    fn reason(&self) -> Option<&str>;
}

impl StatusExt for Status {
    fn peer_alert(&self) -> Option<&PeerAlert> {
        successors(self.source(), |&error| error.source()).find_map(|error| {
            let of_handshake = match error.downcast_ref() {
                Some(ConnectError::Handshake(error)) => Some(error),
                _ => error.downcast_ref(),
            };
            match of_handshake {
                Some(HandshakeError::Alert(alert)) => Some(alert),
                _ => error.downcast_ref(),
            }
        })
    }

    fn reason(&self) -> Option<&str> {
        grpc_status::reason_in(self.details())
    }
}

mod sealed {
    #[allow(unnameable_types, reason = "an unnameable trait seals")]
    pub trait Sealed {}

    impl Sealed for tonic::Status {}
}
