//! For every cause that ends a client's welcome, by both TLS versions and both kinds of session:
//! a hundred attempts to resume, and none gets in. By a plain rustls client, which offers its
//! sessions whatever happens, and by our connector.
#![allow(clippy::unwrap_used)] // helpers of tests, too

#[path = "common/causes.rs"]
mod causes;
mod common;
#[path = "resumption_matrix/connector.rs"]
mod connector;
#[path = "resumption_matrix/plain.rs"]
mod plain;
#[path = "common/raw.rs"]
mod raw;

/// How often a client that is no longer welcome tries.
const ATTEMPTS: usize = 100;
