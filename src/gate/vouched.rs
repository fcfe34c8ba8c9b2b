//! The proof that a client behind a proxy was admitted.

use std::borrow::Cow;
use std::fmt;

use super::Admission;
use crate::Peer;

/// The proof that a client behind a proxy was verified, identified and allowed, **by the word of the proxy**:
/// the client has proven its key to the proxy, and not to us. The proxy has proven its own key to us.
///
/// Only the gate makes one. It is not an [`Admission`], which says that the key was proven to this side.
///
/// ```
/// use countersign::gate::Vouched;
/// use countersign::identity::SpiffeId;
///
/// fn greeting(vouched: &Vouched<SpiffeId>) -> String {
///     let (client, proxy) = (vouched.peer().identity(), vouched.proxy().identity());
///     format!("hello {client}, by the word of {proxy}")
/// }
/// ```
pub struct Vouched<I> {
    peer: Peer<I>,
    proxy: Peer<I>,
    rule: Cow<'static, str>,
}

impl<I> Vouched<I> {
    /// An admission of a peer that a proxy vouches for; `None` for a peer that was not vouched for.
    pub(super) fn of(admission: &Admission<I>) -> Option<Self> {
        let peer = admission.peer().clone();
        Some(Self {
            proxy: peer.vouched_by()?.clone(),
            peer,
            rule: admission.rule_name(),
        })
    }

    /// The client. Its [`vouched_by`](Peer::vouched_by) is the proxy.
    pub const fn peer(&self) -> &Peer<I> {
        &self.peer
    }

    /// The proxy.
    pub const fn proxy(&self) -> &Peer<I> {
        &self.proxy
    }

    /// The name of the rule that allowed the client.
    pub fn rule(&self) -> &str {
        &self.rule
    }
}

impl<I> Clone for Vouched<I> {
    fn clone(&self) -> Self {
        Self {
            peer: self.peer.clone(),
            proxy: self.proxy.clone(),
            rule: self.rule.clone(),
        }
    }
}

impl<I: fmt::Debug> fmt::Debug for Vouched<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vouched")
            .field("peer", &self.peer)
            .field("rule", &self.rule)
            .finish()
    }
}
