//! An admitted QUIC connection.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use bytes::Bytes;
use quinn::VarInt;
use rustls::AlertDescription;
use rustls::sign::CertifiedKey;

use super::close_code::{code_of, rejection};
use super::{ConnectionError, RecvStream, SendStream};
use crate::audit::{Action, Alert, Traffic};
use crate::gate::{Admission, alert_name};
use crate::live::{CloseReason, Lease, Registration};
use crate::side::Side;
use crate::stream::handshake::Admitted;
use crate::tls::quic::crypto_alert;
use crate::{Diagnostic, DrainSignal, Peer, PeerAlert};

/// A QUIC connection to a peer that was verified, identified and allowed.
///
/// Only a [`Listener`](super::Listener) and a [`Client`](super::Client) make one. Cloning is cheap; clones are
/// of the same connection.
///
/// It stays open for as long as its peer would be admitted. When the policy, the trust, the CRLs or the deny list
/// change so that it would not, the connection is **cut**: the peer gets the error code
/// [`CLOSE_CODE`](super::CLOSE_CODE) plus the alert, and everything on the connection and its streams fails, also
/// reads of data that has already arrived. When a certificate of the peer's path expires, the connection is first
/// asked to [drain](Self::draining).
///
/// It is closed when the last clone and the last of its streams are dropped.
///
/// ```
/// use countersign::identity::SpiffeId;
/// use countersign::integration::quinn::Connection;
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
///
/// async fn ask(connection: &Connection<SpiffeId>, question: &[u8]) -> std::io::Result<Vec<u8>> {
///     let (mut send, mut receive) = connection.open_bi().await?;
///     send.write_all(question).await?;
///     send.finish()?;
///     let mut answer = Vec::new();
///     receive.read_to_end(&mut answer).await?;
///     Ok(answer)
/// }
/// ```
pub struct Connection<I>(Arc<Open<I>>);

/// A connection, for as long as a clone of it or one of its streams exists.
struct Open<I> {
    link: Link,
    admission: Admission<I>,
    registration: Registration<I>,
    opened: Instant,
}

/// The part of a connection that its streams need, whatever the identity.
pub(super) struct Link {
    pub(super) quinn: quinn::Connection,
    lease: Arc<Lease>,
    pub(super) traffic: Counts,
    /// The side of the peer.
    peer: Side,
    /// Our certificate that was presented to it.
    shown: Option<Arc<CertifiedKey>>,
}

/// The bytes on streams and in datagrams.
#[derive(Default)]
pub(super) struct Counts {
    received: AtomicU64,
    sent: AtomicU64,
}

/// Keeps a connection open.
pub(super) trait Held: Send + Sync {
    fn link(&self) -> &Link;
}

impl<I: Send + Sync> Held for Open<I> {
    fn link(&self) -> &Link {
        &self.link
    }
}

