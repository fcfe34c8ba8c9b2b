//! Sources that open hundreds of connections a second and let them stall. The clock is a paused one, so
//! that a client that waits for nothing is admitted at the very time at which it comes.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use countersign::identity::DnsName;
use countersign::testing::TestCa;
use countersign::{Acceptor, EarlyDrop, Listener, ListenerBuilder, policy};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, interval, sleep};

use support::sent::{Sender, from_socket, sent};
use support::{SERVER, acceptor, connector};

const GOOD: [u8; 4] = [127, 0, 0, 1];

/// How many connections of which address were refused for what.
type Refused = Arc<Mutex<HashMap<(SocketAddr, &'static str), usize>>>;

/// Opens this many connections a second from each of the addresses, and sends nothing.
fn flood(sender: &Sender, per_second: u32, addresses: Vec<SocketAddr>) -> JoinHandle<()> {
    let sender = sender.clone();
    tokio::spawn(async move {
        let mut held: Vec<DuplexStream> = Vec::new();
        let mut tick = interval(Duration::from_secs(1) / per_second);
        loop {
            tick.tick().await;
            for address in &addresses {
                held.push(from_socket(&sender, Some(*address)));
            }
        }
    })
}

fn idle(last: u8) -> SocketAddr {
    ([127, 0, 0, last], 1).into()
}

/// How long each of 200 good clients waits, ten of them a second, beside a flood of 20 s; and who was
/// refused.
async fn beside_a_flood(
    options: impl FnOnce(ListenerBuilder<DnsName>) -> ListenerBuilder<DnsName>,
    per_second: u32,
    addresses: Vec<SocketAddr>,
) -> (Vec<Duration>, Refused) {
    let ca = TestCa::new("Root");
    let acceptor: Acceptor<DnsName> = acceptor(&ca, policy::allow_any()).build().unwrap();
    let (sender, incoming) = sent();
    let refused = Refused::default();
    let reported = Arc::clone(&refused);
    let builder = Listener::builder(acceptor).on_refused(move |address, error| {
        let key = (address.unwrap(), error.reason());
        *reported.lock().unwrap().entry(key).or_default() += 1;
    });
    let mut listener = options(builder).listen(incoming);
    let connector = connector(&ca, "client.example").build().unwrap();
    let flooding = flood(&sender, per_second, addresses);
    let serving = tokio::spawn(async move {
        let mut open = Vec::new();
        while let Some(mut stream) = listener.accept().await {
            stream.write_all(b"s").await.unwrap();
            stream.flush().await.unwrap();
            open.push(stream);
        }
    });
    let mut waited = Vec::new();
    for port in 1..=200 {
        sleep(Duration::from_millis(100)).await;
        let began = Instant::now();
        let io = from_socket(&sender, Some((GOOD, port).into()));
        let mut stream = connector.connect(SERVER, io).await.expect("admitted");
        assert_eq!(stream.read_u8().await.expect("admitted"), b's');
        waited.push(began.elapsed());
    }
    flooding.abort();
    serving.abort();
    (waited, refused)
}

fn count(refused: &Refused, address: SocketAddr, reason: &'static str) -> usize {
    let refused = refused.lock().unwrap();
    refused.get(&(address, reason)).copied().unwrap_or(0)
}

fn none_of_the_good(refused: &Refused) {
    let refused = refused.lock().unwrap();
    let good = refused.keys().find(|(of, _)| of.ip() == IpAddr::from(GOOD));
    assert_eq!(good, None);
}

#[tokio::test(start_paused = true)]
async fn one_address_that_floods_delays_no_client_of_another() {
    let (waited, refused) = beside_a_flood(|options| options, 600, vec![idle(2)]).await;
    let longest = waited.iter().max().unwrap();
    assert!(*longest < Duration::from_millis(50), "{longest:?}");
    none_of_the_good(&refused);
    let dropped = count(&refused, idle(2), "early_drop");
    // Of 12,000, those that were not dropped: 512 at a time, for ten seconds each.
    assert!((10_000..12_000).contains(&dropped), "{dropped} dropped");
    // Each has one outcome, and those that hold a place when the test ends have none yet.
    let all: usize = refused.lock().unwrap().values().sum();
    let timed_out = count(&refused, idle(2), "timed_out");
    assert_eq!(all, dropped + timed_out);
}

/// The twin: behind a balancer, where all come from one address, it is turned off.
#[tokio::test(start_paused = true)]
async fn without_early_drop_no_connection_is_dropped() {
    let off = |options: ListenerBuilder<DnsName>| options.early_drop(None).max_handshakes(100_000);
    let (waited, refused) = beside_a_flood(off, 600, vec![(GOOD, 9999).into()]).await;
    assert!(waited.iter().all(|waited| waited.is_zero()));
    assert_eq!(count(&refused, (GOOD, 9999).into(), "early_drop"), 0);
}

/// Sixteen addresses hold fewer each than early drop looks at, and all places together: then the one that
/// holds the most makes room.
#[tokio::test(start_paused = true)]
async fn when_all_places_are_taken_the_heaviest_source_makes_room() {
    let addresses: Vec<_> = (2..18).map(idle).collect();
    let (waited, refused) = beside_a_flood(|options| options, 20, addresses.clone()).await;
    let longest = waited.iter().max().unwrap();
    assert!(*longest < Duration::from_millis(50), "{longest:?}");
    none_of_the_good(&refused);
    let displaced: usize = addresses
        .iter()
        .map(|&address| count(&refused, address, "displaced"))
        .sum();
    assert!(displaced > 200, "{displaced} displaced");
}

#[tokio::test(start_paused = true)]
async fn the_share_that_is_dropped_is_a_setting() {
    let strict = |options: ListenerBuilder<DnsName>| options.early_drop(EarlyDrop::new(0, 0, 1));
    let (waited, refused) = beside_a_flood(strict, 10, vec![idle(2)]).await;
    assert!(waited.iter().all(|waited| waited.is_zero()));
    none_of_the_good(&refused);
    // One at a time.
    assert!(count(&refused, idle(2), "timed_out") <= 2);
    assert!(count(&refused, idle(2), "early_drop") > 150);
}

/// The same over TCP, by the address that the system reports.
#[cfg(target_os = "linux")] // elsewhere loopback has one address
#[tokio::test]
async fn over_tcp_the_flooding_address_is_dropped_and_another_is_admitted() {
    let ca = TestCa::new("Root");
    let (report, mut reported) = tokio::sync::mpsc::unbounded_channel();
    let mut listener = Listener::builder(acceptor(&ca, policy::allow_any()).build().unwrap())
        .early_drop(EarlyDrop::new(2, 100, 2))
        .on_refused(move |address, error| {
            report
                .send((address.unwrap().ip(), error.reason()))
                .unwrap();
        })
        .bind("127.0.0.1:0")
        .await
        .unwrap();
    let server = listener.local_addr().unwrap();
    let from = async |address: [u8; 4]| {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind((address, 0).into()).unwrap();
        socket.connect(server).await.unwrap()
    };
    let mut held = Vec::new();
    for _ in 0..20 {
        held.push(from([127, 0, 0, 2]).await);
    }
    let connector = connector(&ca, "client.example").build().unwrap();
    let tcp = from(GOOD).await;
    let (client, stream) = tokio::join!(connector.connect(SERVER, tcp), listener.accept());
    assert!(client.is_ok() && stream.is_some());
    for _ in 0..18 {
        let refused = reported.recv().await.unwrap();
        assert_eq!(refused, ([127, 0, 0, 2].into(), "early_drop"));
    }
}
