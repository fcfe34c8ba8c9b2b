//! Shows everything that a certificate says, and whether its chain is trusted: for whoever
//! debugs mutual TLS.
//!
//! ```text
//! cargo run --example inspect -- client.crt --trust clients-ca.crt
//! cargo run --example inspect -- client.crt --trust clients-ca.crt --explain
//! ```
//!
//! Standard output gets text for people, or with `--json` one object as `schema.json` describes it.

mod report;
#[path = "../shared/mod.rs"]
mod shared;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgGroup, Parser, ValueEnum};
use countersign::TrustStore;
use countersign::trust::Usage;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{PrivateKeyDer, ServerName, UnixTime};

use report::{Question, Report};
use shared::material::Believed;

/// Shows everything that a certificate says, whom each --identity of the server and the client
/// would read from it, and with --trust, --trust-domain
/// or --pin whether its chain is trusted
#[derive(Debug, Parser)]
#[command(name = "inspect")]
#[command(group(
    ArgGroup::new("believed").multiple(true).args(["trust", "trust_domain", "pin"])
))]
#[command(after_help = "\
Exit status:
  0  the certificate was read, and with --trust, --trust-domain or --pin its chain is trusted;
     with --explain, name and key fit too, where they are given
  1  anything else: standard output says what is wrong, as text or as JSON
  2  a command line that cannot work")]
struct Args {
    /// The certificate, followed by its intermediates (PEM), or one certificate (DER)
    chain: PathBuf,
    #[command(flatten)]
    believed: Believed,
    /// Look at it at this time, such as 2026-11-21T09:30:00Z; default: now
    #[arg(long, value_name = "RFC3339", value_parser = report::parse_time)]
    at: Option<UnixTime>,
    /// Which side the certificate's holder is on
    #[arg(long = "as", value_enum, value_name = "SIDE", default_value_t = Side::Client)]
    side: Side,
    /// Tell why the chain is refused, and what to do: the cause first, then every step
    #[arg(long, requires = "believed")]
    explain: bool,
    /// With --explain: the name that a client dials, which the certificate must be valid for
    #[arg(long, value_name = "NAME", requires = "explain", value_parser = server_name)]
    server_name: Option<ServerName<'static>>,
    /// With --explain: the private key that must belong to the certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "explain")]
    key: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

fn server_name(name: &str) -> Result<ServerName<'static>, &'static str> {
    ServerName::try_from(name.to_owned()).map_err(|_| "neither a DNS name nor an IP address")
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Side {
    Client,
    Server,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let report = Report::on_file(
        &args.chain,
        &Question {
            believing: args.believed.read(TrustStore::empty()),
            usage: match args.side {
                Side::Client => Usage::Client,
                Side::Server => Usage::Server,
            },
            now: args.at.unwrap_or_else(UnixTime::now),
            explain: args.explain,
            server_name: args.server_name,
            key: args.key.map(|file| {
                PrivateKeyDer::from_pem_file(&file)
                    .map_err(|error| format!("--key {}: {error}", file.display()))
            }),
        },
    );
    let text = if args.json {
        report.to_json()
    } else {
        report.to_string()
    };
    // Whoever stops reading, such as `head`, has seen enough.
    let _ = writeln!(io::stdout(), "{}", text.trim_end());
    if report.is_good() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
