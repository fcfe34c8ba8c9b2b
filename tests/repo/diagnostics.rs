//! Every public error has a stable code, a cause and a remedy, and `Display` joins the two texts.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use countersign::Side;
use countersign::gate::AdmitError;
use countersign::identity::{IdentityError, IdentityErrorKind};
use countersign::integration::http::ProxiedIdentityError;
use countersign::live::CloseReason;
use countersign::pki::{CredentialsError, PemError};
use countersign::policy::DeniedBy;
use countersign::proxy_protocol::{HeaderError, Trusted};
use countersign::reload::{Part, ReloadError};
use countersign::rustls::{self, AlertDescription, PeerIncompatible};
use countersign::testing::TestCa;
use countersign::trust::ChainError;
use countersign::{
    AcceptError, BuildError, Certificate, ConnectError, Diagnostic, FipsError, HandshakeError,
    PeerAlert, PostQuantumError, PreambleError, ShedReason,
};
use http::HeaderName;
use rustls_pki_types::UnixTime;

/// Reasons and refusals that are errors, and are not named so.
const OTHER_NAMES: [&str; 4] = ["PeerAlert", "ShedReason", "CloseReason", "NoPeerError"];

#[test]
fn every_public_error_implements_diagnostic() {
    let root = support::workspace().join("src");
    let (mut errors, mut missing) = (0, BTreeSet::new());
    for file in sources(&root) {
        let text = fs::read_to_string(&file).unwrap();
        for name in text.lines().filter_map(public_error) {
            errors += 1;
            if !is_implemented_beside(&file, name) {
                missing.insert(format!("{}: {name}", file.display()));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
    assert!(errors > 30, "found {errors} only");
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// The name of the error that this line declares.
fn public_error(line: &str) -> Option<&str> {
    let declared = line
        .strip_prefix("pub enum ")
        .or_else(|| line.strip_prefix("pub struct "))?;
    let name = identifier(declared);
    (name.ends_with("Error") || OTHER_NAMES.contains(&name)).then_some(name)
}

/// In the folder of the declaration, since private errors elsewhere may have the same name.
fn is_implemented_beside(file: &Path, name: &str) -> bool {
    fs::read_dir(file.parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .any(|path| implements_diagnostic(&fs::read_to_string(path).unwrap(), name))
}

fn implements_diagnostic(text: &str, name: &str) -> bool {
    text.lines()
        .filter(|line| line.starts_with("impl"))
        .filter_map(|line| line.split_once("Diagnostic for "))
        .any(|(_, implementor)| identifier(implementor) == name)
}

fn identifier(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_');
    &text[..end.unwrap_or(text.len())]
}

#[test]
fn declarations_and_implementations_are_found() {
    assert_eq!(public_error("pub enum AError {"), Some("AError"));
    assert_eq!(public_error("pub struct BError<E> {"), Some("BError"));
    assert_eq!(public_error("pub struct CError;"), Some("CError"));
    assert_eq!(public_error("pub enum CloseReason {"), Some("CloseReason"));
    assert_eq!(public_error("pub(crate) enum AError {"), None);
    assert_eq!(public_error("pub enum ErrorKind {"), None);
    let text = "impl<E: Error> crate::Diagnostic for AError<E> {\n}\n";
    assert!(implements_diagnostic(text, "AError"));
    assert!(!implements_diagnostic(text, "Error"));
}

/// The contract of the trait, for an error whose values contain no semicolon.
fn check(error: &dyn Diagnostic) {
    let (cause, remedy) = (Diagnostic::cause(error), error.remedy());
    let line = error.to_string();
    assert_eq!(line, format!("{cause}; {remedy}"));
    for text in [&cause, &remedy] {
        assert!(!text.trim().is_empty(), "{line}");
        assert!(!text.contains("; "), "{line}");
        assert!(!text.chars().any(char::is_control), "{line:?}");
        assert!(!text.ends_with(['.', ';', ' ']), "{line}");
    }
    let reason = error.reason();
    let is_code = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    assert!(
        !reason.is_empty() && reason.chars().all(is_code),
        "{reason}"
    );
}

/// A wrapping error has the code and the remedy of what it wraps, and its cause.
fn check_delegation(outer: &dyn Diagnostic, inner: &dyn Diagnostic) {
    check(outer);
    assert_eq!(outer.reason(), inner.reason());
    assert_eq!(outer.remedy(), inner.remedy());
    let (outer, inner) = (Diagnostic::cause(outer), Diagnostic::cause(inner));
    assert!(outer.ends_with(&*inner), "{outer}: {inner}");
}

fn certificate() -> Certificate {
    let leaf = TestCa::new("Root").leaf().common_name("a").dns("a.example");
    leaf.issue().certificate()
}

fn admit_errors() -> Vec<AdmitError> {
    let certificate = certificate();
    let c = || certificate.clone();
    let identity = |kind| AdmitError::Identity {
        certificate: c(),
        error: IdentityError::new(kind, "the certificate has two"),
    };
    vec![
        AdmitError::Chain(ChainError::NoCertificate),
        AdmitError::Chain(ChainError::CaAsEndEntity { certificate: c() }),
        identity(IdentityErrorKind::Missing),
        identity(IdentityErrorKind::Ambiguous),
        identity(IdentityErrorKind::BadSyntax),
        identity(IdentityErrorKind::Panicked),
        AdmitError::DenyListed {
            certificate: c(),
            by: DeniedBy::Serial,
        },
        AdmitError::Denied {
            certificate: c(),
            reason: "closed".into(),
        },
        AdmitError::PolicyPanicked { certificate: c() },
        AdmitError::PolicyTimedOut {
            certificate: c(),
            timeout: Duration::from_secs(1),
        },
        AdmitError::PolicyNotAsked { certificate: c() },
        AdmitError::TooManyConnections {
            certificate: c(),
            limit: 3,
        },
        AdmitError::TooManyConnectionsOfIdentity {
            certificate: c(),
            limit: 3,
        },
        AdmitError::Panicked { certificate: c() },
        AdmitError::NotAudited {
            certificate: c(),
            error: countersign::audit::RecordError::new("no space left on device"),
        },
        AdmitError::PolicyIsAsync,
        AdmitError::HandshakeIncomplete,
        AdmitError::UnknownServerName,
        AdmitError::NoClock,
        AdmitError::Suspended {
            why: "control plane: no new value has arrived for 60s".into(),
        },
    ]
}

fn handshake_errors() -> Vec<HandshakeError> {
    use rustls::Error as E;

    vec![
        HandshakeError::KeyNotProven {
            certificate: certificate(),
        },
        HandshakeError::Alert(PeerAlert::new(
            AlertDescription::AccessDenied,
            Side::Server,
            Some(certificate()),
        )),
        HandshakeError::VersionTooOld,
        HandshakeError::PlaintextHttp,
        HandshakeError::ProxyHeader,
        HandshakeError::Tls(E::DecryptError),
        HandshakeError::Tls(E::NoApplicationProtocol),
        HandshakeError::Tls(E::FailedToGetCurrentTime),
        HandshakeError::Tls(PeerIncompatible::NoCipherSuitesInCommon.into()),
        HandshakeError::Tls(PeerIncompatible::NoSignatureSchemesInCommon.into()),
        HandshakeError::Tls(PeerIncompatible::ExtendedMasterSecretExtensionRequired.into()),
        HandshakeError::Tls(PeerIncompatible::NullCompressionRequired.into()),
        HandshakeError::Closed { received: 0 },
        HandshakeError::TimedOut {
            timeout: Duration::from_secs(10),
            received: 3,
        },
        HandshakeError::MessageTooLarge,
        HandshakeError::TooMuchReceived { limit: 1 },
        HandshakeError::Io(std::io::ErrorKind::PermissionDenied.into()),
    ]
}

#[test]
fn refusals_of_the_gate() {
    for error in admit_errors() {
        check(&error);
        check_delegation(&AcceptError::from(error.clone()), &error);
        check_delegation(&ConnectError::from(error.clone()), &error);
        check_delegation(&CloseReason::NotAdmitted(error.clone()), &error);
    }
}

/// A refusal names the certificate wherever there is a peer that it is about.
#[test]
fn refusals_of_a_peer_have_its_certificate() {
    let certificate = certificate();
    for error in admit_errors() {
        let is_of_no_peer = matches!(
            error,
            AdmitError::Chain(ChainError::NoCertificate)
                | AdmitError::PolicyIsAsync
                | AdmitError::HandshakeIncomplete
                | AdmitError::UnknownServerName
                | AdmitError::NoClock
                | AdmitError::Suspended { .. }
        );
        let named = error.certificate().map(Certificate::subject);
        let expected = (!is_of_no_peer).then(|| certificate.subject());
        assert_eq!(named, expected, "{error}");
    }
}

#[test]
fn failures_of_handshakes() {
    for error in handshake_errors() {
        check(&error);
        let texts = (error.to_string(), error.reason());
        let accept = AcceptError::Handshake(error);
        check(&accept);
        assert_eq!((accept.to_string(), accept.reason()), texts);
    }
    for error in handshake_errors() {
        let texts = (error.to_string(), error.reason());
        let connect = ConnectError::Handshake(error);
        check(&connect);
        assert_eq!((connect.to_string(), connect.reason()), texts);
    }
    check(&ConnectError::NotAsked);
    check(&ConnectError::InvalidServerName {
        name: "https://a\nb".into(),
    });
    for shed in [
        ShedReason::TooManyHandshakes,
        ShedReason::TooManyOfAddress,
        ShedReason::EarlyDrop,
        ShedReason::Displaced,
        ShedReason::AddressNotAdmitted,
    ] {
        check(&shed);
        check_delegation(&AcceptError::Shed(shed), &shed);
    }
    let other = PreambleError::new("no_starttls", "the client does not ask for TLS");
    let errors = header_errors().map(PreambleError::from);
    for error in errors.into_iter().chain([other]) {
        check(&error);
        check_delegation(&AcceptError::Preamble(error.clone()), &error);
    }
    for error in header_errors() {
        check(&error);
    }
    check(&Trusted::nets(["10.0.0.1/8"]).unwrap_err());
}

#[test]
fn refusals_of_clients_behind_proxies() {
    let header = || HeaderName::from_static("client-cert");
    for error in [
        ProxiedIdentityError::NoPeer,
        ProxiedIdentityError::NotFromProxy { header: header() },
        ProxiedIdentityError::SeveralHeaders,
        ProxiedIdentityError::Panicked,
        ProxiedIdentityError::Missing { header: header() },
        ProxiedIdentityError::Repeated { header: header() },
        ProxiedIdentityError::Mixed { header: header() },
        ProxiedIdentityError::TooLarge { header: header() },
        ProxiedIdentityError::Malformed {
            header: header(),
            problem: "it is empty",
        },
        ProxiedIdentityError::Mismatch {
            header: header(),
            part: "Hash",
        },
    ] {
        check(&error);
    }
    for error in admit_errors() {
        check_delegation(&ProxiedIdentityError::from(error.clone()), &error);
    }
}

fn header_errors() -> [HeaderError; 7] {
    [
        HeaderError::Missing,
        HeaderError::Malformed("it has two checksums"),
        HeaderError::TooLong,
        HeaderError::BadChecksum,
        HeaderError::Closed,
        HeaderError::TimedOut,
        HeaderError::Io,
    ]
}

#[test]
fn alerts_of_peers() {
    for number in 0..=u8::MAX {
        for peer in [Side::Client, Side::Server] {
            for own in [None, Some(certificate())] {
                let alert = PeerAlert::new(AlertDescription::from(number), peer, own);
                check(&alert);
                assert_eq!(alert.reason(), "alert_received");
                check_delegation(&HandshakeError::Alert(alert.clone()), &alert);
            }
        }
    }
}

#[test]
fn reasons_to_close_a_connection() {
    for reason in [
        CloseReason::Expired {
            certificate: certificate(),
            not_after: UnixTime::now(),
        },
        CloseReason::NoClock {
            missing: Duration::from_secs(60),
        },
        CloseReason::MaxAge {
            max_age: Duration::from_secs(3600),
        },
        CloseReason::CredentialsReplaced,
        CloseReason::ByApplication,
        CloseReason::ShutDown,
    ] {
        check(&reason);
    }
}

#[test]
fn builds_and_reloads() {
    let no_key = || CredentialsError::NoKey {
        place: "a.pem".into(),
        has_certificate: false,
    };
    check_delegation(&BuildError::from(no_key()), &no_key());
    let tls12 = || PostQuantumError::Tls12;
    check_delegation(&BuildError::from(tls12()), &tls12());
    let provider = || FipsError::Provider;
    check_delegation(&BuildError::from(provider()), &provider());
    for error in [
        BuildError::EmptyTrust,
        BuildError::NoProvider,
        BuildError::Provider(rustls::Error::FailedToGetCurrentTime),
        BuildError::InvalidAlpn,
        BuildError::NoTicketer,
        BuildError::NoClock,
        BuildError::NotCovered {
            name: "b.example".into(),
            certificate: certificate(),
        },
    ] {
        check(&error);
        let error = Arc::new(error);
        check_delegation(
            &ReloadError::Unfit {
                error: Arc::clone(&error),
            },
            &*error,
        );
    }
    for error in [
        ReloadError::TooLarge {
            file: "a.pem".into(),
            limit: 1,
        },
        ReloadError::NotAFile {
            path: "a.pem".into(),
        },
        ReloadError::KeepsChanging { reads: 3 },
        ReloadError::Panicked { part: None },
        ReloadError::Panicked {
            part: Some(Part::Trust),
        },
        ReloadError::OtherDenyList,
        ReloadError::Stopped,
    ] {
        check(&error);
    }
}

#[test]
fn loaders_of_a_reload() {
    let load = |error| ReloadError::Load {
        part: Part::Trust,
        error,
    };
    let ours = || PemError::NotAFile {
        path: "a.pem".into(),
    };
    check_delegation(&load(Arc::new(ours())), &ours());
    let no_value = ReloadError::NoValue {
        error: Arc::new(ours()),
    };
    check_delegation(&no_value, &ours());

    let theirs = load(Arc::new(std::io::Error::other("the vault is sealed")));
    check(&theirs);
    assert_eq!(theirs.reason(), "load_failed");
    assert_eq!(Diagnostic::cause(&theirs), "trust: the vault is sealed");
}
