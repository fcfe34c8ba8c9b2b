//! The trait of request policies.

use std::sync::Arc;

use http::request::Parts;

use crate::{Decision, Peer};

/// Decides whether a peer may send a request.
///
/// Closures are request policies:
///
/// ```
/// use countersign::identity::DnsName;
/// use countersign::integration::tower::AuthorizeRequest;
/// use countersign::{Decision, Peer};
/// use http::Method;
/// use http::request::Parts;
///
/// let read_only = AuthorizeRequest::new(|_: &Peer<DnsName>, request: &Parts| {
///     if request.method == Method::GET {
///         Decision::allow("read")
///     } else {
///         Decision::deny("only GET is allowed")
///     }
/// });
/// # let _: AuthorizeRequest<DnsName> = read_only;
/// ```
///
/// It runs on the request's task, so it must not block. A panic counts as a denial.
///
/// # Security
/// One path can be written in many ways (`/v1//x`, `/v1/%78`, `/v1/y/../x`). A policy that compares paths
/// must handle them, as [`RequestRules`](super::RequestRules) does.
pub trait RequestPolicy<I>: Send + Sync {
    /// Decides about one request. An allowing decision has the rule, a denying one the reason. Neither is
    /// sent to the peer.
    fn authorize(&self, peer: &Peer<I>, request: &Parts) -> Decision;
}

// The trait must stay usable as a trait object.
const _: Option<&dyn RequestPolicy<()>> = None;

impl<I, F> RequestPolicy<I> for F
where
    F: Fn(&Peer<I>, &Parts) -> Decision + Send + Sync,
{
    fn authorize(&self, peer: &Peer<I>, request: &Parts) -> Decision {
        self(peer, request)
    }
}

impl<I, P: RequestPolicy<I> + ?Sized> RequestPolicy<I> for Arc<P> {
    fn authorize(&self, peer: &Peer<I>, request: &Parts) -> Decision {
        (**self).authorize(peer, request)
    }
}

impl<I> RequestPolicy<I> for Box<dyn RequestPolicy<I>> {
    fn authorize(&self, peer: &Peer<I>, request: &Parts) -> Decision {
        (**self).authorize(peer, request)
    }
}
