//! gRPC over mutual TLS with tonic.
//!
//! A server takes a [`Listener`](crate::Listener) as its stream of connections. Handshakes run concurrently,
//! only admitted peers are served, and a handler gets the peer from its request:
//!
//! ```no_run
//! use countersign::identity::SpiffeId;
//! use countersign::integration::tonic::RequestExt as _;
//! use countersign::{Acceptor, Listener};
//! use tonic::transport::Server;
//! use tonic::{Request, Response, Status};
//!
//! async fn who_am_i(request: Request<()>) -> Result<Response<String>, Status> {
//!     let peer = request.peer::<SpiffeId>()?;
//!     Ok(Response::new(peer.identity().to_string()))
//! }
//!
//! # async fn serve(
//! #     acceptor: Acceptor<SpiffeId>,
//! #     routes: tonic::service::Routes,
//! # ) -> Result<(), Box<dyn std::error::Error>> {
//! let listener = Listener::bind(acceptor, "0.0.0.0:8443").await?; // .alpn(["h2"]) on the acceptor
//! Server::builder().add_routes(routes).serve_with_incoming(listener).await?;
//! # Ok(())
//! # }
//! ```
//!
//! [`Channel`] is the channel of a client. Its credentials can be replaced without a lost call.
//!
//! # Two servers
//! tonic's own server has deadlines, limits and interceptors of gRPC. Its handling of connections is weaker:
//!
//! * It cannot notify one client that its connection [drains](crate::TlsStream::draining): the connection
//!   is cut after the drain time.
//! * `serve_with_incoming_shutdown` notifies all clients and waits for them indefinitely. Call
//!   [`ListenerHandle::shutdown`](crate::ListenerHandle::shutdown) at the same signal: it cuts the
//!   connections that do not finish in time.
//! * It waits indefinitely for an admitted client that does not begin HTTP/2.
//! * It ends no call with a status when the drain time ends: calls in progress are cut.
//!
//! [`hyper::Server`](super::hyper::Server) handles all of these, and serves tonic's routes like any tower
//! service: `Server::new().serve(listener, routes)`. It does not enforce the deadline that a client sends
//! (`grpc-timeout`); handlers must do so.
//!
//! With both servers, the connection of a denied or revoked peer is cut in the middle of a call. A call that
//! has arrived before the cut and has not begun is not begun by `hyper::Server`; tonic's server may begin it.
//!
//! # Calls that end with their connection
//! | event | a call over [`Channel`] ends with | another client reads |
//! |---|---|---|
//! | the drain time ends, `hyper::Server` | `UNAVAILABLE`, message and [`reason`](StatusExt::reason) are the code of the [`CloseReason`](crate::live::CloseReason) | the same |
//! | the peer is denied or revoked | `PERMISSION_DENIED`, [`peer_alert`](StatusExt::peer_alert) | `UNAVAILABLE`; the reason if its library reports the GOAWAY frame |
//! | the alert is about time (`certificate_expired`), or temporary (`internal_error`) | `UNAVAILABLE`, `peer_alert` | `UNAVAILABLE` |
//! | close_notify, a reset | `UNAVAILABLE`, [`CallError::Lost`] | `UNAVAILABLE` |
//!
//! # Authorization of methods
//! A gRPC method is a path, `/package.Service/Method`, and its HTTP method is `POST`. With the feature
//! `tower`, the rules of `tower::AuthorizeRequest` apply to it, as a layer of either server. A denied call
//! gets the status `PERMISSION_DENIED`.

mod call_error;
mod channel;
mod connections;
mod request;
mod response;
mod server;
mod status;

pub use call_error::CallError;
pub use channel::{Channel, Http2RequiredError};
pub use request::RequestExt;
pub use status::StatusExt;
