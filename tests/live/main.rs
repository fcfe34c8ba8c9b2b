//! Current rules apply to open connections.
#![allow(clippy::unwrap_used)] // helpers of tests, too

mod open_connections;
mod race;
mod rules;
