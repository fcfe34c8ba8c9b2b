//! Open connections, as the application sees them.

use std::fmt;
use std::sync::Arc;

use rustls_pki_types::UnixTime;

use super::{CloseReason, Connection};
use crate::Peer;

/// One of the connections that are open; from `Acceptor::connections` or `Connector::connections`.
///
/// It may have come to its end meanwhile.
pub struct OpenConnection<I> {
    connection: Arc<Connection<I>>,
    peer: Peer<I>,
}

impl<I> OpenConnection<I> {
    pub(crate) fn new(connection: Arc<Connection<I>>) -> Self {
        let peer = connection.peer();
        Self { connection, peer }
    }

    /// Its number, which no other connection of this process has; its audit events bear it.
    pub fn id(&self) -> u64 {
        self.connection.id()
    }

    /// The peer, as of the listing: its chain is the path by which it was verified last, and whose
    /// certificates end the connection when they expire. An update of trust may have found another
    /// than that with which the connection began.
    pub const fn peer(&self) -> &Peer<I> {
        &self.peer
    }

    /// When its handshake was over.
    pub fn since(&self) -> UnixTime {
        self.connection.since()
    }

    /// The generation of trust by which its peer was judged last.
    pub fn generation(&self) -> u64 {
        self.connection.generation()
    }

    /// Why it is to come to its end, or came to it.
    pub fn ending(&self) -> Option<CloseReason> {
        self.connection.lease().why_draining().cloned()
    }

    /// Ends it at once, with a goodbye to the peer.
    pub fn end(&self) {
        self.connection.cut(CloseReason::ByApplication);
    }
}

impl<I> Clone for OpenConnection<I> {
    fn clone(&self) -> Self {
        Self {
            connection: Arc::clone(&self.connection),
            peer: self.peer.clone(),
        }
    }
}

impl<I: fmt::Debug> fmt::Debug for OpenConnection<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenConnection")
            .field("id", &self.id())
            .field("peer", self.peer())
            .field("ending", &self.ending())
            .finish_non_exhaustive()
    }
}
