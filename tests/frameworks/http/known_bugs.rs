//! Published bugs of HTTP servers, see `manual/known_bugs.md`: floods of HTTP/2 by a client that was
//! admitted, and HTTP/1.1 that two servers read differently.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use countersign::integration::hyper::{RequestBody, Server};
use http_body_util::BodyExt as _;
use hyper::{Request, Response};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::slow::connected;
use support::floods::{Cost, Flood, floods};
use support::http::PATIENCE;
use support::http2::ENHANCE_YOUR_CALM;
use support::server_thread::ServerThread;

/// Sends a flood to a handler that never answers. What it cost, how many requests reached the handler, and the CPU time
/// of the server.
async fn flooded(flood: &Flood) -> (Cost, usize, Option<Duration>) {
    let (stream, client) = connected("h2").await;
    let requests = Arc::new(AtomicUsize::new(0));
    let service = {
        let requests = Arc::clone(&requests);
        tower::service_fn(move |_: Request<RequestBody>| {
            requests.fetch_add(1, Ordering::SeqCst);
            std::future::pending::<Result<Response<String>, Infallible>>()
        })
    };
    let thread = ServerThread::start();
    let server = match flood.reads {
        true => Server::new(),
        false => Server::new().progress_timeout(Duration::from_secs(2)),
    };
    let serving = async move { server.serve_connection(stream, service).await };
    let serving = thread.runtime().spawn(serving);
    let cost = flood.send(client).await;
    let served = tokio::time::timeout(PATIENCE, serving).await;
    let served = served.expect("its end closes the connection").unwrap();
    assert!(served.is_err() || !cost.has_ended, "{}", flood.name);
    (cost, requests.load(Ordering::SeqCst), thread.cpu_time())
}

/// Sends the floods with these names, and checks their ends.
async fn check(names: &[&str], codes: &[u32]) {
    let floods = floods("/");
    for name in names {
        let flood = floods.iter().find(|flood| flood.name == *name).unwrap();
        let (cost, requests, cpu) = flooded(flood).await;
        println!("{name}: {cost:?}, {requests} requests, CPU time {cpu:?}");
        assert_eq!(cost.has_ended, flood.ends, "{name}: {cost:?}");
        assert!(requests <= flood.requests, "{name}: {requests}");
        assert!(cost.goaways.len() <= 1, "{name}: {cost:?}");
        let is_expected = |code| codes.is_empty() || codes.contains(code);
        assert!(cost.goaways.iter().all(is_expected), "{name}: {cost:?}");
        assert!(!cost.has_ended || cost.rounds < 10_000, "{name}: {cost:?}");
    }
}

/// CVE-2023-44487 and RUSTSEC-2023-0034: requests that are canceled at once, many in one record.
#[tokio::test]
async fn requests_that_are_canceled_at_once_end_the_connection() {
    check(&["rapid reset"], &[ENHANCE_YOUR_CALM]).await;
}

/// CVE-2024-27316, RUSTSEC-2024-0332 and CVE-2023-45288: headers without end.
#[tokio::test]
async fn headers_without_end_end_the_connection() {
    let names = [
        "CONTINUATION of 16 kB",
        "CONTINUATION of one field",
        "CONTINUATION of nothing",
    ];
    check(&names, &[]).await;
}

/// CVE-2025-8671 and RUSTSEC-2024-0003: frames by which a client makes the server cancel requests.
#[tokio::test]
async fn requests_that_the_server_must_cancel_end_the_connection() {
    let names = [
        "MadeYouReset, a window that overflows",
        "MadeYouReset, an increment of zero",
        "MadeYouReset, data after the end",
        "MadeYouReset, headers after the end",
        "MadeYouReset, a priority of five bytes less",
    ];
    check(&names, &[]).await;
}

/// RUSTSEC-2026-0258 and CVE-2019-9518: DATA frames without data, which no window counts.
#[tokio::test]
async fn data_frames_without_data_end_the_connection() {
    check(&["DATA of nothing"], &[ENHANCE_YOUR_CALM]).await;
}

/// CVE-2019-9512 and CVE-2019-9515: pings and settings without end, whose answers are not read.
#[tokio::test]
async fn pings_whose_answers_are_not_read_end_the_connection() {
    check(
        &["pings that are not read", "settings that are not read"],
        &[],
    )
    .await;
}

/// CVE-2019-9513, CVE-2016-6581 and the twins of the above: frames that cost the client as much reach no handler.
#[tokio::test]
async fn floods_that_are_read_reach_no_handler() {
    let names = [
        "settings that are read",
        "pings that are read",
        "priorities",
        "unknown frames",
        "an HPACK bomb",
        "many headers",
    ];
    check(&names, &[]).await;
}

