//! The steps by which connections open, rules change and leases end, under loom: every order of them is tried, and
//! every result that the memory model allows.
//!
//! The registry, the leases and the queue are files of the library, compiled a second time with loom's locks and
//! atomics. The rest is a model in these tests: a `Mutex` in the place of the `ArcSwap` with the snapshot, a list in the
//! place of the table of connections, and the steps of an endpoint that changes its rules. So loom checks neither
//! `ArcSwap` nor `src/endpoint`. Each test has a twin with a mistake, which loom must find: so it is known that the test
//! can fail.
#![allow(
    dead_code,
    reason = "parts of the library's files that no test here needs"
)]
#![allow(clippy::unwrap_used, reason = "a test fails where this fails")]

#[path = "../../src/pki/contained.rs"]
mod contained;
#[path = "../../src/live/lease.rs"]
mod lease;
#[path = "../../src/live/queue.rs"]
mod queue;
#[path = "../../src/live/registry.rs"]
mod registry;
mod sync;

mod leases;
mod opening;
mod questions;

use std::sync::Arc;

/// What the files import from the rest of the library.
mod pki {
    pub(crate) use crate::contained;
}

/// Why a connection is closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CloseReason {
    Denied,
    Draining,
}

/// Open connections, in the place of the library's table.
pub(crate) struct List<C>(Vec<Arc<C>>);

impl<C> Default for List<C> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<C> registry::Table for List<C> {
    type Connection = C;

    fn insert(&mut self, connection: &Arc<C>) {
        self.0.push(Arc::clone(connection));
    }
}

impl<C> List<C> {
    pub(crate) fn all(&self) -> Vec<Arc<C>> {
        self.0.clone()
    }
}

/// Tries every order with at most three preemptions of a thread, which finds what more of them would find in practice
/// (loom's documentation), in a time that a test may take.
fn every_order(test: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(test);
}

/// The value of a future that never waits.
fn now<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    match future.as_mut().poll(&mut cx) {
        std::task::Poll::Ready(value) => value,
        std::task::Poll::Pending => panic!("it waits"),
    }
}
