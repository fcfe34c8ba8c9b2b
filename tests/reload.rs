//! Reload: whole or not at all, noticed in time, and never half of one set and half of another.
#![cfg(unix)] // symlinks
#![allow(clippy::unwrap_used)] // helpers of tests, too
#![allow(unreachable_pub)] // no file here is reachable

mod common;
#[path = "reload/events.rs"]
mod events;
#[path = "reload/handle.rs"]
mod handle;
#[path = "reload/material.rs"]
mod material;
#[path = "reload/mixed.rs"]
mod mixed;
#[path = "reload/mixture.rs"]
mod mixture;
#[path = "reload/notice.rs"]
mod notice;
#[path = "reload/panics.rs"]
mod panics;
#[path = "reload/parts.rs"]
mod parts;
#[path = "reload/refused.rs"]
mod refused;
#[path = "reload/rotate.rs"]
mod rotate;
#[path = "reload/service.rs"]
mod service;
