//! A listener's places for handshakes, and how it ends.

mod flood;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use countersign::testing::TestCa;
use countersign::{Incoming, Listener, WhenFull, policy};
use support::{SERVER, acceptor, connector};
use tokio::io::{AsyncReadExt as _, DuplexStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

struct Sent(mpsc::UnboundedReceiver<DuplexStream>);

impl Incoming for Sent {
    type Io = DuplexStream;

    async fn accept(&mut self) -> io::Result<(DuplexStream, Option<SocketAddr>)> {
        match self.0.recv().await {
            Some(io) => Ok((io, None)),
            None => std::future::pending().await,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_place_is_kept_until_the_connection_is_taken() {
    let ca = TestCa::new("Root");
    let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
    let (sender, receiver) = mpsc::unbounded_channel();
    let mut listener = Listener::builder(acceptor.clone())
        .max_handshakes(2)
        .listen(Sent(receiver));
    let connector = connector(&ca, "client.example").build().unwrap();
    let mut clients = Vec::new();
    for _ in 0..3 {
        let (near, far) = tokio::io::duplex(64 * 1024);
        sender.send(near).unwrap();
        let connector = connector.clone();
        clients.push(tokio::spawn(
            async move { connector.connect(SERVER, far).await },
        ));
    }
    sleep(Duration::from_secs(1)).await;
    assert_eq!(acceptor.control().connections().len(), 2);
    assert!(!clients[2].is_finished());
    // A place for it, once one of the others is taken.
    let _first = listener.accept().await.unwrap();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(acceptor.control().connections().len(), 3);
    for client in clients {
        client.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_lets_handshakes_finish_until_its_deadline() {
    let ca = TestCa::new("Root");
    let connector = connector(&ca, "client.example").build().unwrap();
    for (begins_after, finishes) in [(500, true), (1500, false)] {
        let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut listener = Listener::builder(acceptor.clone()).listen(Sent(receiver));
        let (near, far) = tokio::io::duplex(64 * 1024);
        sender.send(near).unwrap();
        sleep(Duration::from_millis(10)).await;
        let connector = connector.clone();
        let client = tokio::spawn(async move {
            sleep(Duration::from_millis(begins_after)).await;
            connector.connect(SERVER, far).await
        });
        let start = Instant::now();
        let handle = listener.handle();
        let (yielded, ()) = tokio::join!(
            async {
                let mut yielded = Vec::new();
                while let Some(stream) = listener.accept().await {
                    yielded.push(stream);
                }
                yielded
            },
            handle.shutdown(Duration::from_secs(1)),
        );
        // A connection drains for up to a tenth less than the time.
        let least = if finishes { 900 } else { 1000 };
        let times = Duration::from_millis(least)..=Duration::from_secs(1);
        assert!(times.contains(&start.elapsed()), "{:?}", start.elapsed());
        assert_eq!(yielded.len(), usize::from(finishes));
        assert!(acceptor.control().connections().is_empty());
        for mut stream in yielded {
            let cut = stream.read_u8().await.unwrap_err();
            assert_eq!(cut.kind(), io::ErrorKind::ConnectionAborted);
        }
        assert_eq!(client.await.unwrap().is_ok(), finishes);
    }
}

/// A transport that does nothing but fail, in the way of peers that left early.
struct Broken(Arc<AtomicUsize>);

impl Incoming for Broken {
    type Io = DuplexStream;

    async fn accept(&mut self) -> io::Result<(DuplexStream, Option<SocketAddr>)> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Err(io::ErrorKind::ConnectionReset.into())
    }
}

#[tokio::test(start_paused = true)]
async fn a_broken_transport_does_not_keep_the_thread() {
    for rule in [WhenFull::Wait, WhenFull::Shed] {
        let ca = TestCa::new("Root");
        let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
        let calls = Arc::new(AtomicUsize::new(0));
        let listener = Listener::builder(acceptor)
            .when_full(rule)
            .listen(Broken(calls.clone()));
        sleep(Duration::from_secs(60)).await;
        let count = calls.load(Ordering::SeqCst);
        assert!((100..300).contains(&count), "{count} calls");
        let ended = listener.handle();
        timeout(
            Duration::from_secs(5),
            ended.shutdown(Duration::from_secs(1)),
        )
        .await
        .unwrap();
    }
}
