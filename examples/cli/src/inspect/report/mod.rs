//! The report about a certificate and its chain.

mod chain;
mod connection;
mod described;
mod explained;
mod human;
mod style;
mod text;
mod verdict;

use std::path::Path;

use clap::ValueEnum as _;
use countersign::Side;
use countersign::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use countersign::{Certificate, Diagnostic as _};
use serde::{Serialize, Serializer};

use super::connect::Seen;
use crate::options::{IdentityKind, TrustOptionsError, TrustSettings};
use chain::Chain;
use connection::Connection;
use described::Described;
use explained::Explained;
use verdict::Verdict;

pub use text::parse_time;

/// The questions about a chain.
pub struct Question {
    /// Without trust, the chain is not verified.
    pub trusted: Result<TrustSettings, TrustOptionsError>,
    /// The side that presents the chain.
    pub usage: Side,
    pub now: UnixTime,
    /// Whether to explain the verdict, step by step.
    pub explain: bool,
    /// The server name to verify, for the explanation.
    pub server_name: Option<ServerName<'static>>,
    /// The key that must belong to the certificate, or why it cannot be read.
    pub key: Option<Result<PrivateKeyDer<'static>, String>>,
}

/// The whole report. What does not apply is `null`.
#[derive(Serialize)]
pub struct Report {
    /// Why the file cannot be read completely.
    problem: Option<String>,
    /// The first certificate of the file.
    certificate: Option<Described>,
    extractors: Extractors,
    verify: Option<Outcome<Verdict>>,
    explain: Option<Explained>,
    connection: Option<Connection>,
    /// For the report for people only.
    #[serde(skip)]
    aside: Aside,
}

struct Aside {
    file: String,
    /// The next certificates of the file, one line each, up to a limit.
    others: Vec<String>,
    /// The number of the remaining certificates.
    more: usize,
    now: UnixTime,
    usage: Side,
}

/// The value that each `--identity` reads from the certificate, in the order of the help.
struct Extractors(Vec<(String, Extracted)>);

/// An identity, and the distinguished name that its text has in hexadecimal.
#[derive(Serialize)]
struct Extracted {
    #[serde(flatten)]
    outcome: Outcome<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
}

/// A value, or the code and the description of an error.
#[derive(Serialize)]
#[serde(untagged)]
enum Outcome<T> {
    Ok {
        ok: T,
    },
    Error {
        error: &'static str,
        message: String,
    },
}

impl Report {
    pub fn on_file(path: &Path, question: &Question) -> Self {
        let file = path.display().to_string();
        Self::on(&file, chain::read_file(path).as_deref(), question)
    }

    /// The report about a file with these bytes, or with this problem.
    pub fn on(file: &str, bytes: Result<&[u8], &String>, question: &Question) -> Self {
        Self::about(text::on_one_line(file), &Chain::read(bytes), None, question)
    }

    /// The report about a server.
    pub fn on_server(name: &str, seen: &Seen, question: &Question) -> Self {
        let chain = Chain {
            certificates: seen.chain.clone(),
            problem: seen.problem.as_deref().map(text::on_one_line),
        };
        let connection = Connection::new(seen);
        Self::about(text::on_one_line(name), &chain, Some(connection), question)
    }

    fn about(
        file: String,
        chain: &Chain,
        connection: Option<Connection>,
        question: &Question,
    ) -> Self {
        let first = chain.first();
        let problem = first.as_ref().err().or(chain.problem.as_ref());
        let problem = problem.map(|problem| format!("{file}: {problem}"));
        let unreadable_key = match &question.key {
            Some(Err(problem)) => Some(text::on_one_line(problem)),
            _ => None,
        };
        let (others, more) = chain.others();
        Self {
            problem: problem.or(unreadable_key),
            certificate: first.as_ref().ok().map(Described::new),
            extractors: Extractors::new(first.as_ref()),
            verify: verdict::verify(chain, question),
            explain: explained::explain(chain, question),
            connection,
            aside: Aside {
                others: others.iter().map(summary).collect(),
                more,
                file,
                now: question.now,
                usage: question.usage,
            },
        }
    }

    /// Whether the certificate was read, and is trusted if trust was given.
    pub fn is_good(&self) -> bool {
        self.problem.is_none()
            && self.certificate.is_some()
            && !matches!(self.verify, Some(Outcome::Error { .. }))
            && self.explain.as_ref().is_none_or(Explained::is_good)
            && self.connection.as_ref().is_none_or(Connection::is_good)
    }

    /// The report for people, with colours.
    pub fn to_styled(&self) -> String {
        format!("{self:#}")
    }

    pub fn to_json(&self) -> String {
        // Text, numbers and booleans always serialize.
        text::ascii_json(&serde_json::to_string_pretty(self).unwrap_or_default())
    }
}

fn summary(der: &CertificateDer<'_>) -> String {
    match Certificate::from_der(der) {
        Ok(certificate) => certificate.to_string(),
        Err(error) => error.cause().into_owned(),
    }
}

impl Extractors {
    fn new(certificate: Result<&Certificate, &String>) -> Self {
        let failed = |error, message| Extracted {
            outcome: Outcome::Error { error, message },
            name: None,
        };
        let read = |kind: IdentityKind| match certificate {
            Ok(certificate) => match kind.extract(certificate) {
                Ok(identity) => Extracted {
                    outcome: Outcome::Ok {
                        ok: identity.to_string(),
                    },
                    name: identity.readable_name(),
                },
                Err(error) => failed(error.reason(), error.cause().into_owned()),
            },
            Err(problem) => failed(
                "bad_encoding",
                format!("no certificate could be read: {problem}"),
            ),
        };
        let named = |kind: &IdentityKind| {
            Some((kind.to_possible_value()?.get_name().to_owned(), read(*kind)))
        };
        Self(
            IdentityKind::value_variants()
                .iter()
                .filter_map(named)
                .collect(),
        )
    }
}

impl Serialize for Extractors {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, outcome)| (name, outcome)))
    }
}
