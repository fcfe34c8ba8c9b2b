//! What a remembered chain spares, and what it never does.
#![allow(clippy::unwrap_used)] // helpers of tests, too

#[path = "verification_cache/bounds.rs"]
mod bounds;
mod common;
#[path = "verification_cache/handshake.rs"]
mod handshake;
#[path = "verification_cache/support.rs"]
mod support;
#[path = "verification_cache/time.rs"]
mod time;
#[path = "verification_cache/what_counts.rs"]
mod what_counts;
