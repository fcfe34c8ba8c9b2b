//! A sink that is stuck, or fails, behind a queue.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use countersign::audit::{Action, AuditEvent, AuditSink, Memory, Overflow, Queue, RecordError};
use countersign::identity::DnsName;
use countersign::testing::TestCa;
use countersign::{Acceptor, policy};

use support::{acceptor, connector, handshake};

const PATIENCE: Duration = Duration::from_secs(20);
const CAPACITY: usize = 8;

/// Takes an event whenever it is allowed to, as a disk that hangs.
struct Stuck {
    allowed: Mutex<Receiver<()>>,
    trail: Memory,
}

impl Stuck {
    fn new() -> (Self, Sender<()>, Memory) {
        let ((allow, allowed), trail) = (channel(), Memory::new());
        let stuck = Self {
            allowed: Mutex::new(allowed),
            trail: trail.clone(),
        };
        (stuck, allow, trail)
    }
}

impl AuditSink for Stuck {
    fn record(&self, event: &Arc<AuditEvent>) -> Result<(), RecordError> {
        // Without a holder of the gate it is no longer stuck.
        let _ = self.allowed.lock().unwrap().recv();
        self.trail.record(event)
    }
}

/// One good client after the other: how many are admitted, of so many.
async fn let_in(acceptor: &Acceptor<DnsName>, ca: &TestCa, clients: usize) -> usize {
    let connector = connector(ca, "client.example").build().unwrap();
    let mut admitted = 0;
    for _ in 0..clients {
        let (server, _client) = handshake(acceptor, &connector).await;
        match server {
            Ok(_stream) => admitted += 1,
            Err(error) => assert_eq!(error.reason(), "not_audited"),
        }
    }
    admitted
}

#[tokio::test]
async fn a_stuck_sink_delays_no_peer_where_losses_are_counted() {
    let ca = TestCa::new("Root");
    let (stuck, allow, trail) = Stuck::new();
    let queue = Queue::builder(stuck).capacity(CAPACITY).start();
    let acceptor = acceptor(&ca, policy::allow_any())
        .audit(queue.clone())
        .build()
        .unwrap();
    // No client waits for the sink, which is stuck indefinitely.
    let clients = 5 * CAPACITY;
    let all = tokio::time::timeout(PATIENCE, let_in(&acceptor, &ca, clients));
    assert_eq!(all.await.unwrap(), clients);
    // Each was admitted and has left.
    let lost = 2 * clients - CAPACITY;
    assert_eq!(acceptor.control().stats().audit_dropped as usize, lost);
    assert_eq!(trail.events().len(), 0);

    // What waited is written, and the number of missing events is recorded.
    drop(allow);
    assert!(queue.flush_within(PATIENCE));
    let reported = trail.take();
    let missing: u64 = reported.iter().filter_map(|event| event.dropped).sum();
    let notices = reported
        .iter()
        .filter(|e| e.action == Action::EventsDropped)
        .count();
    assert_eq!(missing as usize, lost);
    assert_eq!(reported.len() - notices, CAPACITY);
    let schema = support::schema::of_events();
    for event in &reported {
        support::schema::assert_valid(&schema, event);
    }
    // And all is well again.
    assert_eq!(let_in(&acceptor, &ca, 1).await, 1);
    assert!(queue.flush_within(PATIENCE));
    assert_eq!(trail.take().len(), 2);
    assert_eq!(acceptor.control().stats().audit_dropped as usize, lost);
}

#[tokio::test]
async fn a_stuck_sink_admits_no_peer_where_each_must_be_recorded() {
    let ca = TestCa::new("Root");
    let (stuck, allow, trail) = Stuck::new();
    let queue = Queue::builder(stuck)
        .capacity(CAPACITY)
        .overflow(Overflow::FailClosed)
        .start();
    let acceptor = acceptor(&ca, policy::allow_any())
        .audit(queue.clone())
        .build()
        .unwrap();
    // Each admitted client takes two places: its admission, and its close.
    let all = tokio::time::timeout(PATIENCE, let_in(&acceptor, &ca, CAPACITY));
    assert_eq!(all.await.unwrap(), CAPACITY / 2);
    let stats = acceptor.control().stats();
    assert_eq!((stats.admitted, stats.denied), (4, 4));
    assert_eq!(trail.events().len(), 0);

    drop(allow);
    assert!(queue.flush_within(PATIENCE));
    assert_eq!(let_in(&acceptor, &ca, 1).await, 1);
    assert!(queue.flush_within(PATIENCE));
    let of = |action| trail.events().iter().filter(|e| e.action == action).count();
    assert_eq!((of(Action::Admitted), of(Action::Closed)), (5, 5));
    // Four clients were rejected since they could not be recorded, and their number is.
    let missing: u64 = trail
        .events()
        .iter()
        .filter_map(|event| event.dropped)
        .sum();
    assert_eq!(missing, 8);
}

