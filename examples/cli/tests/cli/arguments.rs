//! Invalid command lines fail with the reason, or with the usage.

use std::path::Path;

use crate::example::countersign;
use crate::failure::failure;
use crate::interop::Pki;
use crate::programs::{Finished, run};
use crate::running::{client, identity_of};

/// The result of `serve` with these options besides its certificate, which cannot start.
async fn server(pki: &Pki, options: &[&str]) -> Finished {
    let files = pki.files("server", &pki.server());
    let mut server = countersign("serve");
    server.args(["--listen", "127.0.0.1:0"]);
    server.args(identity_of(&files)).args(options);
    run(&mut server, "").await
}

#[tokio::test]
async fn serve_requires_its_four_decisions() {
    let pki = Pki::new();
    let ca = path(&pki.ca_file);
    for (options, missing) in [
        (
            &["--identity", "cn", "--allow-any"][..],
            "--trust <FILE>|--trust-domain <NAME=FILE>|--pin <FILE>",
        ),
        (&["--trust", ca, "--allow-any"], "--identity <IDENTITY>"),
        (
            &["--trust", ca, "--identity", "cn"],
            "--allow <PATTERN>...|--allow-any",
        ),
        (
            &[
                "--trust",
                ca,
                "--identity",
                "cn",
                "--allow-any",
                "--allow",
                "a",
            ],
            "cannot be used with",
        ),
        (
            &["--trust", ca, "--identity", "mac", "--allow-any"],
            "possible values: spiffe, dns, uri, email, ip, cn, ou, dn, serial, fingerprint, spki, upn, kubernetes, psd2",
        ),
    ] {
        let finished = server(&pki, options).await;
        assert_eq!(finished.code, Some(2), "{options:?}: {finished:?}");
        assert!(finished.stderr.contains(missing), "{finished:?}");
    }
}

#[tokio::test]
async fn serve_reports_why_it_cannot_start() {
    let pki = Pki::new();
    let ca = path(&pki.ca_file);
    let garbage = pki.write("garbage.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n");
    let other = pki.client("other");
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let (garbage, other_key) = (path(&garbage), path(&other.key));
    let cn = ["--identity", "cn", "--allow-any"];
    for (options, why) in [
        (["--trust", "no-such-file.pem"], "no-such-file.pem"),
        (["--trust", garbage], "garbage.pem"),
        (["--pin", garbage], "garbage.pem"),
        (["--intermediate", garbage], "garbage.pem"),
        (["--key", other_key], "does not match"),
        (["--listen", &taken], "cannot listen on 127.0.0.1:"),
    ] {
        // The option replaces the default one, or adds to it.
        let files = pki.files("server", &pki.server());
        let mut server = countersign("serve");
        server.arg("--cert").arg(&files.cert).args(["--trust", ca]);
        if options[0] != "--key" {
            server.arg("--key").arg(&files.key);
        }
        if options[0] != "--listen" {
            server.args(["--listen", "127.0.0.1:0"]);
        }
        let finished = run(server.args(cn).args(options), "").await;
        assert_fails(&finished, why);
    }

    let finished = server(
        &pki,
        &[
            "--trust",
            ca,
            "--identity",
            "spiffe",
            "--allow",
            "spiffe://Example.org/*",
        ],
    )
    .await;
    assert_fails(
        &finished,
        "--allow spiffe://Example.org/*: a SPIFFE trust domain",
    );
}

#[tokio::test]
async fn call_reports_why_it_cannot_work() {
    let pki = Pki::new();
    let alice = pki.client("alice");
    let ca = path(&pki.ca_file);
    // No server listens on a port that was just closed.
    let (listener, port) = crate::interop::listen().await;
    drop(listener);
    let unused = format!("https://localhost:{port}/");
    for (options, url, why) in [
        (
            &["--trust", ca][..],
            "http://localhost/",
            "is no https:// URL",
        ),
        (&["--trust", ca], "localhost", "is no https:// URL"),
        (&["--trust", ca], "/", "is no https:// URL"),
        (
            &["--trust", ca],
            &unused,
            "cannot connect to localhost port",
        ),
        (
            &["--trust", "no-such-file.pem"],
            &unused,
            "no-such-file.pem",
        ),
        (
            &["--trust", ca, "--identity", "dns", "--allow", "*"],
            &unused,
            "--allow *: ",
        ),
    ] {
        assert_fails(&client(&alice, options, url).await, why);
    }
    for (options, missing) in [
        (
            &[][..],
            "--trust <FILE>|--trust-domain <NAME=FILE>|--webpki-roots|--pin <FILE>",
        ),
        (&["--trust", ca, "--identity", "cn"], "--allow <PATTERN>"),
        (&["--trust", ca, "--allow", "a"], "--identity <IDENTITY>"),
    ] {
        let finished = client(&alice, options, &unused).await;
        assert_eq!(finished.code, Some(2), "{finished:?}");
        assert!(finished.stderr.contains(missing), "{finished:?}");
    }
}

#[tokio::test]
async fn call_stops_at_its_timeout() {
    let pki = Pki::new();
    let alice = pki.client("alice");
    // It accepts connections, and sends nothing.
    let (_listener, port) = crate::interop::listen().await;
    let options = ["--timeout", "1", "--trust", path(&pki.ca_file)];
    let finished = client(&alice, options, &format!("https://localhost:{port}/")).await;
    assert_fails(&finished, "not finished within 1s");
}

#[track_caller]
fn assert_fails(finished: &Finished, why: &str) {
    let failure = failure(finished);
    assert!(failure.contains(why), "{why}: {failure}");
}

fn path(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}
