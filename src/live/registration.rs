//! A connection's entry in the registry.

use std::sync::Arc;

use super::{Connection, Live, Place};

/// Keeps a connection registered; dropping it removes the connection.
pub(crate) struct Registration<I> {
    live: Arc<Live<I>>,
    connection: Arc<Connection<I>>,
    /// Among the connections that may be open, where their number is limited.
    _place: Option<Place<I>>,
}

impl<I> Registration<I> {
    pub(crate) const fn new(
        live: Arc<Live<I>>,
        connection: Arc<Connection<I>>,
        place: Option<Place<I>>,
    ) -> Self {
        Self {
            live,
            connection,
            _place: place,
        }
    }

    pub(crate) const fn connection(&self) -> &Arc<Connection<I>> {
        &self.connection
    }
}

impl<I> Drop for Registration<I> {
    fn drop(&mut self) {
        self.live.remove(self.connection.id());
    }
}
