//! A reverse proxy over mutual TLS, for JSON APIs and for language models that answer in events.
//!
//! ```text
//! cargo run --example gateway
//! cargo run --example gateway -- --config gateway.toml
//! ```
//!
//! Who may send which request, by identity, method and path; how often; and who the client is, in
//! headers for the server behind. Frames of a response are passed on as they come. Standard output
//! gets one line, `listening on ADDR`; standard error one line of JSON for every request (if nobody
//! takes them, requests wait: none goes unwritten). SIGTERM finishes what is under way and stops; SIGHUP
//! reads certificates and roots again.
//!
//! Without a configuration it makes one, with certificates and a server behind, and shows what it does.
//! `example.toml` beside this file has everything that can be configured.

mod demo;
mod proxy;
#[path = "../shared/mod.rs"]
mod shared;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use proxy::{Audit, BoxError, Config, Gateway};

/// A reverse proxy whose clients are known by their certificates
#[derive(Debug, Parser)]
#[command(name = "gateway")]
struct Args {
    /// The configuration (TOML); without it, a demonstration
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let done = match Args::parse().config {
        Some(config) => run(&config).await,
        None => demo::run().await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(path: &Path) -> Result<(), BoxError> {
    let config = Config::from_file(path)?;
    let stop = shared::stop_signal()?;
    let gateway = Gateway::bind(&config, Audit::new(|line| eprintln!("{line}"))).await?;
    #[cfg(unix)]
    reload_on_hangup(&gateway)?;
    writeln!(std::io::stdout(), "listening on {}", gateway.address)?;
    gateway.serve(stop).await;
    Ok(())
}

#[cfg(unix)]
fn reload_on_hangup(gateway: &Gateway) -> Result<(), BoxError> {
    use tokio::signal::unix::{SignalKind, signal};

    let mut hangup = signal(SignalKind::hangup())?;
    let reloads = gateway.reloads();
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            let line = match Gateway::reload(&reloads).await {
                Ok(()) => serde_json::json!({"event": "reloaded"}),
                Err(error) => {
                    serde_json::json!({"event": "reload_refused", "error": error.to_string()})
                }
            };
            eprintln!("{line}");
        }
    });
    Ok(())
}