/// A head of HTTP/1.1 without end: the server answers 431 and closes, in any pieces that the head comes in.
#[tokio::test]
async fn a_head_over_the_limit_is_answered_with_431() {
    const DEFAULT: usize = 128 * 1024;
    const REST: &str = "\r\n\r\n";

    let short = || {
        Server::new().http1(|http1| {
            http1.max_header_size(8 * 1024);
        })
    };
    for (server, limit) in [(Server::new as fn() -> Server, DEFAULT), (short, 8 * 1024)] {
        for piece in [usize::MAX, 1_000] {
            let head = |length: usize| {
                let start = "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\nx: ";
                let value = "y".repeat(length - start.len() - REST.len());
                [start, &value, REST].concat()
            };
            let within = answer_of(server(), &head(limit), piece).await;
            assert!(within.0.starts_with("HTTP/1.1 200 "), "{within:?}");
            assert_eq!(within.1, 1);
            let beyond = head(limit + 1);
            for sent in [&*beyond, &beyond[..limit]] {
                let (answer, served) = answer_of(server(), sent, piece).await;
                assert!(answer.starts_with("HTTP/1.1 431 "), "{limit}: {answer}");
                assert!(answer.contains("connection: close\r\n"), "{answer}");
                assert_eq!(served, 0);
            }
        }
    }
}

/// What a server answers to these bytes, and how many requests it read whole.
async fn answer_to(sent: &str) -> (String, usize) {
    answer_of(Server::new(), sent, usize::MAX).await
}

/// The same of this server, to pieces of this length.
async fn answer_of(server: Server, sent: &str, piece: usize) -> (String, usize) {
    let (stream, mut client) = connected("http/1.1").await;
    let whole = Arc::new(AtomicUsize::new(0));
    let service = {
        let whole = Arc::clone(&whole);
        tower::service_fn(move |request: Request<RequestBody>| {
            let whole = Arc::clone(&whole);
            async move {
                let body = request.into_body().collect().await;
                whole.fetch_add(usize::from(body.is_ok()), Ordering::SeqCst);
                Ok::<_, Infallible>(Response::new(String::from("read")))
            }
        })
    };
    let server = tokio::spawn(async move { server.serve_connection(stream, service).await });
    for piece in sent.as_bytes().chunks(piece) {
        client.write_all(piece).await.unwrap();
        client.flush().await.unwrap();
    }
    let mut answer = Vec::new();
    let _ = client.read_to_end(&mut answer).await;
    let _ = tokio::time::timeout(PATIENCE, server).await.unwrap();
    (
        String::from_utf8(answer).unwrap(),
        whole.load(Ordering::SeqCst),
    )
}

/// RUSTSEC-2021-0020, RUSTSEC-2021-0078 and RUSTSEC-2021-0079.
#[tokio::test]
async fn a_request_with_two_lengths_is_not_read_in_one_of_them() {
    const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    for (framing, body) in [
        (
            "transfer-encoding: chunked\r\ntransfer-encoding: identity",
            "0\r\n\r\n",
        ),
        ("transfer-encoding: chunked, identity", "0\r\n\r\n"),
        ("transfer-encoding: xchunked", "0\r\n\r\n"),
        ("content-length: +4", "body"),
        ("content-length: 4_", "body"),
        ("content-length: 0x4", "body"),
        ("content-length: -1", "body"),
        ("content-length: ", "body"),
        ("content-length: 4\r\ncontent-length: 5", "body"),
        ("content-length: 4, 5", "body"),
        ("content-length: 18446744073709551620", "body"),
        (
            "transfer-encoding: chunked",
            "10000000000000004\r\nbody\r\n0\r\n\r\n",
        ),
        ("transfer-encoding: chunked", "+4\r\nbody\r\n0\r\n\r\n"),
        ("transfer-encoding: chunked", "0x4\r\nbody\r\n0\r\n\r\n"),
        ("transfer-encoding : chunked", "0\r\n\r\n"),
    ] {
        let sent = format!("POST / HTTP/1.1\r\nhost: a\r\n{framing}\r\n\r\n{body}{SMUGGLED}");
        let (answer, whole) = answer_to(&sent).await;
        assert_eq!(whole, 0, "{framing}: {answer}");
        assert!(
            answer.matches("HTTP/1.1 ").count() <= 1,
            "{framing}: {answer}"
        );
    }
    // The twins: one length, and what follows is a request of its own.
    for (framing, body) in [
        ("transfer-encoding: chunked", "4\r\nbody\r\n0\r\n\r\n"),
        ("content-length: 4", "body"),
    ] {
        let sent = format!("POST / HTTP/1.1\r\nhost: a\r\n{framing}\r\n\r\n{body}{SMUGGLED}");
        let (answer, whole) = answer_to(&sent).await;
        assert_eq!(whole, 2, "{framing}: {answer}");
    }
}
