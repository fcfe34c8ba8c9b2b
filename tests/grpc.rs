//! gRPC over mutual TLS: tonic on both sides, and Python's grpcio against the example.
#![allow(clippy::unwrap_used)] // helpers of tests, too

#[path = "grpc/channel.rs"]
mod channel;
#[path = "common/example.rs"]
mod example;
#[path = "grpc/examples.rs"]
mod examples;
#[path = "common/interop.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod interop;
#[path = "../examples/grpc/invoices.rs"]
mod invoices;
#[path = "grpc/live.rs"]
mod live;
#[path = "common/programs.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod programs;
#[path = "grpc/python.rs"]
mod python;
#[path = "grpc/rotation.rs"]
mod rotation;
#[path = "grpc/rules.rs"]
mod rules;
#[path = "examples/running.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod running;
#[path = "grpc/server.rs"]
mod server;
#[path = "grpc/serving.rs"]
mod serving;
#[path = "http/support.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod support;
