//! The cache does not grow, and those who come once do not drive out those who come back.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use countersign::testing::{Issued, TestCa};
use countersign::{Acceptor, Certificate, ConnectionInfo, policy};
use rustls_pki_types::CertificateDer;

use support::SERVER;

/// An identity that is counted for as long as it is held: the cache, after the connection
/// is gone.
struct Held {
    alive: Arc<AtomicUsize>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Ordering::SeqCst);
    }
}

/// An acceptor, how many identities it remembers, and how often it asked for one.
struct Remembering {
    acceptor: Acceptor<Held>,
    alive: Arc<AtomicUsize>,
    asked: Arc<AtomicUsize>,
}

impl Remembering {
    fn new(ca: &TestCa, capacity: usize) -> Self {
        let (alive, asked) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let extractor = {
            let (alive, asked) = (alive.clone(), asked.clone());
            move |_: &Certificate| {
                asked.fetch_add(1, Ordering::SeqCst);
                alive.fetch_add(1, Ordering::SeqCst);
                Ok(Held {
                    alive: alive.clone(),
                })
            }
        };
        let acceptor = Acceptor::builder()
            .credentials(ca.leaf().dns(SERVER).issue().credentials())
            .trust(ca.trust())
            .identify(extractor)
            .authorize(policy::allow_any())
            .verification_cache(capacity)
            .build()
            .unwrap();
        Self {
            acceptor,
            alive,
            asked,
        }
    }

    fn admit(&self, chain: &[CertificateDer<'_>]) {
        let info = ConnectionInfo::default();
        self.acceptor.control().admit_chain(chain, info).unwrap();
    }

    fn reject(&self, chain: &[CertificateDer<'_>], reason: &str) {
        let refused = self
            .acceptor
            .control()
            .admit_chain(chain, ConnectionInfo::default());
        assert_eq!(refused.map(drop).unwrap_err().reason(), reason);
    }

    /// Whether the chain was known already.
    fn knows(&self, chain: &[CertificateDer<'_>]) -> bool {
        let before = self.asked.load(Ordering::SeqCst);
        self.admit(chain);
        self.asked.load(Ordering::SeqCst) == before
    }

    fn remembered(&self) -> usize {
        self.alive.load(Ordering::SeqCst)
    }
}

/// As many different chains as are asked for, from one certificate: its owner may send along
/// what he likes, in any order.
fn never_seen(of: &Issued, count: usize) -> impl Iterator<Item = Vec<CertificateDer<'static>>> {
    let junk: Vec<_> = (0..10).map(|_| TestCa::new("").certificate_der()).collect();
    let leaf = of.leaf_der().clone();
    (0..count).map(move |number| {
        let digits = [
            number / 1000,
            number / 100 % 10,
            number / 10 % 10,
            number % 10,
        ];
        let mut chain = vec![leaf.clone()];
        chain.extend(digits.map(|digit| junk[digit].clone()));
        chain
    })
}

/// A flood of chains that are good, and never come again. A peer that came back before is still
/// known after it, however long it lasted.
#[test]
fn a_flood_does_not_drive_out_a_returning_peer() {
    const FLOOD: usize = 10_000;
    const CAPACITY: usize = 64;

    let ca = TestCa::new("Root");
    let gate = Remembering::new(&ca, CAPACITY);
    let returning: Vec<_> = (0..4).map(|_| ca.leaf().issue()).collect();
    let attacker = ca.leaf().issue();
    for _ in 0..3 {
        for peer in &returning {
            gate.admit(peer.chain());
        }
    }
    let mut verified_again = 0;
    let mut most = 0;
    for (number, chain) in never_seen(&attacker, FLOOD).enumerate() {
        assert!(!gate.knows(&chain), "chain {number} was never seen");
        most = most.max(gate.remembered());
        if number % 100 == 0 && !gate.knows(returning[0].chain()) {
            verified_again += 1;
        }
    }
    assert!(verified_again <= 2, "{verified_again} times in 100");
    let known = returning.iter().filter(|peer| gate.knows(peer.chain()));
    let known = known.count();
    assert!(known >= 3, "{known} of {}", returning.len());
    assert!(most <= CAPACITY, "{most} chains are remembered");
    // It is a cache nevertheless, and its places are taken.
    assert!(most > CAPACITY / 2, "{most} chains are remembered");
    drop(gate.acceptor);
    assert_eq!(gate.alive.load(Ordering::SeqCst), 0);
}

/// A flood of chains that are refused does not even come in.
#[test]
fn rejected_chains_take_no_place() {
    let ca = TestCa::new("Root");
    let gate = Remembering::new(&ca, 2);
    let hot = ca.leaf().issue();
    gate.admit(hot.chain());
    let stranger = TestCa::new("Stranger").leaf().issue();
    let expired = ca.leaf().expired().issue();
    for (one, other) in never_seen(&stranger, 500).zip(never_seen(&expired, 500)) {
        gate.reject(&one, "unknown_issuer");
        gate.reject(&other, "expired");
        assert!(gate.knows(hot.chain()));
        assert_eq!(gate.remembered(), 1);
    }
}

/// A place holds 8 KiB of certificates: a larger chain takes several, and one that takes more than
/// there are is verified every time.
#[test]
fn large_chains_take_several_places() {
    const KIB: usize = 1024;

    let ca = TestCa::new("Root");
    let of_size = |size: usize| {
        let padding = countersign::testing::der::octet_string(vec![0; size]);
        let leaf = ca.leaf().extension("1.2.3.4", false, &padding).issue();
        leaf.chain().to_vec()
    };
    for (size, places) in [
        (KIB, 1),
        (7 * KIB, 1),
        (9 * KIB, 2),
        (35 * KIB, 5),
        (60 * KIB, 8),
    ] {
        let gate = Remembering::new(&ca, 40);
        for _ in 0..60 {
            gate.admit(&of_size(size));
        }
        let remembered = gate.remembered();
        assert!(remembered <= 40 / places, "{size}: {remembered}");
        assert!(remembered >= 40 / places / 2, "{size}: {remembered}");
    }
    let small = Remembering::new(&ca, 4);
    let (fits, too_large) = (of_size(20 * KIB), of_size(40 * KIB));
    for known in [false, true, true] {
        assert_eq!(small.knows(&fits), known);
        assert!(!small.knows(&too_large));
    }
}

#[test]
fn off_remembers_nothing() {
    let ca = TestCa::new("Root");
    let gate = Remembering::new(&ca, 0);
    let leaf = ca.leaf().issue();
    for _ in 0..3 {
        assert!(!gate.knows(leaf.chain()));
        assert_eq!(gate.remembered(), 0);
    }
}

/// Many at once, of which each sees its own answer.
#[test]
fn concurrent_requests_are_bounded_or_shared() {
    let ca = TestCa::new("Root");
    let gate = Remembering::new(&ca, 8);
    let good: Vec<_> = (0..12).map(|_| ca.leaf().issue()).collect();
    let bad = ca.leaf().expired().issue();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (gate, good, bad) = (&gate, &good, &bad);
            scope.spawn(move || {
                for round in 0..50 {
                    let peer = &good[(thread * 3 + round) % good.len()];
                    let info = ConnectionInfo::default();
                    let admission = gate
                        .acceptor
                        .control()
                        .admit_chain(peer.chain(), info)
                        .unwrap();
                    assert_eq!(*admission.peer().certificate(), peer.certificate());
                    gate.reject(bad.chain(), "expired");
                }
            });
        }
    });
    assert!(gate.remembered() <= 8);
}
