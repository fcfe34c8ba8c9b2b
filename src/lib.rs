//! countersign
mod client;
pub mod gate;
pub mod identity;
mod peer;
pub mod pki;
pub mod policy;
mod server;
#[cfg(feature = "tokio")]
mod stream;
mod tls;
pub mod trust;

#[cfg(all(feature = "testing", any(feature = "aws-lc-rs", feature = "ring")))]
pub mod testing;

pub use client::{ClientHandshake, ConnectError, Connector};
pub use gate::Gate;
pub use peer::{ConnectionInfo, Peer};
pub use pki::{Certificate, Credentials};
pub use policy::{Decision, Policy};
pub use server::{AcceptError, Acceptor};
#[cfg(feature = "tokio")]
pub use stream::TlsStream;
pub use tls::{BuildError, HandshakeError, builder};
pub use trust::TrustStore;
