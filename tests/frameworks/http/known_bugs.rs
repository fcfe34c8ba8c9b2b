//! Published bugs of HTTP servers, see `manual/known_bugs.md`: floods of HTTP/2 by a client that was
//! admitted, and HTTP/1.1 that two servers read differently.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use countersign::integration::hyper::{RequestBody, Server};
use http_body_util::BodyExt as _;
use hyper::{Request, Response};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::slow::connected;
use support::http::PATIENCE;

/// The preface of HTTP/2, and SETTINGS without a change.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// `GET https://localhost/`, as HPACK without its dynamic table.
const GET: &[u8] = b"\x82\x87\x84\x01\x09localhost";
/// More than any server should take.
const FLOOD: u32 = 100_000;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

const ENHANCE_YOUR_CALM: u32 = 11;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The error codes of the GOAWAY frames in what a server sent.
fn goaways(mut sent: &[u8]) -> Vec<u32> {
    let mut codes = Vec::new();
    while let Some((head, rest)) = sent.split_at_checked(9) {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let Some((payload, rest)) = rest.split_at_checked(length) else {
            break;
        };
        if head[3] == GOAWAY {
            codes.push(u32::from_be_bytes(payload[4..8].try_into().unwrap()));
        }
        sent = rest;
    }
    codes
}

/// How a server ends a flood.
#[derive(Debug)]
struct Ended {
    /// The error codes of its GOAWAY frames.
    codes: Vec<u32>,
    /// How many rounds of the flood were sent before.
    rounds: u32,
    /// How many requests reached the handler, which never answers.
    requests: usize,
}

/// Sends `first` and then a flood. `flood` gives the frames of each round.
async fn flooded(first: &[u8], flood: impl Fn(u32) -> Vec<u8>) -> Ended {
    let (stream, client) = connected("h2").await;
    let requests = Arc::new(AtomicUsize::new(0));
    let service = {
        let requests = Arc::clone(&requests);
        tower::service_fn(move |_: Request<RequestBody>| {
            requests.fetch_add(1, Ordering::SeqCst);
            std::future::pending::<Result<Response<String>, Infallible>>()
        })
    };
    let server = tokio::spawn(async move { Server::new().serve_connection(stream, service).await });
    let (mut reading, mut writing) = tokio::io::split(client);
    let read = tokio::spawn(async move {
        let mut sent = Vec::new();
        let _ = reading.read_to_end(&mut sent).await;
        sent
    });
    writing.write_all(PREFACE).await.unwrap();
    writing.write_all(first).await.unwrap();
    let mut rounds = 0;
    while rounds < FLOOD {
        if writing.write_all(&flood(rounds)).await.is_err() || writing.flush().await.is_err() {
            break;
        }
        rounds += 1;
    }
    tokio::time::timeout(PATIENCE, server)
        .await
        .expect("the flood ends the connection")
        .unwrap()
        .expect_err("and not as one that was served");
    let codes = goaways(&read.await.unwrap());
    Ended {
        codes,
        rounds,
        requests: requests.load(Ordering::SeqCst),
    }
}

/// CVE-2023-44487 and RUSTSEC-2023-0034: requests that are canceled at once, many in one record.
#[tokio::test]
async fn requests_that_are_canceled_at_once_end_the_connection() {
    let ended = flooded(b"", |round| {
        let mut frames = Vec::new();
        for number in 0..100 {
            let stream = (round * 100 + number) * 2 + 1;
            frames.extend(frame(HEADERS, END_HEADERS | END_STREAM, stream, GET));
            frames.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
        }
        frames
    })
    .await;
    assert_eq!(ended.codes, [ENHANCE_YOUR_CALM], "{ended:?}");
    assert!(ended.rounds < 1_000 && ended.requests < 1_000, "{ended:?}");
}

/// RUSTSEC-2024-0332 and CVE-2023-45288: headers without end.
#[tokio::test]
async fn headers_without_end_end_the_connection() {
    // A header field that is not indexed: `x: yyy…`.
    let mut field = b"\0\x01x\x7f\x81\x7e".to_vec();
    field.extend([b'y'; 127 + 1 + (0x7e << 7)]);
    for fields in [field, b"\0\x01x\x01y".to_vec(), Vec::new()] {
        let ended = flooded(&frame(HEADERS, 0, 1, GET), |_| {
            frame(CONTINUATION, 0, 1, &fields)
        })
        .await;
        assert!(ended.codes.len() <= 1, "{ended:?}");
        assert!(ended.rounds < 10_000, "{ended:?}");
        assert_eq!(ended.requests, 0, "{ended:?}");
    }
}

/// CVE-2025-8671 and RUSTSEC-2024-0003: frames by which a client makes the server cancel requests.
#[tokio::test]
async fn requests_that_the_server_must_cancel_end_the_connection() {
    let ended = flooded(b"", |round| {
        let stream = round * 2 + 1;
        let mut frames = frame(HEADERS, END_HEADERS | END_STREAM, stream, GET);
        // More than a window can be.
        frames.extend(frame(
            WINDOW_UPDATE,
            0,
            stream,
            &0x7fff_ffff_u32.to_be_bytes(),
        ));
        frames
    })
    .await;
    assert_eq!(ended.codes, [ENHANCE_YOUR_CALM], "{ended:?}");
    assert!(
        ended.rounds < 10_000 && ended.requests < 10_000,
        "{ended:?}"
    );
}

/// RUSTSEC-2026-0258: DATA frames without data, which no window counts.
#[tokio::test]
async fn data_frames_without_data_end_the_connection() {
    let ended = flooded(&frame(HEADERS, END_HEADERS, 1, GET), |_| {
        frame(DATA, 0, 1, b"")
    })
    .await;
    assert_eq!(ended.codes, [ENHANCE_YOUR_CALM], "{ended:?}");
    assert!(ended.requests <= 1 && ended.rounds < 10_000, "{ended:?}");
}

/// CVE-2019-9512: pings without end, whose answers are not read.
#[tokio::test(start_paused = true)]
async fn pings_whose_answers_are_not_read_end_the_connection() {
    let (stream, mut client) = connected("h2").await;
    let service = tower::service_fn(async |_: Request<RequestBody>| {
        Ok::<_, Infallible>(Response::new(String::new()))
    });
    let server = tokio::spawn(async move {
        Server::new()
            .serve_connection(stream, service)
            .await
            .is_err()
    });
    client.write_all(PREFACE).await.unwrap();
    let mut pings = 0;
    while pings < FLOOD {
        if client
            .write_all(&frame(PING, 0, 0, b"12345678"))
            .await
            .is_err()
            || client.flush().await.is_err()
        {
            break;
        }
        pings += 1;
    }
    assert!(server.await.unwrap());
    assert!(pings < FLOOD, "{pings}");
}

/// What a server answers to these bytes, and how many requests it read whole.
async fn answer_to(sent: &str) -> (String, usize) {
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
    let server = tokio::spawn(async move { Server::new().serve_connection(stream, service).await });
    client.write_all(sent.as_bytes()).await.unwrap();
    client.flush().await.unwrap();
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
