//! Limits, and servers behind that are late, broken or not there.

use std::time::Duration;

use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Bytes, Frame};
use hyper::{Request, StatusCode};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};

use super::front::{Front, echoed, header, next_event};
use super::support::{ALPN, PATIENCE, text};

#[tokio::test]
async fn a_body_has_a_limit() {
    let front = Front::new();
    let gateway = front
        .run("[limits]\nmax_request_body = 1000\nmax_response_body = 3000")
        .await;
    for alpn in ALPN {
        let alice = front.client("alice.example", alpn);
        for (length, status) in [(1000, 200), (1001, 413)] {
            // With its length, and without.
            let whole = Full::new(Bytes::from(vec![b'a'; length])).boxed();
            let half = Bytes::from(vec![b'a'; length / 2]);
            let rest = Bytes::from(vec![b'a'; length - length / 2]);
            let frames = [half, rest].map(|data| Ok(Frame::data(data)));
            let parts = StreamBody::new(tokio_stream::iter(frames)).boxed();
            for body in [whole, parts] {
                let request = Request::post(gateway.url("/v1/orders")).body(body).unwrap();
                let response = alice.request(request).await.unwrap();
                assert_eq!(response.status(), status, "{alpn} {length}");
                if status == 200 {
                    let echoed = echoed(response).await;
                    assert_eq!(echoed["body"].as_str().unwrap().len(), length);
                }
            }
        }
        // A response that says that it is longer is not begun, and one that does not say is broken off.
        let request = Request::get(gateway.url("/v1/orders"))
            .header("x-long", "a".repeat(3000))
            .body(Full::default().boxed())
            .unwrap();
        let response = alice.request(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::BAD_GATEWAY, "{alpn}");
        let id = alpn.replace('/', "");
        let request = Request::get(gateway.url(&format!("/v1/events/{id}")));
        let request = request.body(Full::default().boxed()).unwrap();
        let mut body = alice.request(request).await.unwrap().into_body();
        let sender = front.behind.stream(&id).await;
        let event = "a".repeat(1400);
        for _ in 0..2 {
            sender.send(event.clone()).await.unwrap();
            assert!(next_event(&mut body).await.unwrap().is_ok());
        }
        sender.send(event).await.unwrap();
        assert!(next_event(&mut body).await.unwrap().is_err(), "{alpn}");
    }
}

#[tokio::test]
async fn an_upstream_that_is_late_or_unreachable() {
    let front = Front::new();
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent_port = silent.local_addr().unwrap().port();
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed_port = closed.local_addr().unwrap().port();
    drop(closed);
    let tls = r#"tls = { cert = "client.crt", key = "client.key", trust = ["ca.crt"], identity = "dns", allow = ["other.example"] }"#;
    let route = |name: &str| {
        format!(
            "[[routes]]\nname = \"{name}\"\nwho = [\"alice.example\"]\nmethods = [\"GET\"]\npath = \"/{name}/x\"\nupstream = \"{name}\"\n"
        )
    };
    let (strange, _) = front.behind.mtls(&front.ca).await;
    let strange_port = strange.port();
    let more = format!(
        "[limits]\nanswer_seconds = 1\nconnect_seconds = 1\n\
         [upstreams.silent]\nurl = \"http://127.0.0.1:{silent_port}\"\n\
         [upstreams.closed]\nurl = \"http://127.0.0.1:{closed_port}\"\n\
         [upstreams.mute]\nurl = \"https://localhost:{silent_port}\"\n{tls}\n\
         [upstreams.strange]\nurl = \"https://localhost:{strange_port}\"\n{tls}\n\
         {}{}{}{}",
        route("silent"),
        route("closed"),
        route("mute"),
        route("strange")
    );
    let gateway = front.run(&more).await;
    let alice = front.client("alice.example", "h2");
    let mut count = 0;
    for (path, status, why) in [
        ("/v1/late", 504, "the upstream is late"),
        ("/silent/x", 504, "the upstream is late"),
        ("/closed/x", 502, "refused"),
        ("/mute/x", 502, "not finished within 1s"),
        // Another one than it may be.
        ("/strange/x", 502, "localhost"),
    ] {
        let began = Instant::now();
        let response = alice.request(gateway.get(path)).await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{path}");
        assert!(began.elapsed() < Duration::from_secs(15), "{path}");
        // Nothing of the reason.
        let said = text(response).await;
        assert!(said == r#"{"error":"Gateway Timeout"}"# || said == r#"{"error":"Bad Gateway"}"#);
        count += 1;
        let line = gateway.lines(count).await.pop().unwrap();
        assert_eq!(line["status"], status);
        let reason = line["reason"].as_str().unwrap();
        assert!(reason.contains(why), "{path}: {reason}");
    }
    // The gateway goes on.
    let response = alice.request(gateway.get("/v1/orders")).await.unwrap();
    assert_eq!(response.status(), 200);
}

/// A response that ends early must not look whole.
#[tokio::test]
async fn an_upstream_that_aborts() {
    let front = Front::new();
    let broken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = broken.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut tcp, _) = broken.accept().await.unwrap();
            let mut request = [0; 4096];
            let _ = tcp.read(&mut request).await;
            let _ = tcp
                .write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n")
                .await;
        }
    });
    let gateway = front
        .run(&format!(
            "[upstreams.broken]\nurl = \"http://127.0.0.1:{port}\"\n[[routes]]\nname = \"broken\"\nwho = [\"alice.example\"]\nmethods = [\"GET\"]\npath = \"/broken\"\nupstream = \"broken\"\n"
        ))
        .await;
    for (count, alpn) in ALPN.into_iter().enumerate() {
        let alice = front.client("alice.example", alpn);
        let response = alice.request(gateway.get("/broken")).await.unwrap();
        assert_eq!(response.status(), 200);
        let body = timeout(PATIENCE, response.into_body().collect()).await;
        assert!(body.unwrap().is_err(), "{alpn}");
        let line = gateway.lines(count + 1).await.pop().unwrap();
        assert_eq!(line["complete"], json!(false));
        assert!(line["reason"].as_str().unwrap().contains("aborted"));
    }
}

