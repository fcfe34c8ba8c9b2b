//! `openssl s_client -sess_out` and `-sess_in`: a process for each connection.

use std::path::Path;

use countersign::Resumption;
use rustls::AlertDescription;

use super::ATTEMPTS;
use super::server::{Files, GREETING, Served, Server};
use support::causes::{CAUSES, World};
use support::programs::{Finished, command, has_openssl, run};
use support::{SERVER, Version};

#[tokio::test]
async fn tls13_stateful() {
    none_gets_in(Version::Tls13, Resumption::Stateful).await;
}

#[tokio::test]
async fn tls13_stateless() {
    none_gets_in(Version::Tls13, Resumption::Stateless).await;
}

#[tokio::test]
async fn tls12_stateful() {
    none_gets_in(Version::Tls12, Resumption::Stateful).await;
}

#[tokio::test]
async fn tls12_stateless() {
    none_gets_in(Version::Tls12, Resumption::Stateless).await;
}

async fn none_gets_in(version: Version, resumption: Resumption) {
    if !has_openssl() {
        return;
    }
    for cause in CAUSES {
        let world = World::new(cause, resumption);
        let (server, files) = (Server::start(&world).await, Files::write(&world));
        let call = async |option: &str, number: usize| {
            let session = files.session(number);
            let client = s_client(server.port, version, &files, (option, &session));
            tokio::join!(server.serve(), client)
        };

        // The others can be resumed more than once.
        let is_for_one_use = version == Version::Tls13 && resumption == Resumption::Stateful;
        let sessions = if is_for_one_use { ATTEMPTS + 2 } else { 1 };
        for number in 0..sessions {
            assert!(!admitted(call("-sess_out", number).await), "{cause:?}");
        }
        let mut spend = (0..sessions).cycle();
        let mut next = || spend.next().unwrap();
        assert!(admitted(call("-sess_in", next()).await), "{cause:?}");

        world.happen();
        let refusal = cause.refusal();
        for _ in 0..ATTEMPTS {
            let (served, client) = call("-sess_in", next()).await;
            assert!(served.offered);
            let error = served.resumed.unwrap_err();
            assert_eq!(error.reason(), refusal.reason, "{cause:?}");
            let resumed = client.stdout.contains("\nReused, TLSv1.");
            assert_eq!(resumed, refusal.resumed, "{cause:?}: {client:?}");
            let said = client.said();
            assert!(
                said.contains(openssl_name(refusal.alert)),
                "{cause:?}: {said}"
            );
            assert!(!said.contains(GREETING), "{cause:?}: {said}");
        }

        world.make_up();
        let resumed = admitted(call("-sess_in", next()).await);
        assert_eq!(resumed, cause.leaves_the_session(), "{cause:?}");
    }
}

/// Calls the server by this TLS version, and saves or resumes a session.
async fn s_client(
    port: u16,
    version: Version,
    files: &Files,
    (option, session): (&str, &Path),
) -> Finished {
    let mut openssl = command("openssl");
    openssl
        .args(["s_client", "-ign_eof", "-verify_return_error"])
        .args(["-connect", &format!("127.0.0.1:{port}")])
        .args(["-servername", SERVER, "-verify_hostname", SERVER])
        .args(["-CAfile".as_ref(), files.ca.as_os_str()])
        .args(["-cert".as_ref(), files.cert.as_os_str()])
        .args(["-key".as_ref(), files.key.as_os_str()])
        .args([option.as_ref(), session.as_os_str()])
        .arg(match version {
            Version::Tls12 => "-tls1_2",
            Version::Tls13 => "-tls1_3",
        });
    run(&mut openssl, "").await
}

/// Whether the admitted client resumed, on which both sides must agree.
fn admitted((served, client): (Served, Finished)) -> bool {
    let resumed = served.resumed.unwrap();
    assert!(client.stdout.contains(GREETING), "{client:?}");
    assert_eq!(client.stdout.contains("\nReused, TLSv1."), resumed);
    resumed
}

/// What OpenSSL calls an alert that it got.
fn openssl_name(alert: AlertDescription) -> &'static str {
    match alert {
        AlertDescription::CertificateExpired => "alert certificate expired",
        AlertDescription::CertificateRevoked => "alert certificate revoked",
        AlertDescription::UnknownCA => "alert unknown ca",
        AlertDescription::AccessDenied => "alert access denied",
        other => panic!("no cause leads to {other:?}"),
    }
}
