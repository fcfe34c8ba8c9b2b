//! Python's `ssl`: one process makes all connections of a cell.

use countersign::Resumption;
use rustls::AlertDescription;
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::time::timeout;

use super::ATTEMPTS;
use super::server::{Files, GREETING, Served, Server};
use support::Version;
use support::causes::{CAUSES, Cause, World};
use support::programs::{PATIENCE, command, has_python};

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
    if !has_python() {
        return;
    }
    for cause in CAUSES {
        let world = World::new(cause, resumption);
        let (server, files) = (Server::start(&world).await, Files::write(&world));
        let mut python = Python::start(server.port, &files, version);

        // The others can be resumed more than once.
        let is_for_one_use = version == Version::Tls13 && resumption == Resumption::Stateful;
        let sessions = if is_for_one_use { ATTEMPTS + 2 } else { 1 };
        for (served, client) in python.call("collect", sessions, &server).await {
            assert!(!served.resumed.unwrap() && !served.offered, "{cause:?}");
            assert_eq!((client.reused, client.said.as_str()), (false, GREETING));
            if cause == Cause::Expired && resumption == Resumption::Stateless {
                let hint = client.lifetime.unwrap();
                assert!(
                    (3000..=3600).contains(&hint),
                    "{hint}: until the certificate ends"
                );
            }
        }
        for (served, client) in python.call("spend", 1, &server).await {
            assert!(served.resumed.unwrap(), "{cause:?}: the session is good");
            assert_eq!((client.reused, client.said.as_str()), (true, GREETING));
        }

        world.happen();
        let refusal = cause.refusal();
        let calls = python.call("spend", ATTEMPTS, &server).await;
        assert_eq!(calls.len(), ATTEMPTS);
        for (served, client) in calls {
            assert!(served.offered);
            let error = served.resumed.unwrap_err();
            assert_eq!(error.reason(), refusal.reason, "{cause:?}");
            let alert = client.alert.as_deref();
            assert_eq!(alert, Some(openssl_name(refusal.alert)), "{cause:?}");
            assert_eq!((client.reused, client.said.as_str()), (refusal.resumed, ""));
        }

        world.make_up();
        for (served, client) in python.call("spend", 1, &server).await {
            assert!(served.offered);
            let resumed = served.resumed.unwrap();
            assert_eq!(resumed, cause.leaves_the_session(), "{cause:?}");
            assert_eq!((client.reused, client.said.as_str()), (resumed, GREETING));
        }
        python.end().await;
    }
}

/// What OpenSSL calls an alert that it got; those that SSL 3 had, it calls by that.
fn openssl_name(alert: AlertDescription) -> &'static str {
    match alert {
        AlertDescription::CertificateExpired => "SSLV3_ALERT_CERTIFICATE_EXPIRED",
        AlertDescription::CertificateRevoked => "SSLV3_ALERT_CERTIFICATE_REVOKED",
        AlertDescription::UnknownCA => "TLSV1_ALERT_UNKNOWN_CA",
        AlertDescription::AccessDenied => "TLSV1_ALERT_ACCESS_DENIED",
        other => panic!("no cause leads to {other:?}"),
    }
}

/// A running `client.py`.
struct Python {
    process: Child,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

/// What it says of one connection.
#[derive(Debug, Deserialize)]
struct Answer {
    reused: bool,
    said: String,
    alert: Option<String>,
    /// The ticket's, in seconds, as the server hinted.
    lifetime: Option<u64>,
}

impl Python {
    fn start(port: u16, files: &Files, version: Version) -> Self {
        let mut process = command("python3")
            .args(["-c", include_str!("client.py"), &port.to_string()])
            .args([&files.ca, &files.cert, &files.key])
            .arg(match version {
                Version::Tls13 => "TLSv1_3",
                Version::Tls12 => "TLSv1_2",
            })
            .stderr(std::process::Stdio::inherit())
            .spawn()
            .unwrap();
        Self {
            orders: process.stdin.take().unwrap(),
            answers: BufReader::new(process.stdout.take().unwrap()).lines(),
            process,
        }
    }

    /// Has it call the server so often; gives what either side made of each call.
    async fn call(
        &mut self,
        order: &str,
        times: usize,
        server: &Server<'_>,
    ) -> Vec<(Served, Answer)> {
        let line = format!("{order} {times}\n");
        self.orders.write_all(line.as_bytes()).await.unwrap();
        let mut calls = Vec::new();
        for _ in 0..times {
            let served = server.serve().await;
            let answer = timeout(PATIENCE, self.answers.next_line()).await;
            let answer = answer.expect("an answer, in time").unwrap();
            let answer = answer.expect("the script runs on");
            calls.push((served, serde_json::from_str(&answer).unwrap()));
        }
        calls
    }

    async fn end(self) {
        let Self {
            mut process,
            orders,
            ..
        } = self;
        drop(orders);
        let status = timeout(PATIENCE, process.wait()).await;
        assert!(status.expect("it ends, in time").unwrap().success());
    }
}
