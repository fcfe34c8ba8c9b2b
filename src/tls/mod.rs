//! rustls, configured and watched: the only importer of its `danger` modules.
//!
//! Nothing here knows sockets or a runtime.

pub(crate) mod alert;
mod build_error;
pub mod builder;
pub(crate) mod capture;
mod client_proofs;
mod config;
mod core;
mod error;
mod exported;
mod proof;
mod refused;
mod resolver;
mod resumption;
#[cfg(feature = "tokio")]
pub(crate) mod seal;
mod server_hello;
mod sessions;
mod update;
mod verifier;

use crate::audit::Witness;
use crate::gate::{AdmitError, Gate, Handshaken, Identified};
use capture::Capture;

pub(crate) use self::core::{Bounds, BundleChange, Change, ClientCore, ServerCore};
pub use alert::PeerAlert;
pub use build_error::BuildError;
pub(crate) use config::{ClientConfigs, ServerConfigs};
pub use error::HandshakeError;
#[cfg(feature = "tokio")]
pub(crate) use error::TooMuchReceived;
pub(crate) use refused::Refused;
pub use resumption::Resumption;
pub use update::Update;

/// Identifies the peer of a finished handshake; that it cannot be done is recorded.
///
/// A full handshake has just verified the chain; a resumed one restored it from the session, and
/// it is verified now, by today's rules. So is one whose trust changed during the handshake.
pub(crate) fn identify<'c, I>(
    gate: &Gate<I>,
    capture: &mut Capture,
    witness: &mut Witness,
    connection: impl Into<Handshaken<'c>>,
) -> Result<Identified<'c, I>, AdmitError> {
    let (remote, local) = (witness.info.remote_addr(), witness.info.local_addr());
    let read = connection.into().read(remote, local);
    let (presented, info) =
        read.inspect_err(|error| gate.record_refused(witness, error, None, (&[], &[])))?;
    witness.info = info.clone();
    let verified = match capture.take_verified(gate.trust_id(), presented) {
        Some(verified) => Ok(verified),
        None => gate.verify_for(presented, &info),
    };
    verified
        .and_then(|verified| gate.identify(&verified, presented, info))
        .inspect_err(|error| gate.record_refused(witness, error, None, (presented, &[])))
}
