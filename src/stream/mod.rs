//! An admitted connection.

mod alerts;
mod closing;
mod drain_signal;
pub(crate) mod handshake;
mod held_tickets;
mod http2_frames;
mod info;
pub(crate) mod signing;
mod wire;

pub use alerts::AlertWatch;
pub use drain_signal::DrainSignal;
pub(crate) use info::{info_of, info_of_peer};
pub(crate) use wire::Wire;

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use self::alerts::Alerts;
use self::closing::Closing;
use self::handshake::final_records;
use self::http2_frames::Http2Frames;
use crate::audit::{Action, Alert, Traffic};
use crate::gate::{Admission, alert_name};
use crate::live::{CloseReason, Half, Lease, Registration};
use crate::{Diagnostic, Peer};

/// A TLS connection to a peer that was verified, identified and allowed.
///
/// Only an [`Acceptor`](crate::Acceptor) and a [`Connector`](crate::Connector) make one.
///
/// It stays open for as long as its peer would be admitted. When the policy, the trust, the CRLs or
/// the deny list change so that it would not, the stream is **cut**: the peer gets the fitting alert, and
/// reads and writes fail with an error of kind
/// [`ConnectionAborted`](io::ErrorKind::ConnectionAborted) around a [`CloseReason`]. When a certificate
/// of the peer's path expires, the stream is first asked to [drain](Self::draining). A task that
/// waits in a read or a write of the stream is woken; the next read or write of any other task fails.
///
/// Dropping it closes the transport; `shutdown` (of tokio's `AsyncWriteExt`) sends close_notify first,
/// so that the peer can distinguish the end from a truncation. A stream that was cut sends its alert even
/// when it is dropped, if the transport accepts it without waiting.
///
/// ```
/// use countersign::{TlsStream, identity::SpiffeId};
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
/// use tokio::net::TcpStream;
///
/// async fn greet(mut stream: TlsStream<TcpStream, SpiffeId>) -> std::io::Result<()> {
///     let greeting = format!("hello {}\n", stream.peer().identity());
///     stream.write_all(greeting.as_bytes()).await?;
///     stream.shutdown().await
/// }
/// ```
///
/// # Cancel safety
/// Reads and writes are as cancel safe as those of any tokio stream: dropping a pending `read` or
/// `write` transfers nothing, and dropping a pending `write_all` may have written a part.
pub struct TlsStream<IO, I> {
    state: State<IO>,
    /// What `Drop` does after a cut, which itself has no bounds on the transport.
    close_now: fn(State<IO>, &CloseReason, &[u8]),
    admission: Admission<I>,
    registration: Registration<I>,
    opened: Instant,
    traffic: Traffic,
    alerts: Alerts,
    /// The frames written, if HTTP/2 is served over it.
    frames: Option<Box<Http2Frames>>,
}

/// In boxes: a connection of rustls has 2 kB, and the stream is moved from task to task, and into a library.
enum State<IO> {
    Open(Box<tokio_rustls::TlsStream<Wire<IO>>>),
    /// Cut: what was written before is sent first.
    Closing(Box<Closing<IO>>),
    /// Between two of the above; after a panic of the transport, permanently.
    Nothing,
}

