//! HTTP/1.1 and HTTP/2 over mutual TLS with hyper.
//!
//! A server for any tower service (an axum router, tonic's routes, your own):
//!
//! ```no_run
//! use countersign::identity::SpiffeId;
//! use countersign::integration::hyper::Server;
//! use countersign::{Acceptor, Listener};
//!
//! # async fn serve(acceptor: Acceptor<SpiffeId>, app: axum::Router) -> std::io::Result<()> {
//! let listener = Listener::bind(acceptor, "0.0.0.0:8443").await?;
//! Server::new().serve(listener, app).await;
//! # Ok(())
//! # }
//! ```
//!
//! TLS negotiates the version of HTTP: give the acceptor and the connector
//! `.alpn(["h2", "http/1.1"])`. Without ALPN the version is HTTP/1.1.

mod body;
mod call_end;
mod client;
mod connector;
mod ended;
pub(crate) mod grpc_status;
mod head_timer;
mod pool;
mod preface;
mod server;
mod streams;
mod unclear;
mod unsent;
mod write_timeout;

pub use body::{RequestBody, RequestBodyError};
pub use client::Client;
pub use connector::{HttpsConnector, HttpsError, HttpsStream};
pub use server::Server;
pub use streams::StreamExecutor;
