//! Who sent a request.

use tonic::{Request, Status};

use crate::Peer;
use crate::integration::http::peer_in;

/// Tells who sent a [`tonic::Request`].
pub trait RequestExt: sealed::Sealed {
    /// The peer of the connection that the request came by.
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
    /// `PERMISSION_DENIED`, without a word: the connection was not accepted by this crate, or with
    /// another type of identity than `I`. An event of `tracing` tells us.
    fn peer<I: Send + Sync + 'static>(&self) -> Result<&Peer<I>, Status>;
}

impl<T> RequestExt for Request<T> {
    fn peer<I: Send + Sync + 'static>(&self) -> Result<&Peer<I>, Status> {
        peer_in(self.extensions()).ok_or_else(|| {
            tracing::error!(
                identity = std::any::type_name::<I>(),
                "a handler wants a peer, and the request has none with such an identity: is it served by serve_with_incoming with a Listener, or by countersign's Server?"
            );
            Status::permission_denied("")
        })
    }
}

mod sealed {
    #[allow(unnameable_types, reason = "that nobody can name it is what seals")]
    pub trait Sealed {}

    impl<T> Sealed for tonic::Request<T> {}
}
