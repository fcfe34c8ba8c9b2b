//! Open connections, and what closes them.
//!
//! The registry's lock orders changes of the rules and openings of connections. A connection opens
//! under the lock, and only if the rules by which it was authorized are still in force; a change takes
//! effect under the same lock. A change that comes before the opening is seen by it, and the connection
//! is authorized again first. A change that comes after it finds the connection open, and authorizes it
//! again in place. So no connection escapes a change.

mod close_reason;
mod connection;
mod last_time;
mod lease;
mod limits;
mod listed;
mod reauthorize;
mod registration;
mod timers;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::time_provider::TimeProvider;

pub use close_reason::CloseReason;
pub(crate) use connection::{Connection, Opening};
pub(crate) use lease::{Half, Lease};
pub(crate) use limits::{ByIdentity, ConnectionLimits, Place};
pub use listed::OpenConnection;
pub(crate) use registration::Registration;
pub(crate) use timers::Lifetimes;

use self::last_time::LastTime;
use self::limits::Places;
use self::timers::ConnectionTimers;

/// The open connections of one endpoint.
pub(crate) struct Live<I> {
    connections: Mutex<HashMap<u64, Arc<Connection<I>>>>,
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
            connections: Mutex::default(),
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

    /// Puts a change in force by `swap`, which can neither fail nor wait nor run application code.
    /// It returns what was in force, for the caller to drop: that runs application code.
    pub(crate) fn commit<T>(&self, swap: impl FnOnce() -> T) -> T {
        let _lock = self.lock();
        swap()
    }

    /// Reads what is in force while no change is being put in force.
    pub(crate) fn between_changes<T>(&self, read: impl FnOnce() -> T) -> T {
        let _lock = self.lock();
        read()
    }

    /// Opens a connection if the rules that it was authorized by are in force, and returns whether
    /// they are.
    pub(crate) fn open(
        &self,
        connection: &Arc<Connection<I>>,
        is_in_force: impl FnOnce() -> bool,
    ) -> bool {
        let mut connections = self.lock();
        let opens = is_in_force();
        if opens {
            connections.insert(connection.id(), Arc::clone(connection));
        }
        opens
    }

    fn remove(&self, id: u64) {
        let removed = self.lock().remove(&id);
        drop(removed); // without the lock
    }

    fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// The open connections, the oldest first. A connection that was cut is not open, even if its
    /// stream was not dropped yet.
    pub(crate) fn open_connections(&self) -> Vec<Arc<Connection<I>>> {
        let mut open: Vec<_> = self.lock().values().cloned().collect();
        open.retain(|connection| !connection.lease().is_cut());
        open.sort_unstable_by_key(|connection| connection.id());
        open
    }

    /// As [`open_connections`](Self::open_connections), for the application.
    pub(crate) fn listed(&self) -> Vec<OpenConnection<I>> {
        let open = self.open_connections().into_iter();
        open.map(OpenConnection::new).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Arc<Connection<I>>>> {
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl<I> fmt::Debug for Live<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live")
            .field("connections", &self.lock().len())
            .finish_non_exhaustive()
    }
}
