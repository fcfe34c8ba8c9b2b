//! Clients that were admitted, and then take their time. The clock is a paused one.

use std::convert::Infallible;
use std::time::Duration;

use countersign::TlsStream;
use countersign::identity::DnsName;
use countersign::integration::hyper::{RequestBody, RequestBodyError, Server};
use countersign::testing::{self, TestCa};
use http_body_util::BodyExt as _;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::time::Instant;

use crate::drain::{Pieces, slow_pieces};
use support::http::{WhoAmI, acceptor, connector, text};

pub(crate) async fn connected(
    alpn: &str,
) -> (
    TlsStream<DuplexStream, DnsName>,
    TlsStream<DuplexStream, DnsName>,
) {
    let ca = TestCa::new("Root");
    let acceptor = acceptor(&ca, countersign::policy::allow_any())
        .build()
        .unwrap();
    let connector = connector(&ca, "alice.example", alpn).build().unwrap();
    let (server, client) = testing::handshake(&acceptor, &connector, "localhost").await;
    (server.unwrap(), client.unwrap())
}

/// How long the server waits for a client that has sent this, and whether it answers 408.
async fn patience_with(server: Server, alpn: &str, sent: &[u8]) -> Duration {
    let (stream, mut client) = connected(alpn).await;
    client.write_all(sent).await.unwrap();
    client.flush().await.unwrap();
    let started = Instant::now();
    let error = server
        .serve_connection(stream, WhoAmI::default())
        .await
        .expect_err("it does not wait forever");
    let is_timeout = error.is_timeout()
        || std::error::Error::source(&error)
            .and_then(|cause| cause.downcast_ref::<std::io::Error>())
            .is_some_and(|cause| cause.kind() == std::io::ErrorKind::TimedOut);
    assert!(is_timeout, "{error:?}");
    started.elapsed()
}

