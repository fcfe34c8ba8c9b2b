//! What the peer's alert was.

use std::io;
use std::sync::{Arc, OnceLock};

use rustls::sign::CertifiedKey;

use crate::side::Side;
use crate::tls::{PeerAlert, alert};

/// Puts words to the alert that a read gives, and remembers it.
pub(super) struct Alerts {
    peer: Side,
    shown: Option<Arc<CertifiedKey>>,
    /// Made when somebody asks for it, or an alert has come.
    heard: Option<Arc<OnceLock<PeerAlert>>>,
}

/// Remembers the alert that a stream got, wherever the stream has gone; made by
/// [`TlsStream::alert_watch`](crate::TlsStream::alert_watch).
///
/// Protocol libraries make of a failed read what they like: h2, for one, keeps its text alone.
#[derive(Clone, Debug)]
pub struct AlertWatch(Arc<OnceLock<PeerAlert>>);

impl AlertWatch {
    /// The alert, once a read of the stream has met it.
    pub fn get(&self) -> Option<&PeerAlert> {
        self.0.get()
    }
}

impl Alerts {
    /// Of a peer of this side, which was shown this certificate of ours.
    pub(super) const fn from(peer: Side, shown: Option<Arc<CertifiedKey>>) -> Self {
        Self {
            peer,
            shown,
            heard: None,
        }
    }

    pub(super) fn watch(&mut self) -> AlertWatch {
        AlertWatch(Arc::clone(self.heard.get_or_insert_default()))
    }

    /// The alert, if one has come.
    pub(super) fn heard(&self) -> Option<&PeerAlert> {
        self.heard.as_ref()?.get()
    }

    /// A TLS 1.3 server refuses a client after the client's side of the handshake is over, so that
    /// the alert arrives at the first read: there it must say what it means.
    pub(super) fn name(&mut self, error: io::Error) -> io::Error {
        alert::named(error, |description| {
            let alert = PeerAlert::of_handshake(description, self.peer, self.shown.as_deref());
            let heard = self.heard.get_or_insert_default();
            heard.get_or_init(|| alert.clone());
            alert
        })
    }
}
