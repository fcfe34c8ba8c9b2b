//! Good clients of a `Listener` that peers with a hostile chain attack.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use countersign::identity::DnsName;
use countersign::testing::{KeyType, TestCa};
use countersign::{Acceptor, Connector, Listener, Resumption, policy};
use rustls::ClientConfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio::time::interval;

use crate::attacker::{SERVER, attack_server, client_of};
use crate::shapes::{Shape, TRUSTED};

/// Hostile handshakes per second.
const RATE: u32 = 50;

/// Prints the figures. Returns whether the budget was met.
pub(crate) fn run(shape: &Shape, is_test: bool) -> bool {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let clients = if is_test { 5 } else { 500 };
    runtime.block_on(async {
        let (address, connector) = start(shape.root).await;
        let mut idle = good_clients(address, &connector, clients).await;
        let (stop, stopped) = oneshot::channel();
        let client = client_of(shape);
        let attack = thread::spawn(move || attack(address, client, stopped));
        let mut attacked = good_clients(address, &connector, clients).await;
        drop(stop);
        attack.join().unwrap();
        idle.extend(good_clients(address, &connector, clients).await);
        let (idle, attacked) = (p99(&mut idle), p99(&mut attacked));
        let ratio = attacked.as_secs_f64() / idle.as_secs_f64();
        let met = ratio <= 3.0;
        println!(
            "good clients of a Listener, with {RATE} hostile handshakes/s: \"{}\"",
            shape.name
        );
        println!(
            "  p99 {attacked:.2?}, alone {idle:.2?}: {ratio:.2} × (budget 3: {})",
            if met { "met" } else { "missed" }
        );
        met
    })
}

async fn start(root: KeyType) -> (SocketAddr, Connector<DnsName>) {
    let ca = TestCa::builder(TRUSTED).key(root).root();
    let acceptor = Acceptor::builder()
        .credentials(ca.leaf().dns(SERVER).issue().credentials())
        .trust(ca.trust())
        .identify(DnsName::extractor())
        .authorize(policy::allow_any())
        .build()
        .unwrap();
    let connector = Connector::builder()
        .credentials(ca.leaf().dns("client.example").issue().credentials())
        .trust(ca.trust())
        .identify(DnsName::extractor())
        .authorize(policy::allow_any())
        .resumption(Resumption::Off) // every client makes a full handshake
        .build()
        .unwrap();
    let mut listener = Listener::builder(acceptor)
        .bind("127.0.0.1:0")
        .await
        .unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Some(mut stream) = listener.accept().await {
            tokio::spawn(async move {
                let _ = stream.write_all(b"s").await; // the client may close first
                let _ = stream.shutdown().await;
            });
        }
    });
    (address, connector)
}

/// The times of whole connections, one after the other.
async fn good_clients(
    address: SocketAddr,
    connector: &Connector<DnsName>,
    clients: usize,
) -> Vec<Duration> {
    let mut times = Vec::with_capacity(clients);
    for _ in 0..clients {
        let start = Instant::now();
        let tcp = TcpStream::connect(address).await.unwrap();
        let mut stream = connector.connect(SERVER, tcp).await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), b's');
        times.push(start.elapsed());
    }
    times
}

/// Attacks from a thread of its own, so that its CPU time is not the server's.
fn attack(address: SocketAddr, client: Arc<ClientConfig>, stop: oneshot::Receiver<()>) {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let attack = async move {
        let mut ticks = interval(Duration::from_secs(1) / RATE);
        loop {
            ticks.tick().await;
            let client = Arc::clone(&client);
            tokio::spawn(async move {
                if let Ok(tcp) = TcpStream::connect(address).await {
                    attack_server(client, tcp).await;
                }
            });
        }
    };
    runtime.block_on(async {
        tokio::select! {
            () = attack => {}
            _ = stop => {}
        }
    });
}

fn p99(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() * 99 / 100]
}
