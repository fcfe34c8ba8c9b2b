//! Ten thousand open connections, and a policy that denies half of them: `cargo bench --bench live`.
//!
//! Everything is in this process, over pipes in memory; the clients are plain tokio-rustls. What is
//! timed begins with the call that sets the policy. Memory is what the allocator was asked for and
//! has not got back, with one idle connection more: beside a raw tokio-rustls server, with the same
//! clients, in one run.

use std::alloc::System;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use countersign::identity::DnsName;
use countersign::testing::{Issued, TestCa};
use countersign::{Acceptor, Decision, Peer, policy};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const SERVER: &str = "server.example";
const PIPE: usize = 1024;

fn main() {
    // Run as a test, it only shows that it works.
    let is_test = !std::env::args().any(|argument| argument == "--bench");
    let connections = if is_test { 40 } else { 10_000 };
    let runtime = Runtime::new().expect("a runtime");
    let world = World::new();
    memory(&runtime, &world, connections / 10);
    runtime.block_on(flip(&world, connections, is_test));
}

struct World {
    ca: TestCa,
    server: Issued,
    good: Arc<ClientConfig>,
    bad: Arc<ClientConfig>,
}

impl World {
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

/// The bytes that one more idle connection takes, both ends; the clients are the same.
fn memory(runtime: &Runtime, world: &World, connections: usize) {
    let acceptor = world.acceptor();
    let raw = world.raw();
    // What is there once, such as remembered chains and sessions, is there before.
    let warm_up = 1100;
    let ours = runtime.block_on(async {
        kept(connections, warm_up, async || {
            let (near, far) = tokio::io::duplex(PIPE);
            let (server, client) =
                tokio::join!(acceptor.accept(near), world.client(&world.good, far));
            (server.expect("admitted"), client)
        })
        .await
    });
    let theirs = runtime.block_on(async {
        kept(connections, warm_up, async || {
            let (near, far) = tokio::io::duplex(PIPE);
            let (server, client) = tokio::join!(raw.accept(near), world.client(&world.good, far));
            (server.expect("accepted"), client)
        })
        .await
    });
    println!(
        "memory of an idle connection, both ends: ours {ours} bytes, raw tokio-rustls {theirs}, \
         difference {} (budget 1024: {})",
        ours as i64 - theirs as i64,
        met(ours as i64 - theirs as i64 <= 1024)
    );
}

async fn kept<S, C>(connections: usize, warm_up: usize, open: impl AsyncFn() -> (S, C)) -> usize
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
    let mut open = Vec::with_capacity(connections);
    let region = Region::new(ALLOCATOR);
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

/// Opens connections that echo, denies half, and sees what becomes of both halves.
async fn flip(world: &World, connections: usize, is_test: bool) {
    let acceptor = world.acceptor();
    let (closed, mut closings) = mpsc::unbounded_channel();
    let echoes = Arc::new(AtomicUsize::new(0));
    let refused = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    let mut pokes = Vec::new();
    for number in 0..connections {
        let good = number % 2 == 0;
        let (near, far) = tokio::io::duplex(PIPE);
        let config = if good { &world.good } else { &world.bad };
        let (server, client) = tokio::join!(acceptor.accept(near), world.client(config, far));
        let mut server = server.expect("admitted");
        let (poke, mut poked) = mpsc::unbounded_channel::<()>();
        pokes.push(poke);
        let closed = closed.clone();
        tasks.spawn(async move {
            let mut buffer = [0; 64];
            while let Ok(count @ 1..) = server.read(&mut buffer).await {
                if server.write_all(&buffer[..count]).await.is_err()
                    || server.flush().await.is_err()
                {
                    break;
                }
            }
            drop(server);
            let _ = closed.send((number, Instant::now()));
        });
        let (echoes, refused) = (echoes.clone(), refused.clone());
        let mut client = client;
        tasks.spawn(async move {
            // Echoes when it is poked, and waits for the server's word otherwise.
            let mut byte = [0; 1];
            loop {
                tokio::select! {
                    poke = poked.recv() => match poke {
                        Some(()) => {
                            let sent = client.write_all(b"e").await.is_ok() && client.flush().await.is_ok();
                            if !sent { return }
                        }
                        None => return,
                    },
                    read = client.read(&mut byte) => match read {
                        Ok(1) => drop(echoes.fetch_add(1, Ordering::Relaxed)),
                        Ok(_) => return,
                        Err(error) => {
                            let alert = rustls::AlertDescription::AccessDenied;
                            let told = error.downcast::<rustls::Error>()
                                .is_ok_and(|error| error == rustls::Error::AlertReceived(alert));
                            refused.fetch_add(usize::from(told), Ordering::Relaxed);
                            return;
                        }
                    },
                }
            }
        });
    }
    drop(closed);
    let half = connections / 2;
    poke_and_wait(&pokes, &echoes, connections).await;
    println!("{connections} open connections, of which half are to be denied");

    let start = Instant::now();
    // Off this thread, so that those who are woken run at once.
    let judged = {
        let acceptor = acceptor.clone();
        tokio::task::spawn_blocking(move || {
            acceptor.set_policy(|peer: &Peer<DnsName>| match peer.identity().as_str() {
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
        let (number, at) = closings.recv().await.expect("closed");
        assert_eq!(number % 2, 1, "only those who are denied");
        last = last.max(at);
    }
    let closed = last - start;
    println!(
        "  judged after       {judged:.1?} (budget 100 ms: {})",
        met(judged <= Duration::from_millis(100))
    );
    println!(
        "  the denied closed  {closed:.1?} (budget 1 s: {})",
        met(closed <= Duration::from_secs(1))
    );
    echoes.store(0, Ordering::SeqCst);
    poke_and_wait(&pokes, &echoes, half).await;
    println!("  the others echo    {half} of {half}");
    let told = refused.load(Ordering::SeqCst);
    println!("  told access_denied {told} of {half}");
    assert_eq!(told, half);
    assert_eq!(acceptor.connections().len(), half);

    // The same again with trust, which is judged without verifying a signature again.
    let trust = world.ca.trust();
    let start = Instant::now();
    acceptor
        .update(countersign::Update::new().trust(trust))
        .expect("an update");
    println!("  new trust, {half} judged after {:.1?}", start.elapsed());
    assert_eq!(acceptor.connections().len(), half);
    if is_test {
        println!("(run as a test: the times say nothing)");
    }
    drop(pokes);
    while tasks.join_next().await.is_some() {}
}

async fn poke_and_wait(pokes: &[mpsc::UnboundedSender<()>], echoes: &AtomicUsize, wanted: usize) {
    for poke in pokes {
        let _ = poke.send(()); // those who were denied are gone
    }
    let patience = Instant::now() + Duration::from_secs(60);
    while echoes.load(Ordering::SeqCst) < wanted {
        assert!(Instant::now() < patience, "an echo is missing");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

const fn met(met: bool) -> &'static str {
    if met { "met" } else { "MISSED" }
}
