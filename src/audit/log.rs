//! Where events go: counted, and given to the sink.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::event::Suppressed;
use super::sampling::{INTERVAL, LeftOut, Sampling};
use super::stats::Counts;
use super::{Action, AuditEvent, AuditSink, RecordError, Side};
use crate::pki::text::Thousands;

/// One acceptor's or connector's events.
pub(crate) struct Log {
    sink: Box<dyn AuditSink>,
    side: Side,
    name: Option<Arc<str>>,
    counts: Counts,
    sampling: Sampling,
    clock: Clock,
    /// A thread waits to record what was left out.
    has_waiter: AtomicBool,
}

/// A clock that does not go back.
enum Clock {
    Monotonic(Instant),
    /// Set by a test, which also asks for summaries itself.
    #[cfg(test)]
    Set(std::sync::Mutex<Duration>),
}

/// How many refusals before the proof of a key are recorded singly, per second and reason.
pub(crate) const REFUSALS_PER_SECOND: u32 = 20;

impl Log {
    pub(crate) fn new(
        sink: Box<dyn AuditSink>,
        side: Side,
        name: Option<Arc<str>>,
        refusals_per_second: Option<u32>,
    ) -> Self {
        Self {
            counts: Counts::new(side, name.clone()),
            sink,
            side,
            name,
            sampling: Sampling::new(refusals_per_second),
            clock: Clock::Monotonic(Instant::now()),
            has_waiter: AtomicBool::new(false),
        }
    }

    pub(crate) const fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Records that something happened. That it cannot be recorded changes nothing any more.
    pub(crate) fn tell(
        &self,
        action: Action,
        reason: Option<&'static str>,
        fill: impl FnOnce(&mut AuditEvent),
    ) {
        self.counts.happened(action, reason);
        // Counted where it fails.
        let _ = self.record(action, reason, fill);
    }

    /// Whether a refusal of a peer that has not proven its key is only counted, and reported by a
    /// summary later.
    pub(super) fn leaves_out(
        self: &Arc<Self>,
        action: Action,
        reason: Option<&'static str>,
    ) -> bool {
        let now = self.clock.now();
        if !self.wants(action) || self.sampling.records(action, reason, now) {
            return false;
        }
        self.counts.suppressed(reason);
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
    pub(super) fn record(
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
        // A sink is anybody's code.
        let recorded = catch_unwind(AssertUnwindSafe(|| {
            if !self.sink.wants(action) {
                return Ok(());
            }
            let mut event = AuditEvent::new(action, self.side, self.name.clone());
            event.reason = reason;
            fill(&mut event);
            event.shorten();
            self.sink.record(&Arc::new(event))
        }));
        let recorded = recorded.unwrap_or_else(|_| Err(RecordError::new("the sink panicked")));
        if recorded.is_err() {
            self.counts.not_recorded();
        }
        recorded
    }

    /// Whether the sink wants such events; one that panics is seen to when it is given one.
    fn wants(&self, action: Action) -> bool {
        catch_unwind(AssertUnwindSafe(|| self.sink.wants(action))).unwrap_or(true)
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
        self.counts.dropped() + self.sink.dropped()
    }
}

/// Records summaries when their time has come, also if nothing else happens any more. There is one such
/// thread at most, and only while something is left out: a timer of a runtime would bind the trail to
/// one, and the one that is under attack may be late. Returns false when the system gives no thread.
fn wait_to_summarize(log: Weak<Log>) -> bool {
    let waiting = move || {
        loop {
            std::thread::sleep(INTERVAL);
            let Some(log) = log.upgrade() else {
                return; // its end has recorded the rest
            };
            log.summarize(false);
            if !log.sampling.is_pending() {
                log.has_waiter.store(false, Ordering::SeqCst);
                // What was left out in between found a waiter, so this one goes on.
                if !log.sampling.is_pending() || log.has_waiter.swap(true, Ordering::SeqCst) {
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

impl Drop for Log {
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

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log")
            .field("side", &self.side)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
