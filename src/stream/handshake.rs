//! What accepting and connecting have in common: drive, judge, and part.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::AlertDescription;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, timeout, timeout_at};

use super::{TlsStream, Wire};
use crate::gate::{Admission, AdmitError, Gate, Identified};
use crate::tls::capture::Capture;
use crate::tls::{HandshakeError, seal};

/// How long a refused peer may take to read its alert.
const FAREWELL_TIME: Duration = Duration::from_secs(1);
/// How much of what a refused peer still sends is read and dropped.
const FAREWELL_BYTES: usize = 64 * 1024;

/// Polls a future of tokio-rustls inside a connection's capture.
struct Captured<'a, F> {
    future: F,
    capture: &'a mut Capture,
}

impl<F: Future + Unpin> Future for Captured<'_, F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.get_mut();
        let future = Pin::new(&mut this.future);
        this.capture.enter(|| future.poll(cx))
    }
}

/// The time that one attempt has.
#[derive(Clone, Copy)]
pub(crate) struct Attempt {
    timeout: Duration,
    deadline: Instant,
}

impl Attempt {
    pub(crate) fn start(timeout: Duration) -> Self {
        let now = Instant::now();
        // A timeout beyond the end of time is none; tokio's own far future is thirty years.
        let far_future = Duration::from_secs(86400 * 365 * 30);
        Self {
            timeout,
            deadline: now.checked_add(timeout).unwrap_or_else(|| now + far_future),
        }
    }

    fn timed_out(&self, capture: &Capture) -> HandshakeError {
        HandshakeError::TimedOut {
            timeout: self.timeout,
            received: capture.received().total,
        }
    }

    /// Drives the handshake to its end. A failed one's transport is parted from, so that the
    /// alert that rustls wrote reaches the peer.
    pub(crate) async fn drive<F, T, IO>(
        &self,
        handshake: F,
        capture: &mut Capture,
    ) -> Result<T, HandshakeError>
    where
        F: Future<Output = Result<T, (io::Error, Wire<IO>)>> + Unpin,
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let driven = Captured {
            future: handshake,
            capture: &mut *capture,
        };
        match timeout_at(self.deadline, driven).await {
            Ok(Ok(tls)) => Ok(tls),
            Ok(Err((error, mut wire))) => {
                part(&mut wire, &[]).await;
                Err(match capture.take_unproven() {
                    Some(chain) => HandshakeError::KeyNotProven {
                        certificate: chain.leaf().clone(),
                    },
                    None => HandshakeError::from_io(error, capture.received()),
                })
            }
            Err(_elapsed) => Err(self.timed_out(capture)),
        }
    }

    /// The policy's decision, within the time that is left; until it allows, nobody gets the
    /// stream, and no byte of the application is read from it.
    pub(crate) async fn judge<I>(
        &self,
        gate: &Gate<I>,
        peer: Result<Identified<'_, I>, AdmitError>,
        capture: &Capture,
    ) -> Result<Admission<I>, Refused> {
        match timeout_at(self.deadline, gate.authorize_async(peer?)).await {
            Ok(Ok(admission)) => Ok(admission),
            Ok(Err(error)) => Err(Refused::Gate(error)),
            Err(_elapsed) => Err(Refused::TimedOut(self.timed_out(capture))),
        }
    }
}

/// Why a peer that finished its handshake gets no stream.
pub(crate) enum Refused {
    Gate(AdmitError),
    TimedOut(HandshakeError),
}

impl From<AdmitError> for Refused {
    fn from(error: AdmitError) -> Self {
        Self::Gate(error)
    }
}

impl Refused {
    fn alert(&self) -> AlertDescription {
        match self {
            Self::Gate(error) => error.alert(),
            Self::TimedOut(_) => AlertDescription::AccessDenied,
        }
    }
}

/// Tells a peer whose handshake is over that it is refused.
pub(crate) async fn refuse<IO>(tls: tokio_rustls::TlsStream<Wire<IO>>, refused: &Refused)
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    refuse_with(tls, refused.alert()).await;
}

/// Tells the peer `alert`, and parts from it.
pub(crate) async fn refuse_with<IO>(
    mut tls: tokio_rustls::TlsStream<Wire<IO>>,
    alert: AlertDescription,
) where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    // What rustls still has to write (session tickets) goes first, or nothing can be sealed.
    if !matches!(timeout(FAREWELL_TIME, tls.flush()).await, Ok(Ok(()))) {
        return;
    }
    let (mut wire, record) = match tls {
        tokio_rustls::TlsStream::Client(tls) => {
            let (wire, connection) = tls.into_inner();
            (wire, seal::fatal_alert(connection, alert))
        }
        tokio_rustls::TlsStream::Server(tls) => {
            let (wire, connection) = tls.into_inner();
            (wire, seal::fatal_alert(connection, alert))
        }
    };
    match record {
        Ok(record) => part(&mut wire, &record).await,
        Err(error) => {
            tracing::debug!(%error, "no alert could be sealed; the connection is just closed");
            part(&mut wire, &[]).await;
        }
    }
}

/// Closes a connection so that the peer can still read what was said last.
///
/// Closing a socket with unread bytes in it resets the connection, and the reset overtakes the
/// alert: so the write side is closed first, and a bounded amount is read and dropped.
async fn part<IO>(wire: &mut Wire<IO>, last_words: &[u8])
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let farewell = async {
        wire.write_all(last_words).await?;
        wire.shutdown().await?;
        let mut dropped = 0;
        let mut buffer = [0; 2048];
        while dropped < FAREWELL_BYTES {
            match wire.read(&mut buffer).await? {
                0 => break,
                count => dropped += count,
            }
        }
        io::Result::Ok(())
    };
    // A peer that does not listen is not waited for, and its errors are no news.
    let _ = timeout(FAREWELL_TIME, farewell).await;
}

/// Makes the stream of an admitted peer: the only place that does.
pub(crate) fn admit<IO, I>(
    mut tls: tokio_rustls::TlsStream<Wire<IO>>,
    admission: Admission<I>,
) -> TlsStream<IO, I> {
    match &mut tls {
        tokio_rustls::TlsStream::Client(tls) => tls.get_mut().0.stop_watching(),
        tokio_rustls::TlsStream::Server(tls) => tls.get_mut().0.stop_watching(),
    }
    TlsStream::new(tls, admission)
}
