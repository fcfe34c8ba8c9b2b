//! The accept loop.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use quinn::{Incoming, ServerConfig, VarInt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

use super::handshake::{Begin, Handshaking};
use super::{AddressValidation, Connection};
use crate::gate::AdmitError;
use crate::pki::contained::caught;
use crate::server::{Entry, OnRefused, Sources, Stop, notify, until};
use crate::side::Side;
use crate::stream::handshake::{Cancel, Driver};
use crate::tls::quic::{QuicHandshake, QuicServerConfigs};
use crate::tls::{Attempt, Failure as _};
use crate::{AcceptError, Acceptor, ConnectionInfo, ShedReason};

pub(super) type Admit = Box<dyn Fn(SocketAddr) -> bool + Send + Sync>;

/// What a listener was given.
pub(super) struct Options<I> {
    pub(super) acceptor: Acceptor<I>,
    pub(super) tls: QuicServerConfigs,
    /// Without a handshake that observes it: no connection is made with it.
    pub(super) config: ServerConfig,
    pub(super) receive_window: VarInt,
    pub(super) validation: AddressValidation,
    pub(super) max_handshakes: usize,
    pub(super) sources: Sources,
    pub(super) admit: Option<Admit>,
    pub(super) on_refused: Option<OnRefused>,
    pub(super) listener: u64,
}

/// A connection that keeps its place among the handshakes until the application accepts it.
pub(super) struct Accepted<I> {
    pub(super) connection: Connection<I>,
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
    pub(super) fn start<I: Send + Sync + 'static>(
        options: Options<I>,
        endpoint: quinn::Endpoint,
        accepted: mpsc::Sender<Accepted<I>>,
        stopped: watch::Receiver<Stop>,
    ) -> Self {
        let accepting = Accepting {
            places: Arc::new(Semaphore::new(options.max_handshakes)),
            options: Arc::new(options),
            accepted,
            handshakes: JoinSet::new(),
            endpoint,
        };
        Self(tokio::spawn(accepting.run(stopped)))
    }
}

struct Accepting<I> {
    options: Arc<Options<I>>,
    places: Arc<Semaphore>,
    accepted: mpsc::Sender<Accepted<I>>,
    handshakes: JoinSet<()>,
    endpoint: quinn::Endpoint,
}

impl<I: Send + Sync + 'static> Accepting<I> {
    async fn run(mut self, mut stopped: watch::Receiver<Stop>) {
        until(&mut stopped, Stop::Accepting, self.accept_all()).await;
        self.endpoint.set_server_config(None);
        self.refuse_waiting();
        let finish = async { while self.handshakes.join_next().await.is_some() {} };
        until(&mut stopped, Stop::Handshakes, finish).await;
        self.handshakes.shutdown().await;
        // No later refusal can cause the summaries to be recorded.
        let acceptor = &self.options.acceptor;
        acceptor.control().recorder().summarize(true);
    }

    async fn accept_all(&mut self) {
        // `None`: the socket has failed, or the endpoint was closed.
        while let Some(incoming) = self.endpoint.accept().await {
            while self.handshakes.try_join_next().is_some() {}
            self.begin(incoming).await;
        }
    }

    /// Rejects the connections that have arrived and were not accepted.
    fn refuse_waiting(&self) {
        let mut cx = Context::from_waker(Waker::noop());
        while let Poll::Ready(Some(incoming)) = pin!(self.endpoint.accept()).poll(&mut cx) {
            incoming.refuse();
        }
    }

    /// Begins a handshake, unless its client has to prove its address first, or a check before TLS rejects it.
    async fn begin(&mut self, incoming: Incoming) {
        let options = &self.options;
        let can_retry = !incoming.remote_address_validated() && incoming.may_retry();
        let is_busy = self.places.available_permits() < options.max_handshakes / 2;
        if can_retry && (is_busy || options.validation == AddressValidation::Always) {
            let _ = incoming.retry(); // it fails only where `may_retry` is false
            return;
        }
        let remote_addr = incoming.remote_address();
        let entered = match options.is_admitted(remote_addr) {
            false => Err(ShedReason::AddressNotAdmitted),
            true if can_retry => match options.sources.enter_unproven(remote_addr.ip()) {
                Some(entry) => Ok(entry),
                None => {
                    let _ = incoming.retry();
                    return;
                }
            },
            true => options.sources.enter(remote_addr.ip()),
        };
        // From here on it has an outcome, also if its task never runs.
        let local_addr = self.endpoint.local_addr().ok();
        let local_addr = local_addr.map(|address| match incoming.local_ip() {
            Some(ip) => SocketAddr::new(ip, address.port()),
            None => address,
        });
        let info = ConnectionInfo::default()
            .with_remote_addr(remote_addr)
            .with_local_addr(local_addr);
        let mut attempt = Box::new(options.acceptor.attempt(info));
        attempt.listener = Some(options.listener);
        let placed = match entered {
            Ok(of_source) => self.place_for(&of_source).await.map(|it| (it, of_source)),
            Err(shed) => Err(shed),
        };
        let (place, of_source) = match placed {
            Ok(placed) => placed,
            Err(shed) => {
                incoming.refuse();
                return self.options.record_shed(attempt, shed, remote_addr);
            }
        };
        let handshake = Handshake {
            options: Arc::clone(&self.options),
            accepted: self.accepted.clone(),
            place,
            of_source,
        };
        self.handshakes.spawn(handshake.run(incoming, attempt));
    }

    /// A place among all. Another handshake may be displaced for it.
    async fn place_for(&self, newcomer: &Entry) -> Result<OwnedSemaphorePermit, ShedReason> {
        let places = || Arc::clone(&self.places);
        if let Ok(place) = places().try_acquire_owned() {
            return Ok(place);
        }
        let freed = places().acquire_owned();
        if self.options.sources.make_room(Some(newcomer)) {
            let freed = freed.await;
            return freed.map_err(|_closed| ShedReason::TooManyHandshakes);
        }
        Err(ShedReason::TooManyHandshakes)
    }
}

