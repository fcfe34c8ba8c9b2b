//! Whom we believe, and the check that a peer's chain leads there.

mod error;
mod path;
mod store;

pub use error::{ChainError, TrustError};
pub use path::{Anchor, ChainVerifier, ExtendedKeyUsage, Limits, Usage, VerifiedChain};
pub use store::TrustStore;
