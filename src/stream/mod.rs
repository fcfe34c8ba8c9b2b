//! An admitted connection.

mod alerts;
mod draining;
pub(crate) mod handshake;
mod info;
mod keeper;
mod parting;
mod wire;

pub use alerts::AlertWatch;
pub use draining::DrainSignal;
pub(crate) use info::info_of;
pub(crate) use keeper::Keeper;
pub(crate) use wire::Wire;

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use self::alerts::Alerts;
use self::handshake::last_words;
use self::parting::Parting;
use crate::Peer;
use crate::audit::{Action, Alert, Traffic};
use crate::gate::live::{Entered, Half, Lease};
use crate::gate::{Admission, CloseReason, alert_name};

/// A TLS connection to a peer that was verified, identified and allowed.
///
/// Only an [`Acceptor`](crate::Acceptor) and a [`Connector`](crate::Connector) make one.
///
/// It stays open for as long as its peer would be admitted. When the policy, the trust, the CRLs or
/// the deny list change so that it would not, the stream is **cut**: the peer gets the alert that
/// fits, and reads and writes fail with an error of kind
/// [`ConnectionAborted`](io::ErrorKind::ConnectionAborted) around an [`CloseReason`]. When a certificate
/// of the peer's path expires, the stream is first asked to [drain](Self::draining). A task that
/// waits in a read or a write of the stream is woken; one that does neither finds out when it does.
///
/// Dropping it closes the transport; `shutdown` (of tokio's `AsyncWriteExt`) says goodbye first,
/// so that the peer can tell the end from a cut. One that was cut tells its peer why even so, if the
/// transport takes that at once.
pub struct TlsStream<IO, I> {
    state: State<IO>,
    /// What a stream does that is dropped after a cut. (`Drop` itself knows nothing of the transport.)
    part_at_once: fn(State<IO>, &CloseReason),
    admission: Admission<I>,
    entered: Entered<I>,
    opened: Instant,
    traffic: Traffic,
    alerts: Alerts,
}

#[expect(
    clippy::large_enum_variant,
    reason = "it is nearly always the large one, which a box would put behind a pointer"
)]
enum State<IO> {
    Open(tokio_rustls::TlsStream<Wire<IO>>),
    /// Cut; what was written before is sent first.
    Parting(Parting<IO>),
    /// Between two of the above; after a panic of the transport, for good.
    Nothing,
}

