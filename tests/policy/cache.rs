//! Which decisions of an async policy are remembered, how long, and for which peers.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use countersign::policy::{self, AsyncPolicy, Cached};
use countersign::testing::{self, Issued, TestCa};
use countersign::{ConnectionInfo, Decision, Peer};
use tokio::time::{Instant, sleep};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// Counts its calls, and gives the set answer after a second.
#[derive(Clone)]
struct Directory {
    asked: Arc<AtomicUsize>,
    answer: Arc<Mutex<Option<Decision>>>,
}

impl Directory {
    fn new() -> Self {
        Self {
            asked: Arc::default(),
            answer: Arc::new(Mutex::new(Some(Decision::allow("known")))),
        }
    }

    fn say(&self, answer: Option<Decision>) {
        *self.answer.lock().unwrap() = answer;
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl<I: Send + Sync> AsyncPolicy<I> for Directory {
    async fn authorize(&self, _: Peer<I>) -> Decision {
        self.asked.fetch_add(1, Ordering::SeqCst);
        sleep(SECOND).await;
        let answer = self.answer.lock().unwrap().clone();
        answer.expect("the directory has a bug")
    }
}

struct World {
    ca: TestCa,
    issued: Issued,
}

impl World {
    fn new() -> Self {
        let ca = TestCa::new("Root");
        let issued = ca.leaf().issue();
        Self { ca, issued }
    }

    fn peer(&self, name: &str) -> Peer<String> {
        self.peer_with(name, &self.issued, ConnectionInfo::default())
    }

    fn peer_with(&self, name: &str, issued: &Issued, info: ConnectionInfo) -> Peer<String> {
        testing::peer_of(name.to_owned(), &self.ca, issued, info)
    }
}

fn known() -> Decision {
    Decision::allow("known")
}

fn unknown() -> Decision {
    Decision::deny("unknown")
}

#[tokio::test(start_paused = true)]
async fn a_decision_is_remembered_for_the_given_time() {
    let directory = Directory::new();
    let cached = policy::cached(directory.clone(), MINUTE, 100);
    let peer = World::new().peer("a");
    assert_eq!(cached.len(), 0);

    let asked_at = Instant::now();
    assert_eq!(cached.authorize(peer.clone()).await, known());
    assert_eq!(asked_at.elapsed(), SECOND);
    // What the directory says now does not matter for the rest of the minute since it was asked.
    directory.say(Some(unknown()));
    tokio::time::advance(MINUTE - SECOND - Duration::from_millis(1)).await;
    assert_eq!(cached.authorize(peer.clone()).await, known());
    assert_eq!((directory.asked(), cached.len()), (1, 1));

    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(cached.authorize(peer.clone()).await, unknown());
    assert_eq!((directory.asked(), cached.len()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn denials_are_remembered_for_a_shorter_time() {
    for (denials_for, lives) in [
        (None, 5 * SECOND),
        (Some(20 * SECOND), 20 * SECOND),
        (Some(2 * MINUTE), MINUTE), // no longer than the others
        (Some(Duration::ZERO), Duration::ZERO),
        (Some(SECOND), Duration::ZERO), // over when it arrives
    ] {
        let directory = Directory::new();
        directory.say(Some(unknown()));
        let mut cached = policy::cached(directory.clone(), MINUTE, 100);
        if let Some(life) = denials_for {
            cached = cached.denials_for(life);
        }
        let peer = World::new().peer("a");
        assert_eq!(cached.authorize(peer.clone()).await, unknown());
        directory.say(Some(known()));
        if lives > SECOND {
            tokio::time::advance(lives - SECOND - Duration::from_millis(1)).await;
            assert_eq!(
                cached.authorize(peer.clone()).await,
                unknown(),
                "{denials_for:?}"
            );
            assert_eq!(directory.asked(), 1);
            tokio::time::advance(Duration::from_millis(1)).await;
        } else {
            assert!(cached.is_empty());
        }
        assert_eq!(
            cached.authorize(peer.clone()).await,
            known(),
            "{denials_for:?}"
        );
        assert_eq!(directory.asked(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn the_smallest_and_the_largest_life_and_capacity() {
    for (life, capacity, kept) in [
        (Duration::ZERO, 100, false),
        (MINUTE, 0, false),
        (Duration::MAX, 100, true),
    ] {
        let directory = Directory::new();
        let cached = policy::cached(directory.clone(), life, capacity);
        let peer = World::new().peer("a");
        for _ in 0..3 {
            assert_eq!(cached.authorize(peer.clone()).await, known());
        }
        let asked = if kept { 1 } else { 3 };
        assert_eq!(directory.asked(), asked, "{life:?} {capacity}");
        assert_eq!(cached.is_empty(), !kept);
    }
}

#[tokio::test(start_paused = true)]
async fn the_default_key_is_identity_and_certificate() {
    let world = World::new();
    let other = world.ca.leaf().issue();
    let from = |port: u16| {
        ConnectionInfo::default().with_remote_addr(SocketAddr::from(([192, 0, 2, 7], port)))
    };
    let directory = Directory::new();
    let cached = policy::cached(directory.clone(), MINUTE, 100);
    for (peer, asked) in [
        (world.peer("a"), 1),
        (world.peer("a"), 1),
        (world.peer("b"), 2),
        (world.peer_with("a", &other, from(1)), 3),
        (world.peer_with("a", &other, from(2)), 3),
    ] {
        assert_eq!(cached.authorize(peer.clone()).await, known());
        assert_eq!(directory.asked(), asked, "{peer:?}");
    }

    // With a key of one's own, something else counts.
    let directory = Directory::new();
    let cached = policy::cached(directory.clone(), MINUTE, 100)
        .denials_for(SECOND)
        .keyed_by(|peer: &Peer<String>| peer.connection().remote_addr());
    for (peer, asked) in [
        (world.peer_with("a", &other, from(1)), 1),
        (world.peer_with("b", &world.issued, from(1)), 1),
        (world.peer_with("a", &other, from(2)), 2),
    ] {
        assert_eq!(cached.authorize(peer.clone()).await, known());
        assert_eq!(directory.asked(), asked, "{peer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn connections_with_the_same_key_wait_for_one_answer() {
    let world = World::new();
    let directory = Directory::new();
    let cached = policy::cached(directory.clone(), MINUTE, 100);
    let (a, b) = (world.peer("a"), world.peer("b"));
    let begun = Instant::now();
    let answers = tokio::join!(
        cached.authorize(a.clone()),
        cached.authorize(a.clone()),
        cached.authorize(b.clone()),
        cached.authorize(a.clone()),
    );
    assert_eq!(answers, (known(), known(), known(), known()));
    assert_eq!(directory.asked(), 2, "once for each");
    assert_eq!(begun.elapsed(), SECOND, "both at the same time");
}

/// The first caller gives up. The one that waits calls the policy again.
#[tokio::test(start_paused = true)]
async fn a_late_answer_is_not_remembered() {
    let world = World::new();
    let directory = Directory::new();
    let cached = policy::cached(directory.clone(), MINUTE, 100);
    let peer = world.peer("a");
    let (hasty, patient) = tokio::join!(
        tokio::time::timeout(SECOND / 2, cached.authorize(peer.clone())),
        cached.authorize(peer.clone()),
    );
    assert!(hasty.is_err());
    assert_eq!(patient, known());
    assert_eq!((directory.asked(), cached.len()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_not_remembered() {
    let world = World::new();
    let directory = Directory::new();
    directory.say(None);
    let cached = Arc::new(policy::cached(directory.clone(), MINUTE, 100));
    let peer = world.peer("a");
    let ask = || {
        let (cached, peer) = (cached.clone(), peer.clone());
        tokio::spawn(async move { cached.authorize(peer.clone()).await })
    };
    let (first, second) = (ask(), ask());
    assert!(first.await.unwrap_err().is_panic());
    assert!(cached.is_empty());
    // The second one waited and asks now.
    directory.say(Some(known()));
    assert_eq!(second.await.unwrap(), known());
    assert_eq!((directory.asked(), cached.len()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn forget_drops_every_decision() {
    let world = World::new();
    let directory = Directory::new();
    let cached = policy::cached(directory.clone(), MINUTE, 100);
    let peer = world.peer("a");
    assert_eq!(cached.authorize(peer.clone()).await, known());
    cached.forget();
    assert!(cached.is_empty());
    assert_eq!(cached.authorize(peer.clone()).await, known());
    assert_eq!(directory.asked(), 2);

    // A call that is in progress is not remembered.
    cached.forget();
    let forget_in_between = async {
        sleep(SECOND / 2).await;
        cached.forget();
    };
    let (answer, ()) = tokio::join!(cached.authorize(peer.clone()), forget_in_between);
    assert_eq!(answer, known());
    directory.say(Some(unknown()));
    assert_eq!(cached.authorize(peer.clone()).await, unknown());
    assert_eq!(directory.asked(), 4);
}

#[tokio::test(start_paused = true)]
async fn it_stays_within_its_capacity() {
    let world = World::new();
    for capacity in [1, 10, 100] {
        let cached = policy::cached(|_: Peer<String>| async { known() }, MINUTE, capacity);
        for number in 0..capacity * 3 {
            let peer = world.peer(&number.to_string());
            assert_eq!(cached.authorize(peer.clone()).await, known());
        }
        let most = capacity + capacity / 8;
        assert!((1..=most).contains(&cached.len()), "{}", cached.len());
    }
}

/// Its future must be Send, as connections are.
#[test]
fn its_future_is_sent_between_threads() {
    fn is_send<T: Send>(_: T) {}
    fn check(cached: &Cached<String, Directory>, peer: &Peer<String>) {
        is_send(cached.authorize(peer.clone()));
    }
    let _ = check;
}