impl<IO, I> TlsStream<IO, I> {
    fn new(
        tls: tokio_rustls::TlsStream<Wire<IO>>,
        admission: Admission<I>,
        registration: Registration<I>,
        alerts: Alerts,
    ) -> Self
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        registration.connection().recorder().counters().opened();
        Self {
            state: State::Open(Box::new(tls)),
            close_now,
            admission,
            registration,
            opened: Instant::now(),
            traffic: Traffic::default(),
            alerts,
            frames: None,
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

    /// The number of this connection, as in [`Control::connections`](crate::Control::connections) and in
    /// audit events.
    pub fn id(&self) -> u64 {
        self.registration.connection().id()
    }

    /// Completes when the connection must close soon: a certificate of the peer's path expired, the
    /// connection is too old, a connector got new credentials, or a listener shuts down. Finish the work in
    /// progress then; with HTTP/2, send GOAWAY.
    pub fn draining(&self) -> DrainSignal {
        DrainSignal::new(Arc::clone(self.registration.connection().lease()))
    }

    /// Keeps the alert with which the peer rejects us, also after the stream was moved into a library that
    /// reports a failed read in its own words.
    pub fn alert_watch(&mut self) -> AlertWatch {
        self.alerts.watch()
    }

    /// The channel binding `tls-exporter` (RFC 9266): 32 bytes that only the two ends of this connection
    /// know, to bind an authentication inside it (SCRAM-PLUS, a signed token) to it.
    ///
    /// `None` once the connection was cut. With TLS 1.2 it needs the extended master secret, which every
    /// connection has here.
    pub fn channel_binding(&self) -> Option<[u8; 32]> {
        const LABEL: &[u8] = b"EXPORTER-Channel-Binding";

        let State::Open(tls) = &self.state else {
            return None;
        };
        let exported = match &**tls {
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
            State::Closing(closing) => closing.get_ref(),
            State::Nothing => panic!("the transport has panicked"),
        }
    }

    /// Has a cut of this connection, on which HTTP/2 is served, end with GOAWAY, if HTTP/2 was negotiated.
    ///
    /// Call it before anything is written.
    #[cfg(feature = "hyper")]
    pub(crate) fn serves_http2(&mut self) {
        if self.peer().connection().alpn() == Some(b"h2") {
            self.frames.get_or_insert_default();
        }
    }

    /// How many bytes the transport has accepted so far. 0 once the connection was cut.
    #[cfg(feature = "hyper")]
    pub(crate) fn accepted(&self) -> u64 {
        match &self.state {
            State::Open(tls) => tls.get_ref().0.accepted(),
            _ => 0,
        }
    }

    /// What HTTP/2 sends last on a connection that is cut.
    fn final_data(&self, why: &CloseReason) -> Vec<u8> {
        let goaway = self.frames.as_ref().map(|frames| frames.goaway(why));
        goaway.unwrap_or_default()
    }

    fn lease(&self) -> &Lease {
        self.registration.connection().lease()
    }

    fn record_close(&self) {
        let connection = self.registration.connection();
        connection.recorder().counters().closed();
        let alert = self.alerts.received();
        let why = self.lease().why_draining();
        let reason = match (why, alert) {
            (Some(why), _) => why.reason(),
            (None, Some(_)) => "alert_received",
            (None, None) => "closed",
        };
        connection.record(Action::Closed, reason, |event| {
            event.rule = Some(self.admission.rule_name());
            event.duration = Some(self.opened.elapsed());
            event.traffic = Some(self.traffic);
            if let Some(alert) = alert {
                event.alert = Some(Alert::Received(alert_name(alert.alert()).into()));
                event.detail = Some(alert.to_string());
            } else if let Some(why) = why {
                event.detail = Some(Diagnostic::cause(why).into_owned());
            }
        });
    }

    /// Counts what was written.
    fn sent(
        &mut self,
        poll: Poll<io::Result<usize>>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(count)) = poll {
            self.traffic.sent += count as u64;
            if let Some(frames) = &mut self.frames {
                let mut left = count;
                for bytes in slices {
                    let written = bytes.get(..left).unwrap_or(bytes);
                    frames.written(written);
                    left -= written.len();
                }
            }
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
        let result = poll(Pin::new(&mut **tls), cx);
        if result.is_pending() {
            self.lease().wake_when_cut(half, cx.waker());
            if self.lease().is_cut() {
                return self.poll_cut(cx, half);
            }
        }
        result
    }

    /// Sends the alert, then fails.
    ///
    /// A writer fails immediately: the transport wakes only one task, which is the reader, and the reader
    /// waits until the peer has read the alert.
    fn poll_cut<T>(&mut self, cx: &mut Context<'_>, half: Half) -> Poll<io::Result<T>> {
        let begins = matches!(self.state, State::Open(_));
        if matches!(half, Half::Read) || begins {
            let closed = self.poll_closing(cx);
            if matches!(half, Half::Read) && closed.is_pending() {
                return Poll::Pending;
            }
        }
        Poll::Ready(Err(self.aborted()))
    }

    fn poll_closing(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut closing = match std::mem::replace(&mut self.state, State::Nothing) {
            State::Open(tls) => {
                let why = self.lease().why_cut();
                let alert = why.and_then(CloseReason::alert);
                let data = why.map(|why| self.final_data(why)).unwrap_or_default();
                let (wire, records) = final_records(*tls, alert, &data);
                Box::new(Closing::new(wire, records))
            }
            State::Closing(closing) => closing,
            State::Nothing => return Poll::Ready(()),
        };
        let result = Pin::new(&mut *closing).poll(cx);
        self.state = State::Closing(closing);
        result
    }

    fn aborted(&self) -> io::Error {
        match self.lease().why_cut() {
            Some(why) => io::Error::new(io::ErrorKind::ConnectionAborted, why.clone()),
            None => io::ErrorKind::ConnectionAborted.into(),
        }
    }
}

/// Sends the peer as much as possible without waiting.
fn close_now<IO: AsyncRead + AsyncWrite + Unpin>(state: State<IO>, why: &CloseReason, data: &[u8]) {
    let closing = match state {
        State::Open(tls) => {
            let (wire, records) = final_records(*tls, why.alert(), data);
            Closing::new(wire, records)
        }
        State::Closing(closing) => *closing,
        State::Nothing => return,
    };
    closing.close_now();
}

impl<IO, I> Drop for TlsStream<IO, I> {
    fn drop(&mut self) {
        let state = std::mem::replace(&mut self.state, State::Nothing);
        if let Some(why) = self.lease().why_cut() {
            (self.close_now)(state, why, &self.final_data(why));
        }
        self.record_close();
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
        let poll = this.poll_open(cx, Half::Read, |mut tls, cx| {
            let poll = tls.as_mut().poll_read(cx, buffer);
            if poll.is_pending()
                && let tokio_rustls::TlsStream::Server(tls) = &mut *tls
                && let Poll::Ready(Err(error)) = tls.get_mut().0.poll_send_tickets(cx)
            {
                return Poll::Ready(Err(error));
            }
            poll
        });
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
        this.sent(poll, &[io::IoSlice::new(bytes)])
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
        this.sent(poll, slices)
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
