//! Shows everything that a certificate says, and whether its chain is trusted: for whoever
//! debugs mutual TLS.
//!
//! ```text
//! cargo run --example inspect -- client.crt --trust clients-ca.crt
//! cargo run --example inspect -- client.crt --trust clients-ca.crt --explain
//! cargo run --example inspect -- --connect localhost:8443 --trust servers-ca.crt
//! ```
//!
//! Standard output gets text for people, or with `--json` one object as `schema.json` describes it.

mod connect;
mod report;
#[path = "../shared/mod.rs"]
mod shared;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{ArgGroup, CommandFactory as _, Parser, ValueEnum};
use countersign::TrustStore;
use countersign::trust::Usage;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{PrivateKeyDer, ServerName, UnixTime};

use connect::{Call, Own, Seen, host_and_port};
use report::{Question, Report};
use shared::material::Believed;

/// Shows everything that a certificate says, whom each --identity of the server and the client
/// would read from it, and with --trust, --trust-domain or --pin whether its chain is trusted, and why
/// not; or calls a server to see what it shows and asks for
#[derive(Debug, Parser)]
#[command(name = "inspect")]
#[command(group(
    ArgGroup::new("believed").multiple(true).args(["trust", "trust_domain", "pin"])
))]
#[command(after_help = "\
Exit status:
  0  the certificate was read, and with --trust, --trust-domain or --pin its chain is trusted;
     with --explain, name and key fit too, where they are given; with --connect, the server
     was reached, and has not refused our certificate
  1  anything else: standard output says what is wrong, as text or as JSON
  2  a command line that cannot work")]
struct Args {
    /// The certificate, followed by its intermediates (PEM), or one certificate (DER)
    #[arg(required_unless_present = "connect", conflicts_with = "connect")]
    chain: Option<PathBuf>,
    /// Call this server, and show its chain, what it negotiates, from whom it wants a certificate,
    /// and what it says to ours. It is believed nothing, and sent nothing
    #[arg(long, value_name = "HOST:PORT", value_parser = host_and_port)]
    connect: Option<(String, u16)>,
    /// With --connect: our certificate, followed by its intermediates (PEM)
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// With --connect: give up after so many seconds; default: 10
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
    #[command(flatten)]
    believed: Believed,
    /// Look at it at this time, such as 2026-11-21T09:30:00Z; default: now
    #[arg(long, value_name = "RFC3339", value_parser = report::parse_time)]
    at: Option<UnixTime>,
    /// Which side the certificate's holder is on; with --connect, it is a server
    #[arg(long = "as", conflicts_with = "connect", value_enum, value_name = "SIDE", default_value_t = Side::Client)]
    side: Side,
    /// Tell why the chain is refused, and what to do: the cause first, then every step
    #[arg(long, requires = "believed")]
    explain: bool,
    /// The name that a client dials, which with --explain the certificate must be valid for; with
    /// --connect, its host unless given
    #[arg(long, value_name = "NAME", value_parser = server_name)]
    server_name: Option<ServerName<'static>>,
    /// With --explain: the private key that must belong to the certificate (PEM). With --connect: that
    /// of --cert
    #[arg(long, value_name = "FILE")]
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

impl Args {
    /// What clap does not check: it lets requirements rest that conflict with what is there.
    fn check(&self) -> Result<(), &'static str> {
        let is_used = self.explain || self.connect.is_some();
        if self.server_name.is_some() && !is_used {
            return Err("--server-name is for --explain and --connect");
        }
        if self.key.is_some() && !is_used {
            return Err("--key is for --explain and --connect");
        }
        if self.key.is_some() && self.connect.is_some() && self.cert.is_none() {
            return Err("with --connect, --key belongs to --cert");
        }
        if self.connect.is_none() && (self.cert.is_some() || self.timeout.is_some()) {
            return Err("--cert and --timeout are for --connect");
        }
        Ok(())
    }

    fn question(&self) -> Question {
        let is_call = self.connect.is_some();
        Question {
            believing: self.believed.read(TrustStore::empty()),
            usage: match self.side {
                Side::Client if !is_call => Usage::Client,
                Side::Client | Side::Server => Usage::Server,
            },
            now: self.at.unwrap_or_else(UnixTime::now),
            // What trust says of a server is what one calls it for.
            explain: self.explain || is_call,
            server_name: self.server_name.clone(),
            key: self.key.as_ref().filter(|_| !is_call).map(|file| {
                PrivateKeyDer::from_pem_file(file)
                    .map_err(|error| format!("--key {}: {error}", file.display()))
            }),
        }
    }

    fn report(&self) -> Report {
        let mut question = self.question();
        let (Some((host, port)), None) = (&self.connect, &self.chain) else {
            let chain = self.chain.clone().unwrap_or_default(); // clap wants one of the two
            return Report::on_file(&chain, &question);
        };
        let name = format!("{host} port {port}");
        let dialled = match &self.server_name {
            Some(name) => Ok(name.clone()),
            None => {
                server_name(host).map_err(|error| format!("{host}: {error}; give --server-name"))
            }
        };
        let credentials = match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => Own::read(cert, key).map(Some),
            _ => Ok(None),
        };
        let seen = match (dialled, credentials) {
            (Err(problem), _) | (_, Err(problem)) => Seen {
                problem: Some(problem),
                ..Seen::default()
            },
            (Ok(server_name), Ok(credentials)) => {
                question.server_name = Some(server_name.clone());
                connect::call(Call {
                    host: host.clone(),
                    port: *port,
                    server_name,
                    credentials,
                    timeout: Duration::from_secs(self.timeout.unwrap_or(10)),
                })
            }
        };
        Report::on_server(&name, &seen, &question)
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    if let Err(problem) = args.check() {
        Args::command()
            .error(ErrorKind::ArgumentConflict, problem)
            .exit();
    }
    let report = args.report();
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
