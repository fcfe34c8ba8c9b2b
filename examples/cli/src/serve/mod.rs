//! `countersign serve`: HTTP/1.1 and HTTP/2 over mutual TLS, and HTTP/3 over QUIC.
//!
//! ```text
//! countersign serve --cert server.crt --key server.key --trust clients-ca.crt \
//!     --identity spiffe --allow 'spiffe://example.org/ns/billing/*'
//! ```
//!
//! `GET /` returns the client's identity, as JSON. Standard output gets the line `listening on ADDR` when
//! the server accepts connections. Standard error gets the audit trail, one line of JSON for each event.
//!
//! With `--reload`, certificates, roots, CRLs and the deny list follow their files, and the server
//! re-authorizes open connections. SIGHUP reloads at once. SIGTERM finishes the requests in flight and
//! stops. With `--spiffe`, the agent's updates are applied when they arrive.
//!
//! Behind proxies, `--proxy-protocol` takes the client's address from a PROXY header, and
//! `--identity-from-proxy` its identity from a header of HTTP.

mod connections;
mod http;
mod http3;
mod metrics;
mod reloading;

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, ValueEnum};
use countersign::audit::{Json, Queue};
use countersign::policy::{self, DenyList};
use countersign::{Acceptor, Certificate, Listener, Resumption, TrustStore};
use tokio::net::TcpListener;

use crate::options::{AllowList, IdentityKind, ProxyOptions, TlsOptions, stop_signal};
use crate::terminal::Failure;
use connections::Shared;

#[derive(Debug, clap::Args)]
#[command(group(ArgGroup::new("trusted").required(true).multiple(true).args(["trust", "trust_domain", "pin", "spiffe"])))]
#[command(group(ArgGroup::new("policy").required(true).args(["allow", "allow_any"])))]
pub struct Args {
    /// The address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8443")]
    listen: SocketAddr,
    /// Serve HTTP/3 too, on UDP at the same address and port
    #[arg(long)]
    http3: bool,
    #[command(flatten)]
    tls: TlsOptions,
    #[command(flatten)]
    proxies: ProxyOptions,
    /// The field of a client's certificate that is its identity
    #[arg(long, value_enum)]
    identity: IdentityKind,
    /// Allow this identity: an exact value, as `countersign inspect` prints it; for spiffe also
    /// spiffe://domain/* and spiffe://domain/prefix/*, for dns also *.domain
    #[arg(long, value_name = "PATTERN", num_args = 1..)]
    allow: Vec<String>,
    /// Allow every client whose certificate is trusted and has an identity
    #[arg(long)]
    allow_any: bool,
    /// Whether clients resume sessions: from the server's memory, or from tickets that clients keep
    #[arg(long, value_enum, value_name = "on|off|tickets", default_value_t = Sessions::On)]
    #[arg(hide_possible_values = true)]
    resumption: Sessions,
    /// The limit of concurrent handshakes; further connections wait
    #[arg(long, value_name = "N", default_value_t = 1024)]
    #[arg(value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=1_000_000))]
    max_handshakes: usize,
    /// The time for a handshake, decision included
    #[arg(long, value_name = "MS", default_value_t = 10_000)]
    handshake_timeout: u64,
    /// Deny the entries of this list: a line is an identity, spki:SHA256, or serial:HEX issuer:DN;
    /// # begins a comment
    #[arg(long, value_name = "FILE")]
    deny_file: Option<PathBuf>,
    /// Check every so many seconds whether the files have changed
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

/// Serves until SIGTERM or ctrl-c.
pub async fn run(args: &Args) -> Result<(), Failure> {
    let kind = args.identity;
    // First, so that it counts everything.
    let metrics = match args.metrics {
        Some(address) => Some(metrics::Endpoint::bind(address).await?),
        None => None,
    };
    let audit = Queue::builder(Json::to_stderr()).start();
    let sources = args.tls.sources(TrustStore::empty()).await?;
    let undecided = Acceptor::builder()
        .credentials_from(sources.credentials)?
        .trust_from(sources.trust)?
        .identify(move |certificate: &Certificate| kind.extract(certificate));
    let deny_list = DenyList::new();
    let proxies = args.proxies.identity_proxies()?;
    let mut builder = if args.allow_any {
        undecided.authorize(proxies.or(kind, policy::allow_any())?)
    } else {
        undecided.authorize(proxies.or(kind, AllowList::parse(kind, &args.allow)?)?)
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
    if let Some(revocation) = sources.revocation {
        builder = builder.revocation_from(revocation)?;
    }
    if args.tls.tls12 {
        builder = builder.allow_tls12();
    }
    builder = builder.post_quantum(args.tls.post_quantum());
    let acceptor = builder.build()?;
    let admins = match &*args.admin {
        [] => None,
        patterns => Some(AllowList::parse_option("--admin", kind, patterns)?),
    };
    let listener = TcpListener::bind(args.listen)
        .await
        .map_err(|error| format!("cannot listen on {}: {error}", args.listen))?;
    let http3 = match args.http3 {
        true => Some(http3::bind(
            &acceptor,
            listener.local_addr()?,
            args.max_handshakes,
        )?),
        false => None,
    };
    // Dropped when the server stops.
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
    let options = Listener::builder(acceptor.clone()).max_handshakes(args.max_handshakes);
    let options = args.proxies.proxy_protocol(options)?;
    let shared = Shared {
        proxied: proxies.layer(kind, &acceptor)?,
        shows_address: args.proxies.has_proxy_protocol(),
        acceptor,
        admins,
    };
    connections::serve(options.listen(listener), http3, shared, stop).await;
    audit.flush_within(Duration::from_secs(5));
    Ok(())
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Sessions {
    On,
    Off,
    Tickets,
}
