//! A sink behind a bounded queue, on a thread of its own.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::{AuditSink, RecordError};
use crate::audit::{Action, AuditEvent};

/// Gives events to another sink on a thread of its own, so that a slow disk or network delays no
/// handshake. The queue is bounded; [`Overflow`] says what happens when it is full.
///
/// ```no_run
/// use countersign::audit::{AuditEvent, Overflow, Queue};
///
/// let slow = |event: &AuditEvent| println!("{event}");
/// let queue = Queue::builder(slow).overflow(Overflow::FailClosed).start();
/// ```
///
/// Clones share the queue. When the last is dropped, what is queued is still written, for up to two
/// seconds; [`flush_within`](Self::flush_within) waits for longer.
///
/// # Security
/// An event that is queued counts as recorded, though a crash can still lose it: up to the
/// capacity. Where not one may be lost, do without the queue, and pay for each record in the
/// handshake.
pub struct Queue {
    shared: Arc<Shared>,
    /// Tells the thread when the last clone is gone.
    _last: Arc<Last>,
}

/// A [`Queue`] that is not started yet.
#[must_use = "a queue takes nothing until it is started"]
pub struct QueueBuilder {
    sink: Box<dyn AuditSink>,
    capacity: usize,
    overflow: Overflow,
}

/// What happens to an event for which the queue has no room, or that the sink cannot write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overflow {
    /// It is dropped and counted, and connections go on. When there is room again, an event
    /// ([`Action::EventsDropped`]) says how many are missing.
    #[default]
    Count,
    /// It is an error, and a peer whose admission it was is refused: no record, no session. What
    /// was queued is tried again until the sink takes it.
    FailClosed,
}

struct Shared {
    sink: Box<dyn AuditSink>,
    capacity: usize,
    overflow: Overflow,
    state: Mutex<State>,
    /// There is something to do.
    filled: Condvar,
    /// Everything is done.
    emptied: Condvar,
    dropped: AtomicU64,
}

#[derive(Default)]
struct State {
    events: VecDeque<Waiting>,
    /// The thread waits to be woken.
    asleep: bool,
    /// How many events the thread has taken and not written yet.
    in_hand: usize,
    /// About how many bytes those that wait and those in hand hold.
    bytes: usize,
    /// The thread has not flushed the sink yet.
    writing: bool,
    /// Everything is to be written without delay.
    urgent: bool,
    closed: bool,
    /// The sink failed last, and nothing is to be admitted until it does not.
    broken: bool,
    /// How many were dropped since the last time it was told.
    untold: u64,
}

/// An event, and about how many bytes it holds.
struct Waiting {
    event: Arc<AuditEvent>,
    bytes: usize,
}

/// About how many bytes of events may wait, so that peers with huge certificates cannot fill the memory.
const MAX_BYTES: usize = 64 * 1024 * 1024;
/// How long the thread lets events gather, so that not every handshake has to wake it.
const GATHER: Duration = Duration::from_millis(5);
/// How long after a failure the sink is tried again.
const RETRY: Duration = Duration::from_millis(100);
/// How long the last clone waits for what is queued.
const FAREWELL: Duration = Duration::from_secs(2);

impl Queue {
    /// For this sink, with room for 8,192 events and [`Overflow::Count`].
    pub fn builder(sink: impl AuditSink + 'static) -> QueueBuilder {
        QueueBuilder {
            sink: Box::new(sink),
            capacity: 8192,
            overflow: Overflow::Count,
        }
    }

    /// Waits until everything that is queued is written, and says whether that is so within `time`.
    pub fn flush_within(&self, time: Duration) -> bool {
        self.shared.flush_within(time)
    }
}

impl QueueBuilder {
    /// Sets how many events may wait. Default: 8,192. An event takes about two kilobytes beside its
    /// certificates, which it shares with the connection if the peer was admitted; in any case no more
    /// than about 64 MiB of them wait, with all that they hold in memory: the certificates as they were
    /// read, their names and extensions, and text.
    ///
    /// Refusals of peers that have not proven their key
    /// ([`is_unauthenticated`](AuditEvent::is_unauthenticated)) may take half of the room, so that they
    /// leave the other half to everything else.
    ///
    /// 0 counts as 1.
    pub const fn capacity(mut self, events: usize) -> Self {
        self.capacity = if events == 0 { 1 } else { events };
        self
    }

    /// Sets what happens to an event for which there is no room. Default: [`Overflow::Count`].
    pub const fn overflow(mut self, rule: Overflow) -> Self {
        self.overflow = rule;
        self
    }

    /// Starts the thread.
    ///
    /// # Panics
    /// When the system gives no thread.
    pub fn start(self) -> Queue {
        let shared = Arc::new(Shared {
            sink: self.sink,
            capacity: self.capacity,
            overflow: self.overflow,
            state: Mutex::default(),
            filled: Condvar::new(),
            emptied: Condvar::new(),
            dropped: AtomicU64::new(0),
        });
        let worker = Arc::clone(&shared);
        thread::Builder::new()
            .name("countersign-audit".into())
            .spawn(move || worker.work())
            .expect("the system gives a thread");
        Queue {
            _last: Arc::new(Last(Arc::clone(&shared))),
            shared,
        }
    }
}

