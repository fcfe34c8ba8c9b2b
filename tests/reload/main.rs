//! Reload: whole or not at all, noticed in time, and never half of one set and half of another.
#![cfg(unix)] // symlinks
#![allow(clippy::unwrap_used)] // helpers of tests, too
#![allow(unreachable_pub)] // no file here is reachable

mod events;
mod handle;
mod material;
mod mixed;
mod mixture;
mod notice;
mod panics;
mod parts;
mod refused;
mod rotate;
mod service;
mod sources;
mod streams;
mod whole;
