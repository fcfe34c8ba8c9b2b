//! `countersign serve` and clients and proxies of other languages: which are admitted, what the others
//! print, and what the server's log says.
//!
//! For curl and OpenSSL, see `interop_curl` and `interop_openssl`; for what each of these prints at
//! each refusal, `troubleshooting`.
#![cfg(unix)] // the server is stopped by a signal

use crate::callers::{Answer, Caller, Order, Program, Speaks, alerts};
use rustls::AlertDescription;
use serde_json::Value;
use support::interop::{BOTH, Files, Pki, Tls};
use support::log::{Outcome, outcomes, refused};
use support::programs::has_openssl;
use support::running::{Server, with};

#[tokio::test]
async fn python() {
    assert_outcomes(Program::Python).await;
}

#[tokio::test]
async fn java() {
    // It makes Java's files.
    if has_openssl() {
        assert_outcomes(Program::Java).await;
    }
}

#[tokio::test]
async fn go() {
    assert_outcomes(Program::Go).await;
}

#[tokio::test]
async fn node() {
    assert_outcomes(Program::Node).await;
}

#[tokio::test]
async fn gnutls() {
    assert_outcomes(Program::GnuTls).await;
}

#[tokio::test]
async fn nginx() {
    assert_outcomes(Program::Nginx).await;
}

#[tokio::test]
async fn haproxy() {
    assert_outcomes(Program::Haproxy).await;
}

async fn assert_outcomes(program: Program) {
    let Some(mut caller) = Caller::start(program).await else {
        return;
    };
    let pki = Pki::new();
    let (alice, mallory) = (pki.client("alice"), pki.client("mallory"));
    for tls in BOTH {
        if tls == Tls::V12 && !caller.has_ems() {
            let (said, log) = meet(&mut caller, &pki, tls, Some(&alice)).await;
            assert_eq!(named(said), Some(AlertDescription::HandshakeFailure));
            assert_eq!(log, refused("tls"));
            continue;
        }
        let (said, log) = meet(&mut caller, &pki, tls, Some(&alice)).await;
        let Answer::Page(page) = said else {
            panic!("{tls:?}: {said:?}");
        };
        let page: Value = serde_json::from_str(&page).expect("JSON");
        let version = match tls {
            Tls::V12 => "1.2",
            Tls::V13 => "1.3",
        };
        assert_eq!(
            (&page["identity"], &page["tls"]),
            (&"alice".into(), &version.into())
        );
        assert_eq!(log, Outcome::Admitted);

        let (said, log) = meet(&mut caller, &pki, tls, Some(&mallory)).await;
        assert_eq!(named(said), Some(AlertDescription::AccessDenied), "{tls:?}");
        assert_eq!(log, refused("denied"));

        let (said, log) = meet(&mut caller, &pki, tls, None).await;
        assert_eq!(
            named(said),
            Some(AlertDescription::CertificateRequired),
            "{tls:?}"
        );
        assert_eq!(log, refused("no_certificate"));
    }
}

/// What a client says of one call, and what the server's log says.
async fn meet(
    caller: &mut Caller,
    pki: &Pki,
    tls: Tls,
    files: Option<&Files>,
) -> (Answer, Outcome) {
    let arguments = ["--tls12", "--identity", "cn", "--allow", "alice"].map(Into::into);
    let arguments = arguments.into_iter().chain(with("--trust", &pki.ca_file));
    let server = Server::start(&pki.files("server", &pki.server()), arguments).await;
    let speaks = match tls {
        Tls::V12 if !caller.has_ems() => Speaks::TlsWithoutEms,
        _ => Speaks::Tls,
    };
    let order = Order {
        host: "localhost",
        port: server.port,
        speaks,
        ca: &pki.ca_file,
        files,
        tls,
        wait: None,
    };
    let answer = caller.call(order).await.expect("it can do this");
    let mut log = outcomes(&server.stop().await.log);
    // Java tries a second time.
    log.dedup();
    assert_eq!(log.len(), 1, "{log:?}");
    (answer, log.remove(0))
}

/// The alert that a client names.
fn named(answer: Answer) -> Option<AlertDescription> {
    alerts::named(&answer.error()).map(AlertDescription::from)
}