impl AuditSink for Queue {
    fn record(&self, event: &Arc<AuditEvent>) -> Result<(), RecordError> {
        self.shared.push(event)
    }

    fn wants(&self, action: Action) -> bool {
        self.shared.sink.wants(action)
    }

    fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed) + self.shared.sink.dropped()
    }

    fn flush(&self) {
        self.flush_within(FAREWELL);
    }
}

impl Shared {
    fn push(&self, event: &Arc<AuditEvent>) -> Result<(), RecordError> {
        let bytes = event.memory();
        let (capacity, most_bytes) = match event.is_unauthenticated() {
            true => (self.capacity.div_ceil(2), MAX_BYTES / 2),
            false => (self.capacity, MAX_BYTES),
        };
        let mut state = self.state();
        let is_full = state.events.len() + state.in_hand >= capacity
            || (state.bytes > 0 && state.bytes.saturating_add(bytes) > most_bytes);
        if is_full || state.broken {
            state.untold += 1;
            drop(state);
            if self.overflow == Overflow::FailClosed {
                let why = if is_full {
                    "the queue is full"
                } else {
                    "the sink has failed"
                };
                return Err(RecordError::new(why));
            }
            self.lost(1);
            return Ok(());
        }
        state.events.push_back(Waiting {
            event: Arc::clone(event),
            bytes,
        });
        state.bytes += bytes;
        // Word is also sent when it is half full, lest it overflow while the thread lets it fill.
        let wake =
            std::mem::take(&mut state.asleep) || state.events.len() == self.capacity.div_ceil(2);
        drop(state);
        if wake {
            self.filled.notify_one();
        }
        Ok(())
    }

    /// Events that it took, or was to drop, are gone.
    fn lost(&self, events: u64) {
        self.dropped.fetch_add(events, Ordering::Relaxed);
        #[cfg(feature = "metrics")]
        crate::audit::metrics::dropped(events);
    }

    fn work(&self) {
        let mut batch = VecDeque::new();
        while self.next(&mut batch) {
            while let Some(Waiting { event, bytes }) = batch.front() {
                let written = self.tell_dropped(event).and_then(|()| self.give(event));
                if self.is_done(*bytes, &written) {
                    let done = batch.pop_front();
                    if let Some(last) = done.filter(|_| batch.is_empty()) {
                        // If it fails, it is told with the next event.
                        let _ = self.tell_dropped(&last.event);
                    }
                }
            }
            // A sink is anybody's code.
            let _ = catch_unwind(AssertUnwindSafe(|| self.sink.flush()));
        }
    }

    /// Waits for events; false when nobody is left who could bring some.
    fn next(&self, batch: &mut VecDeque<Waiting>) -> bool {
        let mut state = self.state();
        loop {
            state.writing = false;
            if state.events.is_empty() {
                state.urgent = false;
                self.emptied.notify_all();
                if state.closed {
                    return false;
                }
                state.asleep = true;
                state = self
                    .filled
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
                state.asleep = false;
            } else {
                if !state.urgent && !state.closed {
                    state = self.wait_for(state, GATHER);
                }
                std::mem::swap(&mut state.events, batch);
                state.in_hand = batch.len();
                state.writing = true;
                return true;
            }
        }
    }

