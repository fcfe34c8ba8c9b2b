//! Access tokens that are bound to the peer's certificate (RFC 8705).
//!
//! A stolen bearer token is of use to anyone. A *bound* token has the thumbprint of its owner's certificate
//! in its `cnf` claim, and is of use only over a connection with that certificate. [`BoundToken`] is the
//! layer of a resource server that requires it: the application verifies the token (signature, issuer,
//! audience, time), and the layer compares the thumbprint with the peer's certificate.

mod authorization;
mod confirmation;
mod layer;
mod verifier;

pub use confirmation::{CertificateBinding, Confirmation, ProofError, ProofOfPossession};
pub use layer::{BoundClaims, BoundToken, BoundTokenService};
pub use verifier::{TokenError, TokenVerifier, VerifiedToken};
