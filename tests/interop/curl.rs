//! Our acceptor and curl: which clients are admitted, and what the others print.

use std::path::Path;

use countersign::policy;
use support::interop::{BOTH, Files, Pki, Served, Tls, deny, listen, meet, refusal};
use support::programs::{Finished, command, has_curl, run};

/// Gets the page by this TLS version, believing `ca`, with or without a certificate.
async fn curl(port: u16, tls: Tls, ca: &Path, files: Option<&Files>) -> Finished {
    let mut curl = command("curl");
    curl.args(["--silent", "--show-error", "--http1.1", "--noproxy", "*"])
        .args(["--resolve", &format!("localhost:{port}:127.0.0.1")])
        .arg("--cacert")
        .arg(ca);
    match tls {
        Tls::V12 => curl.args(["--tlsv1.2", "--tls-max", "1.2"]),
        Tls::V13 => curl.arg("--tlsv1.3"),
    };
    if let Some(files) = files {
        curl.arg("--cert").arg(&files.cert);
        curl.arg("--key").arg(&files.key);
    }
    curl.arg(format!("https://localhost:{port}/"));
    run(&mut curl, "").await
}

#[tokio::test]
async fn an_allowed_client_gets_its_page() {
    if !has_curl() {
        return;
    }
    let pki = Pki::new();
    let alice = pki.client("alice");
    let (acceptor, (listener, port)) = (pki.acceptor(), listen().await);
    for tls in BOTH {
        let curl = curl(port, tls, &pki.ca_file, Some(&alice));
        let (served, curl) = meet(&acceptor, &listener, curl).await;
        let expected = Served {
            identity: "alice".into(),
            version: Some(tls.version()),
            resumed: false,
        };
        assert_eq!(served.unwrap(), expected);
        assert_eq!((curl.code, &*curl.stdout), (Some(0), "hello alice"));
    }
}

#[tokio::test]
async fn a_client_that_the_policy_denies_sees_access_denied() {
    if !has_curl() {
        return;
    }
    let pki = Pki::new();
    let mallory = pki.client("mallory");
    let (acceptor, (listener, port)) = (pki.acceptor(), listen().await);
    for (tls, asynchronous) in [(0, false), (0, true), (1, false), (1, true)] {
        let tls = BOTH[tls];
        if asynchronous {
            deny(&acceptor, true);
        } else {
            acceptor.control().set_policy(policy::exact([]));
        }
        let curl = curl(port, tls, &pki.ca_file, Some(&mallory));
        let (served, curl) = meet(&acceptor, &listener, curl).await;
        assert_eq!(refusal(served), "denied");
        assert_alert(&curl, "alert access denied");
    }
}

#[tokio::test]
async fn a_client_without_a_certificate_sees_certificate_required() {
    if !has_curl() {
        return;
    }
    let pki = Pki::new();
    let (acceptor, (listener, port)) = (pki.acceptor(), listen().await);
    for tls in BOTH {
        let curl = curl(port, tls, &pki.ca_file, None);
        let (served, curl) = meet(&acceptor, &listener, curl).await;
        assert_eq!(refusal(served), "no_certificate");
        assert_alert(&curl, "alert certificate required");
    }
}

#[tokio::test]
async fn a_client_of_an_unknown_ca_sees_unknown_ca() {
    if !has_curl() {
        return;
    }
    let pki = Pki::new();
    let impostor = pki.impostor();
    let (acceptor, (listener, port)) = (pki.acceptor(), listen().await);
    for tls in BOTH {
        let curl = curl(port, tls, &pki.ca_file, Some(&impostor));
        let (served, curl) = meet(&acceptor, &listener, curl).await;
        assert_eq!(refusal(served), "unknown_issuer");
        assert_alert(&curl, "alert unknown ca");
    }
}

#[tokio::test]
async fn a_client_that_does_not_trust_the_server_leaves_with_an_alert() {
    if !has_curl() {
        return;
    }
    let pki = Pki::new();
    let alice = pki.client("alice");
    let (acceptor, (listener, port)) = (pki.acceptor(), listen().await);
    for tls in BOTH {
        let curl = curl(port, tls, &pki.strange_ca_file, Some(&alice));
        let (served, curl) = meet(&acceptor, &listener, curl).await;
        let error = served.expect_err("curl left");
        assert_eq!(error.reason(), "alert_received");
        assert!(error.to_string().contains("unknown_ca"), "{error}");
        assert_eq!(curl.code, Some(60), "curl's \"certificate problem\"");
    }
}

#[tokio::test]
async fn tls12_must_be_allowed() {
    if !has_curl() {
        return;
    }
    let pki = Pki::new();
    let alice = pki.client("alice");
    let acceptor = countersign::Acceptor::builder()
        .credentials(pki.server().credentials())
        .trust(pki.ca.trust())
        .identify(countersign::identity::CommonName::extractor())
        .authorize(policy::allow_any())
        .build()
        .unwrap();
    let (listener, port) = listen().await;
    let ca = &pki.ca_file;

    let (served, curl_12) =
        meet(&acceptor, &listener, curl(port, Tls::V12, ca, Some(&alice))).await;
    assert_eq!(refusal(served), "version_too_old");
    assert_alert(&curl_12, "alert protocol version");

    let (served, curl_13) =
        meet(&acceptor, &listener, curl(port, Tls::V13, ca, Some(&alice))).await;
    assert_eq!(served.unwrap().identity, "alice");
    assert_eq!(curl_13.stdout, "hello alice");
}

fn assert_alert(curl: &Finished, alert: &str) {
    assert_ne!(curl.code, Some(0));
    assert_eq!(curl.stdout, "", "nothing may reach a refused client");
    let line = curl.stderr.to_lowercase();
    assert!(line.contains(alert), "{line}");
}
