//! Streams of events: passed on as they come, and five hundred at a time.

use countersign::identity::DnsName;
use countersign::integration::hyper::Client;
use http_body_util::Empty;
use hyper::Request;
use hyper::body::Bytes;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::front::{Front, next_event};
use super::support::{ALPN, PATIENCE, connector};
use crate::example::countersign;
use crate::running::Server;

/// The server behind sends the next event only when the one before has been received.
#[tokio::test]
async fn events_are_not_buffered() {
    let front = Front::new();
    let gateway = front.run("").await;
    for (path, id) in [
        ("/v1/events", "1"),
        ("/mtls/events", "2"),
        ("/h2/events", "3"),
    ] {
        for alpn in ALPN {
            let alice = front.client("alice.example", alpn);
            let request = gateway.get(&format!("{path}/{id}{alpn}").replace("http/1.1", "h1"));
            let id = format!("{id}{alpn}").replace("http/1.1", "h1");
            // Not even the head waits for an event.
            let response = timeout(PATIENCE, alice.request(request)).await;
            let response = response.unwrap().unwrap();
            assert_eq!(response.headers()["content-type"], "text/event-stream");
            assert!(!response.headers().contains_key("content-encoding"));
            let sender = front.behind.stream(&id).await;
            let mut body = response.into_body();
            for number in 0..50 {
                sender.send(number.to_string()).await.unwrap();
                let event = next_event(&mut body).await.unwrap().unwrap();
                assert_eq!(event, format!("data: {number}\n\n"));
            }
            drop(sender);
            let end = next_event(&mut body).await;
            assert!(end.is_none(), "its end is passed on, too");
        }
    }
    let lines = gateway.lines(6).await;
    assert!(lines.iter().all(|line| line["complete"] == true));
}

/// A client that leaves is noticed by the server behind.
#[tokio::test]
async fn a_client_that_disconnects_closes_its_upstream_stream() {
    let front = Front::new();
    let gateway = front.run("").await;
    for alpn in ALPN {
        let alice = front.client("alice.example", alpn);
        let id = alpn.replace('/', "");
        let response = alice.request(gateway.get(&format!("/v1/events/{id}")));
        let response = response.await.unwrap();
        let sender = front.behind.stream(&id).await;
        drop(response);
        let gone = timeout(PATIENCE, sender.closed()).await;
        assert!(gone.is_ok(), "{alpn}");
    }
    let lines = gateway.lines(2).await;
    assert!(lines.iter().all(|line| line["complete"] == false));
}

/// From a server behind on loopback.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_concurrent_streams() {
    five_hundred_streams("/v1/events").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_concurrent_streams_over_mutual_tls() {
    five_hundred_streams("/mtls/events").await;
}

/// By the program itself, in a process of its own.
async fn five_hundred_streams(path: &str) {
    const CONNECTIONS: usize = 5;
    const STREAMS: usize = 100;
    const EVENTS: usize = 5;

    let front = Front::new();
    let mut program = countersign("gateway");
    program.arg("--config").arg(front.config("").await);
    let mut server = Server::spawn(program).await;
    let mut opening = JoinSet::new();
    for connection in 0..CONNECTIONS {
        let alice = connector(&front.ca, "alice.example", "h2").build().unwrap();
        let client: Client<DnsName, Empty<Bytes>> = Client::new(alice);
        // Or each of the following would begin a connection of its own.
        let url = format!("https://localhost:{}/v1/orders", server.port);
        let request = Request::get(url).body(Empty::new()).unwrap();
        assert_eq!(client.request(request).await.unwrap().status(), 200);
        let _ = server.logged().await;
        for stream in 0..STREAMS {
            let id = format!("{connection}-{stream}");
            let url = format!("https://localhost:{}{path}/{id}", server.port);
            let (client, behind) = (client.clone(), front.behind.clone());
            opening.spawn(async move {
                let request = Request::get(url).body(Empty::new()).unwrap();
                let response = client.request(request).await.unwrap();
                assert_eq!(response.status(), 200);
                (behind.stream(&id).await, response.into_body(), id)
            });
        }
    }
    let mut streams = timeout(PATIENCE, opening.join_all()).await.unwrap();
    assert_eq!(streams.len(), CONNECTIONS * STREAMS);

    // All are open. Every stream receives an event before the next event is sent.
    for number in 0..EVENTS {
        for (sender, _, id) in &streams {
            sender.send(format!("{number} for {id}")).await.unwrap();
        }
        for (_, body, id) in &mut streams {
            let event = next_event(body).await.unwrap().unwrap();
            assert_eq!(event, format!("data: {number} for {id}\n\n"));
        }
    }
    for (sender, mut body, _) in streams {
        drop(sender);
        let end = next_event(&mut body).await;
        assert!(end.is_none());
        let line = server.logged().await;
        assert_eq!(
            (&line["status"], &line["complete"]),
            (&json!(200), &json!(true))
        );
    }
    let stopped = server.stop().await;
    assert_eq!((stopped.code, stopped.log.len()), (Some(0), 0));
}
