//! `countersign gateway`: a reverse proxy over mutual TLS, for JSON APIs and for language models that
//! answer in events.
//!
//! ```text
//! countersign gateway
//! countersign gateway --config gateway.toml
//! ```
//!
//! The gateway authorizes each request by identity, method and path, limits the rate of each identity,
//! and forwards the client's identity to the upstream in headers. For AI gateways and models, a route can
//! require one of its models in the body, and the line of a request has the tokens of its response. It forwards each frame of a response
//! when it arrives. Standard output gets one line, `listening on ADDR`. Standard error gets one line of
//! JSON for every request; requests wait while that pipe is full. SIGTERM finishes the requests in flight
//! and stops. SIGHUP reloads certificates and roots.
//!
//! Without a configuration it runs a demonstration with its own certificates and upstream.
//! `gateway.toml` documents the whole configuration.

mod demo;
pub mod egress;
pub mod proxy;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::options::{ProxyOptions, stop_signal, workload};
use crate::terminal::Failure;
use proxy::{Audit, Config, Gateway};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration (TOML); without it, a demonstration
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Take certificate, key and trust from the SPIFFE agent at this address of its Workload API, such as
    /// unix:/run/agent.sock; `env` for that of SPIFFE_ENDPOINT_SOCKET. They replace those of `[tls]`, and
    /// those that an upstream's table does not have
    #[arg(long, value_name = "ENDPOINT", requires = "config")]
    spiffe: Option<String>,
    #[command(flatten)]
    proxies: ProxyOptions,
}

/// Serves until SIGTERM or ctrl-c, or runs the demonstration.
pub async fn run(args: &Args) -> Result<(), Failure> {
    match &args.config {
        Some(config) => serve(config, args.spiffe.as_deref(), &args.proxies).await,
        None if args.proxies.is_given() => {
            Err("--proxy-protocol and --identity-from-proxy need --config".into())
        }
        None => demo::run().await,
    }
}

async fn serve(path: &Path, spiffe: Option<&str>, proxies: &ProxyOptions) -> Result<(), Failure> {
    let mut config = Config::from_file(path)?;
    if let Some(endpoint) = spiffe {
        config.take_identity(&workload(endpoint).await?)?;
    }
    let stop = stop_signal()?;
    let audit = Audit::to_stderr();
    let gateway = Gateway::bind_behind(&config, audit.clone(), proxies).await?;
    #[cfg(unix)]
    reload_on_hangup(&gateway, audit)?;
    writeln!(std::io::stdout(), "listening on {}", gateway.address)?;
    gateway.serve(stop).await;
    Ok(())
}

#[cfg(unix)]
fn reload_on_hangup(gateway: &Gateway, audit: Audit) -> std::io::Result<()> {
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
            audit.write(&line);
        }
    });
    Ok(())
}
