//! Open connections, as the application sees them.

use std::fmt;
use std::sync::Arc;

use rustls_pki_types::UnixTime;

use super::{CloseReason, Connection};
use crate::Peer;

/// An open connection, from [`Control::connections`](crate::Control::connections).
///
/// The connection may have closed since the listing.
///
/// ```
/// use countersign::{Control, identity::SpiffeId};
///
/// /// Closes connections whose handshake was complete before this time.
/// fn close_older_than(control: &Control<SpiffeId>, unix_seconds: u64) {
///     for connection in control.connections() {
///         if connection.since().as_secs() < unix_seconds {
///             connection.close();
///         }
///     }
/// }
/// ```
pub struct OpenConnection<I> {
    connection: Arc<Connection<I>>,
    peer: Peer<I>,
}

impl<I> OpenConnection<I> {
    pub(crate) fn new(connection: Arc<Connection<I>>) -> Self {
        let peer = connection.peer();
        Self { connection, peer }
    }

    /// Its number, unique in this process. Its audit events have the same number.
    pub fn id(&self) -> u64 {
        self.connection.id()
    }

    /// The peer at the time of the listing. Its chain is the path by which it was verified last, whose
    /// certificates close the connection when they expire. An update of trust can replace the path that
    /// the connection began with.
    pub const fn peer(&self) -> &Peer<I> {
        &self.peer
    }

    /// When its handshake was complete.
    pub fn since(&self) -> UnixTime {
        self.connection.since()
    }

    /// The generation of trust by which its peer was authorized last.
    pub fn generation(&self) -> u64 {
        self.connection.generation()
    }

    /// Why it drains or was closed; `None` while it is open without either.
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.connection.lease().why_draining().cloned()
    }

    /// Closes it now, with close_notify.
    pub fn close(&self) {
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
            .field("close_reason", &self.close_reason())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    /// Two changes can re-authorize concurrently, and the earlier one can be the later to have finished.
    #[cfg(all(feature = "testing", any(feature = "aws-lc-rs", feature = "ring")))]
    #[tokio::test]
    async fn a_late_result_of_an_older_generation_is_ignored() {
        use crate::identity::DnsName;
        use crate::testing::{self, TestCa};
        use crate::{Acceptor, Connector, Update, policy};

        let ca = TestCa::new("Root");
        let acceptor = Acceptor::builder()
            .credentials(ca.leaf().dns("server.example").issue().credentials())
            .trust(ca.trust())
            .identify(DnsName::extractor())
            .authorize(policy::allow_any())
            .build()
            .expect("an acceptor");
        let connector = Connector::builder()
            .credentials(ca.leaf().dns("client.example").issue().credentials())
            .trust(ca.trust())
            .identify(DnsName::extractor())
            .authorize(policy::allow_any())
            .build()
            .expect("a connector");
        let (server, _client) = testing::handshake(&acceptor, &connector, "server.example").await;
        let _server = server.expect("admitted");
        let listed = || acceptor.control().connections().remove(0);
        let before = listed();
        let update = Update::new().trust(ca.trust());
        let generation = acceptor.control().update(update).expect("applied");
        assert_eq!(listed().generation(), generation);

        before
            .connection
            .reauthorized(before.peer.clone(), generation - 1);
        assert_eq!(listed().generation(), generation);
        before
            .connection
            .reauthorized(before.peer.clone(), generation + 1);
        assert_eq!(listed().generation(), generation + 1);
    }
}
