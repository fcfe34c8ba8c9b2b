//! Open connections.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use countersign::identity::DnsName;
use countersign::{Decision, Incoming, Listener, Peer, Resumption, TlsStream};
use countersign_benches::fixture::SERVER_NAME;
use stats_alloc::Region;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use crate::fixture::Fixture;
use crate::table::{Table, Unit, seconds};
use crate::{ALLOCATOR, Sizes, cost};

const PIPE: usize = 1024;

pub(crate) fn open(fixture: &Fixture, sizes: &Sizes) -> Table {
    let mut table = Table::new(
        "open: idle connections on one thread, each with a task that reads until it drains",
        "connections",
        &[
            ("memory of the server's ends and the pipes", Unit::Bytes),
            ("CPU in a second of idling", Unit::Time),
            ("`set_policy`", Unit::Time),
            ("all drained and closed by `shutdown`", Unit::Time),
            ("its CPU", Unit::Time),
        ],
    );
    for size in sizes.open {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime");
        let values = runtime.block_on(idle(fixture, *size, sizes.time));
        table.row(*size, values);
    }
    table
}

async fn idle(fixture: &Fixture, size: usize, time: Duration) -> [f64; 5] {
    let acceptor = fixture
        .builder(fixture.ca.trust())
        .resumption(Resumption::Off)
        .build()
        .expect("an acceptor");
    let (pipes, incoming) = mpsc::channel(1);
    let mut listener = Listener::builder(acceptor.clone()).listen(Pipes(incoming));
    let handle = listener.handle();
    let connector = TlsConnector::from(fixture.client());
    let mut tasks = JoinSet::new();
    // The clients' sessions are dropped, and their pipes stay.
    let mut clients = Vec::with_capacity(size);
    let region = Region::new(ALLOCATOR);
    for _ in 0..size {
        let (near, far) = duplex(PIPE);
        pipes.send(near).await.expect("a listener");
        let name = SERVER_NAME.try_into().expect("a name");
        let client = connector.connect(name, far);
        let (client, server) = tokio::join!(client, listener.accept());
        clients.push(client.expect("connected").into_inner().0);
        tasks.spawn(serve(server.expect("admitted")));
    }
    let change = region.change();
    let bytes = change.bytes_allocated as f64 - change.bytes_deallocated as f64;
    assert_eq!(acceptor.control().stats().open, size as u64);

    let before = cpu();
    let start = Instant::now();
    tokio::time::sleep(time).await;
    let idle = (cpu() - before) / seconds(start.elapsed());

    let (_, policy, _) = cost(|| {
        acceptor
            .control()
            .set_policy(|_: &Peer<DnsName>| Decision::allow("any"));
    });
    assert_eq!(acceptor.control().stats().open, size as u64);

    let (before, start) = (cpu(), Instant::now());
    handle.shutdown(Duration::from_secs(600)).await;
    let (shutdown, shutdown_cpu) = (seconds(start.elapsed()), cpu() - before);
    while let Some(served) = tasks.join_next().await {
        served.expect("no panic");
    }
    [bytes, idle, policy, shutdown, shutdown_cpu]
}

async fn serve(mut stream: TlsStream<DuplexStream, DnsName>) {
    let draining = stream.draining();
    tokio::select! {
        _ = stream.read_u8() => panic!("the client sends nothing"),
        _ = draining => {}
    }
    let _ = stream.shutdown().await;
}

struct Pipes(mpsc::Receiver<DuplexStream>);

impl Incoming for Pipes {
    type Io = DuplexStream;

    async fn accept(&mut self) -> io::Result<(DuplexStream, Option<SocketAddr>)> {
        match self.0.recv().await {
            Some(pipe) => Ok((pipe, None)),
            None => std::future::pending().await,
        }
    }
}

/// The processor time of this thread in seconds, by Linux' counter.
fn cpu() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = text.split(' ').next().and_then(|nanos| nanos.parse().ok());
    nanos.map_or(f64::NAN, |nanos: f64| nanos * 1e-9)
}
