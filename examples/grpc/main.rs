//! gRPC by tonic over mutual TLS, both sides.
//!
//! ```text
//! cargo run --example grpc
//!
//! cargo run --example grpc -- server --cert server.crt --key server.key --trust clients-ca.crt \
//!     --identity spiffe --allow 'spiffe://example.org/*' --create 'spiffe://example.org/ns/billing/*'
//! cargo run --example grpc -- client --cert billing.crt --key billing.key --trust servers-ca.crt \
//!     --identity dns --allow localhost https://localhost:50051 create ACME
//! ```
//!
//! Without arguments it makes certificates of its own, and shows who may call what, and what becomes of
//! an open connection when rules and certificates change.

mod client;
mod demo;
mod invoices;
mod server;
#[path = "../shared/mod.rs"]
mod shared;

use std::error::Error;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A gRPC service whose callers are known by their certificates
#[derive(Debug, Parser)]
#[command(name = "grpc")]
struct Args {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Serve until SIGTERM or ctrl-c
    Server(server::Args),
    /// Make one call
    Client(client::Args),
    /// Show both sides, with certificates made in memory (the default)
    Demo,
}

#[tokio::main]
async fn main() -> ExitCode {
    let done: Result<(), Box<dyn Error>> = match Args::parse().what {
        Some(What::Server(args)) => server::run(&args).await,
        Some(What::Client(args)) => client::run(&args).await,
        Some(What::Demo) | None => demo::run().await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
