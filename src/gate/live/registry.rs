//! All open connections of one gate.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use rustls_pki_types::UnixTime;

use super::{Ended, Lease, Place};
use crate::Peer;
use crate::audit::{Action, Alert, AuditEvent, Auditor, Log};
use crate::gate::{Lifetimes, alert_name};

/// The open connections, and those that are being decided about.
pub(crate) struct Registry<I> {
    entries: Mutex<HashMap<u64, Arc<Connection<I>>>>,
    auditor: Arc<Auditor<I>>,
}

/// One connection.
pub(crate) struct Connection<I> {
    id: u64,
    peer: Peer<I>,
    since: UnixTime,
    /// When it was entered, by the clock of whoever keeps the registry.
    entered: Duration,
    generation: AtomicU64,
    lease: Arc<Lease>,
    stage: Mutex<Stage>,
    listener: OnceLock<u64>,
    auditor: Arc<Auditor<I>>,
}

/// Which rules have changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Changed {
    Nothing,
    /// Trust, CRLs or the deny list.
    Facts,
    /// The policy, at least.
    Policy,
}

enum Stage {
    /// The gate decides, and this has changed meanwhile.
    Deciding {
        changed: Changed,
    },
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
        let connection = Arc::new(Connection {
            id,
            peer,
            since,
            entered,
            generation: AtomicU64::new(generation),
            lease: Arc::new(Lease::new()),
            stage: Mutex::new(Stage::Deciding {
                changed: Changed::Nothing,
            }),
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

    /// All connections that are open; those that are being decided about are told that the rules
    /// have changed. To be called after the change.
    pub(crate) fn to_be_judged(&self, now: Changed) -> Vec<Arc<Connection<I>>> {
        let mut all = self.all();
        all.retain(|connection| match &mut *connection.stage() {
            Stage::Deciding { changed } => {
                *changed = now.max(*changed);
                false
            }
            Stage::Open | Stage::Draining { .. } => true,
        });
        all
    }

    /// All connections that are open. One that was cut is not, though its stream may not have been
    /// dropped yet.
    pub(crate) fn open(&self) -> Vec<Arc<Connection<I>>> {
        let mut all = self.all();
        all.retain(|connection| {
            !connection.lease.is_cut() && !matches!(&*connection.stage(), Stage::Deciding { .. })
        });
        all
    }

    /// Ends what is over by now: chains that have expired, connections that are too old, and
    /// those whose time for finishing is up.
    pub(crate) fn tick(&self, now: Option<UnixTime>, clock: Duration, lifetimes: &Lifetimes) {
        for connection in self.open() {
            connection.tick(now, clock, lifetimes);
        }
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

    pub(crate) const fn peer(&self) -> &Peer<I> {
        &self.peer
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
    pub(crate) fn cut(&self, why: Ended) {
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
    pub(crate) fn drain(&self, why: Ended, clock: Duration, time: Duration) {
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
        self.auditor.log().tell(action, Some(reason), |event| {
            event.connection = Some(self.id);
            event.generation = self.generation();
            event.identity = self.auditor.proven(&self.peer);
            event.info = self.peer.connection().clone();
            event.set_certificates(self.peer.chain().certificates());
            fill(event);
        });
    }

    pub(crate) fn log(&self) -> &Log {
        self.auditor.log()
    }

    fn tick(&self, now: Option<UnixTime>, clock: Duration, lifetimes: &Lifetimes) {
        let until = match &*self.stage() {
            Stage::Draining { until } => Some(*until),
            Stage::Open | Stage::Deciding { .. } => None,
        };
        if let Some(until) = until {
            if let Some(why) = self.lease.why_draining().filter(|_| clock >= until) {
                self.cut(why.clone());
            }
            return;
        }
        let not_after = self.peer.chain().not_after();
        let age = clock.saturating_sub(self.entered);
        if now.is_some_and(|now| now > not_after) {
            let why = Ended::Expired {
                certificate: self.peer.certificate().clone(),
                not_after,
            };
            self.drain(why, clock, lifetimes.drain);
        } else if let Some(max_age) = lifetimes.max_age
            && age >= self.jittered(max_age)
        {
            self.drain(Ended::MaxAge { max_age }, clock, lifetimes.drain);
        }
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
}

impl<I> Entered<I> {
    /// Keeps a place among the open connections for as long as the connection lives.
    pub(crate) fn keep(&mut self, place: Option<Place<I>>) {
        self.place = place;
    }

    pub(crate) const fn connection(&self) -> &Arc<Connection<I>> {
        &self.connection
    }

    /// Opens the connection, if the rules by which it was just decided are still in force;
    /// otherwise tells what has changed, and it has to be decided again.
    pub(crate) fn open(&self) -> Changed {
        let mut stage = self.connection.stage();
        match &mut *stage {
            Stage::Deciding { changed } if *changed != Changed::Nothing => {
                std::mem::replace(changed, Changed::Nothing)
            }
            _ => {
                *stage = Stage::Open;
                Changed::Nothing
            }
        }
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
