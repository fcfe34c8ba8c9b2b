//! Whom we believe, and the check that a peer's chain leads there.

mod bundles;
mod error;
mod files;
mod path;
mod profile;
mod revocation;
#[cfg(feature = "spiffe-bundle")]
mod spiffe_bundle;
mod store;

pub use bundles::{BundleError, Trust, TrustBundles};
pub use error::{ChainError, NoStatus, TrustError};
pub(crate) use path::pin_of;
pub use path::{Anchor, ChainVerifier, ExtendedKeyUsage, Limits, Usage, VerifiedChain};
pub use profile::Profile;
pub use revocation::{CrlError, Crls, ExpiredCrl, Revocation, RevocationDepth, UnknownStatus};
pub(crate) use store::Root;
pub use store::TrustStore;