#[tokio::test]
async fn a_request_head_has_a_time_limit() {
    let front = Front::new();
    let gateway = front.run("[limits]\nhead_seconds = 1").await;
    let connector = front.connector("alice.example", "http/1.1");
    let tcp = TcpStream::connect(("127.0.0.1", gateway.port))
        .await
        .unwrap();
    let mut stream = connector.connect("localhost", tcp).await.unwrap();
    stream
        .write_all(b"GET /v1/orders HTTP/1.1\r\nHost:")
        .await
        .unwrap();
    let mut said = Vec::new();
    let closed = timeout(PATIENCE, stream.read_to_end(&mut said)).await;
    assert!(closed.is_ok(), "it is closed");
    assert_eq!(front.behind.requests(), 0);
}

#[tokio::test]
async fn streams_of_one_connection_have_a_limit() {
    let front = Front::new();
    let gateway = front.run("[limits]\nmax_streams = 2").await;
    let alice = front.client("alice.example", "h2");
    // The settings must have come.
    assert_eq!(
        alice.request(gateway.get("/v1/x")).await.unwrap().status(),
        200
    );
    let mut open = Vec::new();
    let mut ends = Vec::new();
    for id in ["1", "2"] {
        let request = gateway.get(&format!("/v1/events/{id}"));
        open.push(alice.request(request).await.unwrap());
        ends.push(front.behind.stream(id).await);
    }
    let third = alice.request(gateway.get("/v1/orders"));
    let mut third = std::pin::pin!(third);
    assert!(
        timeout(Duration::from_millis(200), &mut third)
            .await
            .is_err()
    );
    assert_eq!(front.behind.requests(), 1, "it waits at the client");
    drop((open, ends));
    let third = timeout(PATIENCE, third).await.unwrap().unwrap();
    assert_eq!(third.status(), StatusCode::OK);
}

#[tokio::test]
async fn hop_by_hop_headers_are_not_forwarded() {
    let front = Front::new();
    let gateway = front.run("").await;
    let alice = front.client("alice.example", "http/1.1");
    for path in ["/v1/orders", "/mtls/orders", "/h2/orders"] {
        let request = Request::get(gateway.url(path))
            .header("connection", "x-hop, keep-alive")
            .header("x-hop", "1")
            .header("keep-alive", "timeout=5")
            .header("proxy-authorization", "secret")
            .header("proxy-connection", "keep-alive")
            .header("te", "trailers")
            .header("upgrade", "h2c")
            .header("expect", "100-continue")
            .header("forwarded", "for=1.2.3.4")
            .header("x-forwarded-for", "1.2.3.4")
            .header("x_forwarded_for", "1.2.3.4")
            .header("x-end", "2")
            .body(Full::<Bytes>::default())
            .unwrap();
        let echoed = echoed(alice.request(request).await.unwrap()).await;
        for name in [
            "x-hop",
            "keep-alive",
            "proxy-authorization",
            "proxy-connection",
            "te",
            "upgrade",
            "expect",
            "forwarded",
            "x_forwarded_for",
            "connection",
        ] {
            assert_eq!(header(&echoed, name), [""; 0], "{name}");
        }
        assert_eq!(header(&echoed, "x-end"), ["2"]);
        assert_eq!(header(&echoed, "x-forwarded-for"), ["127.0.0.1"]);
    }
}
