//! A listener yields who was admitted, whatever the others do.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use countersign::identity::DnsName;
use countersign::live::CloseReason;
use countersign::testing::TestCa;
use countersign::{Connector, Decision, Listener, Peer, TlsStream, WhenFull, policy};
use support::sent::{from, is_closed, sent};
use support::{SERVER, acceptor, connector};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(30);

async fn connect(
    connector: &Connector<DnsName>,
    address: SocketAddr,
) -> TlsStream<TcpStream, DnsName> {
    let tcp = TcpStream::connect(address).await.unwrap();
    connector.connect(SERVER, tcp).await.unwrap()
}

#[tokio::test]
async fn a_stalled_client_delays_no_other() {
    let ca = TestCa::new("Root");
    let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
    let mut listener = Listener::bind(acceptor, "127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stalled = TcpStream::connect(address).await.unwrap();
    let mut garbage = TcpStream::connect(address).await.unwrap();
    garbage.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let connector = connector(&ca, "client.example").build().unwrap();
    let (mut client, server) = tokio::join!(connect(&connector, address), listener.accept());
    let mut server = server.unwrap();
    assert_eq!(server.peer().identity().as_str(), "client.example");
    let remote = server.peer().connection().remote_addr();
    assert_eq!(remote, Some(client.get_ref().local_addr().unwrap()));
    client.write_all(b"x").await.unwrap();
    client.flush().await.unwrap();
    assert_eq!(server.read_u8().await.unwrap(), b'x');
    drop(stalled);
}

#[cfg(unix)]
#[tokio::test]
async fn unix_sockets_work_too() {
    let ca = TestCa::new("Root");
    let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let unix = tokio::net::UnixListener::bind(&path).unwrap();
    let mut listener = Listener::builder(acceptor).listen(unix);
    let connector = connector(&ca, "client.example").build().unwrap();
    let client = async {
        let io = tokio::net::UnixStream::connect(&path).await.unwrap();
        connector.connect(SERVER, io).await.unwrap()
    };
    let (_client, server) = tokio::join!(client, listener.accept());
    assert_eq!(server.unwrap().peer().connection().remote_addr(), None);
    assert_eq!(listener.local_addr(), None);
}

#[tokio::test(start_paused = true)]
async fn further_connections_wait_or_are_shed() {
    let ca = TestCa::new("Root");
    for (rule, closed) in [(WhenFull::Wait, false), (WhenFull::Shed, true)] {
        let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
        let (sender, incoming) = sent();
        let mut listener = Listener::builder(acceptor)
            .max_handshakes(2)
            .when_full(rule)
            .listen(incoming);
        let stalled = [from(&sender, [192, 0, 2, 1]), from(&sender, [192, 0, 2, 2])];
        tokio::time::sleep(Duration::from_millis(10)).await;
        let third = from(&sender, [192, 0, 2, 3]);
        if closed {
            assert!(is_closed(third).await);
        } else {
            let connector = connector(&ca, "client.example").build().unwrap();
            let mut third = Box::pin(connector.connect(SERVER, third));
            let early = timeout(Duration::from_secs(1), &mut third).await;
            assert!(early.is_err(), "it waits");
            drop(stalled); // two places are free
            let (client, server) = tokio::join!(third, listener.accept());
            assert!(client.is_ok() && server.is_some());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn cheap_checks_come_first() {
    let ca = TestCa::new("Root");
    let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
    let (sender, incoming) = sent();
    let asked = Arc::new(AtomicUsize::new(0));
    let mut listener = Listener::builder(acceptor)
        .max_handshakes_per_address(1)
        .admit({
            let asked = asked.clone();
            move |address: SocketAddr| {
                asked.fetch_add(1, Ordering::SeqCst);
                address.ip() != std::net::IpAddr::from([203, 0, 113, 9])
            }
        })
        .listen(incoming);
    assert!(is_closed(from(&sender, [203, 0, 113, 9])).await);
    let stalled = from(&sender, [192, 0, 2, 1]);
    assert!(
        is_closed(from(&sender, [192, 0, 2, 1])).await,
        "a second of one address"
    );
    let connector = connector(&ca, "client.example").build().unwrap();
    for address in [[192, 0, 2, 2], [192, 0, 2, 2]] {
        let client = connector.connect(SERVER, from(&sender, address));
        let (client, server) = tokio::join!(client, listener.accept());
        assert!(
            client.is_ok() && server.is_some(),
            "its first handshake is over"
        );
    }
    assert_eq!(asked.load(Ordering::SeqCst), 5);
    drop(stalled);
}

#[tokio::test(start_paused = true)]
async fn errors_of_the_system_end_nothing() {
    let ca = TestCa::new("Root");
    let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
    let (sender, incoming) = sent();
    let mut listener = Listener::builder(acceptor).listen(incoming);
    let out_of_files = || io::Error::from_raw_os_error(24);
    let start = tokio::time::Instant::now();
    for _ in 0..10 {
        sender.send(Err(out_of_files())).unwrap();
        sender
            .send(Err(io::ErrorKind::ConnectionAborted.into()))
            .unwrap();
    }
    let connector = connector(&ca, "client.example").build().unwrap();
    let client = connector.connect(SERVER, from(&sender, [192, 0, 2, 1]));
    // The clock is stopped while work is done: only the pauses count.
    let (_, server) = tokio::join!(async { timeout(PATIENCE, client).await }, async {
        listener.accept().await
    });
    assert!(server.is_some());
    let waited = start.elapsed();
    assert!(
        waited >= Duration::from_secs(3),
        "it does not spin: {waited:?}"
    );
    assert!(waited <= Duration::from_secs(8), "it goes on: {waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_finishes_what_has_begun() {
    let ca = TestCa::new("Root");
    let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
    let (sender, incoming) = sent();
    let mut listener = Listener::builder(acceptor.clone()).listen(incoming);
    let connector = connector(&ca, "client.example").build().unwrap();
    let open = connector.connect(SERVER, from(&sender, [192, 0, 2, 1]));
    let (first_client, first) = tokio::join!(open, listener.accept());
    let (mut first, _first_client) = (first.unwrap(), first_client.unwrap());
    // Not of this listener: it stays.
    let (near, far) = tokio::io::duplex(64 * 1024);
    let (other, _other_client) =
        tokio::join!(acceptor.accept(near), connector.connect(SERVER, far));

    let begun = from(&sender, [192, 0, 2, 1]);
    tokio::time::sleep(Duration::from_millis(10)).await; // it was accepted
    let handle = listener.handle();
    let start = tokio::time::Instant::now();
    let shutdown = tokio::spawn(async move { handle.shutdown(Duration::from_secs(5)).await });
    tokio::time::sleep(Duration::from_millis(10)).await;
    let (second_client, second) = tokio::join!(connector.connect(SERVER, begun), listener.accept());
    let (mut second, second_client) = (second.unwrap(), second_client.unwrap());
    assert!(listener.accept().await.is_none(), "and no more");
    assert!(sender.is_closed(), "it does not listen any more");

    assert_eq!(first.draining().await.reason(), "shut_down");
    first.shutdown().await.unwrap();
    drop(first);
    drop(second_client);
    let why = second.read_to_end(&mut Vec::new()).await;
    drop(why);
    // The second does not finish without help.
    shutdown.await.unwrap();
    let after = start.elapsed();
    assert!(after <= Duration::from_secs(6), "{after:?}");
    let error = second.write_all(b"x").await.unwrap_err();
    assert_eq!(
        error.downcast::<CloseReason>().unwrap().reason(),
        "shut_down"
    );
    drop(second);
    assert_eq!(acceptor.control().connections().len(), 1);
    assert!(acceptor.control().connections()[0].close_reason().is_none());
    drop(other);
}

/// Dropping a listener ends handshakes; connections stay.
#[tokio::test(start_paused = true)]
async fn a_dropped_listener_leaves_connections_alone() {
    let ca = TestCa::new("Root");
    let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
    let (sender, incoming) = sent();
    let mut listener = Listener::builder(acceptor).listen(incoming);
    let connector = connector(&ca, "client.example").build().unwrap();
    let open = connector.connect(SERVER, from(&sender, [192, 0, 2, 1]));
    let (client, server) = tokio::join!(open, listener.accept());
    let (mut client, mut server) = (client.unwrap(), server.unwrap());
    let stalled = from(&sender, [192, 0, 2, 1]);
    tokio::time::sleep(Duration::from_millis(10)).await;
    drop(listener);
    assert!(is_closed(stalled).await);
    client.write_all(b"x").await.unwrap();
    client.flush().await.unwrap();
    assert_eq!(server.read_u8().await.unwrap(), b'x');
}

/// A policy that is slow, and one that never decides: the timeout denies, and no other client waits.
#[tokio::test(start_paused = true)]
async fn a_policy_that_never_decides_denies_and_delays_no_client() {
    let ca = TestCa::new("Root");
    let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
    acceptor.control().set_async_policy(
        async |peer: Peer<DnsName>| {
            if peer.identity().as_str() == "never.example" {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
            Decision::allow("asked")
        },
        Duration::from_secs(1),
    );
    let (sender, incoming) = sent();
    let mut listener = Listener::builder(acceptor).listen(incoming);
    let never = connector(&ca, "never.example").build().unwrap();
    let good = connector(&ca, "good.example").build().unwrap();
    let start = tokio::time::Instant::now();
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..200 {
        let (never, io) = (never.clone(), from(&sender, [192, 0, 2, 1]));
        waiting.spawn(async move {
            let mut client = never.connect(SERVER, io).await.unwrap();
            let refused = client.read_u8().await.unwrap_err();
            (refused.to_string(), tokio::time::Instant::now())
        });
    }
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (good, io) = (good.clone(), from(&sender, [192, 0, 2, 2]));
        clients.spawn(async move { good.connect(SERVER, io).await.unwrap() });
    }
    // The clock is stopped while there is work to do: only the policy's time counts.
    let mut admitted = Vec::new();
    for _ in 0..50 {
        admitted.push(listener.accept().await.unwrap());
    }
    let after = start.elapsed();
    assert!(after < Duration::from_millis(100), "{after:?}");
    while let Some(refused) = waiting.join_next().await {
        let (message, at) = refused.unwrap();
        assert!(message.contains("access_denied"), "{message}");
        let after = at - start;
        assert!(after >= Duration::from_secs(1), "{after:?}");
        assert!(after < Duration::from_millis(1100), "{after:?}");
    }
}
