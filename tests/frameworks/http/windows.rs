//! Clients of HTTP/2 that read, but grant no window to a stream. The clock is a paused one.

use std::convert::Infallible;
use std::time::Duration;

use countersign::integration::hyper::{RequestBody, Server};
use hyper::{Request, Response};
use support::http2::{
    DATA, END_HEADERS, END_STREAM, HEADERS, PING, PREFACE, RST_STREAM, SETTINGS, WINDOW_UPDATE,
    block, frame, frames,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, timeout};

use crate::slow::connected;

/// How long a stream lives whose client grants a window of one byte every `pause`, and what it got. `None`: it has
/// not ended after ten minutes.
async fn stream_of(server: Server, pause: Duration) -> (Option<Duration>, usize) {
    const LENGTH: usize = 100_000;

    let (stream, client) = connected("h2").await;
    let service = tower::service_fn(async |_: Request<RequestBody>| {
        Ok::<_, Infallible>(Response::new("y".repeat(LENGTH)))
    });
    let serving = tokio::spawn(async move { server.serve_connection(stream, service).await });
    let (mut reading, mut writing) = tokio::io::split(client);
    // The window of a stream is 0.
    let mut first = PREFACE.to_vec();
    first.extend(frame(SETTINGS, 0, 0, b"\0\x04\0\0\0\0"));
    let get = block(&[
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", "localhost"),
        (":path", "/"),
    ]);
    first.extend(frame(HEADERS, END_HEADERS | END_STREAM, 1, &get));
    writing.write_all(&first).await.unwrap();
    writing.flush().await.unwrap();
    let began = Instant::now();
    let mut received = Vec::new();
    let mut seen = 0;
    let mut granted = Instant::now();
    let mut bytes = 0;
    let ended = timeout(Duration::from_secs(600), async {
        loop {
            let mut buffer = [0; 4096];
            let next = tokio::time::timeout_at(granted + pause, reading.read(&mut buffer));
            match next.await {
                Err(_) => {
                    let one = frame(WINDOW_UPDATE, 0, 1, &1_u32.to_be_bytes());
                    writing.write_all(&one).await.unwrap();
                    writing.flush().await.unwrap();
                    granted = Instant::now();
                    continue;
                }
                Ok(read) => {
                    let read = read.unwrap();
                    assert!(read > 0, "the connection goes on");
                    received.extend_from_slice(&buffer[..read]);
                }
            }
            let all = frames(&received);
            for sent in &all[seen..] {
                match sent.kind {
                    PING if sent.flags & 1 == 0 => {
                        let answer = frame(PING, 1, 0, &sent.payload);
                        writing.write_all(&answer).await.unwrap();
                        writing.flush().await.unwrap();
                    }
                    DATA => bytes += sent.payload.len(),
                    RST_STREAM => return began.elapsed(),
                    _ => {}
                }
            }
            seen = all.len();
        }
    });
    let ended = ended.await.ok();
    assert!(!serving.is_finished());
    (ended, bytes)
}

#[tokio::test(start_paused = true)]
async fn a_stream_without_a_window_is_reset_after_60_seconds() {
    let never = Duration::from_secs(100_000);
    let (ended, bytes) = stream_of(Server::new(), never).await;
    assert_eq!(ended.map(|time| time.as_secs()), Some(60));
    assert_eq!(bytes, 0);
    let short = Server::new().progress_timeout(Duration::from_secs(7));
    let (ended, _) = stream_of(short, never).await;
    assert_eq!(ended.map(|time| time.as_secs()), Some(7));
}

/// The twins: a client that grants a window in time gets as much, and without a limit a stream may wait.
#[tokio::test(start_paused = true)]
async fn a_stream_with_a_window_in_time_goes_on() {
    let (ended, bytes) = stream_of(Server::new(), Duration::from_secs(50)).await;
    assert_eq!(ended, None);
    assert!((10..=12).contains(&bytes), "{bytes}");
    let none = Server::new().progress_timeout(None);
    let (ended, _) = stream_of(none, Duration::from_secs(100_000)).await;
    assert_eq!(ended, None);
}
