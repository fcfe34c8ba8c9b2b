//! Drives handshakes on tokio, for both sides.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::sign::CertifiedKey;
use rustls::{AlertDescription, Connection as TlsConnection};
use rustls_pki_types::{CertificateDer, UnixTime};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use super::alerts::Alerts;
use super::closing::{Closing, FinalRecords};
use super::signing::{Start, Steps, Waiting};
use super::{TlsStream, Wire};
use crate::audit::Stage;
use crate::endpoint::Bounds;
use crate::gate::{Admission, AdmitError, Gate, Handshaken, Identified};
use crate::live::{Authorized, Connection, Decide, Live, Opening, Place, Registration};
use crate::pki::time::at_most_far;
use crate::side::Side;
use crate::tls::probe::HandshakeProbe;
use crate::tls::{Attempt, Failure, HandshakeError, TooMuchReceived, most_specific, seal};

/// An attempt with its limits of time and bytes.
pub(crate) struct Driver<I: Send + Sync + 'static, E> {
    /// In a box, because it moves from one step to the next.
    pub(crate) attempt: Box<Attempt<I>>,
    timeout: Duration,
    deadline: Instant,
    bytes: usize,
    pub(crate) cancel: Option<Cancel<E>>,
}

/// Cancels an attempt with an error when a signal is sent. Dropping the sender cancels nothing.
pub(crate) struct Cancel<E> {
    pub(crate) signal: oneshot::Receiver<()>,
    pub(crate) error: fn() -> E,
}

/// A peer that was admitted.
pub(crate) struct Admitted<I> {
    pub(crate) admission: Admission<I>,
    pub(crate) registration: Registration<I>,
    /// Our certificate that was presented to the peer.
    pub(crate) shown: Option<Arc<CertifiedKey>>,
}

/// Polls a future of tokio-rustls with the probe of its connection.
struct Probed<'a, F> {
    future: F,
    probe: &'a mut HandshakeProbe,
}

impl<F: Future + Unpin> Future for Probed<'_, F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.get_mut();
        let future = Pin::new(&mut this.future);
        this.probe.with_probe(|| future.poll(cx))
    }
}

