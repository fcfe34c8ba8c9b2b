//! rustls, configured and observed: the only importer of its `danger` modules.
//!
//! Nothing here knows sockets or a runtime.

pub(crate) mod alert;
pub(crate) mod attempt;
pub(crate) mod blocking;
mod build_error;
mod cipher_order;
mod client_proofs;
mod clock;
pub(crate) mod config;
mod error;
pub(crate) mod exported;
mod fifo;
#[cfg(fuzzing)]
pub mod fuzzing;
pub(crate) mod in_force;
pub(crate) mod probe;
#[cfg(all(
    feature = "quinn",
    feature = "tokio",
    any(feature = "aws-lc-rs", feature = "ring")
))]
pub(crate) mod quic;
mod requirement_errors;
mod resolver;
mod resumption;
mod root_hints;
#[cfg(feature = "tokio")]
pub(crate) mod seal;
mod server_hello;
mod server_sessions;
mod sessions;
mod transcript;
mod verifier;

pub use alert::PeerAlert;
pub(crate) use attempt::{AlertContext, Attempt, Failure, most_specific};
pub use build_error::BuildError;
pub(crate) use build_error::CRL_ROLLED_BACK;
pub use cipher_order::CipherOrder;
pub(crate) use config::{ClientConfigs, ServerConfigs};
pub use error::HandshakeError;
#[cfg(feature = "tokio")]
pub(crate) use error::TooMuchReceived;
pub(crate) use error::is_close;
pub(crate) use in_force::{Current, InForce};
pub use requirement_errors::{FipsError, PostQuantumError};
pub use resumption::Resumption;
pub(crate) use resumption::tickets_are_fips;
pub use root_hints::RootHints;
