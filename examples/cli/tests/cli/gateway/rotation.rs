//! Certificates are replaced under load.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep};

use super::front::{Front, next_event};
use super::support::{PATIENCE, text};
use countersign_cli::gateway::proxy::Gateway;

/// Eight ask without a pause, while the gateway gets new certificates for its clients and for the
/// server behind, five times: every request is answered, and the new ones are used.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_is_lost_while_certificates_are_replaced() {
    for (alpn, path) in [
        ("http/1.1", "/h2/brief"),
        ("h2", "/mtls/brief"),
        ("h2", "/h2/brief"),
    ] {
        let front = Front::new();
        let gateway = front.run("[limits]\ndrain_seconds = 2").await;
        let client = front.client("alice.example", alpn);
        let stop = Arc::new(AtomicBool::new(false));
        let asking: Vec<_> = (0..8)
            .map(|_| {
                let (client, stop) = (client.clone(), Arc::clone(&stop));
                let url = gateway.url(path);
                tokio::spawn(async move {
                    let mut count = 0;
                    while !stop.load(Ordering::SeqCst) {
                        let request = super::support::get(&url);
                        let response = client.request(request).await.expect("no request is lost");
                        assert_eq!(
                            (response.status().as_u16(), text(response).await),
                            (200, "done".into())
                        );
                        count += 1;
                    }
                    count
                })
            })
            .collect();
        let mut used = BTreeSet::new();
        for _ in 0..5 {
            front.renew_server();
            let own = front.renew_client();
            Gateway::reload(&gateway.reloads).await.unwrap();
            let serial = own.certificate().serial().to_string();
            let deadline = Instant::now() + PATIENCE;
            while !front.behind.serials().contains(&serial) {
                assert!(Instant::now() < deadline, "the new certificate is not used");
                sleep(Duration::from_millis(10)).await;
            }
            used.insert(serial);
        }
        // Long enough for what is left of the old connections to be cut.
        sleep(Duration::from_millis(2500)).await;
        stop.store(true, Ordering::SeqCst);
        let mut count = 0;
        for asking in asking {
            count += asking.await.unwrap();
        }
        assert_eq!(used.len(), 5);
        assert!(count > 100, "{alpn}: only {count} requests were made");
        let lines = gateway.lines(count).await;
        let whole = |line: &&serde_json::Value| line["status"] == 200 && line["complete"] == true;
        assert_eq!(lines.iter().filter(whole).count(), count);
    }
}

/// What is lost, exactly: a response that takes longer than the drain time, over a connection to the
/// server behind whose certificate was replaced. To the client it does not look whole.
#[tokio::test]
async fn a_stream_that_exceeds_the_drain_time_is_aborted() {
    let front = Front::new();
    let gateway = front.run("[limits]\ndrain_seconds = 1").await;
    let alice = front.client("alice.example", "h2");
    let plain = alice
        .request(gateway.get("/v1/events/plain"))
        .await
        .unwrap();
    let to_plain = front.behind.stream("plain").await;
    let mtls = alice
        .request(gateway.get("/mtls/events/mtls"))
        .await
        .unwrap();
    let to_mtls = front.behind.stream("mtls").await;
    let (mut plain, mut mtls) = (plain.into_body(), mtls.into_body());

    let began = Instant::now();
    front.renew_server();
    front.renew_client();
    Gateway::reload(&gateway.reloads).await.unwrap();
    // It still goes on.
    to_mtls.send("1".into()).await.unwrap();
    let event = next_event(&mut mtls).await.unwrap().unwrap();
    assert_eq!(event, "data: 1\n\n");
    let broken = next_event(&mut mtls).await.unwrap();
    assert!(broken.is_err());
    assert!(began.elapsed() > Duration::from_millis(900));
    let line = gateway.line().await;
    assert_eq!(
        (&line["path"], &line["complete"]),
        (&json!("/mtls/events/mtls"), &json!(false))
    );

    // A stream to a server behind on loopback has no certificate that could be replaced, and a new
    // certificate for clients concerns new connections only.
    to_plain.send("1".into()).await.unwrap();
    let event = next_event(&mut plain).await.unwrap().unwrap();
    assert_eq!(event, "data: 1\n\n");
    drop(to_plain);
    assert!(next_event(&mut plain).await.is_none());
}

/// A connection that waits in the pool when the certificate is replaced is not used for what comes then.
#[tokio::test]
async fn a_stream_that_starts_after_the_renewal_is_not_aborted() {
    let front = Front::new();
    let gateway = front.run("[limits]\ndrain_seconds = 1").await;
    let alice = front.client("alice.example", "h2");
    for upstream in ["mtls", "h2"] {
        let before = gateway.get(&format!("/{upstream}/brief"));
        assert_eq!(text(alice.request(before).await.unwrap()).await, "done");
        front.renew_client();
        Gateway::reload(&gateway.reloads).await.unwrap();
        let events = gateway.get(&format!("/{upstream}/events/{upstream}"));
        let mut body = alice.request(events).await.unwrap().into_body();
        let sender = front.behind.stream(upstream).await;
        sleep(Duration::from_millis(2500)).await;
        sender.send("1".into()).await.unwrap();
        let event = next_event(&mut body).await.unwrap().unwrap();
        assert_eq!(event, "data: 1\n\n");
    }
}
