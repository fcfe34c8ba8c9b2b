//! Times each side's own work, or counts its instructions.

use std::cell::Cell;
use std::hint::black_box;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::case::Side;

thread_local! {
    static COUNTED: Cell<Option<Side>> = const { Cell::new(None) };
}

/// From now on, this side's work runs inside a function that callgrind recognizes by its name.
pub fn count(side: Option<Side>) {
    COUNTED.set(side);
}

/// Adds the time that `work` takes to `spent`.
pub fn timed<T>(side: Side, spent: &mut Duration, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = if COUNTED.get() == Some(side) {
        counted_work(work)
    } else {
        work()
    };
    *spent += start.elapsed();
    result
}

/// callgrind collects from its first to its last instruction (`--toggle-collect`), so it must not call itself.
#[inline(never)]
fn counted_work<T>(work: impl FnOnce() -> T) -> T {
    // The call in between prevents a tail call, which would leave this function too early.
    black_box(work())
}

/// Sums up the time inside a future's polls.
pub struct Timed<F> {
    side: Side,
    future: Pin<Box<F>>,
    spent: Duration,
}

impl<F> Timed<F> {
    pub fn new(side: Side, future: F) -> Self {
        Self {
            side,
            future: Box::pin(future),
            spent: Duration::ZERO,
        }
    }
}

impl<F: Future> Future for Timed<F> {
    type Output = (Duration, F::Output);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self {
            side,
            future,
            spent,
        } = &mut *self;
        let poll = timed(*side, spent, || future.as_mut().poll(cx));
        poll.map(|output| (*spent, output))
    }
}
