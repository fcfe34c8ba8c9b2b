//! A sink behind a bounded queue, on its own thread.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::{AuditSink, RecordError};
use crate::audit::{Action, AuditEvent};
use crate::pki::contained::caught;

/// Records events in another sink on its own thread, so that a slow disk or network does not delay
/// handshakes. The queue is bounded; [`Overflow`] sets what happens when it is full.
///
/// ```no_run
/// use countersign::audit::{AuditEvent, Overflow, Queue};
///
/// let slow = |event: &AuditEvent| println!("{event}");
/// let queue = Queue::builder(slow).overflow(Overflow::FailClosed).start();
/// ```
///
/// Clones share the queue. When the last clone is dropped, waiting events are still written, for up to
/// two seconds; [`flush_within`](Self::flush_within) can wait longer.
///
/// # Security
/// A queued event counts as recorded, and a crash can still lose it: up to the capacity. If no event may
/// be lost, use the sink without a queue; then each handshake waits for its record.
pub struct Queue {
    shared: Arc<Shared>,
    /// Closes the queue when the last clone is dropped.
    _last: Arc<Last>,
}

/// The settings of a [`Queue`].
///
/// ```no_run
/// use countersign::audit::{Memory, Overflow, Queue};
///
/// let queue = Queue::builder(Memory::new())
///     .capacity(1_000)
///     .overflow(Overflow::FailClosed)
///     .start();
/// ```
#[must_use = "a queue records nothing until it is started"]
pub struct QueueBuilder {
    sink: Box<dyn AuditSink>,
    capacity: usize,
    overflow: Overflow,
}

/// What happens to an event for which the queue has no room, or that the sink cannot record.
///
/// ```
/// use countersign::audit::Overflow;
///
/// assert_eq!(Overflow::default(), Overflow::Count);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Overflow {
    /// The event is dropped and counted, and connections continue. When there is room again, an event
    /// ([`Action::EventsDropped`]) reports the number of missing events.
    #[default]
    Count,
    /// Recording the event fails. If it is an admission, the peer is denied: no record, no session. Queued
    /// events are retried until the sink records them.
    FailClosed,
}

struct Shared {
    sink: Box<dyn AuditSink>,
    capacity: usize,
    overflow: Overflow,
    state: Mutex<State>,
    /// Events wait.
    filled: Condvar,
    /// No event waits, and the sink is flushed.
    emptied: Condvar,
    dropped: AtomicU64,
}

#[derive(Default)]
struct State {
    events: VecDeque<Waiting>,
    /// The thread waits for a notification.
    asleep: bool,
    /// The number of events that the thread has taken and not written yet.
    in_hand: usize,
    /// The approximate bytes of waiting events and of those that the thread has taken.
    bytes: usize,
    /// The thread has not flushed the sink yet.
    writing: bool,
    /// Events must be written without delay.
    urgent: bool,
    closed: bool,
    /// The last record failed. No peer is admitted until a record succeeds.
    broken: bool,
    /// The number of dropped events that no event has reported yet.
    unreported: u64,
}

/// An event with its approximate size in bytes.
struct Waiting {
    event: Arc<AuditEvent>,
    bytes: usize,
}

impl Waiting {
    fn event(&self) -> Arc<AuditEvent> {
        Arc::clone(&self.event)
    }
}

/// The approximate limit of waiting bytes, so that peers with huge certificates cannot fill the memory.
const MAX_BYTES: usize = 64 * 1024 * 1024;
/// The time that the thread waits for further events, so that not every handshake wakes it.
const GATHER: Duration = Duration::from_millis(20);
/// The events that a sink is given at once.
const BATCH: usize = 64;
/// The time between attempts of a failing sink.
const RETRY: Duration = Duration::from_millis(100);
/// The time that the last clone waits for queued events.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

impl Queue {
    /// A queue in front of this sink, with room for 8,192 events and [`Overflow::Count`].
    pub fn builder(sink: impl AuditSink + 'static) -> QueueBuilder {
        QueueBuilder {
            sink: Box::new(sink),
            capacity: 8192,
            overflow: Overflow::Count,
        }
    }

    /// Waits until all queued events are written, for at most `time`. Returns whether they are written.
    ///
    /// It blocks the thread. In async code, call it on a blocking thread.
    pub fn flush_within(&self, time: Duration) -> bool {
        self.shared.flush_within(time)
    }
}

impl QueueBuilder {
    /// Sets how many events may wait. Default: 8,192; 0 counts as 1.
    ///
    /// An event takes about two kilobytes beside its certificates, which it shares with the connection if
    /// the peer was admitted. At most about 64 MiB of events wait, including everything that they hold in
    /// memory: parsed certificates, their names and extensions, and text.
    ///
    /// Refusals of peers that have not proven their key
    /// ([`is_unauthenticated`](AuditEvent::is_unauthenticated)) may take half of the room, so that the
    /// other half remains for other events.
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
    /// If the system cannot start a thread.
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
            .expect("the system starts a thread");
        Queue {
            _last: Arc::new(Last(Arc::clone(&shared))),
            shared,
        }
    }
}

impl AuditSink for Queue {
    fn record(&self, event: &Arc<AuditEvent>) -> Result<(), RecordError> {
        if !self.shared.sink.wants(event.action) {
            return Ok(());
        }
        self.shared.push(event)
    }

