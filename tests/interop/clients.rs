//! The example `server`, and other languages' clients and proxies: who is let in, what the others get
//! to see, and what the server's log says.
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
    is_judged(Program::Python).await;
}

#[tokio::test]
async fn java() {
    // It makes Java's files.
    if has_openssl() {
        is_judged(Program::Java).await;
    }
}

#[tokio::test]
async fn go() {
    is_judged(Program::Go).await;
}

#[tokio::test]
async fn node() {
    is_judged(Program::Node).await;
}

#[tokio::test]
async fn gnutls() {
    is_judged(Program::GnuTls).await;
}

#[tokio::test]
async fn nginx() {
    is_judged(Program::Nginx).await;
}

#[tokio::test]
async fn haproxy() {
    is_judged(Program::Haproxy).await;
}

async fn is_judged(program: Program) {
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
