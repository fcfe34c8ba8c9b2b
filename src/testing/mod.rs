//! Certificates for tests: good, odd and hostile ones.
//!
//! A [`TestCa`] is in memory and issues any certificate. By default its [`LeafBuilder`] makes certificates
//! that every verifier accepts; with other settings it makes certificates that every verifier should
//! reject.
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
//! // Two SPIFFE IDs in one certificate: extractors reject it.
//! let ambiguous = issuing
//!     .leaf()
//!     .spiffe("spiffe://example.org/ns/billing")
//!     .spiffe("spiffe://example.org/ns/admin")
//!     .issue();
//!
//! // A URI that is not ASCII, and a UTF8String in the subject that is not UTF-8.
//! let garbage = issuing
//!     .leaf()
//!     .attribute("2.5.4.3", 0x0c, b"\xff\xfe")
//!     .general_name(0x86, b"spiffe://ex\xe4mple.org/")
//!     .issue();
//!
//! // Revoked, and verified two days later.
//! let crl = issuing.crl().revoke(billing.serial()).build();
//! let clock = FixedClock::now();
//! clock.advance(Duration::from_secs(2 * 24 * 60 * 60));
//! # let _ = (ambiguous, garbage, crl);
//! ```
//!
//! The writer in [`der`] makes the bytes. Use it also for arguments that the builders take as raw DER.
//!
//! # Security
//! Use these keys only in tests: serial numbers do not come from a random number generator, and private
//! keys are not protected in memory.

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