/// Fails until it is switched off.
struct Failing {
    fails: Arc<std::sync::atomic::AtomicBool>,
    trail: Memory,
}

impl AuditSink for Failing {
    fn record(&self, event: &Arc<AuditEvent>) -> Result<(), RecordError> {
        if self.fails.load(std::sync::atomic::Ordering::SeqCst) {
            return Err(RecordError::new("no space left on device"));
        }
        self.trail.record(event)
    }
}

#[tokio::test]
async fn a_full_disk_admits_no_peer_until_there_is_space() {
    let ca = TestCa::new("Root");
    let fails = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let trail = Memory::new();
    let queue = Queue::builder(Failing {
        fails: fails.clone(),
        trail: trail.clone(),
    })
    .overflow(Overflow::FailClosed)
    .start();
    let acceptor = acceptor(&ca, policy::allow_any())
        .audit(queue.clone())
        .build()
        .unwrap();
    // The first was queued before the failure was known.
    assert_eq!(let_in(&acceptor, &ca, 1).await, 1);
    let knows = async {
        while let_in(&acceptor, &ca, 1).await == 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, knows).await.unwrap();
    assert!(
        !queue.flush_within(Duration::from_millis(50)),
        "it cannot be written"
    );
    let admitted = acceptor.control().stats().admitted;

    fails.store(false, std::sync::atomic::Ordering::SeqCst);
    assert!(queue.flush_within(PATIENCE));
    assert_eq!(let_in(&acceptor, &ca, 1).await, 1);
    assert!(queue.flush_within(PATIENCE));
    // What was queued is not lost.
    let of = |action| trail.events().iter().filter(|e| e.action == action).count() as u64;
    assert_eq!(of(Action::Admitted), admitted + 1);
    assert_eq!(of(Action::Closed), admitted + 1);
}

/// Where losses are counted, one event that cannot be written costs no other.
#[tokio::test]
async fn one_bad_event_costs_no_other() {
    struct Picky(Memory);
    impl AuditSink for Picky {
        fn record(&self, event: &Arc<AuditEvent>) -> Result<(), RecordError> {
            match event.action {
                Action::Admitted => panic!("a sink with a bug"),
                _ => self.0.record(event),
            }
        }
    }
    let ca = TestCa::new("Root");
    let trail = Memory::new();
    let queue = Queue::builder(Picky(trail.clone())).start();
    let acceptor = acceptor(&ca, policy::allow_any())
        .audit(queue.clone())
        .build()
        .unwrap();
    assert_eq!(let_in(&acceptor, &ca, 3).await, 3);
    assert!(queue.flush_within(PATIENCE));
    let of = |action| trail.events().iter().filter(|e| e.action == action).count();
    assert_eq!(of(Action::Closed), 3);
    let missing: u64 = trail
        .events()
        .iter()
        .filter_map(|event| event.dropped)
        .sum();
    assert_eq!((missing, acceptor.control().stats().audit_dropped), (3, 3));
}

/// A queue whose last handle is dropped writes what it has.
#[tokio::test]
async fn nothing_is_lost_at_the_end() {
    let ca = TestCa::new("Root");
    let (trail, written) = (Memory::new(), Memory::new());
    let acceptor = acceptor(&ca, policy::allow_any())
        .audit(trail.clone())
        .build()
        .unwrap();
    assert_eq!(let_in(&acceptor, &ca, 10).await, 10);
    let queue = Queue::builder(written.clone()).start();
    for event in trail.take() {
        queue.clone().record(&event).unwrap();
    }
    drop(queue);
    assert_eq!(written.events().len(), 20);
}
