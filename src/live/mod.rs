//! Open connections, and what closes them: see `registry` for why no connection escapes a change of the rules.

mod close_reason;
mod connection;
#[cfg(test)]
mod deadlines;
mod last_time;
mod lease;
mod limits;
mod listed;
mod queue;
mod reauthorize;
mod registration;
mod registry;
mod sync;
mod table;
mod timers;

use std::iter;
use std::sync::{Arc, MutexGuard};

use rustls::time_provider::TimeProvider;

pub use close_reason::CloseReason;
pub(crate) use connection::{Connection, Opening};
pub(crate) use lease::{Half, Lease};
pub(crate) use limits::{ByIdentity, ConnectionLimits, Place};
pub use listed::OpenConnection;
pub(crate) use registration::Registration;
pub(crate) use registry::{Authorized, Decide, Registry};
pub(crate) use timers::Lifetimes;

use self::last_time::LastTime;
use self::limits::Places;
use self::table::OpenTable;
use self::timers::ConnectionTimers;

/// The open connections of one endpoint.
pub(crate) struct Live<I> {
    registry: Registry<OpenTable<I>>,
    places: Arc<Places<I>>,
    timers: ConnectionTimers,
    time: LastTime,
    clock: Arc<dyn TimeProvider>,
}

impl<I> Live<I> {
    pub(crate) fn new(
        limits: ConnectionLimits<I>,
        lifetimes: Lifetimes,
        clock: Arc<dyn TimeProvider>,
    ) -> Self {
        Self {
            registry: Registry::new(OpenTable::new(lifetimes)),
            places: Arc::new(Places::new(limits)),
            timers: ConnectionTimers::new(lifetimes),
            time: LastTime::default(),
            clock,
        }
    }

    /// The limits of open connections.
    pub(crate) const fn places(&self) -> &Arc<Places<I>> {
        &self.places
    }

    /// The lock that orders openings and changes.
    pub(crate) const fn registry(&self) -> &Registry<OpenTable<I>> {
        &self.registry
    }

    /// Opens the connection of a peer once a decision about it takes effect under the rules that it was made by.
    pub(crate) async fn open<D: Decide<Connection<I>>>(
        &self,
        peer: &mut D,
    ) -> Result<(Arc<Connection<I>>, D::With), D::Error> {
        let opened = self.registry.open(peer).await?;
        self.edit(|_| ()); // it may be due before the timers wake
        Ok(opened)
    }

    fn remove(&self, id: u64) {
        let removed = self.lock().remove(id);
        drop(removed); // without the lock
    }

    fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Changes the table, and wakes the task of the timers if it would wake too late.
    fn edit<T>(&self, edit: impl FnOnce(&mut OpenTable<I>) -> T) -> T {
        let mut open = self.lock();
        let result = edit(&mut open);
        let first = open.first_due(&self.time);
        let is_late = first.is_some_and(|first| first < open.wakes);
        drop(open);
        if is_late {
            self.timers.wake();
        }
        result
    }

    /// The open connections, the oldest first. A connection that was cut is not open, even if its stream was not
    /// dropped yet.
    ///
    /// The registry is locked for a few at a time, so that connections can open and close in between. Those that
    /// open after the call may be missing.
    pub(crate) fn open_connections(&self) -> impl Iterator<Item = Arc<Connection<I>>> {
        /// How many are taken at a time.
        const CHUNK: usize = 256;

        let mut last = None;
        let chunks = iter::from_fn(move || {
            let chunk = self.lock().after(last, CHUNK);
            last = Some(chunk.last()?.id());
            Some(chunk)
        });
        chunks.flatten().filter(|it| !it.lease().is_cut())
    }

    /// How many connections have opened so far.
    pub(crate) fn opened(&self) -> u64 {
        self.lock().opened()
    }

    /// Whether an open connection matches.
    pub(crate) fn has_open(&self, matches: impl Fn(&Connection<I>) -> bool) -> bool {
        self.lock().any(|it| matches(it) && !it.lease().is_cut())
    }

    /// As [`open_connections`](Self::open_connections), for the application.
    pub(crate) fn listed(&self) -> Vec<OpenConnection<I>> {
        self.open_connections().map(OpenConnection::new).collect()
    }

    fn lock(&self) -> MutexGuard<'_, OpenTable<I>> {
        self.registry.lock()
    }
}
