//! The roots of a trust domain are trusted for its own IDs only.
#![allow(clippy::unwrap_used)] // helpers of tests, too

#[path = "trust_domains/at_run_time.rs"]
mod at_run_time;
#[path = "trust_domains/bundles.rs"]
mod bundles;
mod common;
#[path = "trust_domains/handshake.rs"]
mod handshake;
#[path = "trust_domains/hints.rs"]
mod hints;
#[path = "trust_domains/support.rs"]
mod support;
