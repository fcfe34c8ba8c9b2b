//! What CRLs say of a chain, and that nothing which is wrong with them makes anybody pass.
#![allow(clippy::unwrap_used)] // helpers of tests, too

mod common;
#[path = "revocation/freshness.rs"]
mod freshness;
#[path = "revocation/handshake.rs"]
mod handshake;
#[path = "revocation/hostile.rs"]
mod hostile;
#[path = "revocation/loading.rs"]
mod loading;
#[path = "revocation/not_in_force.rs"]
mod not_in_force;
#[path = "revocation/other_ca.rs"]
mod other_ca;
#[path = "revocation/paths.rs"]
mod paths;
#[path = "revocation/refused_lists.rs"]
mod refused_lists;
#[path = "revocation/rollback.rs"]
mod rollback;
#[path = "revocation/scope.rs"]
mod scope;
#[path = "revocation/serials.rs"]
mod serials;
#[path = "revocation/support.rs"]
mod support;
#[path = "revocation/unknown.rs"]
mod unknown;
