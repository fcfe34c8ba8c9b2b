//! What accepting and connecting have in common: drive, judge, and part.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::AlertDescription;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout_at};

use super::alerts::Alerts;
use super::parting::Parting;
use super::{Keeper, TlsStream, Wire};
use crate::audit::{Stage, Witness};
use crate::gate::live::Entered;
use crate::gate::{Admission, AdmitError, Gate, Identified};
use crate::pki::time::at_most_far;
use crate::tls::capture::Capture;
use crate::tls::{Bounds, HandshakeError, Refused, TooMuchReceived, seal};
use crate::trust::Usage;

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

/// What one attempt may take.
#[derive(Clone, Copy)]
pub(crate) struct Attempt {
    timeout: Duration,
    deadline: Instant,
    bytes: usize,
}

impl Attempt {
    pub(crate) fn start(bounds: &Bounds) -> Self {
        let timeout = bounds.handshake_timeout;
        Self {
            timeout,
            bytes: bounds.handshake_bytes,
            deadline: Instant::now() + at_most_far(timeout),
        }
    }

    /// The transport, bounded for this attempt.
    pub(crate) const fn watch<IO>(&self, io: IO) -> Wire<IO> {
        Wire::watching(io, self.bytes)
    }

    fn timed_out(&self, capture: &Capture) -> HandshakeError {
        HandshakeError::TimedOut {
            timeout: self.timeout,
            received: capture.received().total,
        }
    }

    /// Drives the handshake to its end. That it fails is recorded, and its transport is parted
    /// from, so that the alert that rustls wrote reaches the peer.
    pub(crate) async fn drive<F, T, IO, I>(
        &self,
        handshake: F,
        gate: &Gate<I>,
        witness: &mut Witness,
        capture: &mut Capture,
    ) -> Result<T, Refused>
    where
        F: Future<Output = Result<T, (io::Error, Wire<IO>)>> + Unpin,
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        witness.stage = Stage::Handshake;
        let driven = Captured {
            future: handshake,
            capture: &mut *capture,
        };
        let (error, wire) = match timeout_at(self.deadline, driven).await {
            Ok(Ok(tls)) => return Ok(tls),
            Ok(Err((error, wire))) => (self.why(error, capture), Some(wire)),
            Err(_elapsed) => (self.timed_out(capture), None),
        };
        let refused = Refused::of(error, capture);
        refused.record(gate, witness, None, capture);
        if let Some(wire) = wire {
            Parting::new(wire, Vec::new()).await;
        }
        Err(refused)
    }

    fn why(&self, error: io::Error, capture: &Capture) -> HandshakeError {
        if is_too_much(&error) {
            HandshakeError::TooMuchReceived { limit: self.bytes }
        } else {
            HandshakeError::from_io(error, capture)
        }
    }

    /// The policy's decision, within the time that is left, and its record; until both are there,
    /// nobody gets the stream, and no byte of the application is read from it.
    pub(crate) async fn judge<I: Send + Sync + 'static>(
        &self,
        gate: &Gate<I>,
        keeper: &Arc<Keeper>,
        identified: Result<Identified<'_, I>, AdmitError>,
        witness: &mut Witness,
        capture: &Capture,
    ) -> Result<(Admission<I>, Entered<I>), Refused> {
        // Without an identity there is nobody to judge; that has been recorded.
        let identified = identified.map_err(Refused::Gate)?;
        witness.stage = Stage::Policy;
        gate.name_witness(witness, identified.peer());
        let (who, presented) = (identified.peer().clone(), identified.presented());
        let decided = self.decide(gate, keeper, identified, witness.connection());
        let refused = match decided.await {
            Ok(admitted) => match gate.record_admitted(witness, &admitted.0, presented) {
                Ok(()) => return Ok(admitted),
                Err(not_audited) => Refused::Gate(not_audited),
            },
            Err(Some(error)) => Refused::Gate(error),
            Err(None) => Refused::Handshake(self.timed_out(capture)),
        };
        match &refused {
            Refused::Gate(error) => {
                gate.record_refused(witness, error, Some(&who), (presented, &[]))
            }
            Refused::Handshake(_) => refused.record(gate, witness, Some(&who), capture),
        }
        Err(refused)
    }

    /// The gate's word; `Err(None)` when it does not come in time.
    async fn decide<I: Send + Sync + 'static>(
        &self,
        gate: &Gate<I>,
        keeper: &Arc<Keeper>,
        identified: Identified<'_, I>,
        id: u64,
    ) -> Result<(Admission<I>, Entered<I>), Option<AdmitError>> {
        let entered = gate.enter(id, &identified, keeper.clock())?;
        // Before it can be open, so that whoever changes the policy finds somebody to ask it.
        keeper.watch(gate);
        match timeout_at(self.deadline, gate.admit_open(identified, entered)).await {
            Ok(decided) => Ok(decided?),
            Err(_elapsed) => Err(None),
        }
    }
}

fn is_too_much(error: &io::Error) -> bool {
    error
        .get_ref()
        .is_some_and(|inner| inner.is::<TooMuchReceived>())
}

/// Tells a peer whose handshake is over that it is refused.
pub(crate) async fn refuse<IO>(tls: tokio_rustls::TlsStream<Wire<IO>>, refused: &Refused)
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    refuse_with(tls, refused.alert()).await;
}

/// Tells the peer `alert`, and parts from it.
pub(crate) async fn refuse_with<IO>(tls: tokio_rustls::TlsStream<Wire<IO>>, alert: AlertDescription)
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let (wire, last_words) = last_words(tls, Some(alert));
    Parting::new(wire, last_words).await;
}

/// Takes the transport out of a stream, with the records that are left to send: what rustls still had
/// to send, and this alert, or close_notify where none is given.
pub(super) fn last_words<IO>(
    tls: tokio_rustls::TlsStream<Wire<IO>>,
    alert: Option<AlertDescription>,
) -> (Wire<IO>, Vec<u8>) {
    let (wire, connection) = match tls {
        tokio_rustls::TlsStream::Client(tls) => {
            let (wire, connection) = tls.into_inner();
            (wire, rustls::Connection::from(connection))
        }
        tokio_rustls::TlsStream::Server(tls) => {
            let (wire, connection) = tls.into_inner();
            (wire, connection.into())
        }
    };
    let mut records = Vec::new();
    match alert {
        None => seal::close_notify(connection, &mut records),
        Some(alert) => {
            if let Err(error) = seal::fatal_alert(connection, alert, &mut records) {
                tracing::debug!(%error, "no alert could be sealed; the connection is just closed");
            }
        }
    }
    (wire, records)
}

/// Makes the stream of an admitted peer: the only place that does.
pub(crate) fn admit<IO, I>(
    mut tls: tokio_rustls::TlsStream<Wire<IO>>,
    (admission, entered): (Admission<I>, Entered<I>),
    capture: &Capture,
) -> TlsStream<IO, I>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let peer = match &mut tls {
        tokio_rustls::TlsStream::Client(tls) => {
            tls.get_mut().0.stop_watching();
            Usage::Server
        }
        tokio_rustls::TlsStream::Server(tls) => {
            tls.get_mut().0.stop_watching();
            Usage::Client
        }
    };
    let alerts = Alerts::from(peer, capture.shown().cloned());
    TlsStream::new(tls, admission, entered, alerts)
}
