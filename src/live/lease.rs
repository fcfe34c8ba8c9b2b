//! The permission of a connection to transfer data, until it is withdrawn.
//!
//! `tests/interleavings` runs this file under a model checker: no task that waits misses the end of its lease.

use std::fmt;
use std::task::Waker;
use std::time::Instant;

use super::CloseReason;
use super::sync::{AtomicU8, Mutex, MutexGuard, OnceLock, Ordering, PoisonError};
use crate::pki::contained::caught;

const OPEN: u8 = 0;
const DRAINING: u8 = 1;
const CUT: u8 = 2;

/// Checked before every read and write (one atomic load). A task that waits registers its waker here.
pub(crate) struct Lease {
    phase: AtomicU8,
    // In boxes: a reason can be large, and an open connection has none.
    draining: OnceLock<Box<Draining>>,
    cut: OnceLock<Box<CloseReason>>,
    waiting: Mutex<Waiting>,
}

/// A lease that is withdrawn soon.
struct Draining {
    why: CloseReason,
    /// When calls in progress end, so that their ends arrive before the cut; `None` for a time that the
    /// clock cannot represent.
    #[cfg_attr(
        not(feature = "hyper"),
        expect(dead_code, reason = "only HTTP has calls")
    )]
    calls_end: Option<Instant>,
}

/// The tasks to wake when the lease changes.
#[derive(Default)]
struct Waiting {
    reader: Option<Waker>,
    writer: Option<Waker>,
    /// Tasks that wait for the signal to drain, by number.
    watchers: Vec<Option<Waker>>,
    /// The numbers that no watcher has.
    free: Vec<usize>,
    /// Stops a transport that runs without a task that waits.
    #[cfg(feature = "quinn")]
    stop: Option<Stop>,
}

/// Called once, when the lease is cut.
#[cfg(feature = "quinn")]
pub(crate) type Stop = Box<dyn FnOnce(&CloseReason) + Send>;

/// Which half of a stream waits.
#[derive(Clone, Copy)]
pub(crate) enum Half {
    Read,
    Write,
}

impl Lease {
    pub(super) fn new() -> Self {
        Self {
            phase: AtomicU8::new(OPEN),
            draining: OnceLock::new(),
            cut: OnceLock::new(),
            waiting: Mutex::default(),
        }
    }

    /// Whether no data may be transferred any more.
    pub(crate) fn is_cut(&self) -> bool {
        self.phase.load(Ordering::Acquire) == CUT
    }

    /// Why no data may be transferred any more.
    pub(crate) fn why_cut(&self) -> Option<&CloseReason> {
        self.cut.get().map(|why| &**why)
    }

    /// Why the connection drains, or was cut.
    pub(crate) fn why_draining(&self) -> Option<&CloseReason> {
        self.why_cut()
            .or_else(|| self.draining.get().map(|draining| &draining.why))
    }

    /// Whether it neither drains nor was cut (one atomic load).
    pub(crate) fn is_open(&self) -> bool {
        self.phase.load(Ordering::Acquire) == OPEN
    }

    /// When calls in progress end, if the connection drains.
    #[cfg(feature = "hyper")]
    pub(crate) fn calls_end(&self) -> Option<Instant> {
        self.draining.get()?.calls_end
    }

    /// Registers a half to be woken when the lease is cut. The caller checks
    /// [`is_cut`](Self::is_cut) afterwards, in case the cut came first.
    pub(crate) fn wake_when_cut(&self, half: Half, waker: &Waker) {
        let mut waiting = self.waiting();
        let place = match half {
            Half::Read => &mut waiting.reader,
            Half::Write => &mut waiting.writer,
        };
        match place {
            Some(old) => old.clone_from(waker),
            None => *place = Some(waker.clone()),
        }
    }

    /// Has `stop` called when the lease is cut, at once if it is.
    #[cfg(feature = "quinn")]
    pub(crate) fn stop_when_cut(&self, stop: Stop) {
        let mut waiting = self.waiting();
        // Under the lock: `cut` sets the reason first, and then takes the lock.
        match self.why_cut() {
            Some(why) => {
                drop(waiting);
                stop(why);
            }
            None => waiting.stop = Some(stop),
        }
    }

    /// The transport exists no more.
    #[cfg(feature = "quinn")]
    pub(crate) fn forget_stop(&self) {
        // Dropped without the lock: it holds the transport.
        let _stop = self.waiting().stop.take();
    }

    /// Registers a watcher to be woken when the connection drains or is cut, or returns the reason if
    /// it already does. The watcher keeps its number, and [removes it](Self::forget_watcher) when it is
    /// dropped.
    pub(crate) fn wake_when_draining(
        &self,
        watcher: &mut Option<usize>,
        waker: &Waker,
    ) -> Option<CloseReason> {
        let mut old = None;
        let mut waiting = self.waiting();
        // Under the lock: `drain` and `cut` set the reason first, and then take the lock to wake.
        let why = self.why_draining().cloned();
        if why.is_none() {
            let number = *watcher.get_or_insert_with(|| waiting.new_watcher());
            old = waiting.watchers[number].replace(waker.clone());
        }
        drop(waiting);
        drop(old); // without the lock: a waker is code of the application
        why
    }

    pub(crate) fn forget_watcher(&self, number: usize) {
        let mut waiting = self.waiting();
        // None are left once the signal was sent.
        let place = waiting.watchers.get_mut(number);
        let waker = place.and_then(Option::take);
        if waker.is_some() {
            waiting.free.push(number);
        }
        drop(waiting);
        drop(waker); // without the lock
    }

    /// Signals to drain; true the first time.
    pub(super) fn drain(&self, why: CloseReason, calls_end: Option<Instant>) -> bool {
        let draining = Box::new(Draining { why, calls_end });
        let first = self.draining.set(draining).is_ok();
        if first {
            // A cut lease stays cut.
            let _ =
                self.phase
                    .compare_exchange(OPEN, DRAINING, Ordering::AcqRel, Ordering::Acquire);
            let watchers = std::mem::take(&mut self.waiting().watchers);
            wake(watchers.into_iter().flatten());
        }
        first
    }

    /// Stops all transfer; true the first time.
    pub(super) fn cut(&self, why: CloseReason) -> bool {
        let first = self.cut.set(Box::new(why)).is_ok();
        if first {
            // A swap, so that `drain`, which compares and exchanges, comes before it or finds it.
            self.phase.swap(CUT, Ordering::AcqRel);
            #[cfg(feature = "quinn")]
            self.stop();
            let (halves, watchers) = {
                let mut waiting = self.waiting();
                let halves = [waiting.reader.take(), waiting.writer.take()];
                (halves, std::mem::take(&mut waiting.watchers))
            };
            wake(
                halves
                    .into_iter()
                    .flatten()
                    .chain(watchers.into_iter().flatten()),
            );
        }
        first
    }

    #[cfg(feature = "quinn")]
    fn stop(&self) {
        let stop = self.waiting().stop.take();
        if let (Some(stop), Some(why)) = (stop, self.why_cut()) {
            caught(|| stop(why));
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wakes all of them. A waker is code of the application, and a panic in one must not keep the others
/// from waking.
fn wake(wakers: impl IntoIterator<Item = Waker>) {
    for waker in wakers {
        caught(|| waker.wake());
    }
}

impl Waiting {
    /// The number of a new watcher.
    fn new_watcher(&mut self) -> usize {
        self.free.pop().unwrap_or_else(|| {
            self.watchers.push(None);
            self.watchers.len() - 1
        })
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lease").field(&self.why_draining()).finish()
    }
}
