//! Counts events and gives them to the sink. Nothing else writes to the audit trail.

use std::any::Any;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::event::Suppressed;
use super::sampling::{INTERVAL, LeftOut, Sampling};
use super::stats::Counters;
use super::{Action, AuditEvent, AuditSink, AuditedIdentity, Proof, RecordError};
#[cfg(feature = "http")]
use crate::Peer;
use crate::pki::contained::caught;
use crate::pki::text::Thousands;
use crate::side::Side;

/// Writes an identity of the application's type as text; `None` for a value of another type.
pub(crate) type Describe = Box<dyn Fn(&dyn Any) -> Option<String> + Send + Sync>;

/// Records the events of one acceptor or connector.
///
/// It has four methods: [`record_outcome`](Self::record_outcome) for attempts to connect,
/// [`record_connection`](Self::record_connection) for open connections, `record_vouched` for clients behind
/// a proxy, and [`emit`](Self::emit) for everything else.
pub(crate) struct Recorder {
    sink: Box<dyn AuditSink>,
    side: Side,
    name: Option<Arc<str>>,
    describe: Option<Describe>,
    counters: Counters,
    sampling: Sampling,
    clock: Clock,
    /// A thread waits to record a summary.
    has_waiter: AtomicBool,
}

/// The outcome of an attempt to connect.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AttemptOutcome {
    pub(crate) action: Action,
    pub(crate) reason: Option<&'static str>,
    pub(crate) duration: Duration,
    /// A session was resumed.
    pub(crate) resumed: bool,
    /// The peer has not proven its key, so the event may be counted in a summary only.
    pub(crate) is_unproven: bool,
}

/// A monotonic clock.
enum Clock {
    Monotonic(Instant),
    /// Set by a test, which also calls `summarize`.
    #[cfg(test)]
    Set(std::sync::Mutex<Duration>),
}

/// How many refusals before the proof of a key are recorded singly, per second and reason.
pub(crate) const REFUSALS_PER_SECOND: u32 = 20;

impl Recorder {
    pub(crate) fn new(
        sink: Box<dyn AuditSink>,
        side: Side,
        name: Option<Arc<str>>,
        refusals_per_second: Option<u32>,
        describe: Option<Describe>,
    ) -> Self {
        Self {
            counters: Counters::new(side, name.clone()),
            sink,
            side,
            name,
            describe,
            sampling: Sampling::new(refusals_per_second),
            clock: Clock::Monotonic(Instant::now()),
            has_waiter: AtomicBool::new(false),
        }
    }

    pub(crate) const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Whether identities can be written as text.
    pub(crate) const fn describes(&self) -> bool {
        self.describe.is_some()
    }

