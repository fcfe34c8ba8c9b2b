//! What a live connection holds: the right to go on, until it is withdrawn.

use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Waker;

use super::Ended;

const OPEN: u8 = 0;
const DRAINING: u8 = 1;
const CUT: u8 = 2;

/// Asked before every read and write, at the price of one atomic load.
pub(crate) struct Lease {
    phase: AtomicU8,
    draining: OnceLock<Ended>,
    cut: OnceLock<Ended>,
    waiting: Mutex<Waiting>,
}

/// Who is to be woken when the lease changes.
#[derive(Default)]
struct Waiting {
    reader: Option<Waker>,
    writer: Option<Waker>,
    /// Those who wait for the end to come near.
    watchers: Vec<Waker>,
}

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

    /// Whether nothing may pass any more.
    pub(crate) fn is_cut(&self) -> bool {
        self.phase.load(Ordering::Acquire) == CUT
    }

    /// Why nothing may pass any more.
    pub(crate) fn why_cut(&self) -> Option<&Ended> {
        self.cut.get()
    }

    /// Why the connection is to come to its end, or came to it.
    pub(crate) fn why_draining(&self) -> Option<&Ended> {
        self.cut.get().or_else(|| self.draining.get())
    }

    /// Has the half woken when the lease is cut. Whoever calls it looks at
    /// [`is_cut`](Self::is_cut) afterwards, lest the cut came before.
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

    /// Has a watcher woken when the end comes near, unless that is so already.
    pub(crate) fn wake_when_draining(&self, waker: &Waker) -> Option<Ended> {
        let mut waiting = self.waiting();
        // Under the lock: whoever sets it wakes under the lock, too.
        let why = self.why_draining().cloned();
        if why.is_none() && !waiting.watchers.iter().any(|old| old.will_wake(waker)) {
            waiting.watchers.push(waker.clone());
        }
        why
    }

    /// Asks to come to an end; true the first time.
    pub(super) fn drain(&self, why: Ended) -> bool {
        let first = self.draining.set(why).is_ok();
        if first {
            // A cut one stays cut.
            let _ =
                self.phase
                    .compare_exchange(OPEN, DRAINING, Ordering::AcqRel, Ordering::Acquire);
            wake(std::mem::take(&mut self.waiting().watchers));
        }
        first
    }

    /// Lets nothing pass from now on; true the first time.
    pub(super) fn cut(&self, why: Ended) -> bool {
        let first = self.cut.set(why).is_ok();
        if first {
            self.phase.store(CUT, Ordering::Release);
            let waiting = std::mem::take(&mut *self.waiting());
            let halves = waiting.reader.into_iter().chain(waiting.writer);
            wake(halves.chain(waiting.watchers));
        }
        first
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wake(wakers: impl IntoIterator<Item = Waker>) {
    wakers.into_iter().for_each(Waker::wake);
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lease").field(&self.why_draining()).finish()
    }
}
