//! Ten thousand open connections, and a policy that denies half of them:
//! `cargo bench -p countersign-benches --bench live`.
//!
//! Everything is in this process, over pipes in memory; the clients are plain tokio-rustls. The half
//! that stays echoes during the whole run, each connection five times a second. The clock starts with
//! the call that sets the policy. Memory is the bytes allocated and not freed for one more idle
//! connection, compared with a raw tokio-rustls server with the same clients, in one run.

#[path = "live/echo.rs"]
mod echo;

use std::alloc::System;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use countersign::identity::DnsName;
use countersign::testing::{Issued, TestCa};
use countersign::{Acceptor, Decision, Peer, policy};
use echo::{PATIENCE, Phase, Seen, be_denied, serve, stay, wait_until};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const SERVER: &str = "server.example";
const PIPE: usize = 1024;

fn main() -> ExitCode {
    // As a test, a short run shows that everything works.
    let is_test = !std::env::args().any(|argument| argument == "--bench");
    let connections = if is_test { 40 } else { 10_000 };
    let runtime = Runtime::new().expect("a runtime");
    let fixture = Fixture::new();
    let is_small = memory(&runtime, &fixture, connections / 10);
    let is_fast = runtime.block_on(flip(&fixture, connections));
    if is_test {
        println!("(run as a test: the budgets do not apply)");
    }
    if is_small && is_fast || is_test {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

struct Fixture {
    ca: TestCa,
    server: Issued,
    good: Arc<ClientConfig>,
    bad: Arc<ClientConfig>,
}

impl Fixture {
    fn new() -> Self {
        let ca = TestCa::new("Root");
        Self {
            server: ca.leaf().dns(SERVER).issue(),
            good: client_config(&ca, "good.example"),
            bad: client_config(&ca, "bad.example"),
            ca,
        }
    }

    fn roots(&self) -> RootCertStore {
        roots(&self.ca)
    }

    fn acceptor(&self) -> Acceptor<DnsName> {
        Acceptor::builder()
            .credentials(self.server.credentials())
            .trust(self.ca.trust())
            .identify(DnsName::extractor())
            .authorize(policy::allow_any())
            .build()
            .expect("an acceptor")
    }

    fn raw(&self) -> tokio_rustls::TlsAcceptor {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier =
            WebPkiClientVerifier::builder_with_provider(self.roots().into(), provider.clone())
                .build()
                .expect("a verifier");
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("TLS 1.3")
            .with_client_cert_verifier(verifier)
            .with_single_cert(self.server.chain().to_vec(), self.server.key_der())
            .expect("credentials");
        config.session_storage = rustls::server::ServerSessionMemoryCache::new(1024);
        Arc::new(config).into()
    }

    async fn client(
        &self,
        config: &Arc<ClientConfig>,
        io: DuplexStream,
    ) -> tokio_rustls::client::TlsStream<DuplexStream> {
        tokio_rustls::TlsConnector::from(config.clone())
            .connect(SERVER.try_into().expect("a name"), io)
            .await
            .expect("connected")
    }
}

fn roots(ca: &TestCa) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(ca.certificate_der()).expect("a root");
    roots
}

fn client_config(ca: &TestCa, name: &str) -> Arc<ClientConfig> {
    let issued = ca.leaf().dns(name).issue();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3")
        .with_root_certificates(roots(ca))
        .with_client_auth_cert(issued.chain().to_vec(), issued.key_der())
        .expect("credentials");
    config.resumption = rustls::client::Resumption::disabled();
    Arc::new(config)
}

/// The bytes that one more idle connection takes, both ends; the clients are the same. Returns
/// whether the budget was met.
fn memory(runtime: &Runtime, fixture: &Fixture, connections: usize) -> bool {
    let acceptor = fixture.acceptor();
    let raw = fixture.raw();
    // The warm-up fills what exists once, such as the caches of chains and sessions.
    let warm_up = 4200;
    let ours = runtime.block_on(async {
        retained(connections, warm_up, async || {
            let (near, far) = tokio::io::duplex(PIPE);
            let (server, client) =
                tokio::join!(acceptor.accept(near), fixture.client(&fixture.good, far));
            (server.expect("admitted"), client)
        })
        .await
    });
    let theirs = runtime.block_on(async {
        retained(connections, warm_up, async || {
            let (near, far) = tokio::io::duplex(PIPE);
            let (server, client) =
                tokio::join!(raw.accept(near), fixture.client(&fixture.good, far));
            (server.expect("accepted"), client)
        })
        .await
    });
    let difference = ours as i64 - theirs as i64;
    let is_small = difference <= 512;
    println!(
        "memory of an idle connection, both ends: ours {ours} bytes, raw tokio-rustls {theirs}, \
         difference {difference} (budget 512: {})",
        met(is_small)
    );
    is_small
}

async fn retained<S, C>(connections: usize, warm_up: usize, open: impl AsyncFn() -> (S, C)) -> usize
where
    S: AsyncRead + AsyncWrite + Unpin,
    C: AsyncRead + AsyncWrite + Unpin,
{
    let settled = async || {
        let (mut server, mut client) = open().await;
        echo(&mut server, &mut client).await;
        (server, client)
    };
    for _ in 0..warm_up.min(connections * 10) {
        settled().await;
    }
    let region = Region::new(ALLOCATOR);
    // With the streams themselves: a part of a stream may be in a box.
    let mut open = Vec::with_capacity(connections);
    for _ in 0..connections {
        open.push(settled().await);
    }
    let change = region.change();
    change
        .bytes_allocated
        .saturating_sub(change.bytes_deallocated)
        / connections
}

async fn echo(
    server: &mut (impl AsyncRead + AsyncWrite + Unpin),
    client: &mut (impl AsyncRead + AsyncWrite + Unpin),
) {
    server.write_all(b"s").await.expect("open");
    server.flush().await.expect("open");
    assert_eq!(client.read_u8().await.expect("open"), b's');
    client.write_all(b"c").await.expect("open");
    client.flush().await.expect("open");
    assert_eq!(server.read_u8().await.expect("open"), b'c');
}

/// Opens connections that echo, denies half, and checks both halves. Returns whether the budgets were
/// met.
async fn flip(fixture: &Fixture, connections: usize) -> bool {
    let half = connections / 2;
    let acceptor = fixture.acceptor();
    let (closed, mut closings) = mpsc::unbounded_channel();
    let (phase, phases) = watch::channel(Phase::Opening);
    let seen = Arc::new(Seen {
        echoes: (0..half).map(|_| AtomicUsize::new(0)).collect(),
        ..Seen::default()
    });
    let mut tasks = JoinSet::new();
    for number in 0..connections {
        let stays = number % 2 == 0;
        let (near, far) = tokio::io::duplex(PIPE);
        let config = if stays { &fixture.good } else { &fixture.bad };
        let (server, client) = tokio::join!(acceptor.accept(near), fixture.client(config, far));
        let server = server.expect("admitted");
        let closed = closed.clone();
        tasks.spawn(async move {
            serve(server).await;
            let _ = closed.send((number, Instant::now()));
        });
        let (seen, phases) = (seen.clone(), phases.clone());
        if stays {
            tasks.spawn(stay(client, number / 2, seen, phases));
        } else {
            tasks.spawn(be_denied(client, seen));
        }
    }
    drop((closed, phases));
    wait_until("every connection echoes", || {
        seen.ready.load(Ordering::SeqCst) == connections
    })
    .await;
    println!("{connections} open connections, of which the policy denies half");
    phase.send_replace(Phase::Echoing);
    seen.echoed(&seen.counts(), 2).await;

    let before = seen.counts();
    let start = Instant::now();
    // On another thread, so that the connections' tasks run immediately.
    let reauthorized = {
        let acceptor = acceptor.clone();
        tokio::task::spawn_blocking(move || {
            acceptor
                .control()
                .set_policy(|peer: &Peer<DnsName>| match peer.identity().as_str() {
                    "good.example" => Decision::allow("good"),
                    _ => Decision::deny("bad"),
                });
            start.elapsed()
        })
        .await
        .expect("set")
    };
    let mut last = start;
    for _ in 0..half {
        let closing = tokio::time::timeout(PATIENCE, closings.recv()).await;
        let (number, at) = closing
            .expect("all denied connections close")
            .expect("closed");
        assert_eq!(number % 2, 1, "only denied connections");
        last = last.max(at);
    }
    let closed = last - start;
    let echoes = seen.counts().iter().sum::<usize>() - before.iter().sum::<usize>();
    seen.echoed(&before, 3).await;
    let in_time = (
        reauthorized <= Duration::from_millis(100),
        closed <= Duration::from_secs(1),
    );
    println!(
        "  re-authorized in   {reauthorized:.1?} (budget 100 ms: {})",
        met(in_time.0)
    );
    println!(
        "  the denied closed  {closed:.1?} (budget 1 s: {})",
        met(in_time.1)
    );
    println!("  the others echoed  {echoes} times until then, and all {half} continue");
    wait_until("all denied clients received the alert", || {
        seen.alerted.load(Ordering::SeqCst) == half
    })
    .await;
    println!("  access_denied      received by {half} of {half}");
    assert_eq!(acceptor.control().connections().len(), half);

    // The same with new trust, which verifies no signature again.
    let trust = fixture.ca.trust();
    let before = seen.counts();
    let start = Instant::now();
    acceptor
        .control()
        .update(countersign::Update::new().trust(trust))
        .expect("an update");
    println!(
        "  new trust          {half} re-authorized in {:.1?}",
        start.elapsed()
    );
    seen.echoed(&before, 3).await;
    assert_eq!(acceptor.control().connections().len(), half);
    assert!(closings.try_recv().is_err(), "none of them was closed");

    phase.send_replace(Phase::Over);
    while let Some(finished) = tasks.join_next().await {
        finished.expect("no task fails");
    }
    assert_eq!(seen.broken.load(Ordering::SeqCst), 0, "the others stay");
    in_time.0 && in_time.1
}

const fn met(met: bool) -> &'static str {
    if met { "met" } else { "MISSED" }
}
