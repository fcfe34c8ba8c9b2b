//! Open connections, and what closes them: see [`registry`] for why no connection escapes a change of the rules.

mod close_reason;
mod connection;
mod last_time;
mod lease;
mod limits;
mod listed;
mod queue;
mod reauthorize;
mod registration;
mod registry;
mod sync;
mod timers;

use std::fmt;
use std::sync::Arc;

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
use self::timers::ConnectionTimers;

/// The open connections of one endpoint.
pub(crate) struct Live<I> {
    registry: Registry<Connection<I>>,
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
            registry: Registry::new(),
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
    pub(crate) const fn registry(&self) -> &Registry<Connection<I>> {
        &self.registry
    }

    fn is_empty(&self) -> bool {
        self.registry.len() == 0
    }

    /// The open connections, the oldest first. A connection that was cut is not open, even if its
    /// stream was not dropped yet.
    pub(crate) fn open_connections(&self) -> Vec<Arc<Connection<I>>> {
        let mut open = self.registry.all();
        open.retain(|connection| !connection.lease().is_cut());
        open.sort_unstable_by_key(|connection| connection.id());
        open
    }

    /// As [`open_connections`](Self::open_connections), for the application.
    pub(crate) fn listed(&self) -> Vec<OpenConnection<I>> {
        let open = self.open_connections().into_iter();
        open.map(OpenConnection::new).collect()
    }
}

impl<I> fmt::Debug for Live<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live")
            .field("connections", &self.registry.len())
            .finish_non_exhaustive()
    }
}
