//! Stalled clients are rejected in time, each with its event, and delay no other.
//!
//! One test, because `tracing` remembers per process who listens.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use countersign::testing::TestCa;
use countersign::{Incoming, Listener, policy};
use support::{SERVER, acceptor, connector, raw_client};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tracing::field::{Field, Visit};
use tracing::span;
use tracing::{Event, Metadata, Subscriber};

const STALLED: usize = 2_000;

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

/// Counts the events that say `timed_out`, and all that end an attempt.
#[derive(Clone, Default)]
struct Counting {
    timed_out: Arc<AtomicUsize>,
    outcomes: Arc<AtomicUsize>,
}

impl Subscriber for Counting {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("countersign")
    }

    fn event(&self, event: &Event<'_>) {
        struct Message(String);
        impl Visit for Message {
            fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
                self.0.push_str(&format!("{}={value:?} ", field.name()));
            }
        }
        let mut message = Message(String::new());
        event.record(&mut message);
        if message.0.contains("client refused") || message.0.contains("client admitted") {
            self.outcomes.fetch_add(1, Ordering::SeqCst);
        }
        if message.0.contains("reason=\"timed_out\"") {
            self.timed_out.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

#[tokio::test(start_paused = true)]
async fn two_thousand_stalled_clients_are_reaped_and_good_ones_pass() {
    support::in_own_process!(two_thousand_stalled_clients_are_reaped_and_good_ones_pass);
    let counting = Counting::default();
    tracing::subscriber::set_global_default(counting.clone()).unwrap();
    let ca = TestCa::new("Root");
    let acceptor = acceptor(&ca, policy::allow_any())
        .audit_refusals_per_second(None)
        .build()
        .unwrap();
    let (sender, incoming) = mpsc::unbounded_channel();
    let mut listener = Listener::builder(acceptor)
        .max_handshakes(STALLED + 10)
        .listen(Sent(incoming));
    let hello = {
        let config = Arc::new(raw_client(&ca, support::Version::Tls13, None));
        let mut client = rustls::ClientConnection::new(config, SERVER.try_into().unwrap()).unwrap();
        let mut hello = Vec::new();
        client.write_tls(&mut hello).unwrap();
        Arc::new(hello)
    };

    let start = Instant::now();
    let mut stalled = JoinSet::new();
    for number in 0..STALLED {
        let (near, mut far) = tokio::io::duplex(4096);
        sender.send(near).unwrap();
        let hello = hello.clone();
        stalled.spawn(async move {
            match number % 3 {
                0 => {}
                1 => far.write_all(&hello[..hello.len() / 2]).await.unwrap(),
                _ => {
                    for byte in hello.iter() {
                        if far.write_u8(*byte).await.is_err() {
                            break;
                        }
                        sleep(Duration::from_secs(1)).await;
                    }
                }
            }
            let _ = far.read_to_end(&mut Vec::new()).await;
            Instant::now()
        });
    }
    let connector = connector(&ca, "client.example").build().unwrap();
    for _ in 0..50 {
        let (near, far) = tokio::io::duplex(4096);
        sender.send(near).unwrap();
        let (client, server) = tokio::join!(connector.connect(SERVER, far), listener.accept());
        assert!(client.is_ok() && server.is_some());
    }
    // The clock is stopped while there is work to do.
    assert!(start.elapsed() < Duration::from_secs(1), "no client waited");

    while let Some(ended) = stalled.join_next().await {
        let after = ended.unwrap() - start;
        assert!(after >= Duration::from_secs(10), "{after:?}");
        assert!(after <= Duration::from_secs(11), "{after:?}");
    }
    assert_eq!(counting.timed_out.load(Ordering::SeqCst), STALLED);
    assert_eq!(counting.outcomes.load(Ordering::SeqCst), STALLED + 50);
}