impl<I, E> Driver<I, E>
where
    I: Send + Sync + 'static,
    E: Failure + From<AdmitError> + From<HandshakeError>,
{
    /// The time starts now.
    pub(crate) fn start(
        attempt: Box<Attempt<I>>,
        bounds: &Bounds,
        cancel: Option<Cancel<E>>,
    ) -> Self {
        let timeout = bounds.handshake_timeout;
        Self {
            attempt,
            timeout,
            bytes: bounds.handshake_bytes,
            deadline: Instant::now() + at_most_far(timeout),
            cancel,
        }
    }

    /// The transport, with the limit of bytes.
    pub(crate) const fn watch<IO>(&self, io: IO) -> Wire<IO> {
        Wire::watching(io, self.bytes)
    }

    /// Runs what precedes TLS, within the same time. If it fails, the outcome is recorded; `late` is the
    /// error when the time is over.
    pub(crate) async fn before_tls<T, F, X>(
        mut self,
        preamble: impl Future<Output = Result<T, F>>,
        late: impl FnOnce() -> X,
    ) -> Result<(Self, T), E>
    where
        E: From<F> + From<X>,
    {
        match bounded(self.deadline, &mut self.cancel, pin!(preamble)).await {
            Ok(Ok(done)) => Ok((self, done)),
            Ok(Err(error)) => Err(self.fail(error.into())),
            Err(Stop::TimedOut) => Err(self.fail(late().into())),
            Err(Stop::Cancelled(error)) => Err(self.fail(error)),
        }
    }

    /// Records the failure before TLS, and returns it.
    pub(crate) fn fail(self, error: E) -> E {
        // A failure is recorded in any case.
        let _ = self.attempt.finish(Err(&error), &[]);
        error
    }

    /// Drives the handshake until it is complete. If it fails, the outcome is recorded, and the
    /// transport is closed so that the alert that rustls wrote reaches the peer.
    ///
    /// The handshake is in a box: it has more than 2 kB, and would be in each of the futures that wait for it.
    pub(crate) async fn drive<F, T, IO>(mut self, handshake: Box<F>) -> Result<(Self, T), E>
    where
        F: Future<Output = Result<T, (io::Error, Wire<IO>)>> + Unpin,
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        self.attempt.stage = Stage::Handshake;
        let probed = Probed {
            future: handshake,
            probe: &mut self.attempt.probe,
        };
        let driven = bounded(self.deadline, &mut self.cancel, probed).await;
        let (error, wire) = match driven {
            Ok(Ok(tls)) => return Ok((self, tls)),
            Ok(Err((error, wire))) => {
                let error = self.why(error);
                (most_specific(error, &self.attempt.probe), Some(wire))
            }
            Err(stop) => (self.stopped(stop), None),
        };
        // A failure is recorded in any case.
        let _ = self.attempt.finish(Err(&error), &[]);
        if let Some(wire) = wire {
            Box::pin(Closing::new(wire, FinalRecords::default())).await;
        }
        Err(error)
    }

    /// As [`drive`](Self::drive), for a key that may be slow: what may sign runs on a thread for blocking
    /// work.
    pub(crate) async fn drive_slowly<IO>(
        mut self,
        io: IO,
        start: Start,
    ) -> Result<(Self, TlsConnection, Wire<IO>), E>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        self.attempt.stage = Stage::Handshake;
        let mut wire = self.watch(io);
        let mut waiting = Waiting::Peer;
        let steps = Steps {
            wire: &mut wire,
            probe: &mut self.attempt.probe,
            deadline: self.deadline,
            waiting: &mut waiting,
        };
        let driven = bounded(self.deadline, &mut self.cancel, pin!(steps.run(start))).await;
        let (error, has_failed) = match driven {
            Ok(Ok(connection)) => return Ok((self, connection, wire)),
            Ok(Err(error)) => {
                let error = self.why(error);
                (most_specific(error, &self.attempt.probe), true)
            }
            Err(Stop::TimedOut) if waiting != Waiting::Peer => {
                let error = HandshakeError::SigningTimedOut {
                    timeout: self.timeout,
                    queued: waiting == Waiting::Place,
                };
                (error.into(), false)
            }
            Err(stop) => (self.stopped(stop), false),
        };
        // A failure is recorded in any case.
        let _ = self.attempt.finish(Err(&error), &[]);
        if has_failed {
            Closing::new(wire, FinalRecords::default()).await;
        }
        Err(error)
    }

    /// Waits for a handshake that another driver performs, until the time is over or it is cancelled. The
    /// caller records the outcome, with what was observed.
    #[cfg(feature = "quinn")]
    pub(crate) async fn wait<T>(
        &mut self,
        handshake: impl Future<Output = T>,
    ) -> Result<T, Stopped<E>> {
        self.attempt.stage = Stage::Handshake;
        let waited = bounded(self.deadline, &mut self.cancel, pin!(handshake)).await;
        waited.map_err(Stopped)
    }

    /// Records that the time is over, or that it was cancelled, and returns the error.
    #[cfg(feature = "quinn")]
    pub(crate) fn stop(self, stopped: Stopped<E>) -> E {
        let error = self.stopped(stopped.0);
        self.fail(error)
    }

    fn why(&self, error: io::Error) -> HandshakeError {
        if is_too_much(&error) {
            HandshakeError::TooMuchReceived { limit: self.bytes }
        } else {
            HandshakeError::from_io(error, &self.attempt.probe)
        }
    }

    fn stopped(&self, stop: Stop<E>) -> E {
        match stop {
            Stop::TimedOut => {
                let error = HandshakeError::TimedOut {
                    timeout: self.timeout,
                    received: self.attempt.probe.received().total,
                };
                most_specific(error, &self.attempt.probe)
            }
            Stop::Cancelled(error) => error,
        }
    }

    /// Identifies and authorizes the peer within the time that is left, opens the connection, and
    /// records the outcome. Until that is done, no caller gets the stream, and no byte of the
    /// application is read from it.
    pub(crate) async fn admit<'c>(
        mut self,
        live: &Arc<Live<I>>,
        connection: impl Into<Handshaken<'c>>,
    ) -> Result<Admitted<I>, E> {
        let identified = self.attempt.identify(connection);
        self.admit_identified(live, identified).await
    }

    /// As [`admit`](Self::admit), for the chain of a connection whose handshake has proven the key.
    #[cfg(feature = "quinn")]
    pub(crate) async fn admit_chain(
        mut self,
        live: &Arc<Live<I>>,
        presented: &[CertificateDer<'_>],
    ) -> Result<Admitted<I>, E> {
        let identified = self.attempt.identify_chain(presented);
        self.admit_identified(live, identified).await
    }

    async fn admit_identified<'c>(
        mut self,
        live: &Arc<Live<I>>,
        identified: Result<Identified<'c, I>, (AdmitError, &'c [CertificateDer<'c>])>,
    ) -> Result<Admitted<I>, E> {
        let shown = self.attempt.probe.shown().cloned();
        let (decided, presented) = match identified {
            Ok(peer) => {
                let presented = peer.presented();
                (self.decide(live, peer).await, presented)
            }
            Err((error, presented)) => (Err(error.into()), presented),
        };
        let result = decided.as_ref().map(|(admission, _)| admission);
        let result = result.map_err(|error| error as &dyn Failure);
        self.attempt.finish(result, presented)?;
        let (admission, registration) = decided?;
        Ok(Admitted {
            admission,
            registration,
            shown,
        })
    }

    async fn decide(
        &mut self,
        live: &Arc<Live<I>>,
        peer: Identified<'_, I>,
    ) -> Result<(Admission<I>, Registration<I>), E> {
        let since = self.attempt.gate().now()?;
        let opened = live.clock();
        live.note_time(since, opened);
        live.start_timers();
        let deciding = Deciding {
            attempt: &self.attempt,
            live,
            peer,
            since,
            opened,
            place: None,
        };
        match bounded(self.deadline, &mut self.cancel, pin!(deciding.open())).await {
            Ok(opened) => Ok(opened?),
            Err(stop) => Err(self.stopped(stop)),
        }
    }
}

