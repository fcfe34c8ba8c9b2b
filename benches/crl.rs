//! What a large CRL costs, in time and in memory, and how much replacing it delays handshakes:
//! `cargo bench -p countersign-benches --bench crl`.
//!
//! The bench compares loading with the owned form of rustls-webpki, in one run. Memory is the bytes
//! allocated and not freed. For the delay, full handshakes run one after the other on one thread,
//! and each is timed whole, both sides: first alone, then while another thread replaces the list
//! again and again. A third run, with a thread that only computes, shows the delay that any second
//! thread causes on few processors.

use std::alloc::System;
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use countersign::identity::DnsName;
use countersign::pki::Crl;
use countersign::testing::{self, TestCa};
use countersign::trust::{CrlRollback, Crls, Revocation};
use countersign::{Acceptor, Connector, Resumption, Update, policy};
use countersign_benches::lists::signed_list;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use webpki::OwnedCertRevocationList;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const SERVER: &str = "server.example";

fn main() {
    // As a test, a short run shows that everything works.
    let is_test = !std::env::args().any(|argument| argument == "--bench");
    let (entries, handshakes) = if is_test {
        (1_000, 20)
    } else {
        (1_000_000, 20_000)
    };
    let ca = TestCa::new("Root");
    let list = |number| signed_list(&ca, entries, number);
    let (der, newer) = (list(1), list(2));
    println!("a CRL of {entries} entries, {} bytes of DER", der.len());

    let (crl, ours) = measured(|| Crl::from_der(&der).expect("a CRL"));
    let (theirs_crl, theirs) = measured(|| OwnedCertRevocationList::from_der(&der).expect("a CRL"));
    assert_eq!(crl.len(), entries);
    let start = Instant::now();
    drop(theirs_crl);
    let theirs_drop = start.elapsed();
    let start = Instant::now();
    drop(crl);
    let ours_drop = start.elapsed();
    println!("loading, from DER    ours {ours}, rustls-webpki {theirs}");
    println!("dropping             ours {ours_drop:.1?}, rustls-webpki {theirs_drop:.1?}");
    let pem = pem(&der);
    let (crls, cost) = measured(|| Crls::from_bytes(pem.clone()).expect("a CRL"));
    println!("loading, from PEM    ours {cost}");

    let crl = crls.lists()[0].clone();
    let unlisted = ca.leaf().issue().certificate().serial().clone();
    let lookups = 1_000_000;
    let start = Instant::now();
    for _ in 0..lookups {
        assert!(!black_box(&crl).revokes(black_box(&unlisted)));
    }
    println!(
        "lookup               ours {:.0?}",
        start.elapsed() / lookups
    );

    let acceptor = Acceptor::builder()
        .credentials(ca.leaf().dns(SERVER).issue().credentials())
        .trust(ca.trust())
        .identify(DnsName::extractor())
        .authorize(policy::allow_any())
        .revocation(crls)
        .resumption(Resumption::Off)
        .build()
        .expect("an acceptor");
    let connector = Connector::builder()
        .credentials(ca.leaf().dns("client.example").issue().credentials())
        .trust(ca.trust())
        .identify(DnsName::extractor())
        .authorize(policy::allow_any())
        .resumption(Resumption::Off)
        .build()
        .expect("a connector");
    let alone = Times::of(handshakes, &acceptor, &connector);
    let computing = while_running(
        || {
            black_box((0..100_000_u64).fold(0, |sum: u64, number| sum.rotate_left(1) ^ number));
        },
        || Times::of(handshakes, &acceptor, &connector),
    )
    .0;
    let lists = [der, newer];
    let mut swaps = Vec::new();
    let (replacing, replaced) = while_running(
        || {
            let crls = Crls::from_bytes(lists[swaps.len() % 2].clone()).expect("a CRL");
            // The two lists alternate, so every other update is a rollback.
            let revocation = Revocation::new(crls).rollback(CrlRollback::Allow);
            let start = Instant::now();
            acceptor
                .control()
                .update(Update::new().revocation(revocation))
                .expect("an update");
            swaps.push(start.elapsed());
        },
        || Times::of(handshakes, &acceptor, &connector),
    );
    println!("handshakes, both sides     p50       p99       max");
    println!("  alone               {alone}");
    println!("  while computing     {computing}");
    println!("  while replacing     {replacing}");
    swaps.sort();
    println!(
        "  {replaced} replacements during that time, of {:.1?} each",
        swaps[swaps.len() / 2]
    );
    if !is_test {
        let added = replacing.p99.saturating_sub(alone.p99);
        let budget = Duration::from_millis(10);
        println!(
            "  added at p99: {added:.2?} (budget {budget:?}: {})",
            if added <= budget { "met" } else { "MISSED" }
        );
    }
}

fn pem(der: &[u8]) -> Vec<u8> {
    pem::encode(&pem::Pem::new("X509 CRL", der)).into_bytes()
}

struct Cost {
    time: Duration,
    retained: usize,
}

impl std::fmt::Display for Cost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let megabytes = self.retained as f64 / 1e6;
        write!(f, "{:.0?} and {megabytes:.1} MB", self.time)
    }
}

fn measured<T>(make: impl FnOnce() -> T) -> (T, Cost) {
    let region = Region::new(ALLOCATOR);
    let start = Instant::now();
    let made = make();
    let time = start.elapsed();
    let change = region.change();
    let retained = change
        .bytes_allocated
        .saturating_sub(change.bytes_deallocated);
    (made, Cost { time, retained })
}

/// Runs `work`, and concurrently `other` again and again on a thread of its own. Returns the result
/// of `work` and how often `other` ran.
fn while_running<T>(mut other: impl FnMut() + Send, work: impl FnOnce() -> T) -> (T, usize) {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let other_thread = scope.spawn(|| {
            let mut times = 0;
            while !over.load(Ordering::Relaxed) {
                other();
                times += 1;
            }
            times
        });
        let result = work();
        over.store(true, Ordering::Relaxed);
        (result, other_thread.join().expect("the other thread"))
    })
}

struct Times {
    p50: Duration,
    p99: Duration,
    max: Duration,
}

impl Times {
    fn of(handshakes: usize, acceptor: &Acceptor<DnsName>, connector: &Connector<DnsName>) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let mut times: Vec<Duration> = (0..handshakes)
            .map(|_| {
                let start = Instant::now();
                let (accepted, connected) =
                    runtime.block_on(testing::handshake(acceptor, connector, SERVER));
                let time = start.elapsed();
                accepted.expect("admitted");
                connected.expect("connected");
                time
            })
            .collect();
        times.sort();
        Self {
            p50: times[times.len() / 2],
            p99: times[times.len() * 99 / 100],
            max: times[times.len() - 1],
        }
    }
}

impl std::fmt::Display for Times {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{:>8.2?} {:>8.2?} {:>8.2?}",
            self.p50, self.p99, self.max
        )
    }
}
