//! Shows everything that a certificate says, and whether its chain is trusted: for whoever
//! debugs mutual TLS.
//!
//! ```text
//! cargo run --example inspect -- client.crt --trust clients-ca.crt
//! ```
//!
//! Standard output gets text for people, or with `--json` one object as `schema.json` describes it.

mod report;
#[path = "../shared/mod.rs"]
mod shared;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use countersign::TrustStore;
use countersign::trust::Usage;
use rustls_pki_types::UnixTime;

use report::{Question, Report};
use shared::material::Believed;

/// Shows everything that a certificate says, whom each --identity of the server and the client
/// would read from it, and with --trust, --trust-domain
/// or --pin whether its chain is trusted
#[derive(Debug, Parser)]
#[command(name = "inspect")]
#[command(after_help = "\
Exit status:
  0  the certificate was read, and with --trust, --trust-domain or --pin its chain is trusted
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
    /// Print one JSON object
    #[arg(long)]
    json: bool,
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
