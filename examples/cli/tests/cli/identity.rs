//! `--identity`: the server and the client identify a peer by each kind of identity.

use std::path::PathBuf;

use crate::failure::failure;
use crate::identities::of_each_kind;
use crate::interop::Pki;
use crate::log::reason;
use crate::running::{Server, client, with};

#[tokio::test]
async fn the_server_allows_by_every_kind_of_identity() {
    let pki = Pki::new();
    let server_files = pki.files("server", &pki.server());
    let trust = with("--trust", &pki.ca_file);
    let kinds = of_each_kind(&pki.ca);
    assert_eq!(kinds.len(), 14);
    for named in kinds {
        let (kind, identity) = (named.kind, &*named.identity);
        let options = ["--identity", kind, "--allow", identity].map(PathBuf::from);
        let server = Server::start(&server_files, options.iter().chain(&trust)).await;

        let files = pki.files("client", &named.issued);
        let admitted = client(&files, &trust, &server.url()).await;
        assert_eq!(admitted.code, Some(0), "{kind}: {admitted:?}");
        let answer: serde_json::Value = serde_json::from_str(&admitted.stdout).expect("JSON");
        assert_eq!(answer["identity"], identity, "{kind}");
        assert_eq!(answer["rule"], identity, "{kind}");

        let files = pki.files("other", &named.other);
        let refused = client(&files, &trust, &server.url()).await;
        let alert = ": access_denied (its policy: ";
        assert!(failure(&refused).contains(alert), "{kind}: {refused:?}");

        let log = server.stop().await.attempts();
        let shown = log[0]["countersign"]["identity"]["value"].as_str();
        assert_eq!(shown, Some(identity), "{kind}");
        assert_eq!(reason(&log[1]), "denied", "{kind}: {log:?}");
        let why = log[1]["error"]["message"].as_str().expect("text");
        let begins = "denied by policy: no --allow pattern matches ";
        assert!(why.starts_with(begins), "{kind}: {why}");
    }
}

#[tokio::test]
async fn a_certificate_without_that_identity_is_rejected() {
    let pki = Pki::new();
    let files = pki.files("server", &pki.server());
    let trust = with("--trust", &pki.ca_file);
    let any = ["--identity", "upn", "--allow-any"].map(PathBuf::from);
    let server = Server::start(&files, any.iter().chain(&trust)).await;
    let alice = pki.client("alice");
    assert_eq!(client(&alice, &trust, &server.url()).await.code, Some(1));
    let log = server.stop().await.attempts();
    assert_eq!(reason(&log[0]), "identity_missing", "{log:?}");
}

#[tokio::test]
async fn the_client_identifies_the_server_by_its_key() {
    let pki = Pki::new();
    let issued = pki.server();
    let trust = with("--trust", &pki.ca_file);
    let any = ["--identity", "cn", "--allow-any"].map(PathBuf::from);
    let server = Server::start(&pki.files("server", &issued), any.iter().chain(&trust)).await;
    let alice = pki.client("alice");
    let key = issued.certificate().spki_sha256().to_string();
    let other = pki.server().certificate().spki_sha256().to_string();
    for (allowed, code) in [(&key, 0), (&other, 1)] {
        let options = ["--identity", "spki", "--allow", allowed].map(PathBuf::from);
        let finished = client(&alice, options.iter().chain(&trust), &server.url()).await;
        assert_eq!(finished.code, Some(code), "{finished:?}");
        if code == 1 {
            let denied = format!("denied by policy: no --allow pattern matches {key}");
            assert!(failure(&finished).starts_with(&denied), "{finished:?}");
        }
    }
}
