//! gRPC over mutual TLS: tonic on both sides, and Python's grpcio against the example.
#![allow(clippy::unwrap_used)] // helpers of tests, too

mod channel;
mod interrupted;
mod live;
mod rotation;
mod rules;
mod server;
mod serving;
