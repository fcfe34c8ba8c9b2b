//! The commands of `countersign`, a command line for mutual TLS.
//!
//! ```text
//! cargo install --path examples/cli
//! countersign dev-certs certs
//! ```
//!
//! This library exists for the program, its tests and its bench. It has no stable API.
#![allow(missing_docs, reason = "the API is not for other packages")]

pub mod call;
pub mod dev_certs;
pub mod gateway;
pub mod http3;
pub mod inspect;
pub mod options;
pub mod serve;
pub mod terminal;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokio::runtime::Runtime;

use terminal::Failure;

/// Mutual TLS from the command line
#[derive(Debug, Parser)]
#[command(name = "countersign", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve HTTP over mutual TLS, and answer each client with its identity
    Serve(Box<serve::Args>),
    /// Get one URL over mutual TLS
    Call(Box<call::Args>),
    /// Show a certificate or a server, and whether its chain is trusted
    Inspect(Box<inspect::Args>),
    /// Run a reverse proxy whose clients are identified by their certificates
    Gateway(gateway::Args),
    /// Forward plain HTTP of this machine to one server over mutual TLS
    Egress(gateway::egress::Args),
    /// Write a development CA, and certificates of servers and clients
    DevCerts(dev_certs::Args),
}

/// Runs the command line of this process.
pub fn run() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Serve(args) => in_runtime(serve::run(&args)),
        Command::Call(args) => call::run(&args),
        // Its exit status is about the certificate.
        Command::Inspect(args) => return inspect::run(&args),
        Command::Gateway(args) => in_runtime(gateway::run(&args)),
        Command::Egress(args) => in_runtime(gateway::egress::run(&args)),
        Command::DevCerts(args) => dev_certs::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.print();
            ExitCode::FAILURE
        }
    }
}

fn in_runtime(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    Runtime::new()?.block_on(command)
}

/// A subcommand, to report an error of its usage.
fn subcommand(name: &str) -> clap::Command {
    let mut cli = <Cli as clap::CommandFactory>::command();
    cli.build();
    let found = cli.find_subcommand(name).cloned();
    found.unwrap_or(cli)
}
