//! The alert that the peer has sent.

use std::io;
use std::sync::{Arc, OnceLock};

use rustls::sign::CertifiedKey;

use crate::side::Side;
use crate::tls::{PeerAlert, alert};

/// Explains the alert that a read returns, and keeps it.
pub(super) struct Alerts {
    peer: Side,
    shown: Option<Arc<CertifiedKey>>,
    /// Created when a watch is requested, or when an alert was received.
    received: Option<Arc<OnceLock<PeerAlert>>>,
}

/// Keeps the alert that a stream received, also after the stream was moved; made by
/// [`TlsStream::alert_watch`](crate::TlsStream::alert_watch).
///
/// Protocol libraries convert the error of a failed read. For example, h2 keeps only its text.
///
/// ```
/// use countersign::{AlertWatch, Diagnostic};
///
/// /// Explains the failure of a protocol library that owns the stream.
/// fn explain(failure: &dyn std::error::Error, alert: &AlertWatch) -> String {
///     match alert.get() {
///         Some(alert) => format!("{failure}: {}", alert.cause()),
///         None => failure.to_string(),
///     }
/// }
/// ```
#[derive(Clone, Debug)]
pub struct AlertWatch(Arc<OnceLock<PeerAlert>>);

impl AlertWatch {
    /// The alert, once a read of the stream has returned it.
    pub fn get(&self) -> Option<&PeerAlert> {
        self.0.get()
    }
}

impl Alerts {
    /// For a peer on this side, which received this certificate of ours.
    pub(super) const fn from(peer: Side, shown: Option<Arc<CertifiedKey>>) -> Self {
        Self {
            peer,
            shown,
            received: None,
        }
    }

    pub(super) fn watch(&mut self) -> AlertWatch {
        AlertWatch(Arc::clone(self.received.get_or_insert_default()))
    }

    /// The alert, if one was received.
    pub(super) fn received(&self) -> Option<&PeerAlert> {
        self.received.as_ref()?.get()
    }

    /// Replaces rustls' error for an alert by one that explains it.
    ///
    /// A TLS 1.3 server rejects a client after the client's side of the handshake is complete, so the
    /// alert arrives at the first read.
    pub(super) fn name(&mut self, error: io::Error) -> io::Error {
        alert::named(error, |description| {
            let alert = PeerAlert::of_handshake(description, self.peer, self.shown.as_deref());
            let received = self.received.get_or_insert_default();
            received.get_or_init(|| alert.clone());
            alert
        })
    }
}
