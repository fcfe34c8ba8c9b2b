//! What one admitted client can make the gateway spend before its connection ends.

use std::time::Duration;

use support::floods::floods;
use support::http2::PREFACE;
use support::server_thread::ServerThread;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::front::Front;
use super::support::PATIENCE;

/// Every flood of HTTP/2, over TLS and the gateway's own listener. Another client is served all the time.
#[tokio::test(flavor = "multi_thread")]
async fn floods_of_http2_end_the_connection_or_cost_the_client_as_much() {
    let front = Front::new();
    let thread = ServerThread::start();
    let gateway = front.run_on(thread.runtime(), "[limits]\nstall_seconds = 2");
    let gateway = gateway.await;
    let bob = front.client("bob.example", "http/1.1");
    let served = async |name| {
        let response = bob.request(gateway.get("/v1/orders")).await;
        assert_eq!(response.unwrap().status(), 200, "{name}");
    };
    println!("| flood | bug | rounds | sent | received | requests | responses | ended | CPU, µs |");
    println!("|---|---|---|---|---|---|---|---|---|");
    for flood in floods("/v1/orders") {
        served(flood.name).await;
        let (requests, cpu) = (front.behind.requests(), thread.cpu_time());
        let connector = front.connector("alice.example", "h2");
        let tcp = TcpStream::connect(("127.0.0.1", gateway.port));
        let stream = connector.connect("localhost", tcp.await.unwrap());
        let cost = flood.send(stream.await.unwrap()).await;
        // A request that was sent on arrives a moment later.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let cpu = thread
            .cpu_time()
            .zip(cpu)
            .map(|(after, before)| after - before);
        let requests = front.behind.requests() - requests;
        served(flood.name).await;
        println!(
            "| {} | {} | {} | {} | {} | {requests} | {} | {} | {} |",
            flood.name,
            flood.bug,
            cost.rounds,
            cost.sent,
            cost.received,
            cost.responses,
            if cost.has_ended { "yes" } else { "no" },
            cpu.map_or_else(String::new, |cpu| cpu.as_micros().to_string()),
        );
        assert_eq!(cost.has_ended, flood.ends, "{}", flood.name);
        assert!(cost.goaways.len() <= 1, "{}", flood.name);
        assert!(requests <= flood.requests, "{}: {requests}", flood.name);
        // It does not answer with more than it gets, but for a response to each request.
        assert!(
            cost.received <= cost.sent + 200 * cost.responses + 1_000,
            "{}",
            flood.name
        );
    }
}

/// What a client may send of HTTP/1.1, and what it gets.
#[tokio::test]
async fn heads_of_http1_have_limits() {
    let front = Front::new();
    let gateway = front.run("[limits]\nhead_seconds = 1").await;
    let request = |headers: &str| {
        format!("GET /v1/orders HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{headers}\r\n")
    };
    let long = "y".repeat(128 * 1024);
    let less = "y".repeat(127 * 1024);
    let many: String = (0..200).map(|at| format!("x{at}: y\r\n")).collect();
    let some: String = (0..90).map(|at| format!("x{at}: y\r\n")).collect();
    for (name, sent, status) in [
        ("a long header", request(&format!("x: {long}\r\n")), "431"),
        (
            "a long header within the limit",
            request(&format!("x: {less}\r\n")),
            "200",
        ),
        ("many headers", request(&many), "431"),
        ("many headers within the limit", request(&some), "200"),
        (
            "a head without end",
            format!("GET /v1/orders HTTP/1.1\r\nx: {long}"),
            "431",
        ),
        (
            "a long target",
            format!("GET /v1/{long} HTTP/1.1\r\nhost: a\r\n\r\n"),
            "4",
        ),
    ] {
        let connector = front.connector("alice.example", "http/1.1");
        let tcp = TcpStream::connect(("127.0.0.1", gateway.port));
        let stream = connector.connect("localhost", tcp.await.unwrap());
        let (mut reading, mut writing) = tokio::io::split(stream.await.unwrap());
        let sending = async {
            let _ = writing.write_all(sent.as_bytes()).await;
            let _ = writing.flush().await;
        };
        let reading = async {
            let mut answer = Vec::new();
            let _ = reading.read_to_end(&mut answer).await;
            String::from_utf8_lossy(&answer).into_owned()
        };
        let both = async { tokio::join!(sending, reading).1 };
        let answer = timeout(PATIENCE, both).await.expect("an end");
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{name}: {answer}"
        );
    }
}

/// Slowloris: one byte of a head at a time does not extend its time.
#[tokio::test]
async fn a_head_that_comes_byte_by_byte_has_the_same_time() {
    let front = Front::new();
    let gateway = front.run("[limits]\nhead_seconds = 1").await;
    for alpn in ["http/1.1", "h2"] {
        let connector = front.connector("alice.example", alpn);
        let tcp = TcpStream::connect(("127.0.0.1", gateway.port));
        let stream = connector.connect("localhost", tcp.await.unwrap());
        let (mut reading, mut writing) = tokio::io::split(stream.await.unwrap());
        let read = tokio::spawn(async move {
            let mut answer = Vec::new();
            let _ = reading.read_to_end(&mut answer).await;
        });
        let slowly = async {
            // Never the whole of it.
            for byte in PREFACE[..20].iter().cycle() {
                let byte = if alpn == "h2" { *byte } else { b'y' };
                if writing.write_all(&[byte]).await.is_err() || writing.flush().await.is_err() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        let slowly = async { tokio::join!(slowly, read) };
        assert!(timeout(PATIENCE, slowly).await.is_ok(), "{alpn}");
        assert_eq!(front.behind.requests(), 0, "{alpn}");
    }
}

/// R-U-D-Y: a body that comes slowly has the time of the response.
#[tokio::test]
async fn a_body_that_comes_byte_by_byte_has_a_time() {
    let front = Front::new();
    let gateway = front
        .run("[limits]\nconnect_seconds = 1\nanswer_seconds = 1")
        .await;
    let connector = front.connector("alice.example", "http/1.1");
    let tcp = TcpStream::connect(("127.0.0.1", gateway.port));
    let stream = connector.connect("localhost", tcp.await.unwrap());
    let (mut reading, mut writing) = tokio::io::split(stream.await.unwrap());
    let head = "POST /v1/orders HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\n";
    writing.write_all(head.as_bytes()).await.unwrap();
    let slowly = async {
        while writing.write_all(b"y").await.is_ok() && writing.flush().await.is_ok() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let reading = async {
        let mut answer = Vec::new();
        let _ = reading.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    };
    let both = async { tokio::join!(slowly, reading).1 };
    let answer = timeout(PATIENCE, both).await.expect("an end");
    assert!(answer.starts_with("HTTP/1.1 504 "), "{answer}");
}
