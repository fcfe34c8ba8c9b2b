//! The peer of a request.

use tonic::{Request, Status};

use crate::Peer;
use crate::integration::http::peer_in;

/// Adds the peer to [`tonic::Request`].
///
/// ```
/// use countersign::identity::DnsName;
/// use countersign::integration::tonic::RequestExt as _;
/// use tonic::{Code, Request};
///
/// let request = Request::new("not from a connection of this crate");
/// let denied = request.peer::<DnsName>().unwrap_err();
/// assert_eq!(denied.code(), Code::PermissionDenied);
/// ```
#[doc(alias = "peer_certs")]
#[doc(alias = "client certificate")]
pub trait RequestExt: sealed::Sealed {
    /// The peer of the request's connection.
    ///
    /// ```
    /// use countersign::identity::SpiffeId;
    /// use countersign::integration::tonic::RequestExt as _;
    /// use tonic::{Request, Response, Status};
    ///
    /// async fn who_am_i(request: Request<()>) -> Result<Response<String>, Status> {
    ///     let peer = request.peer::<SpiffeId>()?;
    ///     Ok(Response::new(peer.identity().to_string()))
    /// }
    /// ```
    ///
    /// # Errors
    /// `PERMISSION_DENIED` without a message: the connection was not accepted by this crate, or it was
    /// accepted with another type of identity than `I`. An event of `tracing` has the cause.
    fn peer<I: Send + Sync + 'static>(&self) -> Result<&Peer<I>, Status>;
}

impl<T> RequestExt for Request<T> {
    fn peer<I: Send + Sync + 'static>(&self) -> Result<&Peer<I>, Status> {
        peer_in(self.extensions()).ok_or_else(|| {
            tracing::error!(
                identity = std::any::type_name::<I>(),
                "a handler takes a peer, and the request has no peer with this type of identity; serve it by serve_with_incoming with a Listener, or by countersign's Server"
            );
            Status::permission_denied("")
        })
    }
}

mod sealed {
    #[allow(unnameable_types, reason = "an unnameable trait seals")]
    pub trait Sealed {}

    impl<T> Sealed for tonic::Request<T> {}
}
