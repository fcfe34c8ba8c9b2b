//! rustls, configured and watched: the only importer of its `danger` modules.
//!
//! Nothing here knows sockets or a runtime.

pub(crate) mod alert;
pub mod builder;
pub(crate) mod capture;
mod config;
mod error;
mod exported;
mod proof;
mod resolver;
mod resumption;
#[cfg(feature = "tokio")]
pub(crate) mod seal;
mod sessions;
mod update;
mod verifier;

use std::net::SocketAddr;

use crate::gate::{AdmitError, Gate, Handshaken, Identified};
use capture::Capture;

pub use builder::BuildError;
pub(crate) use config::{ClientConfigs, ServerConfigs};
pub use error::HandshakeError;
#[cfg(feature = "tokio")]
pub(crate) use error::TooMuchReceived;
pub use resumption::Resumption;
pub use update::Update;
pub(crate) use update::{Bounds, BundleChange, ClientCore, ServerCore};

/// Identifies the peer of a finished handshake.
///
/// A full handshake has just verified the chain; a resumed one restored it from the session, and
/// it is verified now, by today's rules. So is one whose trust changed during the handshake.
pub(crate) fn identify<'c, I>(
    gate: &Gate<I>,
    capture: &mut Capture,
    connection: impl Into<Handshaken<'c>>,
    remote_addr: Option<SocketAddr>,
) -> Result<Identified<'c, I>, AdmitError> {
    let (presented, info) = connection.into().read(remote_addr)?;
    let verified = match capture.take_verified(gate.trust_id(), presented) {
        Some(verified) => verified,
        None => gate.verify_for(presented, &info)?,
    };
    gate.identify(&verified, presented, info)
}
