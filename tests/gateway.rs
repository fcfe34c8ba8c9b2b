//! The example `gateway`: in the test's own process where a test looks inside, and as a program.
#![allow(clippy::unwrap_used)] // helpers of tests, too

#[path = "gateway/behind.rs"]
mod behind;
#[path = "gateway/bounds.rs"]
mod bounds;
#[path = "gateway/events.rs"]
mod events;
#[path = "common/example.rs"]
mod example;
#[path = "gateway/forging.rs"]
mod forging;
#[path = "gateway/front.rs"]
mod front;
#[path = "common/interop.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod interop;
#[path = "gateway/program.rs"]
mod program;
#[path = "common/programs.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod programs;
#[path = "../examples/gateway/proxy/mod.rs"]
mod proxy;
#[path = "gateway/rotation.rs"]
mod rotation;
#[path = "gateway/routes.rs"]
mod routes;
#[path = "examples/running.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod running;
#[path = "../examples/shared/mod.rs"]
mod shared;
#[path = "http/support.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod support;
