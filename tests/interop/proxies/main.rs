//! Real proxies in front of the tool's server: the identity and the address of the client arrive, and nothing
//! that a client or a stranger writes is taken for them.
#![allow(clippy::unwrap_used)] // helpers of tests, too
#![cfg(unix)] // the proxies are

mod addresses;
mod forgeries;
mod front;
mod identities;
