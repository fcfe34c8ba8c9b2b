//! Clients that were admitted, and then take their time. The clock is a paused one.

use std::time::Duration;

use countersign::TlsStream;
use countersign::identity::DnsName;
use countersign::integration::hyper::Server;
use countersign::testing::{self, TestCa};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::time::Instant;

use crate::support::{WhoAmI, acceptor, connector};

async fn connected(
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

/// For how long the server bears with a client that has sent this, and whether it says timeout.
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
async fn a_head_that_does_not_come_is_waited_for_30_seconds() {
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
async fn http2_that_was_not_negotiated_is_refused() {
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

/// The twin: whoever speaks in time is served, however slowly, byte by byte.
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
