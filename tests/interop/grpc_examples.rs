//! The example `grpc`, run as a newcomer runs it, and by its command line.

use std::ffi::OsStr;

use support::example::example;
use support::interop::{Files, Pki};
use support::programs::{Finished, run};
use support::running::{Server, identity_of};

#[tokio::test]
async fn grpc() {
    let finished = run(&mut example("grpc"), "").await;
    assert_eq!((finished.code, &*finished.stderr), (Some(0), ""));
    let said = finished.stdout;
    let denied = "   server:  denied: rule \"create\": spiffe://example.org/ns/support/worker does not match the only SPIFFE pattern\n   client:  PERMISSION_DENIED\n";
    let made_by = "made by spiffe://example.org/ns";
    for part in [
        &*format!(
            "billing calls Create\n   client:  invoice 1 for ACME, {made_by}/billing/worker\n"
        ),
        &*format!("support calls Create\n{denied}"),
        &*format!(
            "support calls Watch\n   client:  invoice 1 for watched, {made_by}/support/worker\n"
        ),
        &*format!(
            "and calls Create again\n   client:  invoice 2 for ACME, {made_by}/billing/worker-2\n   client:  invoice 1 for watched, {made_by}/billing/worker\n"
        ),
        "   client:  disconnected (",
        "   client:  not admitted again\n",
    ] {
        assert!(said.contains(part), "{part}\n{said}");
    }
}

/// The example's server: clients with the common name `alice` or `bob` may connect, and alice may create.
pub(crate) async fn serve(pki: &Pki) -> Server {
    let mut server = example("grpc");
    server.args(["server", "--listen", "127.0.0.1:0"]);
    server.args(identity_of(&pki.files("server", &pki.server())));
    server.arg("--trust").arg(&pki.ca_file);
    server.args(["--identity", "cn", "--allow", "alice", "bob"]);
    server.args(["--create", "alice"]);
    Server::spawn(server).await
}

async fn client(pki: &Pki, own: &Files, url: &str, call: &[&str]) -> Finished {
    let mut client = example("grpc");
    client.arg("client").args(identity_of(own));
    client.args([OsStr::new("--trust"), pki.ca_file.as_ref()]);
    client.args(["--identity", "cn", "--allow", "server", url]);
    let finished = run(client.args(call), "").await;
    // Shown when the test fails.
    eprintln!("client: {finished:?}");
    finished
}

#[tokio::test]
async fn its_server_and_its_client() {
    let pki = Pki::new();
    let mut server = serve(&pki).await;
    let url = format!("https://localhost:{}", server.port);

    let alice = client(&pki, &pki.client("alice"), &url, &["create", "ACME"]).await;
    assert_eq!(alice.code, Some(0));
    assert_eq!(alice.stdout, "invoice 1 for ACME, made by alice\n");

    let files = pki.client("bob");
    let bob = client(&pki, &files, &url, &["create", "ACME"]).await;
    assert_eq!((bob.code, &*bob.stdout), (Some(1), ""));
    assert!(bob.said().contains("does not have permission"), "{bob:?}");
    let logged = server.logged().await;
    assert_eq!(
        (&logged["event"], &logged["peer"]),
        (&"denied".into(), &"bob".into())
    );
    let bob = client(&pki, &files, &url, &["watch", "2", "1"]).await;
    assert_eq!(bob.code, Some(0));
    assert!(bob.stdout.ends_with("invoice 2 for watched, made by bob\n"));

    let eve = client(&pki, &pki.client("eve"), &url, &["watch", "2", "1"]).await;
    assert_eq!((eve.code, &*eve.stdout), (Some(1), ""));
    let logged = server.logged().await;
    assert_eq!(
        (&logged["event"], &logged["reason"]),
        (&"refused".into(), &"denied".into())
    );

    let stopped = server.stop().await;
    assert_eq!(stopped.code, Some(0));
    assert_eq!(stopped.log, Vec::<serde_json::Value>::new());
}
