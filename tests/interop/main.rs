//! Other programs as clients and servers, and the manual's page of what they print.
#![allow(clippy::unwrap_used)] // helpers of tests, too

mod bindings;
mod callers;
mod clients;
mod curl;
mod diagnosis;
mod examples;
mod grpc_cut;
mod grpc_examples;
mod grpc_python;
mod observability;
mod openssl;
mod refused;
mod renegotiation;
mod resumption;
mod servers;
mod troubleshooting;
mod wolfssl;
