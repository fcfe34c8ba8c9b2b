//! What changes while a handshake is under way: the new trust judges, whenever it comes.
#![allow(clippy::unwrap_used)] // helpers of tests, too

mod common;
#[path = "trust_changes_midway/decision.rs"]
mod decision;
#[path = "trust_changes_midway/handshake.rs"]
mod handshake;
#[path = "common/raw.rs"]
mod raw;
#[path = "common/raw_server.rs"]
mod raw_server;
#[path = "common/wire.rs"]
mod wire;
