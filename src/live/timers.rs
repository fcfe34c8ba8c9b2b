//! The clock of open connections, and the task that closes them on time.
//!
//! The task sleeps until the first deadline. A change that makes a connection due before that wakes it, so that
//! a server whose connections are idle does no work for them. The clock of certificates can be set at any time,
//! which no timer observes: the task compares it every [`CLOCK_INTERVAL`], without looking at the connections, and
//! so does each handshake.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use rustls_pki_types::UnixTime;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::yield_now;
use tokio::time::{Instant, timeout_at};

use super::{CloseReason, Connection, Live};
use crate::pki::contained::caught;

/// How often the clock is compared with the expected time.
const CLOCK_INTERVAL: Duration = Duration::from_secs(5);
/// The same while it returns no time.
const MISSING_CLOCK_INTERVAL: Duration = Duration::from_secs(1);
/// How many connections are closed, or begin to drain, before other tasks run.
const CHUNK: usize = 64;

/// When connections close without a request of the application.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lifetimes {
    /// From the signal to drain to the cut.
    pub(crate) drain: Duration,
    pub(crate) max_age: Option<Duration>,
}

/// Time for the connections of one endpoint. A task runs while there are connections.
#[derive(Debug)]
pub(super) struct ConnectionTimers {
    lifetimes: Lifetimes,
    started: OnceLock<Instant>,
    is_running: Arc<AtomicBool>,
    /// Wakes the task before its time.
    changed: Arc<Notify>,
    /// The runtime of the task. Asynchronous policies run on it too.
    runtime: Mutex<Option<Handle>>,
}

impl ConnectionTimers {
    pub(super) fn new(lifetimes: Lifetimes) -> Self {
        Self {
            lifetimes,
            started: OnceLock::new(),
            is_running: Arc::default(),
            changed: Arc::default(),
            runtime: Mutex::default(),
        }
    }

    pub(super) const fn lifetimes(&self) -> &Lifetimes {
        &self.lifetimes
    }

    /// The runtime of the task that ran last.
    pub(super) fn runtime(&self) -> Option<Handle> {
        let runtime = self.runtime.lock().unwrap_or_else(PoisonError::into_inner);
        runtime.clone()
    }

    pub(super) fn wake(&self) {
        self.changed.notify_one();
    }

    fn started(&self) -> Instant {
        *self.started.get_or_init(Instant::now)
    }
}

/// Set while the task runs. The task may stop with its runtime while other runtimes continue.
struct Running(Arc<AtomicBool>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

impl<I> Live<I> {
    /// The time since the first connection.
    pub(crate) fn clock(&self) -> Duration {
        self.timers.started().elapsed()
    }

    /// Notes the time of the clock, at this moment of the timers' clock.
    pub(crate) fn note_time(&self, now: UnixTime, clock: Duration) {
        if self.time.passes(Some(now), clock).has_jumped {
            self.timers.wake();
        }
    }

    /// The last time that the clock gave.
    pub(super) fn last_time(&self) -> Option<UnixTime> {
        self.time.last()
    }

    /// Asks a connection to drain within this time.
    pub(crate) fn drain_within(
        &self,
        connection: &Connection<I>,
        why: CloseReason,
        time: Duration,
    ) {
        if connection.drain(why, self.clock(), time) {
            self.edit(|open| open.reschedule(connection));
        }
    }

    /// Asks a connection to drain.
    pub(crate) fn drain(&self, connection: &Connection<I>, why: CloseReason) {
        self.drain_within(connection, why, self.timers.lifetimes.drain);
    }

    /// Closes some of the connections whose chains have expired, that are too old, or whose time to drain is over.
    /// Returns when to call it again, by the timers' clock.
    pub(super) fn tick(&self) -> Duration {
        let lifetimes = self.timers.lifetimes();
        let clock = self.clock();
        let now = self.time.passes(self.clock.current_time(), clock);
        let due = self.lock().take_due(&now, clock, CHUNK);
        for connection in &due {
            connection.tick(&now, clock, lifetimes);
        }
        let interval = match self.time.is_missing() {
            true => MISSING_CLOCK_INTERVAL,
            false => CLOCK_INTERVAL,
        };
        let mut open = self.lock();
        for connection in &due {
            open.reschedule(connection);
        }
        let first = open.first_due(&self.time);
        let first = first.map_or(Duration::MAX, |first| first.max(clock));
        let wakes = first.min(clock.saturating_add(interval));
        open.wakes = wakes;
        drop(open);
        for connection in due {
            // If its stream was dropped, this drops the identity, which is application code.
            caught(|| drop(connection));
        }
        wakes
    }
}

impl<I: Send + Sync + 'static> Live<I> {
    /// Starts the task unless it runs. Called before a connection opens, so that a change of the
    /// asynchronous policy has a runtime to run it on.
    pub(crate) fn start_timers(self: &Arc<Self>) {
        if self.timers.is_running.swap(true, Ordering::SeqCst) {
            return;
        }
        let running = Running(Arc::clone(&self.timers.is_running));
        let runtime = Handle::current();
        *self
            .timers
            .runtime
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(runtime.clone());
        let started = self.timers.started();
        let changed = Arc::clone(&self.timers.changed);
        // While it sleeps, it does not keep the connections' endpoint.
        let live = Arc::downgrade(self);
        runtime.spawn(async move {
            let running = running;
            let mut is_waited = false;
            while let Some(live) = live.upgrade() {
                let wakes = live.tick();
                if is_waited && live.is_empty() {
                    drop(running);
                    // A connection that opened before that found the task running.
                    if !live.is_empty() {
                        live.start_timers();
                    }
                    return;
                }
                if wakes <= live.clock() {
                    yield_now().await;
                    continue;
                }
                drop(live);
                // The sum is at most an interval after now.
                let woken = timeout_at(started + wakes, changed.notified()).await;
                is_waited = woken.is_err();
            }
        });
    }
}

/// When calls in progress end on a connection that is cut after this time: a second earlier, or a quarter
/// of a short time, so that their ends arrive before the cut.
pub(super) fn calls_end(time: Duration) -> Option<std::time::Instant> {
    let margin = Duration::from_secs(1).min(time / 4);
    let end = Instant::now().checked_add(time.saturating_sub(margin));
    end.map(Instant::into_std)
}
