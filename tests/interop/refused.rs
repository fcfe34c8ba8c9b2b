//! Every refusal reaches real clients as its alert, and never as a reset, although they have sent
//! a request by then that the server does not read.

use std::path::Path;

use countersign::identity::CommonName;
use countersign::policy::{self, DenyEntry, DenyList};
use countersign::{Acceptor, Listener};
use support::interop::{BOTH, Files, Pki, Tls, name};
use support::programs::{Finished, command, has_curl, has_openssl, has_python, run};
use tokio::task::JoinSet;

/// By each program, both TLS versions and all causes together.
const REFUSALS: usize = 500;

/// A client, and how OpenSSL spells the alert that it gets.
struct Refused {
    files: Files,
    alert: &'static str,
}

struct World {
    pki: Pki,
    refused: Vec<Refused>,
    port: u16,
    _listener: tokio::task::JoinHandle<()>,
}

impl World {
    async fn new() -> Self {
        let pki = Pki::new();
        let stolen = pki.ca.leaf().common_name("stolen").issue();
        let denied = DenyList::new();
        denied.insert(DenyEntry::Key(stolen.certificate().spki_sha256()));
        let acceptor = Acceptor::builder()
            .credentials(pki.server().credentials())
            .trust(pki.ca.trust())
            .identify(CommonName::extractor())
            .authorize(policy::exact([name("alice"), name("stolen")]))
            .deny_list(&denied)
            .allow_tls12()
            .build()
            .expect("an acceptor");
        let mut listener = Listener::bind(acceptor, "127.0.0.1:0")
            .await
            .expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let refused = |files, alert| Refused { files, alert };
        Self {
            refused: vec![
                refused(pki.client("mallory"), "access denied"),
                refused(pki.files("stolen", &stolen), "certificate revoked"),
                refused(pki.impostor(), "unknown ca"),
            ],
            pki,
            port,
            _listener: tokio::spawn(async move {
                let admitted = listener.accept().await;
                panic!("no client is to be admitted: {admitted:?}");
            }),
        }
    }

    fn case(&self, number: usize) -> (&Refused, Tls) {
        let refused = &self.refused[number % self.refused.len()];
        (refused, BOTH[number / self.refused.len() % BOTH.len()])
    }

    /// Calls as often as it says, some at a time.
    async fn all<F>(&self, call: impl Fn(u16, Tls, &Path, &Files) -> F)
    where
        F: Future<Output = Finished> + Send + 'static,
    {
        const ABREAST: usize = 8;

        let mut calls = JoinSet::new();
        for number in 0..REFUSALS {
            let (refused, tls) = self.case(number);
            let call = call(self.port, tls, &self.pki.ca_file, &refused.files);
            let alert = refused.alert;
            calls.spawn(async move { check(&call.await, alert, tls) });
            if calls.len() >= ABREAST {
                calls.join_next().await.expect("a call").expect("its alert");
            }
        }
        while let Some(call) = calls.join_next().await {
            call.expect("its alert");
        }
    }
}

fn check(finished: &Finished, alert: &str, tls: Tls) {
    let said = finished.said();
    assert!(said.contains(alert), "{tls:?}, {alert}: {finished:?}");
    assert!(!said.contains("reset"), "{tls:?}, {alert}: {finished:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openssl_sees_every_alert() {
    if !has_openssl() {
        return;
    }
    let world = World::new().await;
    world
        .all(|port, tls, ca, files| {
            let mut openssl = command("openssl");
            openssl
                .args([
                    "s_client",
                    "-quiet",
                    "-connect",
                    &format!("127.0.0.1:{port}"),
                ])
                .args(["-CAfile".as_ref(), ca.as_os_str()])
                .args(["-cert".as_ref(), files.cert.as_os_str()])
                .args(["-key".as_ref(), files.key.as_os_str()])
                .arg(match tls {
                    Tls::V12 => "-tls1_2",
                    Tls::V13 => "-tls1_3",
                });
            async move { run(&mut openssl, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn curl_sees_every_alert() {
    if !has_curl() {
        return;
    }
    let world = World::new().await;
    world
        .all(|port, tls, ca, files| {
            let mut curl = command("curl");
            curl.args(["--silent", "--show-error", "--http1.1", "--noproxy", "*"])
                .args(["--resolve", &format!("localhost:{port}:127.0.0.1")])
                .args(["--cacert".as_ref(), ca.as_os_str()])
                .args(["--cert".as_ref(), files.cert.as_os_str()])
                .args(["--key".as_ref(), files.key.as_os_str()]);
            match tls {
                Tls::V12 => curl.args(["--tlsv1.2", "--tls-max", "1.2"]),
                Tls::V13 => curl.arg("--tlsv1.3"),
            };
            curl.arg(format!("https://localhost:{port}/"));
            async move { run(&mut curl, "").await }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn python_sees_every_alert() {
    if !has_python() {
        return;
    }
    let world = World::new().await;
    let cases = world.refused.len() * BOTH.len();
    let each = REFUSALS.div_ceil(cases);
    for number in 0..cases {
        let (refused, tls) = world.case(number);
        let mut python = command("python3");
        python
            .args(["-c", include_str!("refused/client.py")])
            .arg(world.port.to_string())
            .arg(&world.pki.ca_file)
            .arg(&refused.files.cert)
            .arg(&refused.files.key)
            .arg(match tls {
                Tls::V12 => "TLSv1_2",
                Tls::V13 => "TLSv1_3",
            })
            .arg(each.to_string());
        let finished = run(&mut python, "").await;
        let alert = refused.alert.replace(' ', "_").to_uppercase();
        let lines: Vec<&str> = finished.stdout.lines().collect();
        assert_eq!(lines.len(), each, "{finished:?}");
        for line in lines {
            assert!(
                line.ends_with(&format!("ALERT_{alert}")),
                "{tls:?}: {line}, {finished:?}"
            );
        }
    }
}
