//! Keeps the time of open connections.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};

use crate::gate::live::{Connection, Entered};
use crate::gate::{CloseReason, Gate, Lifetimes};

/// How often expiry and age are looked at.
const EVERY: Duration = Duration::from_secs(1);

/// Ends the connections of one gate when their time is over, by a task that runs while there are
/// any.
#[derive(Debug)]
pub(crate) struct Keeper {
    lifetimes: Lifetimes,
    started: OnceLock<Instant>,
    running: Arc<AtomicBool>,
}

impl Keeper {
    pub(crate) fn new(lifetimes: Lifetimes) -> Self {
        Self {
            lifetimes,
            started: OnceLock::new(),
            running: Arc::default(),
        }
    }

    /// The time since the first connection.
    pub(crate) fn clock(&self) -> Duration {
        self.started.get_or_init(Instant::now).elapsed()
    }

    /// Sees to it that the task runs. To be called once a connection was entered.
    pub(crate) fn watch<I: Send + Sync + 'static>(self: &Arc<Self>, gate: &Gate<I>) {
        /// The task may end with its runtime, while other runtimes go on.
        struct Running(Arc<AtomicBool>);
        impl Drop for Running {
            fn drop(&mut self) {
                self.0.store(false, Ordering::SeqCst);
            }
        }

        if self.running.swap(true, Ordering::SeqCst) {
            return;
        }
        let running = Running(Arc::clone(&self.running));
        let handle = Handle::current();
        gate.set_spawn(Box::new(move |future| drop(handle.spawn(future))));
        let (keeper, gate) = (Arc::clone(self), gate.clone());
        tokio::spawn(async move {
            let running = running;
            loop {
                sleep(EVERY).await;
                gate.tick(keeper.clock(), &keeper.lifetimes);
                if !gate.has_connections() {
                    drop(running);
                    // One that was entered before that found the task running.
                    if gate.has_connections() {
                        keeper.watch(&gate);
                    }
                    return;
                }
            }
        });
    }

    /// Asks a connection to come to its end.
    pub(crate) fn drain<I>(&self, entered: &Entered<I>, why: CloseReason) {
        let connection = entered.connection();
        connection.drain(why, self.clock(), self.lifetimes.drain);
    }

    /// Asks a connection to come to its end within this time.
    pub(crate) fn drain_within<I>(
        &self,
        connection: &Connection<I>,
        why: CloseReason,
        time: Duration,
    ) {
        connection.drain(why, self.clock(), time);
    }

    /// Asks all open connections to come to their end.
    pub(crate) fn drain_all<I: Send + Sync + 'static>(&self, gate: &Gate<I>, why: &CloseReason) {
        for connection in gate.open_connections() {
            connection.drain(why.clone(), self.clock(), self.lifetimes.drain);
        }
    }
}
