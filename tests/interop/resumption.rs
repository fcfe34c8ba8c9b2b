//! As the matrix of `resumption_matrix.rs`, by other people's clients: for every cause that ends a
//! client's welcome, by both TLS versions and both kinds of session, a hundred attempts to resume.

mod openssl;
mod python;
mod server;

/// How often a client that is no longer welcome tries.
const ATTEMPTS: usize = 100;
