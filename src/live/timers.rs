//! The clock of open connections, and the task that closes them on time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use rustls_pki_types::UnixTime;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};

use super::{CloseReason, Connection, Live};

/// How often expiry and age are checked.
const INTERVAL: Duration = Duration::from_secs(1);

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
    /// The runtime of the task. Asynchronous policies run on it too.
    runtime: Mutex<Option<Handle>>,
}

impl ConnectionTimers {
    pub(super) fn new(lifetimes: Lifetimes) -> Self {
        Self {
            lifetimes,
            started: OnceLock::new(),
            is_running: Arc::default(),
            runtime: Mutex::default(),
        }
    }

    /// The runtime of the task that ran last.
    pub(super) fn runtime(&self) -> Option<Handle> {
        let runtime = self.runtime.lock().unwrap_or_else(PoisonError::into_inner);
        runtime.clone()
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
        self.timers.started.get_or_init(Instant::now).elapsed()
    }

    /// Notes the time of the clock, at this moment of the timers' clock.
    pub(crate) fn note_time(&self, now: UnixTime, clock: Duration) {
        self.time.passes(Some(now), clock);
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
        connection.drain(why, self.clock(), time);
    }

    /// Asks a connection to drain.
    pub(crate) fn drain(&self, connection: &Connection<I>, why: CloseReason) {
        self.drain_within(connection, why, self.timers.lifetimes.drain);
    }

    /// Closes connections whose chains have expired, that are too old, or whose time to drain is over.
    fn tick(&self) {
        let clock = self.clock();
        let now = self.time.passes(self.clock.current_time(), clock);
        for connection in self.open_connections() {
            connection.tick(&now, clock, &self.timers.lifetimes);
        }
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
        let live = Arc::clone(self);
        runtime.spawn(async move {
            let running = running;
            loop {
                sleep(INTERVAL).await;
                live.tick();
                if live.is_empty() {
                    drop(running);
                    // A connection that opened before that found the task running.
                    if !live.is_empty() {
                        live.start_timers();
                    }
                    return;
                }
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