impl<I> Options<I> {
    fn is_admitted(&self, remote_addr: SocketAddr) -> bool {
        // A panic rejects the connection, and must not stop the loop.
        match &self.admit {
            None => true,
            Some(admit) => caught(|| admit(remote_addr)).unwrap_or(false),
        }
    }
}

impl<I: Send + Sync + 'static> Options<I> {
    fn record_shed(&self, attempt: Box<Attempt<I>>, shed: ShedReason, remote_addr: SocketAddr) {
        let error = AcceptError::Shed(shed);
        // It is closed whether or not that is recorded.
        let _ = attempt.finish(Err(&error), &[]);
        notify(self.on_refused.as_ref(), Some(remote_addr), &error);
    }

    /// The configuration for one connection, by what is in force, with the handshake that observes it.
    fn config(&self) -> (Arc<ServerConfig>, QuicHandshake) {
        let endpoint = self.acceptor.endpoint();
        let snapshot = endpoint.snapshot();
        let limit = endpoint.bounds.handshake_bytes;
        let handshake = QuicHandshake::of_server(snapshot.trust_id(), limit);
        let mut config = self.config.clone();
        if let Some(tls) = self.tls.of(&snapshot.tls.public) {
            config.crypto = tls.observed(handshake.clone());
        }
        (Arc::new(config), handshake)
    }
}

/// One handshake in progress.
struct Handshake<I> {
    options: Arc<Options<I>>,
    accepted: mpsc::Sender<Accepted<I>>,
    place: OwnedSemaphorePermit,
    of_source: Entry,
}

impl<I: Send + Sync + 'static> Handshake<I> {
    async fn run(mut self, incoming: Incoming, attempt: Box<Attempt<I>>) {
        let remote_addr = incoming.remote_address();
        let cancel = self.of_source.displaced().map(|signal| Cancel {
            signal,
            error: || AcceptError::Shed(ShedReason::Displaced),
        });
        let driver = self.options.acceptor.driver(attempt, cancel);
        match self.options.accept(incoming, driver).await {
            Ok(connection) => {
                drop(self.of_source);
                let _place = self.place;
                // It closes if the listener was dropped.
                let _ = self.accepted.send(Accepted { connection, _place }).await;
            }
            Err(error) => {
                let on_refused = self.options.on_refused.as_ref();
                notify(on_refused, Some(remote_addr), &error);
            }
        }
    }
}

impl<I: Send + Sync + 'static> Options<I> {
    async fn accept(
        &self,
        incoming: Incoming,
        driver: Driver<I, AcceptError>,
    ) -> Result<Connection<I>, AcceptError> {
        let (config, handshake) = self.config();
        // A server is never asked.
        let not_asked = || AdmitError::HandshakeIncomplete.into();
        let handshaking = Handshaking::new(driver, handshake, not_asked);
        let connecting = incoming.accept_with(config).map_err(Begin::from);
        let (driver, connection, presented) = handshaking.complete(connecting).await?;
        let live = &self.acceptor.endpoint().live;
        match driver.admit_chain(live, &presented).await {
            Ok(admitted) => Ok(Connection::new(
                connection,
                admitted,
                Side::Client,
                self.receive_window,
            )),
            Err(error) => {
                super::connection::reject(&connection, error.late_alert());
                Err(error)
            }
        }
    }
}
