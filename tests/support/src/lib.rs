//! What the tests of several packages need. Each part is a module; the parts with dependencies of
//! their own are behind features.
#![allow(missing_docs, reason = "of no use outside of the tests")]
#![allow(clippy::unwrap_used, clippy::new_without_default)] // a test fails where this fails

pub mod client_hello;
#[cfg(feature = "tokio")]
pub mod forwarded;
pub mod gateway;
pub mod hostile_chains;
pub mod http2;
mod own_process;

#[cfg(feature = "tokio")]
pub mod causes;
#[cfg(feature = "tokio")]
pub mod floods;
#[cfg(feature = "tokio")]
pub mod raw;
#[cfg(feature = "tokio")]
pub mod raw_server;
#[cfg(feature = "tokio")]
pub mod sent;
#[cfg(feature = "tokio")]
pub mod server_thread;
#[cfg(feature = "tokio")]
mod sides;
#[cfg(feature = "tokio")]
pub mod wire;

#[cfg(feature = "http")]
pub mod http;
#[cfg(feature = "schema")]
pub mod schema;

#[cfg(feature = "programs")]
pub mod example;
#[cfg(feature = "programs")]
pub mod identities;
#[cfg(feature = "programs")]
pub mod interop;
#[cfg(feature = "programs")]
pub mod log;
#[cfg(feature = "programs")]
pub mod programs;
#[cfg(all(feature = "programs", unix))]
pub mod proxies;
#[cfg(all(feature = "programs", feature = "schema"))]
pub mod running;

use std::path::Path;

pub use own_process::{is_own_process, run_in_own_process, run_with};
#[cfg(feature = "tokio")]
pub use sides::*;

/// The root of the repository.
pub fn workspace() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}