    /// An identity as text, where the application has said how to write it.
    pub(crate) fn identity<I: 'static>(
        &self,
        identity: &I,
        proof: Proof,
    ) -> Option<AuditedIdentity> {
        let describe = self.describe.as_ref()?;
        // Application code: its panic must not cost the connection.
        let text = caught(|| describe(identity)).flatten()?;
        Some(AuditedIdentity { text, proof })
    }

    /// Puts a peer into an event: identity, chain, connection, and the proxy that vouches for it.
    #[cfg(feature = "http")]
    pub(crate) fn show_peer<I: 'static>(&self, event: &mut AuditEvent, peer: &Peer<I>) {
        let proxy = peer.vouched_by();
        let proof = match proxy {
            Some(_) => Proof::Vouched,
            None => Proof::Proven,
        };
        event.identity = self.identity(peer.identity(), proof);
        event.vouched_by = proxy.and_then(|proxy| self.identity(proxy.identity(), Proof::Proven));
        event.info = peer.connection().clone();
        event.set_certificates(peer.chain().certificates());
    }

    /// Records that a client behind a proxy was admitted, and counts it.
    ///
    /// # Errors
    /// The sink could not record it: the admission does not take place.
    #[cfg(feature = "http")]
    pub(crate) fn record_vouched(
        &self,
        fill: impl FnOnce(&mut AuditEvent),
    ) -> Result<(), RecordError> {
        self.write(Action::Vouched, None, fill)?;
        self.counters.happened(Action::Vouched, None);
        Ok(())
    }

    /// Records the outcome of an attempt, and counts it. That of a peer that has not proven its key
    /// may be left to a summary: see [`sampling`](super::sampling).
    ///
    /// # Errors
    /// The sink could not record it. An admission is then not counted: it does not take place.
    pub(crate) fn record_outcome(
        self: &Arc<Self>,
        outcome: AttemptOutcome,
        fill: impl FnOnce(&mut AuditEvent),
    ) -> Result<(), RecordError> {
        let AttemptOutcome { action, reason, .. } = outcome;
        let recorded = if outcome.is_unproven && self.leaves_out(action, reason) {
            Ok(())
        } else {
            self.write(action, reason, fill)
        };
        if action == Action::Admitted && recorded.is_err() {
            return recorded;
        }
        self.counters.happened(action, reason);
        self.counters
            .is_over(action, outcome.duration, outcome.resumed);
        recorded
    }

    /// Records what happened to an open connection. A failure to record it is counted.
    pub(crate) fn record_connection(
        &self,
        action: Action,
        reason: &'static str,
        fill: impl FnOnce(&mut AuditEvent),
    ) {
        // Whatever the sink or the recorder of metrics does, the connection closes.
        caught(|| self.emit(action, Some(reason), fill));
    }

    /// Records what belongs to no connection and no attempt. A failure to record it is counted.
    pub(crate) fn emit(
        &self,
        action: Action,
        reason: Option<&'static str>,
        fill: impl FnOnce(&mut AuditEvent),
    ) {
        self.counters.happened(action, reason);
        let _ = self.write(action, reason, fill);
    }

    /// Whether the rejection of a peer that has not proven its key is only counted, and reported by a
    /// summary later.
    fn leaves_out(self: &Arc<Self>, action: Action, reason: Option<&'static str>) -> bool {
        let now = self.clock.now();
        if !self.wants(action) || self.sampling.records(action, reason, now) {
            return false;
        }
        self.counters.suppressed(reason);
        self.summarize(false);
        let has_waiter = self.has_waiter.swap(true, Ordering::SeqCst);
        if !has_waiter && !wait_to_summarize(Arc::downgrade(self)) {
            // Without a thread, the next event records it, or the end of the log.
            self.has_waiter.store(false, Ordering::SeqCst);
        }
        true
    }

    /// Records an event, without counting it.
    ///
    /// # Errors
    /// The sink could not.
    fn write(
        &self,
        action: Action,
        reason: Option<&'static str>,
        fill: impl FnOnce(&mut AuditEvent),
    ) -> Result<(), RecordError> {
        let recorded = self.give(action, reason, fill);
        if self.sampling.is_pending() {
            self.summarize(false);
        }
        recorded
    }

    fn give(
        &self,
        action: Action,
        reason: Option<&'static str>,
        fill: impl FnOnce(&mut AuditEvent),
    ) -> Result<(), RecordError> {
        // A sink is application code.
        let recorded = caught(|| {
            if !self.sink.wants(action) {
                return Ok(());
            }
            let mut event = AuditEvent::new(action, self.side, self.name.clone());
            event.reason = reason;
            fill(&mut event);
            event.shorten();
            self.sink.record(&Arc::new(event))
        });
        let recorded = recorded.unwrap_or_else(|| Err(RecordError::new("the sink panicked")));
        if recorded.is_err() {
            self.counters.not_recorded();
        }
        recorded
    }

    /// Whether the sink wants such events. If it panics here, the event is given to it, and its failure
    /// is counted then.
    fn wants(&self, action: Action) -> bool {
        caught(|| self.sink.wants(action)).unwrap_or(true)
    }

    /// Records how many refusals were left out, of each reason whose interval is over; with `all`, of
    /// each.
    pub(crate) fn summarize(&self, all: bool) {
        let now = self.clock.now();
        for left_out in self.sampling.take(now, all) {
            if self.give_summary(&left_out).is_err() {
                self.sampling.put_back(&left_out, now);
            }
        }
    }

    fn give_summary(&self, left_out: &LeftOut) -> Result<(), RecordError> {
        self.give(Action::RefusalsSuppressed, left_out.reason, |event| {
            event.detail = Some(format!(
                "{} more refusals ({}: {}) in {:.1?} were counted and not recorded singly; audit_refusals_per_second() says how many are",
                Thousands(left_out.count),
                left_out.action.as_str(),
                left_out.reason.unwrap_or("no reason"),
                left_out.during
            ));
            event.duration = Some(left_out.during);
            event.suppressed = Some(Suppressed {
                action: left_out.action,
                count: left_out.count,
            });
        })
    }

    /// How many events were not recorded.
    pub(crate) fn dropped(&self) -> u64 {
        self.counters.dropped() + self.sink.dropped()
    }
}

/// Records summaries when they are due, also if no further event occurs. There is at most one such thread,
/// and only while events are left out. A timer of a runtime would bind the recorder to that runtime, and a
/// runtime under attack may run its timers late. Returns false if the system creates no thread.
fn wait_to_summarize(recorder: Weak<Recorder>) -> bool {
    let waiting = move || {
        loop {
            std::thread::sleep(INTERVAL);
            let Some(recorder) = recorder.upgrade() else {
                return; // its end has recorded the rest
            };
            recorder.summarize(false);
            if !recorder.sampling.is_pending() {
                recorder.has_waiter.store(false, Ordering::SeqCst);
                // Events that were left out in between found this thread waiting, so it continues.
                if !recorder.sampling.is_pending()
                    || recorder.has_waiter.swap(true, Ordering::SeqCst)
                {
                    return;
                }
            }
        }
    };
    std::thread::Builder::new()
        .name("countersign-audit-summary".into())
        .spawn(waiting)
        .is_ok()
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.summarize(true);
    }
}

impl Clock {
    fn now(&self) -> Duration {
        match self {
            Self::Monotonic(start) => start.elapsed(),
            #[cfg(test)]
            Self::Set(time) => *time
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner),
        }
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder")
            .field("side", &self.side)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
