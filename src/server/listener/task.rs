//! The accept loop.

use std::future::{Future, pending, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::{JoinHandle, JoinSet, yield_now};
use tokio::time::{sleep, timeout};

use super::preamble::read_header;
use super::sources::{Entry, GRACE};
use super::{Incoming, ListenerBuilder, OnRefused, Preamble, RawConnection, WhenFull};
use crate::audit::{Action, Recorder};
use crate::pki::contained::caught;
use crate::proxy_protocol::{Header, HeaderError};
use crate::server::{AcceptError, PreambleError, ShedReason};
use crate::stream::handshake::{Cancel, Driver};
use crate::stream::info_of_peer;
use crate::tls::Attempt;
use crate::{ConnectionInfo, TlsStream};

/// Whether the loop continues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
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

/// Begins to serve a connection, without waiting.
pub(crate) type Serve<IO, I> = Box<dyn Fn(TlsStream<IO, I>) + Send + Sync>;

/// Where admitted connections go.
pub(super) struct Outlet<IO, I> {
    queue: mpsc::Sender<Admitted<IO, I>>,
    /// Set by a server that takes them without the queue, which would wake its task for each.
    direct: Arc<OnceLock<Serve<IO, I>>>,
}

impl<IO, I> Outlet<IO, I> {
    pub(super) fn new(places: usize) -> (Self, mpsc::Receiver<Admitted<IO, I>>) {
        let (queue, admitted) = mpsc::channel(places);
        let direct = Arc::default();
        (Self { queue, direct }, admitted)
    }

    pub(super) const fn direct(&self) -> &Arc<OnceLock<Serve<IO, I>>> {
        &self.direct
    }

    async fn pass(&self, stream: TlsStream<IO, I>, place: OwnedSemaphorePermit) {
        if let Some(serve) = self.direct.get() {
            drop(place);
            return serve(stream);
        }
        let admitted = Admitted {
            stream,
            _place: place,
        };
        // It fails only if the listener was dropped.
        let _ = self.queue.send(admitted).await;
    }
}

impl<IO, I> Clone for Outlet<IO, I> {
    fn clone(&self) -> Self {
        Self {
            queue: self.queue.clone(),
            direct: Arc::clone(&self.direct),
        }
    }
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
    pub(super) fn start<S: Incoming, P: Preamble<S::Io>, I: Send + Sync + 'static>(
        options: ListenerBuilder<I, P>,
        incoming: S,
        outlet: Outlet<P::Io, I>,
        stopped: watch::Receiver<Stop>,
        id: u64,
    ) -> Self {
        let accepting = Accepting {
            places: Arc::new(Semaphore::new(options.max_handshakes)),
            options: Arc::new(options),
            outlet,
            handshakes: JoinSet::new(),
            id,
        };
        Self(tokio::spawn(accepting.run(incoming, stopped)))
    }
}

struct Accepting<IO, P, I> {
    options: Arc<ListenerBuilder<I, P>>,
    places: Arc<Semaphore>,
    outlet: Outlet<IO, I>,
    handshakes: JoinSet<()>,
    id: u64,
}