/// A peer that is identified, and whose connection is to open.
struct Deciding<'a, 'c, I: Send + Sync + 'static> {
    attempt: &'a Attempt<I>,
    live: &'a Arc<Live<I>>,
    peer: Identified<'c, I>,
    since: UnixTime,
    opened: Duration,
    place: Option<Option<Place<I>>>,
}

impl<I: Send + Sync + 'static> Decide<Connection<I>> for Deciding<'_, '_, I> {
    type Rules = Arc<Gate<I>>;
    type With = Admission<I>;
    type Error = AdmitError;

    fn rules(&self) -> Arc<Gate<I>> {
        self.attempt.gate()
    }

    fn is_in_force(&self, gate: &Arc<Gate<I>>) -> bool {
        self.attempt.is_in_force(gate)
    }

    async fn decide(
        &mut self,
        gate: &Arc<Gate<I>>,
    ) -> Result<Option<Authorized<Connection<I>, Admission<I>>>, AdmitError> {
        let attempt = self.attempt;
        let decided = gate.decide_async(&mut self.peer).await;
        attempt.count_decision(&mut self.peer);
        decided?;
        if self.place.is_none() {
            self.place = Some(self.live.places().take(self.peer.peer())?);
        }
        let Some(admission) = self.peer.admission() else {
            return Ok(None);
        };
        let opening = Opening {
            id: attempt.id(),
            peer: admission.peer().clone(),
            identity: attempt.identity().cloned(),
            since: self.since,
            opened: self.opened,
            generation: gate.generation(),
            listener: attempt.listener,
        };
        let connection = Connection::new(opening, Arc::clone(attempt.recorder()));
        Ok(Some(Authorized {
            connection: Arc::new(connection),
            with: admission,
        }))
    }
}

