//! The peer of a request, and its certificate for the server behind a proxy.

mod forward;
mod thumbprint;
mod xfcc;

pub use forward::{ForwardError, ForwardedIdentity};
pub use xfcc::XfccField;

use http::Extensions;

use crate::Peer;

/// The peer that a request comes from, or that a response comes from.
///
/// With the feature `axum` it is also found where `axum::serve` puts it.
///
/// `None` when the connection was not accepted (or made) by this crate, or when its identities are of
/// another type.
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
