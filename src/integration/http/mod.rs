//! The peer of a request, and its certificate in the headers of forwarded requests.

mod forward;
#[cfg(any(feature = "tower", all(feature = "hyper", feature = "tokio")))]
pub(crate) mod grpc;
mod proxied;
mod thumbprint;
mod xfcc;

pub use forward::{ForwardError, ForwardedIdentity};
pub use proxied::{IdentityHeader, ProxiedIdentity, ProxiedIdentityError};
pub use xfcc::XfccField;

use http::Extensions;

use crate::Peer;

/// The peer that sent a request or a response.
///
/// `None` if this crate did not accept or make the connection, or if its identities have another type.
/// With the feature `axum`, connect info of `axum::serve` is searched too.
///
/// ```
/// use countersign::identity::SpiffeId;
/// use countersign::integration::http::peer_in;
/// use http::{Request, StatusCode};
///
/// fn audit_name<B>(request: &Request<B>) -> Result<String, StatusCode> {
///     let peer = peer_in::<SpiffeId>(request.extensions()).ok_or(StatusCode::FORBIDDEN)?;
///     Ok(peer.identity().to_string())
/// }
/// # assert_eq!(audit_name(&Request::new(())), Err(StatusCode::FORBIDDEN));
/// ```
#[doc(alias = "client certificate")]
#[doc(alias = "peer certificate")]
pub fn peer_in<I: Send + Sync + 'static>(extensions: &Extensions) -> Option<&Peer<I>> {
    let peer = extensions.get::<Peer<I>>();
    #[cfg(feature = "axum")]
    let peer = peer.or_else(|| {
        use axum::extract::ConnectInfo;

        let info = extensions.get::<ConnectInfo<Peer<I>>>()?;
        Some(&info.0)
    });
    peer
}