impl<I: Send + Sync + 'static> Connection<I> {
    /// Makes the connection of an admitted peer: the only place that does.
    pub(super) fn new(
        quinn: quinn::Connection,
        admitted: Admitted<I>,
        peer: Side,
        receive_window: VarInt,
    ) -> Self {
        let Admitted {
            admission,
            registration,
            shown,
        } = admitted;
        let connection = registration.connection();
        connection.recorder().counters().opened();
        let lease = Arc::clone(connection.lease());
        let cut = quinn.clone();
        lease.stop_when_cut(Box::new(move |why| {
            cut.close(code_of(why.alert()), why.reason().as_bytes());
        }));
        // Until now little was buffered for the peer.
        quinn.set_receive_window(receive_window);
        Self(Arc::new(Open {
            link: Link {
                quinn,
                lease,
                traffic: Counts::default(),
                peer,
                shown,
            },
            admission,
            registration,
            opened: Instant::now(),
        }))
    }

    /// Opens a stream in both directions. The peer notices it when something is written to it.
    ///
    /// Waits while the peer allows no further stream.
    ///
    /// # Errors
    /// [`ConnectionError`]: the connection is closed.
    ///
    /// # Cancel safety
    /// Dropping the future opens no stream.
    pub async fn open_bi(&self) -> Result<(SendStream, RecvStream), ConnectionError> {
        let link = self.open()?;
        let opened = link.quinn.open_bi().await;
        Ok(self.pair(link.checked(opened)?))
    }

    /// Opens a stream to the peer.
    ///
    /// # Errors
    /// [`ConnectionError`]: the connection is closed.
    ///
    /// # Cancel safety
    /// Dropping the future opens no stream.
    pub async fn open_uni(&self) -> Result<SendStream, ConnectionError> {
        let link = self.open()?;
        let opened = link.quinn.open_uni().await;
        Ok(SendStream::new(link.checked(opened)?, self.held()))
    }

    /// The next stream in both directions that the peer opens.
    ///
    /// # Errors
    /// [`ConnectionError`]: the connection is closed.
    ///
    /// # Cancel safety
    /// Dropping the future loses no stream.
    pub async fn accept_bi(&self) -> Result<(SendStream, RecvStream), ConnectionError> {
        let link = self.open()?;
        let accepted = link.quinn.accept_bi().await;
        Ok(self.pair(link.checked(accepted)?))
    }

    /// The next stream from the peer.
    ///
    /// # Errors
    /// [`ConnectionError`]: the connection is closed.
    ///
    /// # Cancel safety
    /// Dropping the future loses no stream.
    pub async fn accept_uni(&self) -> Result<RecvStream, ConnectionError> {
        let link = self.open()?;
        let accepted = link.quinn.accept_uni().await;
        Ok(RecvStream::new(link.checked(accepted)?, self.held()))
    }

    /// Sends a datagram (RFC 9221), which may be lost.
    ///
    /// # Errors
    /// An [`io::Error`]: the connection is closed, the peer accepts no datagrams, or this one is longer than
    /// [`max_datagram_size`](Self::max_datagram_size).
    pub fn send_datagram(&self, data: Bytes) -> io::Result<()> {
        let link = self.open()?;
        let length = data.len();
        match link.quinn.send_datagram(data) {
            Ok(()) => {
                link.traffic.sent(length);
                Ok(())
            }
            Err(quinn::SendDatagramError::ConnectionLost(error)) => Err(link.explain(error).into()),
            Err(other) => Err(io::Error::new(io::ErrorKind::InvalidInput, other)),
        }
    }

    /// The next datagram from the peer. None arrives unless the transport's `datagram_receive_buffer_size` is
    /// set ([`ListenerBuilder::transport`](super::ListenerBuilder::transport)).
    ///
    /// # Errors
    /// [`ConnectionError`]: the connection is closed.
    ///
    /// # Cancel safety
    /// Dropping the future loses no datagram.
    pub async fn read_datagram(&self) -> Result<Bytes, ConnectionError> {
        let link = self.open()?;
        let read = link.quinn.read_datagram().await;
        let data = link.checked(read)?;
        link.traffic.received(data.len());
        Ok(data)
    }

    fn pair(
        &self,
        (send, receive): (quinn::SendStream, quinn::RecvStream),
    ) -> (SendStream, RecvStream) {
        let send = SendStream::new(send, self.held());
        (send, RecvStream::new(receive, self.held()))
    }

    fn held(&self) -> Arc<dyn Held> {
        Arc::clone(&self.0) as Arc<dyn Held>
    }

    /// The connection, unless it is cut.
    fn open(&self) -> Result<&Link, ConnectionError> {
        self.0.link.check()?;
        Ok(&self.0.link)
    }
}

impl<I> Connection<I> {
    /// The peer.
    pub fn peer(&self) -> &Peer<I> {
        self.0.admission.peer()
    }

    /// The name of the policy's rule that allowed the peer.
    pub fn rule(&self) -> &str {
        self.0.admission.rule()
    }

    /// The number of this connection, as in [`Control::connections`](crate::Control::connections) and in
    /// audit events.
    pub fn id(&self) -> u64 {
        self.0.registration.connection().id()
    }

    /// Completes when the connection must close soon: a certificate of the peer's path expired, the connection
    /// is too old, a connector got new credentials, or a listener shuts down. Finish the streams in progress
    /// then, and [close](Self::close) it; with HTTP/3, send GOAWAY first.
    pub fn draining(&self) -> DrainSignal {
        DrainSignal::new(Arc::clone(&self.0.link.lease))
    }

    /// Closes the connection, with an error code and a reason of the application. Data that was not delivered
    /// is lost: wait for the peer to have it first.
    pub fn close(&self, code: VarInt, reason: &[u8]) {
        self.0.link.quinn.close(code, reason);
    }

    /// Waits until the connection is closed, by whichever side, and returns why.
    ///
    /// # Cancel safety
    /// It can be dropped and called again at any time.
    pub async fn closed(&self) -> ConnectionError {
        let error = self.0.link.quinn.closed().await;
        self.0.link.explain(error)
    }

