//! A listener reports every connection that it did not admit, once and with the reason.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use countersign::identity::DnsName;
use countersign::testing::TestCa;
use countersign::{AcceptError, Connector, Listener, TlsStream, WhenFull, policy};
use support::sent::{Sender, from_socket, is_closed, sent};
use support::{SERVER, acceptor, connector};
use tokio::io::{AsyncWriteExt as _, DuplexStream};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tracing::field::{Field, Visit};
use tracing::{Event, Metadata, Subscriber, span};

const PATIENCE: Duration = Duration::from_secs(60);

/// Whom a listener refused, and why.
type Refusal = (Option<SocketAddr>, &'static str);

/// What a listener reported, in its order.
#[derive(Clone, Default)]
struct Reported(Arc<Mutex<Vec<Refusal>>>);

impl Reported {
    fn listen(&self) -> impl Fn(Option<SocketAddr>, &AcceptError) + Send + Sync + 'static {
        let reported = self.0.clone();
        move |address, error| reported.lock().unwrap().push((address, error.reason()))
    }

    fn all(&self) -> Vec<Refusal> {
        self.0.lock().unwrap().clone()
    }
}

fn address(last: u8, port: u16) -> SocketAddr {
    ([192, 0, 2, last], port).into()
}

/// A client that gets in.
async fn admitted(
    connector: &Connector<DnsName>,
    listener: &mut Listener<DuplexStream, DnsName>,
    sender: &Sender,
    address: Option<SocketAddr>,
) -> TlsStream<DuplexStream, DnsName> {
    let client = connector.connect(SERVER, from_socket(sender, address));
    let both = async { tokio::join!(client, listener.accept()) };
    let (client, server) = timeout(PATIENCE, both).await.unwrap();
    drop(client.unwrap());
    server.unwrap()
}

/// Closes all handshakes, so that nothing more can be reported.
async fn finish(listener: &Listener<DuplexStream, DnsName>) {
    listener.handle().shutdown(Duration::ZERO).await;
    // Handshakes that are under way end by their own timeout.
    sleep(Duration::from_secs(20)).await;
}

#[tokio::test(start_paused = true)]
async fn an_address_that_is_not_admitted() {
    let ca = TestCa::new("Root");
    let (sender, incoming) = sent();
    let reported = Reported::default();
    let mut listener = Listener::builder(acceptor(&ca, policy::allow_any()).build().unwrap())
        .max_handshakes(1)
        .max_handshakes_per_address(1)
        .when_full(WhenFull::Shed)
        .admit(|address: SocketAddr| match address.port() {
            13 => panic!("a look with a bug"),
            port => port < 1000,
        })
        .on_refused(reported.listen())
        .listen(incoming);
    let connector = connector(&ca, "client.example").build().unwrap();
    let refused = "address_not_admitted";
    for port in [1000, 2000, 13] {
        assert!(is_closed(from_socket(&sender, Some(address(1, port)))).await);
    }
    drop(admitted(&connector, &mut listener, &sender, Some(address(1, 999))).await);
    // Who has no address is not looked at.
    drop(admitted(&connector, &mut listener, &sender, None).await);

    // With all places taken, too: the address is looked at first.
    let stalled = from_socket(&sender, Some(address(1, 1)));
    sleep(Duration::from_millis(10)).await; // it has its place
    assert!(is_closed(from_socket(&sender, Some(address(1, 3000)))).await);
    drop(stalled);
    finish(&listener).await;
    let all = [
        (Some(address(1, 1000)), refused),
        (Some(address(1, 2000)), refused),
        (Some(address(1, 13)), refused),
        (Some(address(1, 3000)), refused),
        (Some(address(1, 1)), "closed"),
    ];
    assert_eq!(reported.all(), all);
}

