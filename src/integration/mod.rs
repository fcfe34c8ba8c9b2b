//! Integration with hyper, axum, tower, tonic, quinn, reqwest, tokio-postgres and SPIFFE agents.
//!
//! Each module is a cargo feature with the name of its crate, or of its protocol. None is on by default.
//!
//! | feature | content |
//! |---|---|
//! | `hyper` | `hyper::Server`: HTTP/1.1 and HTTP/2, with the peer in each request; `hyper::Client` and `hyper::HttpsConnector` for hyper-util's client |
//! | `axum` | [`Listener`](crate::Listener) for `axum::serve`, and [`Peer`](crate::Peer) as an argument of handlers |
//! | `tower` | `tower::AuthorizeRequest`: which peer may send which request, by method and path |
//! | `tonic` | [`Listener`](crate::Listener) for tonic's server, the peer of a `tonic::Request`, and `tonic::Channel` for its clients, with the alert in a `tonic::Status` |
//! | `reqwest` | `reqwest::Client`: a handle for reqwest whose requests follow the rules and the credentials in force |
//! | `tokio-postgres` | `tokio_postgres::connect`, and `tokio_postgres::MutualTls` for pools: connections to PostgreSQL that are re-authorized, cut and drained |
//! | `quinn` | `quinn::Listener` and `quinn::Client`: QUIC connections behind the gate, which live and end by the rules in force |
//! | `spiffe` | `spiffe::Workload`: credentials, trust and CRLs from a SPIFFE agent such as SPIRE's |
//! | `http` | `http::ForwardedIdentity`: the peer's certificate in the headers of a forwarded request; `http::ProxiedIdentity`: the client of a proxy, from these headers; `http::peer_in`, for your own middleware; `Certificate::x5t_s256` |
//!
//! Other clients that drive rustls need no feature: they take
//! [`Connector::into_authorizing_rustls_config`](crate::Connector::into_authorizing_rustls_config), or a stream
//! of [`Connector::connect`](crate::Connector::connect).
//!
//! # The peer of a request
//! Every request has its [`Peer<I>`](crate::Peer) in its extensions, with each of these servers:
//! `request.extensions().get::<Peer<SpiffeId>>()`. `I` is the identity of the acceptor; for another type,
//! the result is `None`. A client cannot forge it: extensions are not part of HTTP.

#[cfg(feature = "axum")]
pub mod axum;
#[cfg(feature = "http")]
pub mod http;
#[cfg(all(feature = "hyper", feature = "tokio"))]
pub mod hyper;
#[cfg(all(
    feature = "quinn",
    feature = "tokio",
    any(feature = "aws-lc-rs", feature = "ring")
))]
pub mod quinn;
#[cfg(all(feature = "reqwest", feature = "tokio"))]
pub mod reqwest;
#[cfg(all(feature = "spiffe", feature = "tokio"))]
pub mod spiffe;
#[cfg(all(feature = "tokio-postgres", feature = "tokio"))]
pub mod tokio_postgres;
#[cfg(all(feature = "tonic", feature = "tokio"))]
pub mod tonic;
#[cfg(feature = "tower")]
pub mod tower;
