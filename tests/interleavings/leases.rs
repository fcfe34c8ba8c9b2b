//! Leases that end while tasks wait for that.

use std::sync::Arc;
use std::task::{Wake, Waker};

use loom::sync::Mutex;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

use crate::lease::{Half, Lease};
use crate::{CloseReason, every_order};

/// A task, and how often it was woken.
struct Task(AtomicUsize);

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Task {
    fn new() -> Arc<Self> {
        Arc::new(Self(AtomicUsize::new(0)))
    }

    fn was_woken(&self) -> bool {
        self.0.load(Ordering::SeqCst) > 0
    }
}

/// A task that polls once, in the way of `poll`, while the lease ends: it sees that, or it is woken.
fn no_lost_wakeup(poll: fn(&Lease, &Waker) -> bool, end: fn(&Lease)) {
    every_order(move || {
        let (lease, task) = (Arc::new(Lease::new()), Task::new());
        let poller = {
            let (lease, waker) = (Arc::clone(&lease), Waker::from(Arc::clone(&task)));
            thread::spawn(move || poll(&lease, &waker))
        };
        end(&lease);
        let has_seen = poller.join().unwrap();
        assert!(has_seen || task.was_woken(), "the wake-up is lost");
    });
}

/// As a stream does.
fn poll_read(lease: &Lease, waker: &Waker) -> bool {
    if lease.is_cut() {
        return true;
    }
    lease.wake_when_cut(Half::Read, waker);
    lease.is_cut()
}

/// The mistake: it checks only before it registers.
fn poll_too_early(lease: &Lease, waker: &Waker) -> bool {
    let is_cut = lease.is_cut();
    if !is_cut {
        lease.wake_when_cut(Half::Read, waker);
    }
    is_cut
}

fn poll_drain(lease: &Lease, waker: &Waker) -> bool {
    let mut watcher = None;
    lease.wake_when_draining(&mut watcher, waker).is_some()
}

fn cut(lease: &Lease) {
    assert!(lease.cut(CloseReason::Denied));
}

fn drain(lease: &Lease) {
    assert!(lease.drain(CloseReason::Draining, None));
}

#[test]
fn a_reader_learns_of_a_cut() {
    no_lost_wakeup(poll_read, cut);
}

#[test]
fn a_watcher_learns_of_draining_and_of_a_cut() {
    no_lost_wakeup(poll_drain, drain);
    no_lost_wakeup(poll_drain, cut);
}

#[test]
#[should_panic(expected = "the wake-up is lost")]
fn the_checker_finds_a_check_before_the_registration() {
    no_lost_wakeup(poll_too_early, cut);
}

#[test]
fn a_lease_that_is_cut_stays_cut() {
    every_order(|| {
        let lease = Arc::new(Lease::new());
        let drainer = {
            let lease = Arc::clone(&lease);
            thread::spawn(move || lease.drain(CloseReason::Draining, None))
        };
        cut(&lease);
        assert!(lease.is_cut(), "at once");
        drainer.join().unwrap();
        assert!(lease.is_cut() && !lease.is_open());
        assert_eq!(lease.why_cut(), Some(&CloseReason::Denied));
    });
}

#[test]
fn a_transport_is_stopped_once() {
    every_order(|| {
        let (lease, stopped) = (Arc::new(Lease::new()), Arc::new(Mutex::new(0)));
        let cutter = {
            let lease = Arc::clone(&lease);
            thread::spawn(move || cut(&lease))
        };
        let count = Arc::clone(&stopped);
        lease.stop_when_cut(Box::new(move |why| {
            assert_eq!(*why, CloseReason::Denied);
            *count.lock().unwrap() += 1;
        }));
        cutter.join().unwrap();
        assert_eq!(*stopped.lock().unwrap(), 1);
    });
}

#[test]
fn of_two_cuts_one_counts() {
    every_order(|| {
        let lease = Arc::new(Lease::new());
        let other = {
            let lease = Arc::clone(&lease);
            thread::spawn(move || lease.cut(CloseReason::Draining))
        };
        let is_first = lease.cut(CloseReason::Denied);
        assert_ne!(is_first, other.join().unwrap());
    });
}
