//! `countersign inspect`: shows a certificate, and whether its chain is trusted.
//!
//! ```text
//! countersign inspect client.crt --trust clients-ca.crt
//! countersign inspect client.crt --trust clients-ca.crt --explain
//! countersign inspect --connect localhost:8443 --trust servers-ca.crt
//! ```
//!
//! Standard output gets text for people, or with `--json` one object as `inspect.schema.json` describes
//! it.

pub mod connect;
pub mod report;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{ArgGroup, ValueEnum};
use countersign::Side;
use countersign::TrustStore;
use countersign::pki_types::pem::PemObject as _;
use countersign::pki_types::{PrivateKeyDer, ServerName, UnixTime};

use crate::options::{KeyOption, TrustOptions};
use connect::{Call, Own, Seen, host_and_port};
use report::{Question, Report};

/// The certificate is shown with every identity that `--identity` of `serve` and `call` reads from it.
#[derive(Debug, clap::Args)]
#[command(group(
    ArgGroup::new("trusted").multiple(true).args(["trust", "trust_domain", "pin"])
))]
#[command(after_help = "\
Exit status:
  0  the certificate was read, and with --trust, --trust-domain or --pin its chain is trusted;
     with --explain, name and key fit too, where they are given; with --connect, the server
     was reached, and did not reject our certificate
  1  any other result: standard output says what is wrong, as text or as JSON
  2  an invalid command line")]
pub struct Args {
    /// The certificate, followed by its intermediates (PEM), or one certificate (DER)
    #[arg(required_unless_present = "connect", conflicts_with = "connect")]
    chain: Option<PathBuf>,
    /// Connect to this server, and show its chain, the parameters that it negotiates, the authorities
    /// that it accepts certificates of, and its answer to ours. No application data is sent
    #[arg(long, value_name = "HOST:PORT", value_parser = host_and_port)]
    connect: Option<(String, u16)>,
    /// With --connect: our certificate, followed by its intermediates (PEM)
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// With --connect: the limit for the whole call; default: 10
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
    #[command(flatten)]
    trust: TrustOptions,
    /// Verify at this time, such as 2026-11-21T09:30:00Z; default: now
    #[arg(long, value_name = "RFC3339", value_parser = report::parse_time)]
    at: Option<UnixTime>,
    /// The side that presents the certificate; with --connect, it is the server
    #[arg(long = "as", conflicts_with = "connect", value_enum, value_name = "SIDE", default_value_t = SideOption::Client)]
    side: SideOption,
    /// Explain why the chain is rejected, and what to do: the cause first, then every step
    #[arg(long, requires = "trusted")]
    explain: bool,
    /// With --explain: the server name that the certificate must be valid for. With --connect: the
    /// server name to send and to verify; default: the host
    #[arg(long, value_name = "NAME", value_parser = server_name)]
    server_name: Option<ServerName<'static>>,
    /// With --explain: the private key that must belong to the certificate (PEM, or a PKCS #11 URI). With
    /// --connect: the key of --cert
    #[arg(long, value_name = "FILE|URI")]
    key: Option<KeyOption>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

fn server_name(name: &str) -> Result<ServerName<'static>, &'static str> {
    ServerName::try_from(name.to_owned()).map_err(|_| "neither a DNS name nor an IP address")
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum SideOption {
    Client,
    Server,
}

impl Args {
    /// Checks what clap does not: it drops a requirement that conflicts with a given argument.
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
            trusted: self.trust.read(TrustStore::empty()),
            usage: match self.side {
                SideOption::Client if !is_call => Side::Client,
                SideOption::Client | SideOption::Server => Side::Server,
            },
            now: self.at.unwrap_or_else(UnixTime::now),
            // A call to a server is about trust.
            explain: self.explain || is_call,
            server_name: self.server_name.clone(),
            key: self.key.as_ref().filter(|_| !is_call).and_then(|key| {
                Some(match key {
                    KeyOption::File(file) => PrivateKeyDer::from_pem_file(file)
                        .map_err(|error| format!("--key {}: {error}", file.display())),
                    // It signs for the certificate, or it is not its key.
                    KeyOption::Token(_) => Err(key
                        .credentials(self.chain.as_deref()?)
                        .err()
                        .map(|error| format!("--key: {error}"))?),
                })
            }),
        }
    }

    fn report(&self) -> Report {
        let mut question = self.question();
        let (Some((host, port)), None) = (&self.connect, &self.chain) else {
            let chain = self.chain.clone().unwrap_or_default(); // clap requires one of the two
            return Report::on_file(&chain, &question);
        };
        let name = format!("{host} port {port}");
        let server_name = match &self.server_name {
            Some(name) => Ok(name.clone()),
            None => {
                server_name(host).map_err(|error| format!("{host}: {error}; give --server-name"))
            }
        };
        let credentials = match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => Own::read(cert, key).map(Some),
            _ => Ok(None),
        };
        let seen = match (server_name, credentials) {
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

/// Writes the report. The exit status is about the certificate or the server.
pub fn run(args: &Args) -> ExitCode {
    if let Err(problem) = args.check() {
        crate::subcommand("inspect")
            .error(ErrorKind::ArgumentConflict, problem)
            .exit();
    }
    let report = args.report();
    let text = if args.json {
        report.to_json()
    } else {
        report.to_styled()
    };
    // A reader such as `head` may close the pipe early.
    let _ = writeln!(anstream::stdout(), "{}", text.trim_end());
    if report.is_good() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
