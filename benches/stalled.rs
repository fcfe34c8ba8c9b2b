//! Good clients while two thousand others stall: `cargo bench -p countersign-benches --bench stalled`.
//!
//! Over loopback TCP, in this process. A third of the stalled clients send nothing, a third half a
//! ClientHello, a third one byte a second. Good clients connect one after the other before, during and
//! after the stall. The bench times the client's whole connection, from `connect` to the first byte of
//! the application. Memory is the bytes allocated and not freed, without the system's sockets.

use std::alloc::System;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use countersign::identity::DnsName;
use countersign::testing::TestCa;
use countersign::{Acceptor, Connector, Listener, policy};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::sleep;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const SERVER: &str = "server.example";

/// The size of a run.
struct Size {
    stalled: usize,
    good: usize,
    timeout: Duration,
}

fn main() -> ExitCode {
    // As a test, a short run shows that everything works.
    let is_test = !std::env::args().any(|argument| argument == "--bench");
    let size = if is_test {
        Size {
            stalled: 30,
            good: 10,
            timeout: Duration::from_secs(2),
        }
    } else {
        Size {
            stalled: 2_000,
            good: 1_000,
            timeout: Duration::from_secs(10),
        }
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    if runtime.block_on(run(&size)) || is_test {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Prints the figures. Returns whether every budget was met.
async fn run(size: &Size) -> bool {
    let fixture = Fixture::start(size).await;
    let mut idle = fixture.good_clients(size.good).await;

    let region = Region::new(ALLOCATOR);
    let mut stalled = fixture.stall(size.stalled).await;
    let change = region.change();
    let memory = change
        .bytes_allocated
        .saturating_sub(change.bytes_deallocated)
        / size.stalled;
    let mut during = fixture.good_clients(size.good).await;
    let remaining = size.stalled - fixture.timed_out.load(Ordering::SeqCst);

    let mut last = Duration::ZERO;
    while let Some(closed) = stalled.join_next().await {
        last = last.max(closed.expect("the task finishes"));
    }
    idle.extend(fixture.good_clients(size.good).await);

    let timed_out = fixture.timed_out.load(Ordering::SeqCst);
    let (idle, during) = (Percentiles::of(&mut idle), Percentiles::of(&mut during));
    let limit = size.timeout + Duration::from_secs(1);
    println!("{} stalled handshakes and good clients", size.stalled);
    println!("                  p50       p99");
    println!("  idle      {:>9.2?} {:>9.2?}", idle.p50, idle.p99);
    println!("  stalled   {:>9.2?} {:>9.2?}", during.p50, during.p99);
    let ratio = during.p99.as_secs_f64() / idle.p99.as_secs_f64();
    let (fast, closed, all_reported) = (ratio <= 2.0, last <= limit, timed_out == size.stalled);
    println!(
        "  p99 during the stall {ratio:.2} × idle (budget 2: {})",
        met(fast)
    );
    println!("  still stalled when the last good client had connected: {remaining}");
    println!("  memory of a stalled connection: {memory} bytes, both ends");
    println!(
        "  the last was closed after {last:.2?} (deadline {:.0?} and 1 s: {})",
        size.timeout,
        met(closed)
    );
    println!(
        "  reported as timed_out: {timed_out} ({})",
        met(all_reported)
    );
    fast && closed && all_reported && remaining == size.stalled
}

struct Fixture {
    address: SocketAddr,
    connector: Connector<DnsName>,
    hello: Arc<Vec<u8>>,
    timed_out: Arc<AtomicUsize>,
}

impl Fixture {
    async fn start(size: &Size) -> Self {
        let ca = TestCa::new("Root");
        let acceptor = Acceptor::builder()
            .credentials(ca.leaf().dns(SERVER).issue().credentials())
            .trust(ca.trust())
            .identify(DnsName::extractor())
            .authorize(policy::allow_any())
            .handshake_timeout(size.timeout)
            .build()
            .expect("an acceptor");
        let connector = Connector::builder()
            .credentials(ca.leaf().dns("client.example").issue().credentials())
            .trust(ca.trust())
            .identify(DnsName::extractor())
            .authorize(policy::allow_any())
            // Every good client makes a full handshake.
            .resumption(countersign::Resumption::Off)
            .build()
            .expect("a connector");
        let timed_out = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&timed_out);
        let mut listener = Listener::builder(acceptor)
            // With a lower limit good clients would wait, up to the deadline.
            .max_handshakes(size.stalled + 100)
            // All clients have one address here.
            .early_drop(None)
            .on_refused(move |_, error| {
                if error.reason() == "timed_out" {
                    counted.fetch_add(1, Ordering::SeqCst);
                }
            })
            .bind("127.0.0.1:0")
            .await
            .expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move {
            while let Some(mut stream) = listener.accept().await {
                tokio::spawn(async move {
                    // The client may close first.
                    let _ = stream.write_all(b"s").await;
                    let _ = stream.shutdown().await;
                });
            }
        });
        let hello = Arc::new(hello_of(&connector).await);
        Self {
            address,
            connector,
            hello,
            timed_out,
        }
    }

    /// The times of the connections of good clients.
    async fn good_clients(&self, clients: usize) -> Vec<Duration> {
        let mut times = Vec::with_capacity(clients);
        for _ in 0..clients {
            let start = Instant::now();
            let tcp = TcpStream::connect(self.address).await.expect("a socket");
            let connected = self.connector.connect(SERVER, tcp).await;
            let mut stream = connected.expect("admitted");
            assert_eq!(stream.read_u8().await.expect("a byte"), b's');
            times.push(start.elapsed());
        }
        times
    }

    /// Starts clients that stall. Each returns the time after which the server closed its connection.
    async fn stall(&self, clients: usize) -> JoinSet<Duration> {
        let mut stalled = JoinSet::new();
        for number in 0..clients {
            let mut tcp = TcpStream::connect(self.address)
                .await
                .expect("a socket; is the limit of open files (ulimit -n) above 4,500?");
            let hello = Arc::clone(&self.hello);
            stalled.spawn(async move {
                let start = Instant::now();
                let (mut reader, mut writer) = tcp.split();
                let sending = async {
                    match number % 3 {
                        0 => {}
                        1 => writer.write_all(&hello[..hello.len() / 2]).await?,
                        _ => {
                            for byte in hello.iter() {
                                writer.write_u8(*byte).await?;
                                sleep(Duration::from_secs(1)).await;
                            }
                        }
                    }
                    std::future::pending::<std::io::Result<()>>().await
                };
                let mut answer = Vec::new();
                let closed = reader.read_to_end(&mut answer);
                tokio::select! {
                    _ = closed => {}
                    _ = sending => {}
                }
                start.elapsed()
            });
        }
        // The server accepts all of them in this time.
        sleep(Duration::from_millis(500)).await;
        stalled
    }
}

/// The first flight of a client.
async fn hello_of(connector: &Connector<DnsName>) -> Vec<u8> {
    let (near, mut far) = tokio::io::duplex(16 * 1024);
    let connecting = connector.connect(SERVER, near);
    let mut hello = Vec::new();
    tokio::select! {
        _ = connecting => unreachable!("no server answers"),
        read = far.read_buf(&mut hello) => assert!(read.expect("a ClientHello") > 0),
    }
    hello
}

struct Percentiles {
    p50: Duration,
    p99: Duration,
}

impl Percentiles {
    fn of(times: &mut [Duration]) -> Self {
        times.sort();
        Self {
            p50: times[times.len() / 2],
            p99: times[times.len() * 99 / 100],
        }
    }
}

const fn met(met: bool) -> &'static str {
    if met { "met" } else { "missed" }
}
