//! countersign with the crates that people serve and call HTTP by.
//!
//! Each module is a cargo feature, named as the crate that it is for, and none is on by default.
//!
//! | feature | what it gives |
//! |---|---|
//! | `hyper` | `hyper::Server`: HTTP/1.1 and HTTP/2, with the peer in each request; `hyper::Client` and `hyper::HttpsConnector` for hyper-util's client |
//! | `axum` | [`Listener`](crate::Listener) for `axum::serve`, and [`Peer`](crate::Peer) as an argument of handlers |
//! | `tower` | `tower::AuthorizeRequest`: who may send which request, by method and path |
//! | `tonic` | [`Listener`](crate::Listener) for tonic's server, the peer of a `tonic::Request`, and `tonic::Channel` for its clients |
//! | `http` | `http::ForwardedIdentity`: the peer's certificate in the headers of a forwarded request; `http::peer_in`, for middleware of your own; `Certificate::x5t_s256` |
//!
//! reqwest needs none: its client takes
//! [`Connector::into_authorizing_rustls_config`](crate::Connector::into_authorizing_rustls_config).
//!
//! # How a request carries its peer
//! As a [`Peer<I>`](crate::Peer) in its extensions, whoever serves it:
//! `request.extensions().get::<Peer<SpiffeId>>()`. `I` is the identity of the acceptor; asked for
//! another, there is none. A request cannot bring one with it: extensions are not part of HTTP.

#[cfg(feature = "axum")]
pub mod axum;
#[cfg(feature = "http")]
pub mod http;
#[cfg(all(feature = "hyper", feature = "tokio"))]
pub mod hyper;
#[cfg(all(feature = "tonic", feature = "tokio"))]
pub mod tonic;
#[cfg(feature = "tower")]
pub mod tower;