impl<I: Send + Sync + 'static> Deciding<'_, '_, I> {
    async fn open(mut self) -> Result<(Admission<I>, Registration<I>), AdmitError> {
        let live = self.live;
        let (connection, admission) = live.open(&mut self).await?;
        let place = self.place.take().flatten();
        let registration = Registration::new(Arc::clone(live), connection, place);
        Ok((admission, registration))
    }
}

/// Why a handshake that another driver performs was stopped.
#[cfg(feature = "quinn")]
pub(crate) struct Stopped<E>(Stop<E>);

/// Why a future was stopped.
enum Stop<E> {
    TimedOut,
    Cancelled(E),
}

/// Runs a future until the deadline, or until it is cancelled.
async fn bounded<T, E>(
    deadline: Instant,
    cancel: &mut Option<Cancel<E>>,
    mut future: impl Future<Output = T> + Unpin,
) -> Result<T, Stop<E>> {
    let mut time = pin!(sleep_until(deadline));
    poll_fn(|cx| {
        if let Poll::Ready(done) = Pin::new(&mut future).poll(cx) {
            return Poll::Ready(Ok(done));
        }
        if let Some(waiting) = cancel
            && let Poll::Ready(signal) = Pin::new(&mut waiting.signal).poll(cx)
        {
            let error = waiting.error;
            *cancel = None;
            if signal.is_ok() {
                return Poll::Ready(Err(Stop::Cancelled(error())));
            }
        }
        time.as_mut().poll(cx).map(|()| Err(Stop::TimedOut))
    })
    .await
}

fn is_too_much(error: &io::Error) -> bool {
    error
        .get_ref()
        .is_some_and(|inner| inner.is::<TooMuchReceived>())
}

/// Sends this alert to a peer whose handshake is complete, and closes the connection.
pub(crate) async fn reject<IO>(tls: tokio_rustls::TlsStream<Wire<IO>>, alert: AlertDescription)
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let (wire, records) = final_records(tls, Some(alert), &[]);
    Closing::new(wire, records).await;
}

/// Takes the transport out of a stream, with the final records: those that rustls had not sent yet, this
/// data, and this alert, or close_notify if none is given.
pub(super) fn final_records<IO>(
    tls: tokio_rustls::TlsStream<Wire<IO>>,
    alert: Option<AlertDescription>,
    data: &[u8],
) -> (Wire<IO>, FinalRecords) {
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
    let mut records = FinalRecords::default();
    match alert {
        None => seal::close_notify(connection, data, &mut records.bytes),
        Some(alert) => match seal::fatal_alert(connection, alert, data, &mut records.bytes) {
            Ok(place) => records.pause_at = (!data.is_empty()).then_some(place),
            Err(error) => {
                tracing::debug!(%error, "no alert could be sealed; the connection is just closed");
            }
        },
    }
    (wire, records)
}

/// Makes the stream of an admitted peer: the only place that does.
pub(crate) fn stream_of<IO, I>(
    mut tls: tokio_rustls::TlsStream<Wire<IO>>,
    admitted: Admitted<I>,
) -> TlsStream<IO, I>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let peer = match &mut tls {
        tokio_rustls::TlsStream::Client(tls) => {
            tls.get_mut().0.stop_watching();
            Side::Server
        }
        tokio_rustls::TlsStream::Server(tls) => {
            tls.get_mut().0.stop_watching();
            Side::Client
        }
    };
    let alerts = Alerts::from(peer, admitted.shown);
    TlsStream::new(tls, admitted.admission, admitted.registration, alerts)
}
