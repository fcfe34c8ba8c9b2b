//! The accept loop.

use std::future::{Future, pending, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::{JoinHandle, JoinSet, yield_now};
use tokio::time::{sleep, timeout};

use super::sources::{Entry, GRACE};
use super::{Incoming, ListenerBuilder, OnRefused, WhenFull};
use crate::TlsStream;
use crate::audit::{Action, Recorder};
use crate::pki::contained::caught;
use crate::server::{AcceptError, Acceptor, ShedReason};
use crate::stream::handshake::Cancel;
use crate::stream::info_of;
use crate::tls::Attempt;

/// Whether the loop continues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    GoOn,
    /// No new connections. The handshakes in progress may finish.
    Accepting,
    /// The handshakes in progress are aborted.
    Handshakes,
}

/// A stream that keeps its place among the handshakes until the application accepts it.
pub(super) struct Admitted<IO, I> {
    pub(super) stream: TlsStream<IO, I>,
    _place: OwnedSemaphorePermit,
}

/// The running loop. Dropping it aborts the loop and all its handshakes.
#[derive(Debug)]
pub(super) struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Task {
    pub(super) fn start<S: Incoming, I: Send + Sync + 'static>(
        options: ListenerBuilder<I>,
        incoming: S,
        admitted: mpsc::Sender<Admitted<S::Io, I>>,
        stopped: watch::Receiver<Stop>,
        id: u64,
    ) -> Self {
        let accepting = Accepting {
            places: Arc::new(Semaphore::new(options.max_handshakes)),
            options,
            admitted,
            handshakes: JoinSet::new(),
            id,
        };
        Self(tokio::spawn(accepting.run(incoming, stopped)))
    }
}

struct Accepting<IO, I> {
    options: ListenerBuilder<I>,
    places: Arc<Semaphore>,
    admitted: mpsc::Sender<Admitted<IO, I>>,
    handshakes: JoinSet<()>,
    id: u64,
}

impl<IO, I> Accepting<IO, I>
where
    IO: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
    I: Send + Sync + 'static,
{
    async fn run<S: Incoming<Io = IO>>(mut self, incoming: S, mut stopped: watch::Receiver<Stop>) {
        until(&mut stopped, Stop::Accepting, self.accept_all(incoming)).await;
        // The socket is closed. The receiver `stopped` exists until the handshakes have finished.
        let finish = async { while self.handshakes.join_next().await.is_some() {} };
        until(&mut stopped, Stop::Handshakes, finish).await;
        self.handshakes.shutdown().await;
        // No later refusal can cause the summaries to be recorded.
        self.options.acceptor.control().recorder().summarize(true);
    }

    async fn accept_all<S: Incoming<Io = IO>>(&mut self, mut incoming: S) {
        let mut pause = Pause::default();
        loop {
            // Without displacement, the next connection waits in the system's queue. With displacement, it
            // is accepted first, because the decision needs its source.
            let place = match self.options.when_full {
                WhenFull::Wait if !self.options.sources.displace() => {
                    Arc::clone(&self.places).acquire_owned().await.ok()
                }
                WhenFull::Wait | WhenFull::Shed => None,
            };
            while self.handshakes.try_join_next().is_some() {}
            match incoming.accept().await {
                Ok((io, remote_addr)) => {
                    pause = Pause::default();
                    self.begin(io, remote_addr, place).await;
                }
                Err(error) => {
                    pause
                        .after(&error, self.options.acceptor.control().recorder())
                        .await
                }
            }
        }
    }

    /// Begins a handshake, unless a check before TLS rejects the connection.
    async fn begin(
        &mut self,
        io: IO,
        remote_addr: Option<SocketAddr>,
        place: Option<OwnedSemaphorePermit>,
    ) {
        let info = info_of(&io).with_remote_addr(remote_addr);
        // From here on it has an outcome, also if its task never runs.
        let attempt = self.options.acceptor.attempt(info);
        let (place, of_source) = match self.places_for(remote_addr, place).await {
            Ok(places) => places,
            Err(shed) => {
                let on_refused = self.options.on_refused.as_ref();
                return record_shed(attempt, shed, on_refused, remote_addr);
            }
        };
        let handshake = Handshake {
            acceptor: self.options.acceptor.clone(),
            admitted: self.admitted.clone(),
            place,
            of_source,
            listener: self.id,
            on_refused: self.options.on_refused.clone(),
        };
        self.handshakes
            .spawn(handshake.run(io, remote_addr, attempt));
    }

    /// A handshake's places: among all, and among those of its source.
    async fn places_for(
        &self,
        remote_addr: Option<SocketAddr>,
        place: Option<OwnedSemaphorePermit>,
    ) -> Result<(OwnedSemaphorePermit, Option<Entry>), ShedReason> {
        let options = &self.options;
        let admitted = match (&options.admit, remote_addr) {
            // A panic rejects the connection, and must not stop the loop.
            (Some(admit), Some(address)) => caught(|| admit(address)).unwrap_or(false),
            _ => true,
        };
        if !admitted {
            return Err(ShedReason::AddressNotAdmitted);
        }
        let of_source = match remote_addr {
            Some(address) => Some(options.sources.enter(address.ip())?),
            None => None,
        };
        let place = match place {
            Some(place) => place,
            None => self.place_for(of_source.as_ref()).await?,
        };
        Ok((place, of_source))
    }

    /// A place among all. Another handshake may be displaced for it.
    async fn place_for(
        &self,
        newcomer: Option<&Entry>,
    ) -> Result<OwnedSemaphorePermit, ShedReason> {
        loop {
            let places = || Arc::clone(&self.places);
            if let Ok(place) = places().try_acquire_owned() {
                return Ok(place);
            }
            let freed = places().acquire_owned();
            let acquired = if self.options.sources.make_room(newcomer) {
                Some(freed.await)
            } else if self.options.when_full == WhenFull::Wait {
                // A handshake that is older by then can be displaced.
                timeout(GRACE, freed).await.ok()
            } else {
                return Err(ShedReason::TooManyHandshakes);
            };
            if let Some(acquired) = acquired {
                return acquired.map_err(|_closed| ShedReason::TooManyHandshakes);
            }
        }
    }
}

