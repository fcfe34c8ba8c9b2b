//! rustls, configured and watched: the only importer of its `danger` modules.
//!
//! Nothing here knows sockets or a runtime.

pub(crate) mod alert;
pub mod builder;
pub(crate) mod capture;
mod config;
mod error;
mod resolver;
#[cfg(feature = "tokio")]
pub(crate) mod seal;
mod sessions;
mod verifier;

use std::net::SocketAddr;

use crate::Peer;
use crate::gate::{AdmitError, Gate, Handshaken};
use capture::Capture;

pub use builder::BuildError;
pub(crate) use config::{ClientConfigs, ServerConfigs};
pub use error::HandshakeError;

/// Identifies the peer of a finished handshake.
///
/// A full handshake has just verified the chain; a resumed one restored it from the session, and
/// it is verified now, by today's rules.
pub(crate) fn identify<'c, I>(
    gate: &Gate<I>,
    capture: &mut Capture,
    connection: impl Into<Handshaken<'c>>,
    remote_addr: Option<SocketAddr>,
) -> Result<Peer<I>, AdmitError> {
    let (presented, info) = connection.into().read(remote_addr)?;
    let chain = match capture.take_verified(gate.id(), presented) {
        Some(chain) => chain,
        None => gate.verify_for(presented, &info)?,
    };
    gate.identify(chain, info)
}
