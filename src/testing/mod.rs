//! Certificates for tests: good, odd and hostile ones.
//!
//! A [`TestCa`] lives in memory and issues whatever it is asked for. Left alone, its
//! [`LeafBuilder`] makes certificates that every verifier accepts; told otherwise, it makes those
//! that none should.
//!
//! ```
//! use countersign::testing::{FixedClock, TestCa};
//! use std::time::Duration;
//!
//! let root = TestCa::new("Example Root");
//! let issuing = root.intermediate("Example Issuing CA");
//! let billing = issuing.leaf().spiffe("spiffe://example.org/ns/billing").issue();
//! assert_eq!(billing.chain().len(), 2);
//!
//! // Two SPIFFE IDs in one certificate, which is one too many.
//! let ambiguous = issuing
//!     .leaf()
//!     .spiffe("spiffe://example.org/ns/billing")
//!     .spiffe("spiffe://example.org/ns/admin")
//!     .issue();
//!
//! // A URI that is not even ASCII, under a subject whose UTF8String is not UTF-8.
//! let garbage = issuing
//!     .leaf()
//!     .attribute("2.5.4.3", 0x0c, b"\xff\xfe")
//!     .general_name(0x86, b"spiffe://ex\xe4mple.org/")
//!     .issue();
//!
//! // Revoked, and seen two days later.
//! let crl = issuing.crl().revoke(billing.serial()).build();
//! let clock = FixedClock::now();
//! clock.advance(Duration::from_secs(2 * 24 * 60 * 60));
//! # let _ = (ambiguous, garbage, crl);
//! ```
//!
//! The bytes come from the writer in [`der`], which serves for the values that the builders take
//! as raw DER too.
//!
//! Keys made here protect nothing: serial numbers come from no random number generator, and
//! private keys stay in memory unprotected.

mod ca;
mod clock;
mod connection;
mod crl;
pub mod der;
mod issued;
mod key;
mod leaf;
mod names;
mod tbs;
#[cfg(test)]
mod tests;

pub use ca::{TestCa, TestCaBuilder};
pub use clock::FixedClock;
#[cfg(feature = "tokio")]
pub use connection::{Accepted, Connected, handshake};
pub use connection::{peer, peer_of};
pub use crl::CrlBuilder;
pub use issued::Issued;
pub use key::{KeyType, KeyUsageBits, oversized_rsa_spki};
pub use leaf::LeafBuilder;
