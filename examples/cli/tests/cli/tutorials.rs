//! The commands of common tutorials work as printed.

use std::path::Path;

use serde_json::Value;

use crate::interop::Pki;
use crate::log::{message, reason};
use crate::programs::{Finished, command, has_curl, has_openssl, run};
use crate::running::{Server, client, with};

async fn curl(server: &Server, options: &[&str], folder: &Path) -> Finished {
    let mut curl = command("curl");
    curl.current_dir(folder)
        .args(["-sS", "--noproxy", "*", "--resolve"])
        .arg(format!("localhost:{}:127.0.0.1", server.port))
        .args(options)
        .arg(server.url());
    let finished = run(&mut curl, "").await;
    eprintln!("curl: {finished:?}");
    finished
}

fn json(finished: &Finished) -> Value {
    assert_eq!(finished.code, Some(0), "{finished:?}");
    serde_json::from_str(&finished.stdout).expect("JSON")
}

#[tokio::test]
async fn a_self_signed_client_certificate_of_openssl_is_admitted_by_its_pin() {
    if !has_openssl() || !has_curl() {
        return;
    }
    let pki = Pki::new();
    let folder = pki.ca_file.parent().unwrap().to_owned();
    // As printed. Whatever it asks for, and in whatever order, "me" will do: as a country too.
    let words = "req -x509 -newkey rsa:2048 -keyout privateKey.key -out certificate.crt -days 365 \
                 -nodes";
    let mut openssl = command("openssl");
    openssl.current_dir(&folder).args(words.split(' '));
    let made = run(&mut openssl, &"me\n".repeat(10)).await;
    assert_eq!(made.code, Some(0), "{made:?}");

    let (pin, certificate) = (
        with("--pin", &folder.join("certificate.crt")),
        "certificate.crt",
    );
    let ours = [
        "--cacert",
        "ca.pem",
        "--cert",
        certificate,
        "--key",
        "privateKey.key",
    ];
    let files = pki.files("server", &pki.server());
    let cn = ["--identity", "cn", "--allow", "me"].map(Into::into);
    let server = Server::start(&files, cn.into_iter().chain(pin)).await;
    let answer = json(&curl(&server, &ours, &folder).await);
    assert_eq!(answer["identity"], "me");
    assert_eq!(
        (&answer["tls"], &answer["resumed"]),
        (&"1.3".into(), &false.into())
    );

    // Trusted as a root instead, it is still no client's certificate, and the log says what to do.
    let root = with("--trust", &folder.join(certificate));
    let any = ["--identity", "cn", "--allow-any"].map(Into::into);
    let server = Server::start(&files, any.into_iter().chain(root)).await;
    assert_ne!(curl(&server, &ours, &folder).await.code, Some(0));
    let log = server.stop().await.attempts();
    assert_eq!(reason(&log[0]), "ca_as_end_entity");
    assert!(message(&log[0]).contains("pin it"));
}

#[tokio::test]
async fn a_leaf_without_its_intermediate_is_admitted_if_the_server_has_it() {
    let pki = Pki::new();
    let issuing = pki.ca.intermediate("Issuing CA");
    let intermediate = pki.write("issuing.pem", issuing.pem());
    let full = issuing.leaf().dns("worker.example.org").issue();
    let (full, leaf_only) = (
        pki.files("full", &full),
        pki.files("leaf", &full.leaf_only()),
    );
    let files = pki.files("server", &pki.server());
    let options = |more: Vec<std::path::PathBuf>| {
        let allow = ["--identity", "dns", "--allow", "*.example.org"].map(Into::into);
        let trust = with("--trust", &pki.ca_file);
        allow.into_iter().chain(trust).chain(more)
    };
    let trust = with("--trust", &pki.ca_file);

    let server = Server::start(
        &files,
        options(with("--intermediate", &intermediate).into()),
    )
    .await;
    for sent in [&full, &leaf_only] {
        let answer = json(&client(sent, &trust, &server.url()).await);
        assert_eq!(answer["identity"], "worker.example.org");
        assert_eq!(answer["rule"], "*.example.org");
    }

    let server = Server::start(&files, options(Vec::new())).await;
    let answer = json(&client(&full, &trust, &server.url()).await);
    assert_eq!(answer["identity"], "worker.example.org");
    let refused = client(&leaf_only, &trust, &server.url()).await;
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("unknown_ca"), "{refused:?}");
    let log = server.stop().await.attempts();
    assert_eq!(reason(&log[1]), "unknown_issuer");
    let message = message(&log[1]);
    assert!(message.contains("CN=Issuing CA"), "{message}");
}

#[tokio::test]
async fn curl_works_with_both_versions_of_http_and_of_tls() {
    if !has_curl() {
        return;
    }
    let pki = Pki::new();
    let folder = pki.ca_file.parent().unwrap().to_owned();
    pki.client("alice");
    let files = pki.files("server", &pki.server());
    let ours = [
        "--cacert",
        "ca.pem",
        "--cert",
        "alice.crt",
        "--key",
        "alice.key",
    ];
    let options = |more: &[&str]| {
        let words = ["--identity", "cn", "--allow", "bob", "alice"];
        let options: Vec<_> = words.iter().chain(more).map(Into::into).collect();
        options.into_iter().chain(with("--trust", &pki.ca_file))
    };

    let server = Server::start(&files, options(&["--tls12"])).await;
    for (more, tls) in [
        (["--http1.1", "--tlsv1.3"], "1.3"),
        (["--http2", "--tlsv1.3"], "1.3"),
        (["--tls-max", "1.2"], "1.2"),
    ] {
        let answer = json(&curl(&server, &[&ours[..], &more].concat(), &folder).await);
        assert_eq!(
            (&answer["identity"], &answer["tls"]),
            (&"alice".into(), &tls.into())
        );
        assert_eq!(answer["rule"], "alice");
    }
    let posted = curl(
        &server,
        &[&ours[..], &["-i", "--http1.1", "-d", "x"]].concat(),
        &folder,
    )
    .await;
    assert!(posted.stdout.starts_with("HTTP/1.1 405 "), "{posted:?}");
    assert!(posted.stdout.to_lowercase().contains("allow: get"));

    let server = Server::start(&files, options(&[])).await;
    let refused = curl(
        &server,
        &[&ours[..], &["--tls-max", "1.2"]].concat(),
        &folder,
    )
    .await;
    assert_ne!(refused.code, Some(0));
    let plain = format!("http://localhost:{}/", server.port);
    let plain = run(command("curl").args(["-sS", "--noproxy", "*", &plain]), "").await;
    assert_ne!(plain.code, Some(0));
    let log = server.stop().await.attempts();
    assert_eq!(reason(&log[0]), "version_too_old");
    assert_eq!(reason(&log[1]), "plaintext_http");
}
