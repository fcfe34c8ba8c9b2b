//! All open connections of one gate.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use rustls_pki_types::UnixTime;

use super::last_time::{LastTime, Now};
use super::{CloseReason, Lease, Place};
use crate::Peer;
use crate::audit::{Action, Alert, AuditEvent, Auditor, Log};
use crate::gate::{Lifetimes, alert_name};
use crate::pki::contained::caught;

/// The open connections, and those that are being decided about.
pub(crate) struct Registry<I> {
    entries: Mutex<HashMap<u64, Arc<Connection<I>>>>,
    time: LastTime,
    auditor: Arc<Auditor<I>>,
}

/// One connection.
pub(crate) struct Connection<I> {
    id: u64,
    /// With the path by which it was verified last.
    peer: Mutex<Peer<I>>,
    since: UnixTime,
    /// When it was entered, by the clock of whoever keeps the registry.
    entered: Duration,
    generation: AtomicU64,
    lease: Arc<Lease>,
    stage: Mutex<Stage>,
    listener: OnceLock<u64>,
    auditor: Arc<Auditor<I>>,
}

enum Stage {
    /// The gate decides.
    Deciding,
    Open,
    /// To be cut at this time of the keeper's clock.
    Draining {
        until: Duration,
    },
}

/// A connection's place in the registry, given up when dropped.
pub(crate) struct Entered<I> {
    registry: Arc<Registry<I>>,
    connection: Arc<Connection<I>>,
    /// Among the connections that may be open, once the policy has allowed the peer.
    place: Option<Place<I>>,
}

impl<I> Registry<I> {
    pub(crate) fn new(auditor: Arc<Auditor<I>>) -> Self {
        Self {
            entries: Mutex::default(),
            time: LastTime::default(),
            auditor,
        }
    }