    fn wants(&self, action: Action) -> bool {
        self.shared.sink.wants(action)
    }

    fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed) + self.shared.sink.dropped()
    }

    fn flush(&self) {
        self.flush_within(CLOSE_TIMEOUT);
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
            state.unreported += 1;
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
        // The thread is also woken at half of the capacity, before the queue overflows.
        let wake =
            std::mem::take(&mut state.asleep) || state.events.len() == self.capacity.div_ceil(2);
        drop(state);
        if wake {
            self.filled.notify_one();
        }
        Ok(())
    }

    /// Counts lost events.
    fn lost(&self, events: u64) {
        self.dropped.fetch_add(events, Ordering::Relaxed);
        #[cfg(feature = "metrics")]
        crate::audit::metrics::dropped(events);
    }

    fn work(&self) {
        let mut waiting = VecDeque::new();
        while self.next(&mut waiting) {
            let mut last = None;
            while let Some(first) = waiting.front() {
                let mut recorded = 0;
                let written = self.record_dropped(&first.event).and_then(|()| {
                    let events: Vec<_> = waiting.iter().take(BATCH).map(Waiting::event).collect();
                    self.give(&events, &mut recorded)
                });
                last = self.take_recorded(&mut waiting, recorded).or(last);
                if let (Err(_), Some(failed)) = (written, waiting.front())
                    && self.is_lost(failed.bytes)
                {
                    last = waiting.pop_front().map(|it| it.event);
                }
            }
            if let Some(last) = last {
                // If it fails, the next event reports the number.
                let _ = self.record_dropped(&last);
            }
            // A sink is code of the application.
            caught(|| self.sink.flush());
        }
    }

    /// Waits for events. Returns false when the last clone of the queue is dropped.
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

    /// Records the number of missing events before this one, if events are missing.
    fn record_dropped(&self, before: &AuditEvent) -> Result<(), RecordError> {
        let missing = std::mem::take(&mut self.state().unreported);
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
        let wanted = caught(|| self.sink.wants(Action::EventsDropped)).unwrap_or(true);
        let recorded = match wanted {
            true => self.give(&[Arc::new(notice)], &mut 0),
            false => Ok(()),
        };
        if recorded.is_err() {
            self.state().unreported += missing;
        }
        recorded
    }

    /// Gives events to the sink, which is code of the application.
    fn give(&self, events: &[Arc<AuditEvent>], recorded: &mut usize) -> Result<(), RecordError> {
        match caught(|| self.sink.record_batch(events, recorded)) {
            Some(Ok(())) => *recorded = events.len(),
            Some(Err(error)) => return Err(error),
            None => return Err(RecordError::new("the sink panicked")),
        }
        Ok(())
    }

    /// Removes events that the sink has recorded. Returns the last of them.
    fn take_recorded(
        &self,
        waiting: &mut VecDeque<Waiting>,
        recorded: usize,
    ) -> Option<Arc<AuditEvent>> {
        let taken = waiting.drain(..recorded.min(waiting.len()).min(BATCH));
        let (mut bytes, mut count, mut last) = (0, 0, None);
        for it in taken {
            bytes += it.bytes;
            count += 1;
            last = Some(it.event);
        }
        let mut state = self.state();
        state.broken &= count == 0;
        state.in_hand -= count;
        state.bytes = state.bytes.saturating_sub(bytes);
        last
    }

    /// Whether an event of this size, which the sink could not record, is lost. Otherwise it is retried,
    /// after a while.
    fn is_lost(&self, bytes: usize) -> bool {
        let mut state = self.state();
        if self.overflow == Overflow::FailClosed && !state.closed {
            state.broken = true;
            drop(self.wait_for(state, RETRY));
            return false;
        }
        state.unreported += 1;
        self.lost(1);
        state.in_hand -= 1;
        state.bytes = state.bytes.saturating_sub(bytes);
        true
    }

    fn flush_within(&self, time: Duration) -> bool {
        // Without a deadline if the clock cannot represent it.
        let deadline = Instant::now().checked_add(time);
        let mut state = self.state();
        while !state.events.is_empty() || state.writing {
            state.urgent = true;
            self.filled.notify_one();
            let left = match deadline {
                Some(deadline) => deadline.saturating_duration_since(Instant::now()),
                None => CLOSE_TIMEOUT,
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

/// Shared by all clones of a queue, and not by its thread.
struct Last(Arc<Shared>);

impl Drop for Last {
    fn drop(&mut self) {
        self.0.flush_within(CLOSE_TIMEOUT);
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
    use crate::audit::Stage;
    use crate::pki::Certificate;
    use crate::side::Side;
    use crate::testing::TestCa;

    /// A queue whose sink blocks until the sender is dropped.
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
    fn names_and_extensions_count_with_their_memory() {
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
    fn huge_certificates_fill_the_queue_by_their_memory() {
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
    fn unauthenticated_refusals_leave_half_of_the_room() {
        let (queue, release) = stuck(64);
        let unauthenticated = event(Action::ChainRefused, Stage::Chain, &[]);
        assert_eq!(fits(&queue, &unauthenticated), 32);
        let denied = event(Action::Denied, Stage::Policy, &[]);
        assert!(queue.record(&denied).is_ok());
        let admitted = event(Action::Admitted, Stage::Open, &[]);
        assert_eq!(fits(&queue, &admitted), 31);
        drop(release);
    }
}
