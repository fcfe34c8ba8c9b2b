//! An HTTPS server that knows its clients: HTTP/1.1 and HTTP/2 over mutual TLS.
//!
//! ```text
//! cargo run --example server -- --cert server.crt --key server.key --trust clients-ca.crt \
//!     --identity spiffe --allow 'spiffe://example.org/ns/billing/*'
//! ```
//!
//! `GET /` answers who the client is, as JSON. Standard output gets one line, `listening on ADDR`,
//! once connections are accepted; standard error gets one line of JSON for every connection.

mod http;
mod log;
mod serve;
#[path = "../shared/mod.rs"]
mod shared;

use std::error::Error;
use std::future::Future;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::process::ExitCode;

use clap::{ArgGroup, Parser, ValueEnum};
use countersign::{Acceptor, Certificate, Resumption, TrustStore, policy};
use tokio::net::TcpListener;

use shared::{AllowList, IdentityKind, Material};

/// An HTTP/1.1 and HTTP/2 server over mutual TLS that answers each client with its identity
#[derive(Debug, Parser)]
#[command(name = "server")]
#[command(group(ArgGroup::new("believed").required(true).multiple(true).args(["trust", "trust_domain", "pin"])))]
#[command(group(ArgGroup::new("policy").required(true).args(["allow", "allow_any"])))]
struct Args {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8443")]
    listen: SocketAddr,
    #[command(flatten)]
    material: Material,
    /// Which field of a client's certificate says who it is
    #[arg(long, value_enum)]
    identity: IdentityKind,
    /// Allow this identity: an exact value, as the example `inspect` prints it; for spiffe also
    /// spiffe://domain/* and spiffe://domain/prefix/*, for dns also *.domain
    #[arg(long, value_name = "PATTERN", num_args = 1..)]
    allow: Vec<String>,
    /// Allow every client whose certificate is believed and has an identity
    #[arg(long)]
    allow_any: bool,
    /// Whether sessions are resumed: from the server's memory, or from tickets that clients keep
    #[arg(long, value_enum, value_name = "on|off|tickets", default_value_t = Sessions::On)]
    #[arg(hide_possible_values = true)]
    resumption: Sessions,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Sessions {
    On,
    Off,
    Tickets,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    let kind = args.identity;
    let believing = args.material.believed.read(TrustStore::empty())?;
    let undecided = Acceptor::builder()
        .credentials(args.material.credentials()?)
        .trust(believing.trust)
        .identify(move |certificate: &Certificate| kind.extract(certificate));
    let mut builder = if args.allow_any {
        undecided.authorize(policy::allow_any())
    } else {
        undecided.authorize(AllowList::parse(kind, &args.allow)?)
    };
    builder = builder
        .alpn(["h2", "http/1.1"])
        .resumption(match args.resumption {
            Sessions::On => Resumption::Stateful,
            Sessions::Off => Resumption::Off,
            Sessions::Tickets => Resumption::Stateless,
        });
    if let Some(revocation) = believing.revocation {
        builder = builder.revocation(revocation);
    }
    if args.material.tls12 {
        builder = builder.allow_tls12();
    }
    let acceptor = builder.build()?;

    let stop = stop_signal()?;
    let listener = TcpListener::bind(args.listen)
        .await
        .map_err(|error| format!("cannot listen on {}: {error}", args.listen))?;
    writeln!(io::stdout(), "listening on {}", listener.local_addr()?)?;
    serve::serve(listener, acceptor, stop).await;
    Ok(())
}

/// Ends at SIGTERM or ctrl-c. The handlers are in place when this returns, before anybody can be
/// told that the server is ready.
#[cfg(unix)]
fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};

    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Ends at ctrl-c.
#[cfg(windows)]
fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    let mut interrupt = tokio::signal::windows::ctrl_c()?;
    Ok(async move {
        interrupt.recv().await;
    })
}