    /// Enters a connection about whose peer the gate is going to decide.
    pub(crate) fn enter(
        self: &Arc<Self>,
        id: u64,
        peer: Peer<I>,
        generation: u64,
        since: UnixTime,
        entered: Duration,
    ) -> Entered<I> {
        self.time.passes(Some(since), entered);
        let connection = Arc::new(Connection {
            id,
            peer: Mutex::new(peer),
            since,
            entered,
            generation: AtomicU64::new(generation),
            lease: Arc::new(Lease::new()),
            stage: Mutex::new(Stage::Deciding),
            listener: OnceLock::new(),
            auditor: Arc::clone(&self.auditor),
        });
        self.entries()
            .insert(connection.id, Arc::clone(&connection));
        Entered {
            registry: Arc::clone(self),
            connection,
            place: None,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries().is_empty()
    }

    /// All connections that are open. One that was cut is not, though its stream may not have been
    /// dropped yet.
    pub(crate) fn open(&self) -> Vec<Arc<Connection<I>>> {
        let mut all = self.all();
        all.retain(|connection| {
            !connection.lease.is_cut() && !matches!(&*connection.stage(), Stage::Deciding)
        });
        all
    }

    /// Ends what is over by now: chains that have expired, connections that are too old, and
    /// those whose time for finishing is up. `now` is `None` while the clock gives no time.
    pub(crate) fn tick(&self, now: Option<UnixTime>, clock: Duration, lifetimes: &Lifetimes) {
        let now = self.time.passes(now, clock);
        for connection in self.open() {
            connection.tick(&now, clock, lifetimes);
        }
    }

    /// The last time that the clock gave.
    pub(crate) fn last_time(&self) -> Option<UnixTime> {
        self.time.last()
    }

    /// In the order in which they were entered.
    fn all(&self) -> Vec<Arc<Connection<I>>> {
        let mut all: Vec<_> = self.entries().values().cloned().collect();
        all.sort_unstable_by_key(|connection| connection.id);
        all
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<u64, Arc<Connection<I>>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<I> Connection<I> {
    pub(crate) const fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn peer(&self) -> Peer<I> {
        self.lock_peer().clone()
    }

    /// From now on, the path of this peer counts.
    pub(crate) fn goes_by(&self, peer: Peer<I>) {
        let old = std::mem::replace(&mut *self.lock_peer(), peer);
        drop(old); // without the lock
    }

    /// Opens the connection to a peer about which the gate has just decided.
    pub(crate) fn open(&self, peer: &Peer<I>, generation: u64) {
        self.goes_by(peer.clone());
        self.judged_by(generation);
        *self.stage() = Stage::Open;
    }

    pub(crate) const fn since(&self) -> UnixTime {
        self.since
    }

    /// The generation of trust by which it was judged last.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }

    pub(crate) fn judged_by(&self, generation: u64) {
        self.generation.store(generation, Ordering::Relaxed);
    }

    /// Which listener yielded it, if one did.
    pub(crate) fn listener(&self) -> Option<u64> {
        self.listener.get().copied()
    }

    pub(crate) fn belongs_to(&self, listener: u64) {
        self.listener.get_or_init(|| listener);
    }

    pub(crate) const fn lease(&self) -> &Arc<Lease> {
        &self.lease
    }

    /// Cuts it at once.
    pub(crate) fn cut(&self, why: CloseReason) {
        if self.lease.cut(why.clone()) {
            self.tell(Action::Cut, why.reason(), |event| {
                event.detail = Some(why.to_string());
                let alert = why
                    .alert()
                    .map(|alert| Alert::Sent(alert_name(alert).into()));
                event.alert = alert;
            });
        }
    }

    /// Asks it to come to its end until `clock` and a little less than `time` from there. The
    /// difference is the connection's own, so that not all end at once.
    pub(crate) fn drain(&self, why: CloseReason, clock: Duration, time: Duration) {
        if self.lease.drain(why.clone()) {
            self.tell(Action::Draining, why.reason(), |event| {
                event.detail = Some(why.to_string());
            });
            let until = clock.saturating_add(self.jittered(time));
            *self.stage() = Stage::Draining { until };
        }
    }

    /// Records what happened to this connection.
    pub(crate) fn tell(
        &self,
        action: Action,
        reason: &'static str,
        fill: impl FnOnce(&mut AuditEvent),
    ) {
        let peer = self.peer();
        // Whatever the sink or the recorder of metrics does, the connection's end goes on.
        caught(|| {
            self.auditor.log().tell(action, Some(reason), |event| {
                event.connection = Some(self.id);
                event.generation = self.generation();
                event.identity = self.auditor.proven(&peer);
                event.info = peer.connection().clone();
                event.set_certificates(peer.chain().certificates());
                fill(event);
            });
        });
    }

    pub(crate) fn log(&self) -> &Log {
        self.auditor.log()
    }

    fn tick(&self, now: &Now, clock: Duration, lifetimes: &Lifetimes) {
        let until = match &*self.stage() {
            Stage::Draining { until } => Some(*until),
            Stage::Open | Stage::Deciding => None,
        };
        if let Some(until) = until {
            if let Some(why) = self.lease.why_draining().filter(|_| clock >= until) {
                self.cut(why.clone());
            }
        } else if let Some(why) = self.is_over(now, clock, lifetimes.max_age) {
            self.drain(why, clock, lifetimes.drain);
        }
    }

    /// Why it is to close by now.
    fn is_over(
        &self,
        now: &Now,
        clock: Duration,
        max_age: Option<Duration>,
    ) -> Option<CloseReason> {
        let peer = self.peer();
        let not_after = peer.chain().not_after();
        if now.time.is_some_and(|now| now > not_after) {
            let certificate = peer.certificate().clone();
            return Some(CloseReason::Expired {
                certificate,
                not_after,
            });
        }
        if let Some(missing) = now.missing_too_long {
            return Some(CloseReason::NoClock { missing });
        }
        let age = clock.saturating_sub(self.entered);
        max_age
            .filter(|max_age| age >= self.jittered(*max_age))
            .map(|max_age| CloseReason::MaxAge { max_age })
    }

    /// Up to a tenth less than `time`, always the same for this connection.
    fn jittered(&self, time: Duration) -> Duration {
        // Neighbouring numbers come out far apart (Knuth's multiplicative hash).
        let spread = self.id.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48;
        let less = time.as_micros() * u128::from(spread) / (10 * 65536);
        time.saturating_sub(Duration::from_micros(
            u64::try_from(less).unwrap_or(u64::MAX),
        ))
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_peer(&self) -> MutexGuard<'_, Peer<I>> {
        self.peer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<I> Entered<I> {
    /// Keeps a place among the open connections for as long as the connection lives.
    pub(crate) fn keep(&mut self, place: Option<Place<I>>) {
        self.place = place;
    }

    pub(crate) const fn connection(&self) -> &Arc<Connection<I>> {
        &self.connection
    }
}

impl<I> Drop for Entered<I> {
    fn drop(&mut self) {
        self.registry.entries().remove(&self.connection.id);
    }
}

impl<I> fmt::Debug for Registry<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry")
            .field("connections", &self.entries().len())
            .finish_non_exhaustive()
    }
}