#[tokio::test(start_paused = true)]
async fn a_missing_head_times_out_after_30_seconds() {
    for (alpn, sent) in [
        ("http/1.1", &b""[..]),
        ("http/1.1", b"GET / HTTP/1.1\r\nhost: local"),
        ("h2", b""),
        ("h2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r"),
    ] {
        let waited = patience_with(Server::new(), alpn, sent).await;
        assert_eq!(waited.as_secs(), 30, "{alpn} {sent:?}");
        let short = Server::new().header_read_timeout(Duration::from_secs(3));
        let waited = patience_with(short, alpn, sent).await;
        assert_eq!(waited.as_secs(), 3, "{alpn} {sent:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_takes_every_time_for_a_head() {
    for alpn in ["http/1.1", "h2"] {
        let none = Server::new().header_read_timeout(Duration::ZERO);
        let waited = patience_with(none, alpn, b"").await;
        assert!(waited < Duration::from_secs(1), "{alpn}: {waited:?}");
    }
    let (stream, mut client) = connected("http/1.1").await;
    let server = Server::new().header_read_timeout(Duration::MAX);
    let served =
        tokio::spawn(async move { server.serve_connection(stream, WhoAmI::default()).await });
    tokio::time::sleep(Duration::from_secs(3600)).await;
    let request = b"GET / HTTP/1.1\r\nhost: local\r\nconnection: close\r\n\r\n";
    client.write_all(request).await.unwrap();
    client.flush().await.unwrap();
    let mut answer = [0; 15];
    client.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).await.unwrap();
    served.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_http2_client_that_answers_no_ping_is_let_go() {
    // The preface, and SETTINGS without a change; then silence.
    let sent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let waited = patience_with(Server::new(), "h2", sent).await;
    assert_eq!(waited.as_secs(), 30 + 20);
}

#[tokio::test(start_paused = true)]
async fn http2_that_was_not_negotiated_is_rejected() {
    let (stream, mut client) = connected("http/1.1").await;
    client
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .await
        .unwrap();
    client.flush().await.unwrap();
    let error = Server::new()
        .serve_connection(stream, WhoAmI::default())
        .await
        .unwrap_err();
    assert!(error.is_parse_version_h2(), "{error:?}");
}

/// The twin: a client that sends in time is served, also byte by byte.
#[tokio::test(start_paused = true)]
async fn a_head_in_time_is_served() {
    let (stream, mut client) = connected("http/1.1").await;
    let serving = tokio::spawn(async move {
        Server::new()
            .serve_connection(stream, WhoAmI::default())
            .await
    });
    for byte in b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n" {
        client.write_all(&[*byte]).await.unwrap();
        client.flush().await.unwrap();
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(
        answer.ends_with("alice.example resumed=false HTTP/1.1"),
        "{answer}"
    );
    serving.await.unwrap().unwrap();
}

/// A service that reads the whole body, and says what came of it.
async fn read_all(request: Request<RequestBody>) -> Result<Response<String>, Infallible> {
    let (head, body) = request.into_parts();
    let said = match body.collect().await {
        Ok(body) => format!("{} bytes", body.to_bytes().len()),
        Err(error) => format!("{} {error}", head.method),
    };
    Ok(Response::new(said))
}

/// What a server answers to this HTTP/1.1 request, whose pieces come so many seconds apart, and after how
/// long.
async fn answer_to(server: Server, pieces: &[&str], apart: u64) -> (String, Duration) {
    let (stream, mut client) = connected("http/1.1").await;
    let serving = tokio::spawn(async move {
        let service = tower::service_fn(read_all);
        server.serve_connection(stream, service).await
    });
    let started = Instant::now();
    for piece in pieces {
        client.write_all(piece.as_bytes()).await.unwrap();
        client.flush().await.unwrap();
        tokio::time::sleep(Duration::from_secs(apart)).await;
    }
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    let took = started.elapsed();
    serving.await.unwrap().unwrap();
    (answer, took)
}

const POST: &str = "POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 4\r\n\r\n";

#[tokio::test(start_paused = true)]
async fn a_missing_body_is_answered_with_408_after_60_seconds() {
    let (answer, took) = answer_to(Server::new(), &[POST], 0).await;
    assert!(
        answer.starts_with("HTTP/1.1 408 Request Timeout\r\n"),
        "{answer}"
    );
    assert!(answer.contains("connection: close\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
    assert_eq!(took.as_secs(), 60);

    // Also in its middle, and with another time.
    let short = Server::new().progress_timeout(Duration::from_secs(3));
    let (answer, took) = answer_to(short, &[POST, "ab"], 0).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert_eq!(took.as_secs(), 3);
}

/// The twin: what comes in time, however slowly, is served; and without a limit everything is.
#[tokio::test(start_paused = true)]
async fn a_body_that_makes_progress_is_served() {
    for (server, apart) in [
        (Server::new(), 59),
        (Server::new().progress_timeout(None), 100_000),
        (Server::new().progress_timeout(Duration::MAX), 100_000),
    ] {
        let (answer, _) = answer_to(server, &[POST, "a", "b", "c", "d"], apart).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.ends_with("4 bytes"), "{answer}");
    }
}

/// A client over HTTP/2, and what becomes of its connection on both sides.
async fn http2_client<S>(
    service: S,
) -> (
    hyper::client::conn::http2::SendRequest<Pieces>,
    tokio::task::JoinHandle<Result<(), hyper::Error>>,
)
where
    S: tower_service::Service<
            Request<RequestBody>,
            Response = Response<String>,
            Error = Infallible,
            Future: Send,
        > + Clone
        + Send
        + 'static,
{
    let (stream, client) = connected("h2").await;
    let serving =
        tokio::spawn(async move { Server::new().serve_connection(stream, service).await });
    let handshake =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(client));
    let (sender, connection) = handshake.await.unwrap();
    tokio::spawn(connection);
    (sender, serving)
}

#[tokio::test(start_paused = true)]
async fn with_http2_only_the_stream_of_a_missing_body_is_closed() {
    let (sender, serving) = http2_client(tower::service_fn(read_all)).await;
    let send = |body| {
        sender
            .clone()
            .send_request(Request::post("/").body(body).unwrap())
    };
    let started = Instant::now();
    let (_begun, stalled) = slow_pieces();
    let (slow, goes_on) = slow_pieces();
    let slowly = async {
        for _ in 0..4 {
            tokio::time::sleep(Duration::from_secs(40)).await;
            slow.send("more ".into()).unwrap();
        }
        drop(slow);
    };
    let (stalled, served, ()) = tokio::join!(
        async {
            let response = send(stalled).await.unwrap();
            (response.status(), started.elapsed())
        },
        async { text(send(goes_on).await.unwrap()).await },
        slowly,
    );
    assert_eq!(stalled.0, StatusCode::REQUEST_TIMEOUT);
    assert_eq!(stalled.1.as_secs(), 60);
    // Forty seconds apart, for longer than the stalled one was waited for.
    assert_eq!(served, "26 bytes");
    assert!(!serving.is_finished());
}

/// A conversation: the answer has begun, and the client may be silent.
#[tokio::test(start_paused = true)]
async fn a_body_may_wait_once_the_answer_has_begun() {
    let (sender, received) = tokio::sync::oneshot::channel();
    let sender = std::sync::Arc::new(std::sync::Mutex::new(Some(sender)));
    let service = tower::service_fn(move |request: Request<RequestBody>| {
        let sender = sender.lock().unwrap().take().unwrap();
        tokio::spawn(async move {
            let body = request.into_body().collect().await;
            sender.send(body.map(|body| body.to_bytes().len())).unwrap();
        });
        async { Ok::<_, Infallible>(Response::new("begun".to_owned())) }
    });
    let (sender, _serving) = http2_client(service).await;
    let (pieces, body) = slow_pieces();
    let request = Request::post("/").body(body).unwrap();
    // hyper ends the stream of a request that was answered in full; so the answer is not read yet.
    let response = sender.clone().send_request(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    tokio::time::sleep(Duration::from_secs(3600)).await;
    drop(pieces);
    let read = received.await.unwrap();
    assert!(
        !matches!(read, Err(RequestBodyError::TimedOut { .. })),
        "{read:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_nothing_of_its_answer_is_closed() {
    const SIZE: usize = 1024 * 1024;

    for (server, seconds) in [
        (Server::new(), 60),
        (Server::new().progress_timeout(Duration::from_secs(7)), 7),
    ] {
        let (stream, mut client) = connected("http/1.1").await;
        client
            .write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            .await
            .unwrap();
        client.flush().await.unwrap();
        let service = tower::service_fn(|_: Request<RequestBody>| async {
            Ok::<_, Infallible>(Response::new("x".repeat(SIZE)))
        });
        let started = Instant::now();
        let error = server.serve_connection(stream, service).await.unwrap_err();
        assert_eq!(started.elapsed().as_secs(), seconds, "{error:?}");
        let cause = std::error::Error::source(&error).unwrap();
        let cause = cause.downcast_ref::<std::io::Error>().unwrap();
        assert_eq!(cause.kind(), std::io::ErrorKind::TimedOut);
    }
}

/// The twin: a client that reads slowly gets all of it. What TLS has buffered at the end takes it longer than the
/// server's patience.
#[tokio::test(start_paused = true)]
async fn a_client_that_reads_slowly_gets_its_answer() {
    const SIZE: usize = 1024 * 1024;

    let (stream, mut client) = connected("http/1.1").await;
    client
        .write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    client.flush().await.unwrap();
    let service = tower::service_fn(|_: Request<RequestBody>| async {
        Ok::<_, Infallible>(Response::new("x".repeat(SIZE)))
    });
    let serving =
        tokio::spawn(async move { Server::new().serve_connection(stream, service).await });
    let (mut read, mut buffer) = (0, vec![0; 16 * 1024]);
    loop {
        match client.read(&mut buffer).await.unwrap() {
            0 => break,
            count => read += count,
        }
        tokio::time::sleep(Duration::from_secs(25)).await;
    }
    assert!(read > SIZE, "{read}");
    serving.await.unwrap().unwrap();
}
