//! Where events go: counted, and given to the sink.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::event::Suppressed;
use super::sampling::{INTERVAL, LeftOut, Sampling};
use super::stats::Counts;
use super::{Action, AuditEvent, AuditSink, NotRecorded, Side};
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
    #[cfg_attr(not(feature = "tokio"), expect(dead_code))]
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
        if !self.has_waiter.swap(true, Ordering::SeqCst) {
            if !wait_to_summarize(Arc::downgrade(self)) {
                // Without a thread, the next event records it, or the end of the log.
                self.has_waiter.store(false, Ordering::SeqCst);
            }
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
    ) -> Result<(), NotRecorded> {
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
    ) -> Result<(), NotRecorded> {
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
        let recorded = recorded.unwrap_or_else(|_| Err(NotRecorded::new("the sink panicked")));
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

    fn give_summary(&self, left_out: &LeftOut) -> Result<(), NotRecorded> {
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
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::audit::{Memory, Stage, Witness};
    use crate::peer::ConnectionInfo;

    fn log(sink: impl AuditSink + 'static, per_second: u32) -> Arc<Log> {
        let mut log = Log::new(Box::new(sink), Side::Server, None, Some(per_second));
        log.clock = Clock::Set(Mutex::new(Duration::ZERO));
        // A test asks for summaries itself.
        log.has_waiter = AtomicBool::new(true);
        Arc::new(log)
    }

    fn set(log: &Log, millis: u64) {
        if let Clock::Set(time) = &log.clock {
            *time.lock().unwrap() = Duration::from_millis(millis);
        }
    }

    fn conclude(log: &Arc<Log>, stage: Stage, action: Action, reason: &'static str) {
        let mut witness = Witness::new(log, ConnectionInfo::default(), 1);
        witness.stage = stage;
        witness.conclude(action, Some(reason), |_| {}).unwrap();
    }

    fn refuse(log: &Arc<Log>) {
        conclude(log, Stage::Chain, Action::ChainRefused, "unknown_issuer");
    }

    fn summaries(trail: &Memory) -> Vec<(Option<&'static str>, u64)> {
        let events = trail.take();
        let of = |it: &Arc<AuditEvent>| Some((it.reason, it.suppressed?.count));
        events.iter().filter_map(of).collect()
    }

    #[test]
    fn a_summary_comes_with_the_next_event_of_any_kind_and_at_the_end() {
        let trail = Memory::new();
        let log = log(trail.clone(), 1);
        (0..15).for_each(|_| refuse(&log));
        assert_eq!(trail.take().len(), 10, "a burst is recorded singly");
        assert_eq!(log.counts().read().audit_suppressed, 5);
        set(&log, 999);
        log.tell(Action::ReloadApplied, None, |_| {});
        assert_eq!(summaries(&trail), [], "the interval is not over");
        set(&log, 1000);
        log.tell(Action::ReloadApplied, None, |_| {});
        assert_eq!(summaries(&trail), [(Some("unknown_issuer"), 5)]);

        (0..8).for_each(|_| refuse(&log)); // one is recorded singly
        assert_eq!(summaries(&trail), []);
        set(&log, 2000);
        log.summarize(false); // as the thread does
        assert_eq!(summaries(&trail), [(Some("unknown_issuer"), 7)]);

        (0..3).for_each(|_| refuse(&log));
        let stats = log.counts().read();
        drop(log);
        assert_eq!(summaries(&trail), [(Some("unknown_issuer"), 2)]);
        assert_eq!((stats.chain_refused, stats.audit_suppressed), (26, 14));
    }

    #[test]
    fn a_flood_is_summed_up_while_it_goes_on() {
        let trail = Memory::new();
        let log = log(trail.clone(), 0);
        for millis in 0..=3000 {
            set(&log, millis);
            refuse(&log);
        }
        let each: Vec<u64> = summaries(&trail).iter().map(|it| it.1).collect();
        assert_eq!(each, [1001, 1001]);
        log.summarize(true);
        assert_eq!(summaries(&trail), [(Some("unknown_issuer"), 999)]);
    }

    #[test]
    fn only_refusals_before_the_proof_of_a_key_are_left_out() {
        let trail = Memory::new();
        let log = log(trail.clone(), 0);
        for stage in [Stage::Identity, Stage::Policy] {
            for _ in 0..50 {
                conclude(&log, stage, Action::Denied, "denied");
                conclude(&log, stage, Action::NotIdentified, "identity_missing");
                conclude(&log, stage, Action::TimedOut, "timed_out");
                conclude(&log, stage, Action::Abandoned, "abandoned");
            }
        }
        for _ in 0..50 {
            conclude(&log, Stage::Open, Action::Admitted, "");
            log.tell(Action::Cut, Some("revoked"), |_| {});
            log.tell(Action::RequestDenied, Some("denied"), |_| {});
        }
        assert_eq!(trail.take().len(), 8 * 50 + 3 * 50);
        for stage in [
            Stage::Transport,
            Stage::Handshake,
            Stage::Chain,
            Stage::Proof,
        ] {
            conclude(&log, stage, Action::HandshakeFailed, "tls");
        }
        assert_eq!(trail.take().len(), 0);
        // A chain that trust no longer takes, while the policy was asked about its proven peer.
        let mut witness = Witness::new(&log, ConnectionInfo::default(), 1);
        (witness.stage, witness.is_proven) = (Stage::Chain, true);
        let action = Action::ChainRefused;
        witness.conclude(action, Some("revoked"), |_| {}).unwrap();
        assert_eq!(trail.take().len(), 1);
    }

    #[test]
    fn a_summary_that_cannot_be_recorded_is_made_again() {
        struct Full(Mutex<bool>, Memory);
        impl AuditSink for Full {
            fn record(&self, event: &Arc<AuditEvent>) -> Result<(), NotRecorded> {
                if *self.0.lock().unwrap() {
                    return Err(NotRecorded::new("no space left on device"));
                }
                self.1.record(event)
            }
        }
        let full = Arc::new(Full(Mutex::new(true), Memory::new()));
        let log = log(Arc::clone(&full), 0);
        (0..4).for_each(|_| refuse(&log));
        set(&log, 1000);
        log.summarize(false);
        *full.0.lock().unwrap() = false;
        set(&log, 2000);
        log.summarize(false);
        assert_eq!(summaries(&full.1), [(Some("unknown_issuer"), 4)]);
    }

    #[test]
    fn what_the_sink_does_not_want_is_not_counted_as_left_out() {
        struct Admissions;
        impl AuditSink for Admissions {
            fn record(&self, _: &Arc<AuditEvent>) -> Result<(), NotRecorded> {
                panic!("it is not wanted")
            }
            fn wants(&self, action: Action) -> bool {
                action == Action::Admitted
            }
        }
        let log = log(Admissions, 0);
        (0..4).for_each(|_| refuse(&log));
        let stats = log.counts().read();
        assert_eq!((stats.chain_refused, stats.audit_suppressed), (4, 0));
    }
}
