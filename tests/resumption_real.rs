//! As the matrix of `resumption_matrix.rs`, by other people's clients: for every cause that ends a
//! client's welcome, by both TLS versions and both kinds of session, a hundred attempts to resume.
#![allow(clippy::unwrap_used)] // helpers of tests, too

#[path = "common/causes.rs"]
mod causes;
#[path = "common/client_hello.rs"]
mod client_hello;
mod common;
#[path = "resumption_real/openssl.rs"]
mod openssl;
#[path = "common/programs.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod programs;
#[path = "resumption_real/python.rs"]
mod python;
#[path = "resumption_real/server.rs"]
mod server;

/// How often a client that is no longer welcome tries.
const ATTEMPTS: usize = 100;