    /// Why the connection is closed; `None` while it is open.
    ///
    /// A server rejects us after our side of the handshake is complete. This has its alert, also after the
    /// streams were moved into a library that reports a failed read in its own words.
    pub fn close_reason(&self) -> Option<ConnectionError> {
        let link = &self.0.link;
        match link.check() {
            Err(cut) => Some(cut),
            Ok(()) => link.quinn.close_reason().map(|error| link.explain(error)),
        }
    }

    /// How long a datagram may be, in bytes; it changes with the path. `None`: the peer accepts none.
    pub fn max_datagram_size(&self) -> Option<usize> {
        self.0.link.quinn.max_datagram_size()
    }

    /// The time that a packet and its acknowledgement take, as estimated now.
    pub fn rtt(&self) -> std::time::Duration {
        self.0.link.quinn.rtt()
    }

    /// The channel binding `tls-exporter` (RFC 9266): 32 bytes that only the two ends of this connection
    /// know, to bind an authentication inside it to it. `None` once the connection was cut.
    pub fn channel_binding(&self) -> Option<[u8; 32]> {
        const LABEL: &[u8] = b"EXPORTER-Channel-Binding";

        self.0.link.check().ok()?;
        let mut binding = [0; 32];
        let exported = self
            .0
            .link
            .quinn
            .export_keying_material(&mut binding, LABEL, b"");
        exported.ok().map(|()| binding)
    }
}

/// Closes the connection of a peer that is not admitted, with this alert.
pub(super) fn reject(connection: &quinn::Connection, alert: AlertDescription) {
    connection.close(code_of(Some(alert)), alert_name(alert).as_bytes());
}

impl Link {
    /// Fails once the connection is cut (one atomic load).
    pub(super) fn check(&self) -> Result<(), ConnectionError> {
        if self.lease.is_cut()
            && let Some(why) = self.lease.why_cut()
        {
            return Err(ConnectionError::Cut(why.clone()));
        }
        Ok(())
    }

    /// The result of quinn, unless the connection was cut in the meantime.
    fn checked<T>(&self, result: Result<T, quinn::ConnectionError>) -> Result<T, ConnectionError> {
        self.check()?;
        result.map_err(|error| self.explain(error))
    }

    /// Our reason, or the peer's, for an error of quinn.
    pub(super) fn explain(&self, error: quinn::ConnectionError) -> ConnectionError {
        if let Err(cut) = self.check() {
            return cut;
        }
        match self.rejection(&error) {
            Some(alert) => ConnectionError::Alert(alert),
            None => ConnectionError::Lost(error),
        }
    }

    /// The alert with which the peer rejected us.
    fn rejection(&self, error: &quinn::ConnectionError) -> Option<PeerAlert> {
        let alert = match error {
            quinn::ConnectionError::ApplicationClosed(close) => rejection(close.error_code)?,
            quinn::ConnectionError::ConnectionClosed(close) => crypto_alert(close.error_code)?,
            _ => return None,
        };
        Some(PeerAlert::of_handshake(
            alert,
            self.peer,
            self.shown.as_deref(),
        ))
    }
}

impl Counts {
    pub(super) fn received(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn sent(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn read(&self) -> Traffic {
        Traffic {
            received: self.received.load(Ordering::Relaxed),
            sent: self.sent.load(Ordering::Relaxed),
        }
    }
}

impl<I> Drop for Open<I> {
    fn drop(&mut self) {
        // It holds the connection of quinn, which closes when nothing does.
        self.link.lease.forget_stop();
        let connection = self.registration.connection();
        connection.recorder().counters().closed();
        let received = self.link.quinn.close_reason();
        let alert = received.and_then(|error| self.link.rejection(&error));
        let why = self.link.lease.why_draining();
        let reason = match (why, &alert) {
            (Some(why), _) => why.reason(),
            (None, Some(_)) => "alert_received",
            (None, None) => "closed",
        };
        connection.record(Action::Closed, reason, |event| {
            event.rule = Some(self.admission.rule_name());
            event.duration = Some(self.opened.elapsed());
            event.traffic = Some(self.link.traffic.read());
            if let Some(alert) = alert {
                event.alert = Some(Alert::Received(alert_name(alert.alert()).into()));
                event.detail = Some(alert.to_string());
            } else if let Some(why) = why {
                event.detail = Some(CloseReason::cause(why).into_owned());
            }
        });
    }
}

impl<I> Clone for Connection<I> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<I: fmt::Debug> fmt::Debug for Connection<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("admission", &self.0.admission)
            .finish_non_exhaustive()
    }
}
