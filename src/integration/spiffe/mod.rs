//! SPIFFE: the identity of this process from an agent such as SPIRE's.
//!
//! [`Workload`] is a client of the [Workload API]. One line gives an acceptor or a connector its certificate,
//! the trust in its own and all federated trust domains, and the CRLs, and keeps them current:
//!
//! ```no_run
//! use countersign::integration::spiffe::Workload;
//! use countersign::{Acceptor, policy};
//!
//! # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
//! let acceptor = Acceptor::builder()
//!     .spiffe(Workload::connect().await?) // the agent of SPIFFE_ENDPOINT_SOCKET
//!     .authorize(policy::spiffe_patterns(["spiffe://example.org/ns/billing/**"])?)
//!     .build()?;
//! # Ok(())
//! # }
//! ```
//!
//! [Workload API]: https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE_Workload_API.md

mod address;
mod builder;
mod client;
mod error;
mod federation;
#[cfg(fuzzing)]
pub mod fuzzing;
mod jwt;
mod messages;
mod svid;
mod wire;
mod workload;

pub use error::WorkloadError;
pub use federation::bundle_endpoint;
pub use jwt::{JwtSvid, ValidatedJwt};
pub use workload::{Workload, WorkloadBuilder};
