//! One open connection.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use rustls_pki_types::UnixTime;

use super::last_time::Now;
use super::timers::calls_end;
use super::{CloseReason, Lease, Lifetimes};
use crate::Peer;
use crate::audit::{Action, Alert, AuditEvent, AuditedIdentity, Recorder};
use crate::gate::alert_name;

/// One connection, as the registry has it.
pub(crate) struct Connection<I> {
    id: u64,
    /// With the path by which it was verified last.
    peer: Mutex<Peer<I>>,
    /// As text, for its events.
    identity: Option<AuditedIdentity>,
    since: UnixTime,
    /// When its handshake was complete, by the timers' clock.
    opened: Duration,
    generation: AtomicU64,
    lease: Arc<Lease>,
    /// When draining ends, by the timers' clock.
    drained: OnceLock<Duration>,
    listener: Option<u64>,
    recorder: Arc<Recorder>,
}

/// What is known of a connection when it opens.
pub(crate) struct Opening<I> {
    pub(crate) id: u64,
    pub(crate) peer: Peer<I>,
    pub(crate) identity: Option<AuditedIdentity>,
    pub(crate) since: UnixTime,
    pub(crate) opened: Duration,
    pub(crate) generation: u64,
    /// The listener that accepted it, if one did.
    pub(crate) listener: Option<u64>,
}

impl<I> Connection<I> {
    pub(crate) fn new(opening: Opening<I>, recorder: Arc<Recorder>) -> Self {
        Self {
            id: opening.id,
            peer: Mutex::new(opening.peer),
            identity: opening.identity,
            since: opening.since,
            opened: opening.opened,
            generation: AtomicU64::new(opening.generation),
            lease: Arc::new(Lease::new()),
            drained: OnceLock::new(),
            listener: opening.listener,
            recorder,
        }
    }

    pub(crate) const fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn peer(&self) -> Peer<I> {
        self.lock_peer().clone()
    }

    /// The peer was authorized by this generation of trust; its path counts from now on. Returns it if the path
    /// expires at another time: then the table [replaces it](Self::replace_peer).
    ///
    /// Two changes can re-authorize concurrently, and the earlier one can be the later to get here: what a newer
    /// generation found stays.
    pub(super) fn reauthorized(&self, peer: Peer<I>, generation: u64) -> Option<Peer<I>> {
        let mut current = self.lock_peer();
        if generation < self.generation() {
            return None;
        }
        self.generation.store(generation, Ordering::Relaxed);
        if current.is(&peer) {
            return None;
        }
        if current.chain().not_after() != peer.chain().not_after() {
            return Some(peer);
        }
        let old = std::mem::replace(&mut *current, peer);
        drop(current);
        drop(old); // without the lock
        None
    }

    /// Replaces the peer, and returns the one before, to be dropped without a lock.
    pub(super) fn replace_peer(&self, peer: Peer<I>) -> Peer<I> {
        std::mem::replace(&mut *self.lock_peer(), peer)
    }

    pub(crate) const fn since(&self) -> UnixTime {
        self.since
    }

    /// The generation of trust by which it was authorized last.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }

    /// The listener that accepted it, if one did.
    pub(crate) const fn listener(&self) -> Option<u64> {
        self.listener
    }

    pub(crate) const fn lease(&self) -> &Arc<Lease> {
        &self.lease
    }

    pub(crate) const fn recorder(&self) -> &Arc<Recorder> {
        &self.recorder
    }

    /// Cuts the connection now.
    pub(crate) fn cut(&self, why: CloseReason) {
        if self.lease.cut(why.clone()) {
            self.record(Action::Cut, why.reason(), |event| {
                event.detail = Some(why.to_string());
                let alert = why.alert();
                event.alert = alert.map(|alert| Alert::Sent(alert_name(alert).into()));
            });
        }
    }

    /// Asks the connection to drain, and has it cut at most `time` after `now` on the timers' clock.
    /// Up to a tenth less, so that not all close at once. Returns true the first time.
    pub(super) fn drain(&self, why: CloseReason, now: Duration, time: Duration) -> bool {
        let time = self.jittered(time);
        let until = now.saturating_add(time);
        let first = self.lease.drain(why.clone(), calls_end(time));
        if first {
            self.drained.get_or_init(|| until);
            self.record(Action::Draining, why.reason(), |event| {
                event.detail = Some(why.to_string());
            });
        }
        first
    }

    /// When its time to drain is over, by the timers' clock; `None` unless it drains.
    pub(super) fn drained(&self) -> Option<Duration> {
        self.drained.get().copied()
    }

    /// When it reaches its maximum age, by the timers' clock.
    pub(super) fn end_by_age(&self, lifetimes: &Lifetimes) -> Option<Duration> {
        let age = self.jittered(lifetimes.max_age?);
        Some(self.opened.saturating_add(age))
    }

    /// The first second in which its path has expired; `None` if there is none.
    pub(super) fn expires(&self) -> Option<u64> {
        let not_after = self.lock_peer().chain().not_after();
        not_after.as_secs().checked_add(1)
    }

    /// Records what happened to this connection.
    pub(crate) fn record(
        &self,
        action: Action,
        reason: &'static str,
        fill: impl FnOnce(&mut AuditEvent),
    ) {
        let peer = self.peer();
        self.recorder.record_connection(action, reason, |event| {
            event.connection = Some(self.id);
            event.generation = self.generation();
            event.identity.clone_from(&self.identity);
            event.info = peer.connection().clone();
            event.set_certificates(peer.chain().certificates());
            fill(event);
        });
    }

    /// Cuts the connection once its time to drain is over; otherwise asks it to drain once it has
    /// expired or is too old.
    pub(super) fn tick(&self, now: &Now, clock: Duration, lifetimes: &Lifetimes) {
        if let Some(until) = self.drained.get() {
            if let Some(why) = self.lease.why_draining().filter(|_| clock >= *until) {
                self.cut(why.clone());
            }
        } else if let Some(why) = self.why_over(now, clock, lifetimes.max_age) {
            self.drain(why, clock, lifetimes.drain);
        }
    }

    fn why_over(
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
        let age = clock.saturating_sub(self.opened);
        max_age
            .filter(|max_age| age >= self.jittered(*max_age))
            .map(|max_age| CloseReason::MaxAge { max_age })
    }

    /// Up to a tenth less than `time`, always the same for this connection.
    fn jittered(&self, time: Duration) -> Duration {
        // Neighbouring numbers map to distant values (Knuth's multiplicative hash).
        let spread = self.id.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48;
        let less = time.as_micros() * u128::from(spread) / (10 * 65536);
        time.saturating_sub(Duration::from_micros(
            u64::try_from(less).unwrap_or(u64::MAX),
        ))
    }

    fn lock_peer(&self) -> MutexGuard<'_, Peer<I>> {
        self.peer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
