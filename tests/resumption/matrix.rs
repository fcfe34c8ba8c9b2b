//! For every cause that ends a client's welcome, by both TLS versions and both kinds of session:
//! a hundred attempts to resume, and none gets in. By a plain rustls client, which offers its
//! sessions whatever happens, and by our connector.

mod connector;
mod plain;

/// How often a client that is no longer welcome tries.
const ATTEMPTS: usize = 100;
