//! `countersign dev-certs` writes files with which the printed commands work.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::example::countersign;
use crate::programs::{Finished, command, has_curl, run};
use crate::running::Server;

async fn dev_certs(dir: &Path, options: &[&str]) -> Finished {
    run(countersign("dev-certs").arg(dir).args(options), "").await
}

/// The printed commands, in their order.
fn commands(printed: &str) -> Vec<&str> {
    let lines = printed.lines().map(str::trim_start);
    lines
        .filter(|line| line.starts_with("countersign ") || line.starts_with("curl "))
        .collect()
}

/// Runs a printed command against this server, in a shell.
async fn run_printed(line: &str, port: u16) -> Finished {
    let program = env!("CARGO_BIN_EXE_countersign");
    let line = line
        .replacen("countersign ", &format!("'{program}' "), 1)
        .replacen("curl ", "curl -sS --noproxy '*' ", 1)
        .replace(":8443/", &format!(":{port}/"));
    run(command("sh").args(["-c", &line]), "").await
}

#[tokio::test]
async fn the_printed_commands_work() {
    let folder = tempfile::tempdir().unwrap();
    // A folder that does not exist, whose name a shell must quote.
    let dir = folder.path().join("my certs");
    let finished = dev_certs(&dir, &[]).await;
    assert_eq!((finished.code, &*finished.stderr), (Some(0), ""));
    assert!(finished.stdout.starts_with("Wrote 11 files to "));
    let commands = commands(&finished.stdout);
    let [serve, allowed, denied, expired, curl, inspect] = commands[..] else {
        panic!("{commands:?}");
    };

    let program = env!("CARGO_BIN_EXE_countersign");
    let line = serve.replacen("countersign ", &format!("exec '{program}' "), 1);
    let mut shell = command("sh");
    shell.args(["-c", &format!("{line} --listen 127.0.0.1:0")]);
    let server = Server::spawn(shell).await;

    let finished = run_printed(allowed, server.port).await;
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert!(
        finished
            .stdout
            .contains("\"identity\":\"spiffe://example.org/ns/billing/worker\""),
        "{finished:?}"
    );
    let finished = run_printed(denied, server.port).await;
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(finished.stderr.contains("access_denied"), "{finished:?}");
    let finished = run_printed(expired, server.port).await;
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(finished.stderr.contains("expired"), "{finished:?}");
    if has_curl() {
        let finished = run_printed(curl, server.port).await;
        assert_eq!(finished.code, Some(0), "{finished:?}");
    }
    let finished = run_printed(inspect, server.port).await;
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(finished.stdout.contains("(expired)"), "{finished:?}");
    server.stop().await;
}

#[tokio::test]
async fn a_client_with_a_dns_name_is_identified_by_it() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    assert_eq!(dev_certs(dir, &[]).await.code, Some(0));
    let of = |name: &str| [format!("{name}.crt"), format!("{name}.key")].map(|it| dir.join(it));
    let [cert, key] = of("server");
    let mut serve = countersign("serve");
    serve.args(["--listen", "127.0.0.1:0", "--identity", "dns"]);
    serve.args(["--allow", "worker.example"]);
    serve.arg("--trust").arg(dir.join("ca.crt"));
    serve.arg("--cert").arg(cert).arg("--key").arg(key);
    let server = Server::spawn(serve).await;
    let [cert, key] = of("worker");
    let mut call = countersign("call");
    call.arg("--trust").arg(dir.join("ca.crt"));
    call.arg("--cert").arg(cert).arg("--key").arg(key);
    // The certificate is also valid for the address.
    call.arg(format!("https://127.0.0.1:{}/", server.port));
    let finished = run(&mut call, "").await;
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert!(finished.stdout.contains("worker.example"), "{finished:?}");
    server.stop().await;
}

#[tokio::test]
async fn existing_files_are_replaced_only_by_force() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("expired.key");
    let target = folder.path().join("elsewhere");
    std::fs::write(&target, "other").unwrap();
    std::os::unix::fs::symlink(&target, &key).unwrap();

    let refused = dev_certs(folder.path(), &[]).await;
    assert_eq!((refused.code, &*refused.stdout), (Some(1), ""));
    assert_eq!(
        refused.stderr,
        format!(
            "error: {} exists\nhelp: give --force to replace the files, or another folder\n",
            key.display()
        )
    );
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);

    let forced = dev_certs(folder.path(), &["--force"]).await;
    assert_eq!((forced.code, &*forced.stderr), (Some(0), ""));
    // The link is replaced; its target is not.
    assert_eq!(std::fs::read_to_string(&target).unwrap(), "other");
    let text = std::fs::read_to_string(&key).unwrap();
    assert!(text.starts_with("-----BEGIN PRIVATE KEY-----"), "{text}");
}

#[tokio::test]
async fn only_the_owner_can_read_the_keys() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(dev_certs(folder.path(), &[]).await.code, Some(0));
    let mut modes = Vec::new();
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "key") {
            modes.push(path.metadata().unwrap().permissions().mode() & 0o777);
        }
    }
    assert_eq!(modes, [0o600; 5]);
}
