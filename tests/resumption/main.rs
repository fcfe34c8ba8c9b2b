//! Resumed sessions follow the current rules.
#![allow(clippy::unwrap_used)] // helpers of tests, too

mod choices;
mod life;
mod matrix;
mod reauthorization;
mod tickets;