#[tokio::test(start_paused = true)]
async fn too_many_handshakes() {
    let ca = TestCa::new("Root");
    let (sender, incoming) = sent();
    let reported = Reported::default();
    let mut listener = Listener::builder(acceptor(&ca, policy::allow_any()).build().unwrap())
        .max_handshakes(2)
        .when_full(WhenFull::Shed)
        .on_refused(reported.listen())
        .listen(incoming);
    let connector = connector(&ca, "client.example").build().unwrap();
    let stalled = [1, 2].map(|last| from_socket(&sender, Some(address(last, 1))));
    for last in [3, 1] {
        assert!(is_closed(from_socket(&sender, Some(address(last, 2)))).await);
    }
    let refused = [
        (Some(address(3, 2)), "too_many_handshakes"),
        (Some(address(1, 2)), "too_many_handshakes"),
    ];
    assert_eq!(reported.all(), refused);

    let [first, second] = stalled;
    drop(first);
    sleep(Duration::from_secs(2)).await; // its place is free
    let server = admitted(&connector, &mut listener, &sender, Some(address(3, 3))).await;
    drop((second, server));
    finish(&listener).await;
    assert_eq!(reported.all()[..2], refused);
    let closed = [1, 2].map(|last| (Some(address(last, 1)), "closed"));
    assert_eq!(reported.all()[2..], closed);
}

#[tokio::test(start_paused = true)]
async fn too_many_handshakes_of_an_address() {
    let ca = TestCa::new("Root");
    let (sender, incoming) = sent();
    let reported = Reported::default();
    let mut listener = Listener::builder(acceptor(&ca, policy::allow_any()).build().unwrap())
        .max_handshakes_per_address(2)
        .on_refused(reported.listen())
        .listen(incoming);
    let connector = connector(&ca, "client.example").build().unwrap();
    let stalled = [1, 2].map(|port| from_socket(&sender, Some(address(1, port))));
    // The same address by the other family.
    let mapped = SocketAddr::from(([0, 0, 0, 0, 0, 0xffff, 0xc000, 0x0201], 4));
    for third in [address(1, 3), mapped] {
        assert!(is_closed(from_socket(&sender, Some(third))).await);
    }
    // Another has places of its own, and who has no address needs none.
    drop(admitted(&connector, &mut listener, &sender, Some(address(2, 1))).await);
    drop(admitted(&connector, &mut listener, &sender, None).await);
    let [first, second] = stalled;
    drop(first);
    sleep(Duration::from_secs(2)).await; // its place is free
    drop(admitted(&connector, &mut listener, &sender, Some(address(1, 5))).await);
    drop(second);
    finish(&listener).await;
    let all = [
        (Some(address(1, 3)), "too_many_handshakes_of_address"),
        (Some(mapped), "too_many_handshakes_of_address"),
        (Some(address(1, 1)), "closed"),
        (Some(address(1, 2)), "closed"),
    ];
    assert_eq!(reported.all(), all);
}

/// How many outcomes each remote address has in the log.
#[derive(Clone, Default)]
struct Outcomes(Arc<Mutex<HashMap<String, usize>>>);