impl<IO, P, I> Accepting<IO, P, I>
where
    IO: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
    P: Send + Sync + 'static,
    I: Send + Sync + 'static,
{
    async fn run<S: Incoming>(mut self, incoming: S, mut stopped: watch::Receiver<Stop>)
    where
        P: Preamble<S::Io, Io = IO>,
    {
        until(&mut stopped, Stop::Accepting, self.accept_all(incoming)).await;
        // The socket is closed. The receiver `stopped` exists until the handshakes have finished.
        let finish = async { while self.handshakes.join_next().await.is_some() {} };
        until(&mut stopped, Stop::Handshakes, finish).await;
        self.handshakes.shutdown().await;
        // No later refusal can cause the summaries to be recorded.
        self.options.acceptor.control().recorder().summarize(true);
    }

    async fn accept_all<S: Incoming>(&mut self, mut incoming: S)
    where
        P: Preamble<S::Io, Io = IO>,
    {
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
    async fn begin<T>(
        &mut self,
        io: T,
        remote_addr: Option<SocketAddr>,
        place: Option<OwnedSemaphorePermit>,
    ) where
        T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
        P: Preamble<T, Io = IO>,
    {
        let info = info_of_peer(&io, remote_addr);
        let raw = RawConnection::new(io, info.clone());
        // From here on it has an outcome, also if its task never runs.
        let mut attempt = Box::new(self.options.acceptor.attempt(info));
        attempt.listener = Some(self.id);
        let (place, of_source) = match self.places_for(&raw.info, place).await {
            Ok(places) => places,
            Err(shed) => {
                let on_refused = self.options.on_refused.as_ref();
                return record_shed(attempt, shed, on_refused, remote_addr);
            }
        };
        let handshake = Handshake {
            options: Arc::clone(&self.options),
            outlet: self.outlet.clone(),
            place,
            of_source,
        };
        self.handshakes.spawn(handshake.run(raw, attempt));
    }

    /// A handshake's places: among all, and among those of its source.
    async fn places_for(
        &self,
        info: &ConnectionInfo,
        place: Option<OwnedSemaphorePermit>,
    ) -> Result<(OwnedSemaphorePermit, Option<Entry>), ShedReason> {
        let remote_addr = info.remote_addr();
        let of_source = if self.options.is_proxy(remote_addr) {
            // Its client is counted when the header has arrived.
            remote_addr.map(|proxy| self.options.sources.enter_proxy(proxy.ip()))
        } else {
            self.options.enter(info)?
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
    attempt: Box<Attempt<I>>,
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
pub(crate) async fn until(
    stopped: &mut watch::Receiver<Stop>,
    what: Stop,
    future: impl Future<Output = ()>,
) {
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

impl<I, P> ListenerBuilder<I, P> {
    /// Whether a connection from this address begins with a PROXY header.
    fn is_proxy(&self, remote_addr: Option<SocketAddr>) -> bool {
        let proxies = self.proxies.as_ref();
        proxies.is_some_and(|proxies| proxies.contains(remote_addr))
    }

    /// Adds a handshake to those of its source, if its address is admitted.
    fn enter(&self, info: &ConnectionInfo) -> Result<Option<Entry>, ShedReason> {
        let admitted = match (&self.admit, info.remote_addr()) {
            (None, _) => true,
            // A panic rejects the connection, and must not stop the loop.
            (Some(admit), Some(address)) => caught(|| admit(address)).unwrap_or(false),
            // The filter is for clients that have addresses, and that of this one is hidden.
            (Some(_), None) => info.proxy_addr().is_none(),
        };
        if !admitted {
            return Err(ShedReason::AddressNotAdmitted);
        }
        match (info.remote_addr(), info.proxy_addr()) {
            (Some(address), _) => self.sources.enter(address.ip()).map(Some),
            (None, Some(proxy)) => Ok(Some(self.sources.enter_proxy(proxy.ip()))),
            (None, None) => Ok(None),
        }
    }
}

struct Handshake<IO, P, I> {
    options: Arc<ListenerBuilder<I, P>>,
    outlet: Outlet<IO, I>,
    place: OwnedSemaphorePermit,
    of_source: Option<Entry>,
}

impl<IO, P, I> Handshake<IO, P, I>
where
    IO: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
    I: Send + Sync + 'static,
{
    async fn run<T>(mut self, raw: RawConnection<T>, attempt: Box<Attempt<I>>)
    where
        T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
        P: Preamble<T, Io = IO>,
    {
        let mut remote_addr = raw.remote_addr();
        match self.shake_hands(raw, attempt, &mut remote_addr).await {
            Ok(stream) => {
                drop(self.of_source.take());
                self.outlet.pass(stream, self.place).await;
            }
            Err(error) => notify(self.options.on_refused.as_ref(), remote_addr, &error),
        }
    }

    /// The PROXY header, the preamble, TLS and the decision, within one deadline. `remote_addr` is updated
    /// when the client's address is known.
    async fn shake_hands<T>(
        &mut self,
        mut raw: RawConnection<T>,
        attempt: Box<Attempt<I>>,
        remote_addr: &mut Option<SocketAddr>,
    ) -> Result<TlsStream<IO, I>, AcceptError>
    where
        T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
        P: Preamble<T, Io = IO>,
    {
        let options = Arc::clone(&self.options);
        let mut driver = options.acceptor.driver(attempt, self.cancel());
        if options.is_proxy(*remote_addr) {
            let header = async { Ok::<_, PreambleError>(read_header(raw.io_mut()).await?) };
            let late = || PreambleError::from(HeaderError::TimedOut);
            let stated;
            (driver, stated) = driver.before_tls(header, late).await?;
            raw = match stated {
                Header::Tcp { source, .. } => raw.forwarded_for(Some(source)),
                Header::Unknown => raw.forwarded_for(None),
                Header::Local => raw,
            };
            *remote_addr = raw.remote_addr();
            driver = self.counted_anew(driver, &raw.info)?;
        }
        let prepared = options.preamble.run(raw);
        let raw;
        (driver, raw) = driver
            .before_tls(prepared, PreambleError::timed_out)
            .await?;
        let (io, info) = raw.into_parts();
        if *remote_addr != info.remote_addr() {
            *remote_addr = info.remote_addr();
            driver = self.counted_anew(driver, &info)?;
        }
        options.acceptor.drive(io, driver).await
    }

    /// Counts the handshake for the source that is known now.
    fn counted_anew(
        &mut self,
        mut driver: Driver<I, AcceptError>,
        info: &ConnectionInfo,
    ) -> Result<Driver<I, AcceptError>, AcceptError> {
        driver.attempt.info = info.clone();
        self.of_source = None; // the place of the source so far is free first
        match self.options.enter(info) {
            Ok(of_source) => {
                self.of_source = of_source;
                driver.cancel = self.cancel();
                Ok(driver)
            }
            Err(shed) => Err(driver.fail(AcceptError::Shed(shed))),
        }
    }

    /// Cancels the handshake when it is displaced.
    fn cancel(&mut self) -> Option<Cancel<AcceptError>> {
        let displaced = self.of_source.as_mut().and_then(Entry::displaced);
        displaced.map(|signal| Cancel {
            signal,
            error: || AcceptError::Shed(ShedReason::Displaced),
        })
    }
}

/// Calls the application's closure. A panic in it affects nothing else.
pub(crate) fn notify(
    on_refused: Option<&OnRefused>,
    remote_addr: Option<SocketAddr>,
    error: &AcceptError,
) {
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
