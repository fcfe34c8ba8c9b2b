//! Everything is replaced a thousand times while clients come all the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use countersign::identity::DnsName;
use countersign::reload::{Handle, Reload, Source};
use countersign::testing::TestCa;
use countersign::trust::{Anchor, Crls};
use countersign::{Acceptor, Connector, TlsStream, TrustStore, policy};
use tokio::io::DuplexStream;

use crate::material::{Folder, Way, number_of};
use support::{SERVER, handshake};

const ROTATIONS: u64 = 1000;

/// A root is trusted one set before it issues anything, and some sets after.
const BEFORE: u64 = 1;
const AFTER: u64 = 4;

/// Roots 0 to `ROTATIONS + BEFORE`, each with a name of its own.
struct Roots(Vec<TestCa>);

impl Roots {
    fn new() -> Self {
        let numbers = 0..=ROTATIONS + BEFORE;
        Self(
            numbers
                .map(|number| TestCa::new(&format!("set {number}")))
                .collect(),
        )
    }

    /// The files of one side in this set.
    fn files(&self, set: u64, name: &str) -> Vec<(&'static str, String)> {
        let leaf = self.0[set as usize].leaf();
        let leaf = leaf.common_name(&format!("set {set}")).dns(name).issue();
        let trusted = &self.0[set.saturating_sub(AFTER) as usize..=(set + BEFORE) as usize];
        vec![
            ("tls.crt", leaf.chain_pem()),
            ("tls.key", leaf.key_pem()),
            ("ca.pem", trusted.iter().map(TestCa::pem).collect()),
            ("ca.crl", trusted.iter().map(|ca| ca.crl().pem()).collect()),
        ]
    }
}

/// Whether a set trusts what was issued in another.
fn trusts(set: u64, other: u64) -> bool {
    (set.saturating_sub(AFTER)..=set + BEFORE).contains(&other)
}

/// The start of a reload is generation 2, and applies set 0.
fn set_of(generation: u64) -> u64 {
    generation - 2
}

async fn start(reload: Reload<DnsName>, folder: &Folder) -> Handle {
    reload
        .credentials(Source::pem_files(
            folder.path("tls.crt"),
            folder.path("tls.key"),
        ))
        .trust(Source::<TrustStore>::pem_file(folder.path("ca.pem")))
        .revocation(Source::<Crls>::file(folder.path("ca.crl")))
        .every(Duration::from_millis(8))
        .start()
        .await
        .unwrap()
}

/// Compares a connection's peer with the generation by which it was authorized.
fn check(stream: &TlsStream<DuplexStream, DnsName>, generation: u64, at_start: u64, at_end: u64) {
    let set = set_of(generation);
    assert!(
        (at_start..=at_end).contains(&set),
        "{at_start} ≤ {set} ≤ {at_end}"
    );
    let peer = stream.peer();
    let shown = number_of(peer.certificate()) as u64;
    assert!(trusts(set, shown), "set {set} admitted one of set {shown}");
    let Anchor::Root {
        subject: Some(root),
    } = peer.chain().anchor()
    else {
        panic!("{:?}", peer.chain().anchor());
    };
    assert_eq!(root.to_string(), format!("CN=set {shown}"));
}

/// The clients have a thread of their own, so that reloads do not stand in line behind them.
#[tokio::test]
async fn a_thousand_rotations_and_not_one_failed_handshake() {
    let roots = Roots::new();
    let folders = ["server", "client"].map(|_| Folder::new(Way::Kubernetes));
    let write = |set: u64| {
        folders[0].write(&roots.files(set, SERVER));
        folders[1].write(&roots.files(set, "client.example"));
    };
    write(0);
    let first = &roots.0[0];
    let acceptor = Acceptor::builder()
        .credentials(first.leaf().dns(SERVER).issue().credentials())
        .trust(first.trust())
        .identify(DnsName::extractor())
        .authorize(policy::allow_any())
        .build()
        .unwrap();
    let connector = Connector::builder()
        .credentials(first.leaf().dns("client.example").issue().credentials())
        .trust(first.trust())
        .identify(DnsName::extractor())
        .authorize(policy::allow_any())
        .build()
        .unwrap();
    let reloads = [
        start(Reload::of(&acceptor), &folders[0]).await,
        start(Reload::of(&connector), &folders[1]).await,
    ];

    // Which set was in force when each client's handshake began, so that no handshake takes as
    // long as a root is trusted.
    const IDLE: u64 = u64::MAX;
    let began: Arc<[AtomicU64; 2]> = Arc::new([const { AtomicU64::new(IDLE) }; 2]);
    let current = Arc::new(AtomicU64::new(0));
    let count = Arc::new(AtomicUsize::new(0));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_time()
        .build()
        .unwrap();
    let clients: Vec<_> = (0..began.len())
        .map(|client| {
            let (acceptor, connector) = (acceptor.clone(), connector.clone());
            let (began, current) = (began.clone(), current.clone());
            let count = count.clone();
            runtime.spawn(async move {
                while current.load(Ordering::SeqCst) < ROTATIONS {
                    let set = current.load(Ordering::SeqCst);
                    began[client].store(set, Ordering::SeqCst);
                    let (server, stream) = handshake(&acceptor, &connector).await;
                    let (server, stream) = (
                        server.unwrap_or_else(|error| panic!("set {set}: {error}")),
                        stream.unwrap_or_else(|error| panic!("set {set}: {error}")),
                    );
                    let open = (
                        acceptor.control().connections(),
                        connector.control().connections(),
                    );
                    let find = |list: &[countersign::live::OpenConnection<DnsName>], id| {
                        let found = list.iter().find(|one| one.id() == id);
                        found.expect("it is open").generation()
                    };
                    let decided = [find(&open.0, server.id()), find(&open.1, stream.id())];
                    let ended = set_of(acceptor.control().generation())
                        .max(set_of(connector.control().generation()));
                    check(&server, decided[0], set, ended);
                    check(&stream, decided[1], set, ended);
                    began[client].store(IDLE, Ordering::SeqCst);
                    count.fetch_add(1, Ordering::SeqCst);
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();

    for set in 1..=ROTATIONS {
        let oldest = || began.iter().map(|set| set.load(Ordering::SeqCst)).min();
        while oldest().is_some_and(|oldest| oldest < set.saturating_sub(AFTER - 2)) {
            assert!(clients.iter().all(|client| !client.is_finished()));
            tokio::task::yield_now().await;
        }
        write(set);
        let (server, client) = tokio::join!(reloads[0].reload_now(), reloads[1].reload_now());
        assert_eq!(
            (server.unwrap().generation, client.unwrap().generation),
            (set + 2, set + 2)
        );
        current.store(set, Ordering::SeqCst);
    }
    for client in clients {
        client.await.unwrap();
    }
    runtime.shutdown_background();
    let count = count.load(Ordering::SeqCst);
    assert!(count >= 1000, "only {count} handshakes");
    for reload in reloads {
        let status = reload.status();
        assert_eq!((status.applied, status.refused), (ROTATIONS + 1, 0));
    }
}
