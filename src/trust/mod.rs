//! Trust stores, revocation, and the verification of a peer's chain.

mod build;
mod bundles;
mod choices;
mod domain_map;
mod error;
mod explain;
mod extensions;
mod files;
mod graph;
mod known_issuers;
mod name_constraints;
mod path;
mod post_quantum;
mod profile;
mod revocation;
mod roots;
mod search;
mod signatures;
#[cfg(feature = "spiffe-bundle")]
mod spiffe_bundle;
mod store;
mod validate;
mod verifier;

pub use bundles::{BundleError, Trust, TrustBundles};
pub use choices::{CertificatePolicies, NameMatching};
pub use error::{ChainError, CrlError, PathError, Signer, StatusError, TrustError};
pub(crate) use extensions::{name_constraints, path_length, unknown_critical};
pub(crate) use graph::Graph;
use path::for_webpki;
pub use path::{Anchor, EkuPolicy, Limits, RootConstraints, VerifiedChain};
pub use post_quantum::PostQuantum;
pub(crate) use post_quantum::{check_post_quantum_key, check_post_quantum_signature};
pub use profile::Profile;
pub use revocation::{
    CrlLoader, CrlRollback, Crls, DeltaCrls, ExpiredCrl, Revocation, RevocationDepth, SkippedCrl,
    UnknownStatus, UnusableFiles,
};
pub(crate) use search::{Search, longest_signed};
pub(crate) use signatures::{Signature, Signatures, Unverifiable};
#[cfg(all(feature = "spiffe", feature = "tokio"))]
pub(crate) use spiffe_bundle::Hints;
pub(crate) use store::Root;
pub use store::TrustStore;
pub(crate) use validate::violates;
pub use verifier::ChainVerifier;
pub(crate) use verifier::pin_of;