/// Records that the listener closes a connection.
fn record_shed<I: Send + Sync + 'static>(
    attempt: Attempt<I>,
    shed: ShedReason,
    on_refused: Option<&OnRefused>,
    remote_addr: Option<SocketAddr>,
) {
    let error = AcceptError::Shed(shed);
    // It is closed whether or not that is recorded.
    let _ = attempt.finish(Err(&error), &[]);
    notify(on_refused, remote_addr, &error);
}

/// Runs a future until it completes, or until the listener stops `what`.
async fn until(stopped: &mut watch::Receiver<Stop>, what: Stop, future: impl Future<Output = ()>) {
    let mut stop = pin!(async {
        let asked = stopped.wait_for(|stop| *stop == what || *stop == Stop::Handshakes);
        if asked.await.is_err() {
            pending().await // no handle exists any more
        }
    });
    let mut future = pin!(future);
    poll_fn(|cx| match stop.as_mut().poll(cx) {
        Poll::Ready(()) => Poll::Ready(()),
        Poll::Pending => future.as_mut().poll(cx),
    })
    .await;
}

struct Handshake<IO, I> {
    acceptor: Acceptor<I>,
    admitted: mpsc::Sender<Admitted<IO, I>>,
    place: OwnedSemaphorePermit,
    of_source: Option<Entry>,
    listener: u64,
    on_refused: Option<OnRefused>,
}

impl<IO, I> Handshake<IO, I>
where
    IO: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
    I: Send + Sync + 'static,
{
    async fn run(mut self, io: IO, remote_addr: Option<SocketAddr>, attempt: Attempt<I>) {
        let displaced = self.of_source.as_mut().and_then(Entry::displaced);
        let cancel = displaced.map(|signal| Cancel {
            signal,
            error: || AcceptError::Shed(ShedReason::Displaced),
        });
        match self.acceptor.drive(io, attempt, cancel).await {
            Ok(stream) => {
                stream.set_listener(self.listener);
                drop(self.of_source.take());
                let admitted = Admitted {
                    stream,
                    _place: self.place,
                };
                // It fails only if the listener was dropped.
                let _ = self.admitted.send(admitted).await;
            }
            Err(error) => notify(self.on_refused.as_ref(), remote_addr, &error),
        }
    }
}

/// Calls the application's closure. A panic in it affects nothing else.
fn notify(on_refused: Option<&OnRefused>, remote_addr: Option<SocketAddr>, error: &AcceptError) {
    if let Some(notify) = on_refused {
        caught(|| notify(remote_addr, error));
    }
}

/// How long to pause after an error of the system.
struct Pause {
    /// The next pause, longer each time.
    wait: Duration,
    /// How many connections in a row were closed before they were accepted.
    gone: u32,
}

impl Default for Pause {
    fn default() -> Self {
        Self {
            wait: Duration::from_millis(5),
            gone: 0,
        }
    }
}

impl Pause {
    async fn after(&mut self, error: &io::Error, recorder: &Recorder) {
        const LONGEST: Duration = Duration::from_secs(1);
        /// More of them in a row mean that the transport is broken.
        const GONE: u32 = 100;

        let only_this_one = matches!(
            error.kind(),
            io::ErrorKind::ConnectionAborted
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::Interrupted
        );
        if only_this_one && self.gone < GONE {
            // Other connections must not wait for this, and other tasks must be able to run.
            self.gone += 1;
            return yield_now().await;
        }
        recorder.emit(Action::AcceptFailed, Some("io"), |event| {
            event.detail = Some(error.to_string());
        });
        sleep(self.wait).await;
        self.wait = (self.wait * 2).min(LONGEST);
    }
}
