//! Connections that open while another thread changes the rules, without end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use countersign::identity::DnsName;
use countersign::policy::{DenyEntry, DenyList};
use countersign::testing::TestCa;
use countersign::{Acceptor, Connector, Decision, Peer, Update, policy};
use tokio::io::AsyncReadExt as _;
use tokio::time::timeout;

use super::close_reason;
use support::{SERVER, acceptor, connector, deny_all};

const PATIENCE: Duration = Duration::from_secs(20);
/// Rounds that are always run, and those until which both outcomes must have been seen.
const ROUNDS: std::ops::Range<usize> = 200..5_000;
/// How often each outcome must be seen.
const ENOUGH: usize = 20;

/// How long a policy takes, in turns of a loop: a change during that must be seen.
const THOUGHT: usize = 20_000;

fn spin(turns: usize) {
    for _ in 0..turns {
        std::hint::spin_loop();
    }
}

fn thoughtful(_: &Peer<DnsName>) -> Decision {
    spin(THOUGHT);
    Decision::allow("thought about it")
}

async fn thoughtful_async(peer: Peer<DnsName>) -> Decision {
    thoughtful(&peer)
}

async fn deny_all_async(peer: Peer<DnsName>) -> Decision {
    deny_all(&peer)
}

/// The rules of one round.
struct Round {
    /// Before the connection comes.
    allow: fn(&World),
    /// Against it, while it opens.
    deny: fn(&World),
    reason: &'static str,
}

struct World {
    ca: TestCa,
    other_ca: TestCa,
    acceptor: Acceptor<DnsName>,
    deny_list: DenyList<DnsName>,
}

impl World {
    fn new() -> Self {
        let ca = TestCa::new("Root");
        let deny_list = DenyList::new();
        Self {
            acceptor: acceptor(&ca, thoughtful)
                .deny_list(&deny_list)
                .build()
                .unwrap(),
            other_ca: TestCa::new("Other"),
            deny_list,
            ca,
        }
    }

    fn connector(&self) -> Connector<DnsName> {
        connector(&self.ca, "client.example").build().unwrap()
    }
}

/// How the connections of a loop were closed.
#[derive(Debug, Default)]
struct Tally {
    refused: usize,
    cut: usize,
}

impl Tally {
    fn is_enough(&self) -> bool {
        self.refused >= ENOUGH && self.cut >= ENOUGH
    }
}

/// Opens connections while the rules turn against them, until it has often happened before and
/// often after their admission. Each is refused or cut.
fn flip(world: World, round: &Round) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let world = Arc::new(world);
    let connector = world.connector();
    let mut tally = Tally::default();
    let mut delay = 0;
    for number in 0..ROUNDS.end {
        if number >= ROUNDS.start && tally.is_enough() {
            break;
        }
        (round.allow)(&world);
        let gone = Arc::new(AtomicUsize::new(0));
        let (flipping, start, deny) = (world.clone(), gone.clone(), round.deny);
        let flip = std::thread::spawn(move || {
            while start.load(Ordering::Acquire) == 0 {
                std::hint::spin_loop();
            }
            spin(delay);
            deny(&flipping);
        });
        let was_cut = runtime.block_on(open(&world, &connector, round.reason, &gone));
        flip.join().unwrap();
        // What it does next time makes the other outcome more likely, so that most rounds are
        // close to the edge, wherever it lies on this machine.
        if was_cut {
            tally.cut += 1;
            delay = delay * 9 / 10;
        } else {
            tally.refused += 1;
            delay += delay / 10 + 1_000;
        }
    }
    println!("{}: {tally:?}", round.reason);
    assert!(tally.is_enough(), "both come to pass: {tally:?}");
}

/// Opens one connection; true if it was admitted first, and then cut.
async fn open(
    world: &World,
    connector: &Connector<DnsName>,
    reason: &str,
    begun: &AtomicUsize,
) -> bool {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let connector = connector.clone();
    let client = tokio::spawn(async move {
        // It reads until the connection is closed, so that no task waits for it.
        connector.connect(SERVER, far).await?.read_u8().await?;
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
    });
    begun.store(1, Ordering::Release);
    let was_cut = match world.acceptor.accept(near).await {
        Err(error) => {
            assert_eq!(error.reason(), reason);
            false
        }
        Ok(mut server) => {
            let read = timeout(PATIENCE, server.read_u8()).await;
            let read = read.expect("an admitted connection is cut: this one slipped through");
            assert_eq!(close_reason(read.unwrap_err()).reason(), reason);
            true
        }
    };
    let client = timeout(PATIENCE, client).await.expect("it is over");
    client.unwrap().expect_err("refused or cut");
    was_cut
}

fn allow_again(world: &World) {
    world.deny_list.replace([]);
    world.acceptor.control().set_policy(thoughtful);
}

#[test]
fn a_policy_that_flips() {
    flip(
        World::new(),
        &Round {
            allow: allow_again,
            deny: |world| world.acceptor.control().set_policy(deny_all),
            reason: "denied",
        },
    );
}

#[test]
fn an_async_policy_that_flips() {
    flip(
        World::new(),
        &Round {
            allow: |world| {
                let timeout = Duration::from_secs(10);
                world
                    .acceptor
                    .control()
                    .set_async_policy(thoughtful_async, timeout);
            },
            deny: |world| {
                let timeout = Duration::from_secs(10);
                world
                    .acceptor
                    .control()
                    .set_async_policy(deny_all_async, timeout);
            },
            reason: "denied",
        },
    );
}

#[test]
fn a_deny_list_that_flips() {
    flip(
        World::new(),
        &Round {
            allow: allow_again,
            deny: |world| {
                let name = "client.example".parse().unwrap();
                assert!(world.deny_list.insert(DenyEntry::Identity(name)));
            },
            reason: "deny_listed",
        },
    );
}

#[test]
fn a_trust_that_flips() {
    flip(
        World::new(),
        &Round {
            allow: |world| {
                let trust = Update::new().trust(world.ca.trust());
                world.acceptor.control().update(trust).unwrap();
            },
            deny: |world| {
                let trust = Update::new().trust(world.other_ca.trust());
                world.acceptor.control().update(trust).unwrap();
            },
            reason: "unknown_issuer",
        },
    );
}

/// The first connection that an acceptor ever has is reached by an async policy that comes as soon
/// as a caller can see it.
#[test]
fn the_very_first_connection() {
    const FIRSTS: usize = 200;

    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let ca = TestCa::new("Root");
    let connector = connector(&ca, "client.example").build().unwrap();
    for _ in 0..FIRSTS {
        let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
        let world = World {
            other_ca: ca.clone(),
            ca: ca.clone(),
            deny_list: DenyList::new(),
            acceptor,
        };
        let watched = world.acceptor.clone();
        let flip = std::thread::spawn(move || {
            while watched.control().connections().is_empty() {
                std::hint::spin_loop();
            }
            watched
                .control()
                .set_async_policy(deny_all_async, Duration::from_secs(10));
        });
        let begun = AtomicUsize::new(0);
        let was_cut = runtime.block_on(open(&world, &connector, "denied", &begun));
        flip.join().unwrap();
        assert!(was_cut, "it was open before");
    }
}
