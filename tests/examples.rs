//! The examples, run as a newcomer runs them.
#![cfg(unix)] // signals

#[path = "examples/arguments.rs"]
mod arguments;
#[path = "common/example.rs"]
mod example;
#[path = "examples/flow.rs"]
mod flow;
#[path = "examples/goaway.rs"]
#[allow(clippy::unwrap_used)] // helpers of tests, too
mod goaway;
#[path = "common/identities.rs"]
mod identities;
#[path = "examples/identity.rs"]
mod identity;
#[path = "common/interop.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod interop;
#[path = "examples/lifecycle.rs"]
mod lifecycle;
#[path = "examples/patterns.rs"]
mod patterns;
#[path = "common/programs.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod programs;
#[path = "examples/quickstart.rs"]
mod quickstart;
#[path = "examples/reloading.rs"]
mod reloading;
#[path = "examples/revocation.rs"]
mod revocation;
#[path = "examples/running.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod running;
#[path = "../examples/shared/mod.rs"]
mod shared;
#[path = "examples/tutorials.rs"]
mod tutorials;
