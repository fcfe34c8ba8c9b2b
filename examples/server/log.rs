//! One line of JSON for the outcome of every connection.

use std::fmt::Display;
use std::io::{self, Write as _};
use std::net::SocketAddr;

use countersign::gate::{AdmitError, Ended};
use countersign::reload::ReloadError;
use countersign::{AcceptError, Certificate, Peer, TlsStream};
use serde::Serialize;

/// A line of the log. What is not known is `null`.
#[derive(Serialize)]
struct Record<'a> {
    outcome: &'static str,
    reason: Option<&'static str>,
    rule: Option<&'a str>,
    /// Of an admitted client only: nobody else has one.
    identity: Option<String>,
    remote: Option<SocketAddr>,
    certificate: Option<Described>,
    /// Whether the client has shown that it owns the certificate's key.
    certificate_proven: bool,
    message: String,
}

#[derive(Serialize)]
struct Described {
    subject: String,
    issuer: String,
    serial: String,
    sha256: String,
}

pub(crate) fn admitted<IO, I: Display>(remote: Option<SocketAddr>, stream: &TlsStream<IO, I>) {
    let peer = stream.peer();
    write(&Record {
        outcome: "admitted",
        reason: None,
        rule: Some(stream.rule()),
        identity: Some(peer.identity().to_string()),
        remote,
        certificate: Some(describe(peer.certificate())),
        certificate_proven: true,
        message: format!("admitted by the rule \"{}\"", stream.rule()),
    });
}

pub(crate) fn refused(remote: Option<SocketAddr>, error: &AcceptError) {
    write(&Record {
        outcome: "refused",
        reason: Some(error.reason()),
        rule: None,
        identity: None,
        remote,
        certificate: error.certificate().map(describe),
        certificate_proven: is_proven(error),
        message: error.to_string(),
    });
}

/// A connection that was admitted, and that we ended.
pub(crate) fn ended<I: Display>(peer: &Peer<I>, why: &Ended) {
    write(&Record {
        outcome: "ended",
        reason: Some(why.reason()),
        rule: None,
        identity: Some(peer.identity().to_string()),
        remote: peer.connection().remote_addr(),
        certificate: Some(describe(peer.certificate())),
        certificate_proven: true,
        message: why.to_string(),
    });
}

/// Something was loaded anew.
pub(crate) fn reloaded(generation: u64) {
    write(&Record {
        outcome: "reloaded",
        reason: None,
        rule: None,
        identity: None,
        remote: None,
        certificate: None,
        certificate_proven: false,
        message: format!("files have changed and were taken: generation {generation}"),
    });
}

/// Something could not be loaded, and the old stays in force.
pub(crate) fn reload_refused(error: &ReloadError) {
    write(&Record {
        outcome: "reload_refused",
        reason: Some(error.reason()),
        rule: None,
        identity: None,
        remote: None,
        certificate: None,
        certificate_proven: false,
        message: error.to_string(),
    });
}

/// Not the outcome of a connection, since there was none.
pub(crate) fn accept_failed(error: &io::Error) {
    write(&Record {
        outcome: "accept_failed",
        reason: Some("io"),
        rule: None,
        identity: None,
        remote: None,
        certificate: None,
        certificate_proven: false,
        message: format!("no connection could be accepted: {error}"),
    });
}

/// Identity and policy come after the proof, the chain comes before it.
fn is_proven(error: &AcceptError) -> bool {
    matches!(
        error,
        AcceptError::Refused(
            AdmitError::Identity { .. }
                | AdmitError::DenyListed { .. }
                | AdmitError::Denied { .. }
                | AdmitError::PolicyPanicked { .. }
                | AdmitError::PolicyTimedOut { .. }
        )
    )
}

fn describe(certificate: &Certificate) -> Described {
    Described {
        subject: certificate.subject().to_string(),
        issuer: certificate.issuer().to_string(),
        serial: certificate.serial().to_string(),
        sha256: certificate.sha256().to_string(),
    }
}

/// In one piece, so that lines of different tasks do not mix. A log that nobody reads must not end
/// the server.
fn write(record: &Record<'_>) {
    let mut line = serde_json::to_vec(record).unwrap_or_default(); // only text and a bool
    line.push(b'\n');
    let _ = io::stderr().write_all(&line);
}
