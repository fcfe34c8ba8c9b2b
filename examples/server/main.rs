//! An HTTPS server that knows its clients: HTTP/1.1 and HTTP/2 over mutual TLS.
//!
//! ```text
//! cargo run --example server -- --cert server.crt --key server.key --trust clients-ca.crt \
//!     --identity spiffe --allow 'spiffe://example.org/ns/billing/*'
//! ```
//!
//! `GET /` answers who the client is, as JSON. Standard output gets a line, `listening on ADDR`,
//! once connections are accepted; standard error gets the audit trail, a line of JSON each: who was
//! admitted or refused, and why; whose connection was cut or ended; what was reloaded.
//!
//! With `--reload`, certificates, roots, CRLs and the deny list follow their files, and reach open
//! connections too. SIGHUP reloads at once, SIGTERM finishes what is under way and stops.

mod http;
mod metrics;
mod reloading;
mod serve;
#[path = "../shared/mod.rs"]
mod shared;

use std::error::Error;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{ArgGroup, Parser, ValueEnum};
use countersign::audit::{Json, Queue};
use countersign::policy::{self, DenyList};
use countersign::{Acceptor, Certificate, Resumption, TrustStore};
use tokio::net::TcpListener;

use serve::Shared;
use shared::{AllowList, IdentityKind, Material, stop_signal};

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
    /// How many handshakes may be under way; further connections wait
    #[arg(long, value_name = "N", default_value_t = 1024)]
    #[arg(value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=1_000_000))]
    max_handshakes: usize,
    /// How long a handshake may take, decision included
    #[arg(long, value_name = "MS", default_value_t = 10_000)]
    handshake_timeout: u64,
    /// Refuse who is on this list: a line is an identity, spki:SHA256, or serial:HEX issuer:DN;
    /// # begins a comment
    #[arg(long, value_name = "FILE")]
    deny_file: Option<PathBuf>,
    /// Look every so many seconds whether the files have changed
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    reload: Option<u64>,
    /// Serve metrics in Prometheus' text format, `GET /metrics` over plain HTTP, on this loopback
    /// address
    #[arg(long, value_name = "ADDR")]
    metrics: Option<SocketAddr>,
    /// Show `GET /connections`, the open connections, to this identity; as for --allow
    #[arg(long, value_name = "PATTERN", num_args = 1..)]
    admin: Vec<String>,
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
    // Before anything is counted.
    let metrics = match args.metrics {
        Some(address) => Some(metrics::Endpoint::bind(address).await?),
        None => None,
    };
    let audit = Queue::builder(Json::new(io::stderr())).start();
    let believing = args.material.believed.read(TrustStore::empty())?;
    let undecided = Acceptor::builder()
        .credentials(args.material.credentials()?)
        .trust(believing.trust)
        .identify(move |certificate: &Certificate| kind.extract(certificate));
    let deny_list = DenyList::new();
    let mut builder = if args.allow_any {
        undecided.authorize(policy::allow_any())
    } else {
        undecided.authorize(AllowList::parse(kind, &args.allow)?)
    };
    builder = builder
        .deny_list(&deny_list)
        .audit(audit.clone())
        .handshake_timeout(Duration::from_millis(args.handshake_timeout))
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
    let admins = match &*args.admin {
        [] => None,
        patterns => Some(AllowList::parse_option("--admin", kind, patterns)?),
    };
    let listener = TcpListener::bind(args.listen)
        .await
        .map_err(|error| format!("cannot listen on {}: {error}", args.listen))?;
    // Ends with the server.
    let _reload = reloading::start(args, &acceptor, &deny_list).await?;

    let stop = stop_signal()?;
    writeln!(io::stdout(), "listening on {}", listener.local_addr()?)?;
    if let Some(metrics) = metrics {
        writeln!(
            io::stdout(),
            "metrics on http://{}/metrics",
            metrics.address()
        )?;
        tokio::spawn(metrics.serve());
    }
    let shared = Shared { acceptor, admins };
    serve::serve(listener, shared, args.max_handshakes, stop).await;
    audit.flush_within(Duration::from_secs(5));
    Ok(())
}
