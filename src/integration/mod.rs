//! countersign with the crates that people serve and call HTTP by.
//!
//! Each module is a cargo feature, named as the crate that it is for, and none is on by default.
//!
//! | feature | what it gives |
//! |---|---|
//! | `hyper` | `hyper::Server`: HTTP/1.1 and HTTP/2, with the peer in each request; `hyper::Client` and `hyper::HttpsConnector` for hyper-util's client |
//! | `http` | `peer_in`, for middleware of your own |
//!
//! # How a request carries its peer
//! As a [`Peer<I>`](crate::Peer) in its extensions, whoever serves it:
//! `request.extensions().get::<Peer<SpiffeId>>()`. `I` is the identity of the acceptor; asked for
//! another, there is none. A request cannot bring one with it: extensions are not part of HTTP.

#[cfg(all(feature = "hyper", feature = "tokio"))]
pub mod hyper;

#[cfg(feature = "http")]
use crate::Peer;

/// The peer that a request comes from, or that a response comes from.
///
/// `None` when the connection was not accepted (or made) by this crate, or when its identities are of
/// another type.
#[cfg(feature = "http")]
pub fn peer_in<I: Send + Sync + 'static>(extensions: &http::Extensions) -> Option<&Peer<I>> {
    extensions.get::<Peer<I>>()
}