impl<IO, I> TlsStream<IO, I> {
    fn new(
        tls: tokio_rustls::TlsStream<Wire<IO>>,
        admission: Admission<I>,
        entered: Entered<I>,
        alerts: Alerts,
    ) -> Self
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        entered.connection().log().counts().opened();
        Self {
            state: State::Open(tls),
            part_at_once,
            admission,
            entered,
            opened: Instant::now(),
            traffic: Traffic::default(),
            alerts,
        }
    }

    /// The peer.
    pub const fn peer(&self) -> &Peer<I> {
        self.admission.peer()
    }

    /// The name of the policy's rule that allowed the peer.
    pub fn rule(&self) -> &str {
        self.admission.rule()
    }

    /// The number by which `Acceptor::connections` and `Connector::connections` know this
    /// connection.
    pub fn id(&self) -> u64 {
        self.entered.connection().id()
    }

    /// Ends when the connection is to come to its end: because a certificate of the peer's path
    /// expired, it is too old, a connector got new credentials, or a listener shuts down. Finish
    /// what is under way then; with HTTP/2, send GOAWAY.
    pub fn draining(&self) -> DrainSignal {
        DrainSignal::new(Arc::clone(self.entered.connection().lease()))
    }

    /// Remembers the alert with which the peer refuses us, if it does, also when the stream has been
    /// given away: to a library that tells of a failed read in its own words, say.
    pub fn alert_watch(&mut self) -> AlertWatch {
        self.alerts.watch()
    }

    /// The channel binding `tls-exporter` (RFC 9266): 32 bytes that the two ends of this connection
    /// know and nobody else, to tie an authentication inside of it (SCRAM-PLUS, a signed token) to it.
    ///
    /// `None` once the connection was cut. With TLS 1.2 it needs the extended master secret, without
    /// which no connection is made here.
    pub fn channel_binding(&self) -> Option<[u8; 32]> {
        const LABEL: &[u8] = b"EXPORTER-Channel-Binding";

        let State::Open(tls) = &self.state else {
            return None;
        };
        let exported = match tls {
            tokio_rustls::TlsStream::Client(tls) => {
                let connection = tls.get_ref().1;
                connection.export_keying_material([0; 32], LABEL, None)
            }
            tokio_rustls::TlsStream::Server(tls) => {
                let connection = tls.get_ref().1;
                connection.export_keying_material([0; 32], LABEL, None)
            }
        };
        exported.ok() // it fails during handshakes only
    }

    /// The transport below TLS.
    ///
    /// # Panics
    /// If the transport has panicked before.
    pub fn get_ref(&self) -> &IO {
        match &self.state {
            State::Open(tls) => tls.get_ref().0.get_ref(),
            State::Parting(parting) => parting.get_ref(),
            State::Nothing => panic!("the transport has panicked"),
        }
    }

    /// Notes which listener yields it.
    pub(crate) fn belongs_to(&self, listener: u64) {
        self.entered.connection().belongs_to(listener);
    }

    fn lease(&self) -> &Lease {
        self.entered.connection().lease()
    }

    fn tell_end(&self) {
        let connection = self.entered.connection();
        connection.log().counts().closed();
        let heard = self.alerts.heard();
        let reason = match (self.lease().why_draining(), heard) {
            (Some(why), _) => why.reason(),
            (None, Some(_)) => "alert_received",
            (None, None) => "closed",
        };
        connection.tell(Action::Closed, reason, |event| {
            event.rule = Some(self.admission.rule_name());
            event.duration = Some(self.opened.elapsed());
            event.traffic = Some(self.traffic);
            if let Some(alert) = heard {
                event.alert = Some(Alert::Received(alert_name(alert.alert()).into()));
                event.detail = Some(alert.to_string());
            }
        });
    }

    /// Counts what was written.
    fn sent(&mut self, poll: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(count)) = poll {
            self.traffic.sent += count as u64;
        }
        poll
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin, I> TlsStream<IO, I> {
    /// Does `poll` with the stream, unless it is cut. While that has to wait, a cut wakes it.
    fn poll_open<T>(
        &mut self,
        cx: &mut Context<'_>,
        half: Half,
        poll: impl FnOnce(
            Pin<&mut tokio_rustls::TlsStream<Wire<IO>>>,
            &mut Context<'_>,
        ) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if self.lease().is_cut() {
            return self.poll_cut(cx, half);
        }
        let State::Open(tls) = &mut self.state else {
            return Poll::Ready(Err(self.aborted()));
        };
        let result = poll(Pin::new(tls), cx);
        if result.is_pending() {
            self.lease().wake_when_cut(half, cx.waker());
            if self.lease().is_cut() {
                return self.poll_cut(cx, half);
            }
        }
        result
    }

    /// Tells the peer, and then whoever asks, that it is over.
    ///
    /// A writer is told at once: only one task can be woken by the transport, and that is the
    /// reader, who waits for the peer to have read the alert.
    fn poll_cut<T>(&mut self, cx: &mut Context<'_>, half: Half) -> Poll<io::Result<T>> {
        let begins = matches!(self.state, State::Open(_));
        if matches!(half, Half::Read) || begins {
            let parted = self.poll_part(cx);
            if matches!(half, Half::Read) && parted.is_pending() {
                return Poll::Pending;
            }
        }
        Poll::Ready(Err(self.aborted()))
    }

    fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut parting = match std::mem::replace(&mut self.state, State::Nothing) {
            State::Open(tls) => {
                let alert = self.lease().why_cut().and_then(CloseReason::alert);
                let (wire, last_words) = last_words(tls, alert);
                Parting::new(wire, last_words)
            }
            State::Parting(parting) => parting,
            State::Nothing => return Poll::Ready(()),
        };
        let result = Pin::new(&mut parting).poll(cx);
        self.state = State::Parting(parting);
        result
    }

    fn aborted(&self) -> io::Error {
        match self.lease().why_cut() {
            Some(why) => io::Error::new(io::ErrorKind::ConnectionAborted, why.clone()),
            None => io::ErrorKind::ConnectionAborted.into(),
        }
    }
}

/// Tells the peer as much as can be told without waiting.
fn part_at_once<IO: AsyncRead + AsyncWrite + Unpin>(state: State<IO>, why: &CloseReason) {
    let parting = match state {
        State::Open(tls) => {
            let (wire, last_words) = last_words(tls, why.alert());
            Parting::new(wire, last_words)
        }
        State::Parting(parting) => parting,
        State::Nothing => return,
    };
    parting.part_at_once();
}

impl<IO, I> Drop for TlsStream<IO, I> {
    fn drop(&mut self) {
        let state = std::mem::replace(&mut self.state, State::Nothing);
        if let Some(why) = self.lease().why_cut() {
            (self.part_at_once)(state, why);
        }
        self.tell_end();
    }
}

// `I` is behind an `Arc`.
impl<IO: Unpin, I> Unpin for TlsStream<IO, I> {}

impl<IO, I> AsyncRead for TlsStream<IO, I>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let poll = this.poll_open(cx, Half::Read, |tls, cx| tls.poll_read(cx, buffer));
        this.traffic.received += buffer.filled().len().saturating_sub(before) as u64;
        poll.map_err(|error| this.alerts.name(error))
    }
}

impl<IO, I> AsyncWrite for TlsStream<IO, I>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let poll = this.poll_open(cx, Half::Write, |tls, cx| tls.poll_write(cx, bytes));
        this.sent(poll)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let poll = this.poll_open(cx, Half::Write, |tls, cx| {
            tls.poll_write_vectored(cx, slices)
        });
        this.sent(poll)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.state {
            State::Open(tls) => tls.is_write_vectored(),
            _ => false,
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut()
            .poll_open(cx, Half::Write, |tls, cx| tls.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut()
            .poll_open(cx, Half::Write, |tls, cx| tls.poll_shutdown(cx))
    }
}

impl<IO, I: fmt::Debug> fmt::Debug for TlsStream<IO, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsStream")
            .field("admission", &self.admission)
            .finish_non_exhaustive()
    }
}
