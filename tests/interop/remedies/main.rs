//! Remedies are run by the real programs, and what they produce loads.
//!
//! Each test takes the command out of the error's remedy, so the text and what is tested are the same.
#![cfg(unix)] // a shell
#![allow(clippy::unwrap_used)] // helpers of tests, too

mod certificates;
mod commands;
mod crls;
mod keys;
