//! Ends gRPC calls on a draining connection, shortly before it is cut.
//!
//! A call that a cut interrupts has no status: its client reads that the connection failed. A draining
//! connection has time for an orderly end, so that calls still open near the end of that time end with
//! `UNAVAILABLE` and the reason.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::time::{Instant, Sleep, sleep_until};

use crate::DrainSignal;

/// The end of one call.
pub(super) struct CallEnd {
    draining: DrainSignal,
    /// Runs from the signal to drain.
    time: Option<(Pin<Box<Sleep>>, &'static str)>,
}

impl CallEnd {
    pub(super) const fn new(draining: DrainSignal) -> Self {
        Self {
            draining,
            time: None,
        }
    }

    /// Whether the connection neither drains nor was cut, so that nothing can be due.
    pub(super) fn is_far(&self) -> bool {
        self.draining.is_open()
    }

    /// Completes with the reason when the call must end. Never on a cut connection, which sends nothing.
    pub(super) fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<&'static str> {
        if self.time.is_none() {
            let why = ready!(Pin::new(&mut self.draining).poll(cx));
            let Some(end) = self.draining.calls_end() else {
                return Poll::Pending;
            };
            self.time = Some((Box::pin(sleep_until(Instant::from_std(end))), why.reason()));
        }
        match &mut self.time {
            Some((time, reason)) if !self.draining.is_cut() => {
                time.as_mut().poll(cx).map(|()| *reason)
            }
            _ => Poll::Pending,
        }
    }
}
