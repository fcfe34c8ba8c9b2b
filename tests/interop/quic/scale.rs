//! A thousand open connections.

use std::time::{Duration, Instant};

use countersign::audit::Memory;
use countersign::identity::DnsName;
use countersign::integration::quinn::{Client, Listener};
use countersign::testing::TestCa;
use countersign::{Decision, Peer, policy};

use crate::world::{ALPN, NAME, PATIENCE};

const CONNECTIONS: usize = 1000;

/// The aim is 100 ms; a debug build on a busy machine gets more.
const LIMIT: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_connections_are_authorized_again_and_cut() {
    let ca = TestCa::new("Root");
    let acceptor = support::acceptor(&ca, policy::allow_any())
        .audit(Memory::new())
        .build()
        .unwrap();
    let builder = Listener::builder(acceptor.clone())
        .alpn([ALPN])
        .early_drop(None);
    let mut listener = builder.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let address = listener.local_addr().unwrap();
    let connector =
        crate::world::connector(&ca, &ca.leaf().dns("a.example").issue(), &Memory::new());
    // Making them all takes longer than the idle timeout, in a debug build.
    let client = Client::builder(connector)
        .alpn([ALPN])
        .transport(|transport| {
            transport.keep_alive_interval(Some(Duration::from_secs(5)));
        });
    let client = client.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let accepting = tokio::spawn(async move {
        let mut open = Vec::new();
        while open.len() < CONNECTIONS {
            open.push(listener.accept().await.unwrap());
        }
        (open, listener)
    });
    let mut connected = Vec::new();
    while connected.len() < CONNECTIONS {
        let batch = (0..20).map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.connect(address, NAME).await.unwrap() })
        });
        for connecting in batch.collect::<Vec<_>>() {
            connected.push(connecting.await.unwrap());
        }
    }
    let (open, _listener) = tokio::time::timeout(PATIENCE, accepting)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(acceptor.control().connections().len(), CONNECTIONS);

    let began = Instant::now();
    acceptor
        .control()
        .set_policy(|_: &Peer<DnsName>| Decision::allow("still"));
    let authorized = began.elapsed();
    assert_eq!(acceptor.control().connections().len(), CONNECTIONS);
    let began = Instant::now();
    acceptor
        .control()
        .set_policy(|_: &Peer<DnsName>| Decision::deny("no more"));
    let cut = began.elapsed();
    assert!(acceptor.control().connections().is_empty());
    for connection in &open {
        assert_eq!(connection.close_reason().unwrap().reason(), "denied");
    }
    let mut alerts = 0;
    let last = async {
        for connection in &connected {
            match connection.closed().await.reason() {
                "alert_received" => alerts += 1,
                // The packet with the code was lost in the burst, and a stateless reset came later.
                reason => assert_eq!(reason, "closed"),
            }
        }
    };
    tokio::time::timeout(PATIENCE, last).await.unwrap();
    let told = began.elapsed();
    println!(
        "{CONNECTIONS} QUIC connections: authorized again in {authorized:?}, cut in {cut:?}, all clients know after {told:?}, {alerts} \
         of them why"
    );
    assert!(authorized < LIMIT && cut < LIMIT, "{authorized:?} {cut:?}");
}
