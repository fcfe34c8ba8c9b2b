//! gRPC over mutual TLS, by tonic.
//!
//! A server takes our [`Listener`](crate::Listener) as its stream of connections. Handshakes run beside
//! each other, only peers that were admitted come out, and a handler asks its request who sent it:
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
//! A client's channel is a [`Channel`], under which credentials change without a lost call.
//!
//! # Two servers
//! tonic's own server has the deadlines, limits and interceptors of gRPC, and less of what connections need:
//!
//! * It has no way to tell one client that its connection is to [drain](crate::TlsStream::draining): such a
//!   connection is cut after the drain time.
//! * `serve_with_incoming_shutdown` tells all clients to finish, and waits for them without end.
//!   [`ListenerHandle::shutdown`](crate::ListenerHandle::shutdown), called when its signal comes, cuts those
//!   that do not finish in time.
//! * It waits without end for a client that was admitted and does not begin with HTTP/2.
//!
//! Our [`hyper::Server`](super::hyper::Server) does all of that, and serves tonic's routes as it serves any
//! tower service: `Server::new().serve(listener, routes)`. There, nobody enforces the deadline that a client
//! sends (`grpc-timeout`) but its handlers.
//!
//! Either way a peer that is denied or revoked is cut off in the middle of a call. A call that arrived just
//! before and waits to be begun is not begun any more by ours; by tonic's it may be.
//!
//! # Who may call which method
//! A method is a path, `/package.Service/Method`, and its HTTP method is `POST`. With the feature `tower`,
//! the rules of `tower::AuthorizeRequest` judge it, as a layer of either server; a call that is denied
//! ends with the status `PERMISSION_DENIED`.

mod channel;
mod request;
mod server;

pub use channel::{Channel, Http2RequiredError};
pub use request::RequestExt;
