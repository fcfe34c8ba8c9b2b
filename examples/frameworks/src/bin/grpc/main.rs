//! A gRPC server and client over mutual TLS, with tonic.
//!
//! ```text
//! cargo run -p countersign-frameworks --bin grpc
//!
//! cargo run -p countersign-frameworks --bin grpc -- server --cert server.crt --key server.key \
//!     --trust clients-ca.crt --identity spiffe --allow 'spiffe://example.org/*' \
//!     --create 'spiffe://example.org/ns/billing/*'
//! cargo run -p countersign-frameworks --bin grpc -- client --cert billing.crt --key billing.key \
//!     --trust servers-ca.crt --identity dns --allow localhost https://localhost:50051 create ACME
//! ```
//!
//! Without arguments it runs both sides with its own certificates: the rules of methods, a new
//! certificate, and a policy change while a call is open.

mod client;
mod demo;
mod server;

use std::error::Error;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A gRPC service that identifies its clients by their certificates
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