    fn wait_for<'a>(&self, state: MutexGuard<'a, State>, time: Duration) -> MutexGuard<'a, State> {
        let waited = self.filled.wait_timeout(state, time);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Records how many events are missing before this one, if any are.
    fn tell_dropped(&self, before: &AuditEvent) -> Result<(), RecordError> {
        let missing = std::mem::take(&mut self.state().untold);
        if missing == 0 {
            return Ok(());
        }
        let mut notice = AuditEvent::new(Action::EventsDropped, before.side, before.name.clone());
        notice.reason = Some("events_dropped");
        notice.detail = Some(format!(
            "{missing} events before this one could not be recorded"
        ));
        notice.dropped = Some(missing);
        notice.generation = before.generation;
        let told = self.give(&Arc::new(notice));
        if told.is_err() {
            self.state().untold += missing;
        }
        told
    }

    /// Gives an event to the sink, which is anybody's code.
    fn give(&self, event: &Arc<AuditEvent>) -> Result<(), RecordError> {
        catch_unwind(AssertUnwindSafe(|| {
            if self.sink.wants(event.action) {
                self.sink.record(event)
            } else {
                Ok(())
            }
        }))
        .unwrap_or_else(|_| Err(RecordError::new("the sink panicked")))
    }

    /// Whether no more is to be done about the event that the thread has in hand. One that could
    /// not be written is lost, or tried again after a while.
    fn is_done(&self, bytes: usize, written: &Result<(), RecordError>) -> bool {
        let mut state = self.state();
        match written {
            Ok(()) => state.broken = false,
            Err(_) if self.overflow == Overflow::Count || state.closed => {
                state.untold += 1;
                self.lost(1);
            }
            Err(_) => {
                state.broken = true;
                drop(self.wait_for(state, RETRY));
                return false;
            }
        }
        state.in_hand -= 1;
        state.bytes = state.bytes.saturating_sub(bytes);
        true
    }

    fn flush_within(&self, time: Duration) -> bool {
        // The end of time is far away.
        let deadline = Instant::now().checked_add(time);
        let mut state = self.state();
        while !state.events.is_empty() || state.writing {
            state.urgent = true;
            self.filled.notify_one();
            let left = match deadline {
                Some(deadline) => deadline.saturating_duration_since(Instant::now()),
                None => FAREWELL,
            };
            if left.is_zero() {
                return false;
            }
            let waited = self.emptied.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Held by all clones of a queue, and by nobody else.
struct Last(Arc<Shared>);

impl Drop for Last {
    fn drop(&mut self) {
        self.0.flush_within(FAREWELL);
        self.0.state().closed = true;
        self.0.filled.notify_one();
    }
}

impl Clone for Queue {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            _last: Arc::clone(&self._last),
        }
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("capacity", &self.shared.capacity)
            .field("overflow", &self.shared.overflow)
            .field("waiting", &self.shared.state().events.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for QueueBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueueBuilder")
            .field("capacity", &self.capacity)
            .field("overflow", &self.overflow)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Side, Stage};
    use crate::pki::Certificate;
    use crate::testing::TestCa;

    /// A queue whose sink is stuck until the sender is gone.
    fn stuck(capacity: usize) -> (Queue, std::sync::mpsc::Sender<()>) {
        let (release, stuck) = std::sync::mpsc::channel::<()>();
        let stuck = Mutex::new(stuck);
        let sink = move |_: &AuditEvent| stuck.lock().unwrap().recv().unwrap_or_default();
        let queue = Queue::builder(sink).capacity(capacity);
        (queue.overflow(Overflow::FailClosed).start(), release)
    }

    fn event(action: Action, stage: Stage, certificates: &[Certificate]) -> Arc<AuditEvent> {
        let mut event = AuditEvent::new(action, Side::Server, None);
        event.stage = Some(stage);
        event.set_certificates(certificates);
        Arc::new(event)
    }

    fn fits(queue: &Queue, event: &Arc<AuditEvent>) -> usize {
        (0..100_000)
            .take_while(|_| queue.record(event).is_ok())
            .count()
    }

    #[test]
    fn names_and_extensions_count_as_they_are_held_in_memory() {
        let mut crowded = TestCa::new("Other").leaf();
        for _ in 0..10_000 {
            crowded = crowded.dns("a");
        }
        for number in 0..500 {
            crowded = crowded.extension(&format!("1.3.{number}"), false, &[5, 0]);
        }
        let crowded = Certificate::from_der(crowded.issue().leaf_der()).unwrap();
        let der = crowded.der().len();
        let name = size_of::<crate::pki::GeneralName>() + 32;
        let held = event(Action::Admitted, Stage::Open, &[crowded]).memory();
        // An empty event, and the same certificate: most of it is no DER.
        let empty = event(Action::Admitted, Stage::Open, &[]).memory();
        assert!(held > empty + der + 10_000 * name, "{held} of {der}");
        assert!(held > 20 * der, "{held} of {der}");

        let mut filled = AuditEvent::new(Action::RequestDenied, Side::Server, None);
        filled.detail = Some("x".repeat(100_000));
        filled.reloaded = vec!["y".repeat(1000); 100];
        assert!(filled.memory() > 200_000, "{}", filled.memory());
    }

    #[test]
    fn huge_certificates_fill_the_queue_by_what_they_hold() {
        let mut crowded = TestCa::new("Other").leaf();
        for _ in 0..10_000 {
            crowded = crowded.dns("a");
        }
        let crowded = Certificate::from_der(crowded.issue().leaf_der()).unwrap();
        let (queue, release) = stuck(8192);
        let known = event(Action::Admitted, Stage::Open, &[crowded]);
        let fit = fits(&queue, &known);
        let held = fit * known.memory();
        assert!(held <= MAX_BYTES, "{held}");
        assert!(held > MAX_BYTES / 2, "{held}");
        drop(release);
    }

    #[test]
    fn refusals_of_strangers_leave_half_of_the_room() {
        let (queue, release) = stuck(64);
        let stranger = event(Action::ChainRefused, Stage::Chain, &[]);
        assert_eq!(fits(&queue, &stranger), 32);
        let denied = event(Action::Denied, Stage::Policy, &[]);
        assert!(queue.record(&denied).is_ok());
        let admitted = event(Action::Admitted, Stage::Open, &[]);
        assert_eq!(fits(&queue, &admitted), 31);
        drop(release);
    }
}