impl Subscriber for Outcomes {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("countersign")
    }

    fn event(&self, event: &Event<'_>) {
        #[derive(Default)]
        struct Fields {
            message: String,
            remote: String,
        }
        impl Visit for Fields {
            fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
                match field.name() {
                    "message" => self.message = format!("{value:?}"),
                    "remote" => self.remote = format!("{value:?}"),
                    _ => {}
                }
            }
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        if ["client refused", "connection shed"].contains(&&*fields.message) {
            *self.0.lock().unwrap().entry(fields.remote).or_default() += 1;
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

/// Ten thousand clients that send garbage, go at once, or reset the connection; good ones pass
/// between them, and each of the others is reported once, to the application and to the log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_and_resets_are_reported_once_and_close_nothing_else() {
    support::in_own_process!(garbage_and_resets_are_reported_once_and_close_nothing_else);
    const HOSTILE: usize = 10_000;
    const ABREAST: usize = 100;

    let outcomes = Outcomes::default();
    tracing::subscriber::set_global_default(outcomes.clone()).unwrap();
    let ca = TestCa::new("Root");
    let reported = Reported::default();
    // The system forgets a connection that is reset before the accept loop came to it when its
    // queue is full; so no more are there than it holds.
    let queue = Arc::new(Semaphore::new(ABREAST));
    let (report, free) = (reported.listen(), queue.clone());
    let acceptor = acceptor(&ca, policy::allow_any()).audit_refusals_per_second(None);
    let mut listener = Listener::builder(acceptor.build().unwrap())
        .on_refused(move |address, error| {
            report(address, error);
            free.add_permits(1);
        })
        .bind("127.0.0.1:0")
        .await
        .unwrap();
    let server = listener.local_addr().unwrap();
    let attack = move |worker: usize, queue: Arc<Semaphore>| async move {
        let mut own = Vec::new();
        for number in (worker..HOSTILE).step_by(ABREAST) {
            queue.acquire().await.unwrap().forget();
            let mut tcp = TcpStream::connect(server).await.unwrap();
            own.push(tcp.local_addr().unwrap());
            let garbage: &[u8] = match number % 5 {
                0 => b"",
                1 => b"GET / HTTP/1.1\r\n\r\n",
                2 => &[0x16, 3, 1, 0xff, 0xff, 1],
                3 => &[0x15, 3, 3, 0, 2, 2, 40],
                _ => &[0xff; 512],
            };
            let _ = tcp.write_all(garbage).await; // it may have been closed already
            if number % 2 == 0 {
                tcp.set_zero_linger().unwrap(); // closing resets it
            }
        }
        own
    };
    let mut attackers = tokio::task::JoinSet::new();
    for worker in 0..ABREAST {
        attackers.spawn(attack(worker, queue.clone()));
    }
    let connector = connector(&ca, "client.example").build().unwrap();
    let mut hostile: HashMap<SocketAddr, usize> = HashMap::new();
    let mut good = 0;
    // One more when all of them are through.
    while !attackers.is_empty() || good == 0 {
        if good % 5 == 4 {
            let next = timeout(PATIENCE, attackers.join_next()).await.unwrap();
            for address in next.unwrap().unwrap() {
                *hostile.entry(address).or_default() += 1;
            }
        }
        let client = async {
            let tcp = TcpStream::connect(server).await.unwrap();
            connector.connect(SERVER, tcp).await
        };
        let both = async { tokio::join!(client, listener.accept()) };
        let (client, server) = timeout(PATIENCE, both).await.unwrap();
        assert!(client.is_ok() && server.is_some());
        good += 1;
    }
    // It ends when every handshake has.
    let handle = listener.handle();
    let shutdown = handle.shutdown(PATIENCE);
    timeout(2 * PATIENCE, shutdown).await.unwrap();

    assert_eq!(hostile.values().sum::<usize>(), HOSTILE);
    let mut refused: HashMap<SocketAddr, usize> = HashMap::new();
    let mut reasons: HashMap<&str, usize> = HashMap::new();
    for (address, reason) in reported.all() {
        *refused.entry(address.unwrap()).or_default() += 1;
        *reasons.entry(reason).or_default() += 1;
    }
    println!("{good} good ones; {reasons:?}");
    assert!(refused == hostile, "each of them once, and no other");
    let logged = outcomes.0.lock().unwrap().clone();
    let hostile: HashMap<String, usize> = hostile
        .into_iter()
        .map(|(address, count)| (format!("{:?}", Some(address)), count))
        .collect();
    let logged: HashMap<String, usize> = logged
        .into_iter()
        .filter(|(remote, _)| remote.contains("127.0.0.1"))
        .collect();
    assert!(logged == hostile, "each of them has one event");
    for reason in ["plaintext_http", "closed", "alert_received", "tls"] {
        assert!(reasons.contains_key(reason), "{reasons:?}");
    }
}
