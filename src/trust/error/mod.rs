//! Why trust and CRLs cannot be loaded, and why a chain is rejected.

mod chain;
mod chain_texts;
mod crl;
mod path;
mod status;
mod store;

pub use chain::{ChainError, Signer};
pub use crl::CrlError;
pub use path::PathError;
pub use status::StatusError;
pub use store::TrustError;
