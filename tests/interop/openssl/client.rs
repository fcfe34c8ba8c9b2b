//! `openssl s_client` calls our acceptor.

use std::path::Path;

use countersign::policy;

use support::interop::{BOTH, Files, Pki, Served, Tls, deny, listen, meet, refusal};
use support::programs::{Finished, command, has_openssl, run};

/// Asks for a page by this TLS version, with or without a certificate.
///
/// `more` are further options, such as those to save and to resume a session.
async fn s_client(
    port: u16,
    tls: Tls,
    ca: &Path,
    files: Option<&Files>,
    more: &[(&str, &Path)],
) -> Finished {
    let mut openssl = command("openssl");
    openssl
        .args(["s_client", "-ign_eof", "-verify_return_error"])
        .args(["-connect", &format!("127.0.0.1:{port}")])
        .args(["-servername", "localhost"])
        .args(["-CAfile".as_ref(), ca.as_os_str()])
        .arg(match tls {
            Tls::V12 => "-tls1_2",
            Tls::V13 => "-tls1_3",
        });
    if let Some(files) = files {
        openssl.args(["-cert".as_ref(), files.cert.as_os_str()]);
        openssl.args(["-key".as_ref(), files.key.as_os_str()]);
    }
    for (option, path) in more {
        openssl.args([option.as_ref(), path.as_os_str()]);
    }
    run(&mut openssl, "GET / HTTP/1.0\r\n\r\n").await
}

#[tokio::test]
async fn an_allowed_client_gets_its_page() {
    if !has_openssl() {
        return;
    }
    let pki = Pki::new();
    let alice = pki.client("alice");
    let (acceptor, (listener, port)) = (pki.acceptor(), listen().await);
    for tls in BOTH {
        let client = s_client(port, tls, &pki.ca_file, Some(&alice), &[]);
        let (served, client) = meet(&acceptor, &listener, client).await;
        let expected = Served {
            identity: "alice".into(),
            version: Some(tls.version()),
            resumed: false,
        };
        assert_eq!(served.unwrap(), expected);
        assert!(client.stdout.contains("hello alice"));
    }
}

#[tokio::test]
async fn a_client_that_the_policy_denies_sees_access_denied() {
    if !has_openssl() {
        return;
    }
    let pki = Pki::new();
    let mallory = pki.client("mallory");
    let (acceptor, (listener, port)) = (pki.acceptor(), listen().await);
    for tls in BOTH {
        let call = || s_client(port, tls, &pki.ca_file, Some(&mallory), &[]);
        acceptor.control().set_policy(policy::exact([]));
        let (served, client) = meet(&acceptor, &listener, call()).await;
        assert_eq!(refusal(served), "denied");
        assert_alert(&client, "alert access denied", 49);

        deny(&acceptor, true);
        let (served, client) = meet(&acceptor, &listener, call()).await;
        assert_eq!(refusal(served), "denied");
        assert_alert(&client, "alert access denied", 49);
    }
}

#[tokio::test]
async fn a_client_without_a_certificate_sees_certificate_required() {
    if !has_openssl() {
        return;
    }
    let pki = Pki::new();
    let (acceptor, (listener, port)) = (pki.acceptor(), listen().await);
    for tls in BOTH {
        let client = s_client(port, tls, &pki.ca_file, None, &[]);
        let (served, client) = meet(&acceptor, &listener, client).await;
        assert_eq!(refusal(served), "no_certificate");
        assert_alert(&client, "alert certificate required", 116);
    }
}

#[tokio::test]
async fn a_client_of_an_unknown_ca_sees_unknown_ca() {
    if !has_openssl() {
        return;
    }
    let pki = Pki::new();
    let impostor = pki.impostor();
    let (acceptor, (listener, port)) = (pki.acceptor(), listen().await);
    for tls in BOTH {
        let client = s_client(port, tls, &pki.ca_file, Some(&impostor), &[]);
        let (served, client) = meet(&acceptor, &listener, client).await;
        assert_eq!(refusal(served), "unknown_issuer");
        assert_alert(&client, "alert unknown ca", 48);
    }
}

#[tokio::test]
async fn a_client_that_does_not_trust_the_server_leaves_with_an_alert() {
    if !has_openssl() {
        return;
    }
    let pki = Pki::new();
    let alice = pki.client("alice");
    let (acceptor, (listener, port)) = (pki.acceptor(), listen().await);
    for tls in BOTH {
        let client = s_client(port, tls, &pki.strange_ca_file, Some(&alice), &[]);
        let (served, client) = meet(&acceptor, &listener, client).await;
        let error = served.expect_err("the client left");
        assert_eq!(error.reason(), "alert_received");
        assert!(error.to_string().contains("unknown_ca"), "{error}");
        assert!(!client.stdout.contains("hello"));
    }
}

#[tokio::test]
async fn a_resumed_session_is_authorized_by_the_current_policy() {
    if !has_openssl() {
        return;
    }
    for tls in BOTH {
        let pki = Pki::new();
        let (ca, alice) = (&pki.ca_file, pki.client("alice"));
        let (acceptor, (listener, port)) = (pki.acceptor(), listen().await);
        let session = pki.path("session.pem");
        let call = |option| {
            let (ca, alice, session) = (ca, &alice, &session);
            async move { s_client(port, tls, ca, Some(alice), &[(option, session)]).await }
        };

        let (served, _) = meet(&acceptor, &listener, call("-sess_out")).await;
        assert!(!served.unwrap().resumed);

        // Resuming leaves the file as it is, so that the same session can be tried again.
        let (served, client) = meet(&acceptor, &listener, call("-sess_in")).await;
        let expected = Served {
            identity: "alice".into(),
            version: Some(tls.version()),
            resumed: true,
        };
        assert_eq!(served.unwrap(), expected);
        assert!(client.stdout.contains("hello alice"));
        assert!(client.stdout.contains("Reused, TLSv1."));

        for asynchronous in [false, true] {
            // TLS 1.3 tickets are for one use; get a fresh one.
            acceptor.control().set_policy(policy::allow_any());
            let (served, _) = meet(&acceptor, &listener, call("-sess_out")).await;
            assert!(!served.unwrap().resumed);
            deny(&acceptor, asynchronous);
            let (served, client) = meet(&acceptor, &listener, call("-sess_in")).await;
            let error = served.expect_err("denied");
            assert_eq!(error.reason(), "denied");
            assert!(error.to_string().contains("resumed: true"), "{error}");
            assert_alert(&client, "alert access denied", 49);
        }
    }
}

fn assert_alert(client: &Finished, alert: &str, number: u8) {
    let said = client.said();
    // So manual/troubleshooting.md warns: it is about the server's certificate.
    assert!(said.contains("verify return code: 0 (ok)"), "{said}");
    assert!(said.contains(alert), "{said}");
    assert!(
        said.contains(&format!("ssl alert number {number}")),
        "{said}"
    );
    assert!(
        !said.contains("hello"),
        "nothing may reach a refused client"
    );
}
