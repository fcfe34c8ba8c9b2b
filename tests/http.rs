//! countersign under the crates that people serve and call HTTP by, each the real one.
#![allow(clippy::unwrap_used)] // helpers of tests, too

#[path = "http/axum.rs"]
mod axum_serve;
#[path = "http/bindings.rs"]
mod bindings;
#[path = "http/bypass.rs"]
mod bypass;
#[path = "http/denied.rs"]
mod denied;
#[path = "http/drain.rs"]
mod drain;
#[path = "common/example.rs"]
mod example;
#[path = "http/examples.rs"]
mod examples;
#[path = "http/forward.rs"]
mod forward;
#[path = "http/hyper.rs"]
mod hyper_both;
#[path = "http/paths.rs"]
mod paths;
#[path = "common/programs.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod programs;
#[path = "http/reqwest.rs"]
mod reqwest_client;
#[path = "http/rotation.rs"]
mod rotation;
#[path = "http/rules.rs"]
mod rules;
#[path = "http/slow.rs"]
mod slow;
#[path = "http/support.rs"]
mod support;
