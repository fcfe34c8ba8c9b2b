//! What the audit trail costs: handshakes with it, compared with handshakes without it, in one run:
//! `cargo bench -p countersign-benches --bench audit`.
//!
//! The bench times the server's own work in a full handshake with a known chain, as the bench
//! `handshake` does. The handshake's path makes the event and queues it. A thread of its own turns
//! it into JSON and writes it to a file; the bench prints separately what that takes for one event, at
//! 4,000 events per second (that is 2,000 connections, which open and close): processor time and system
//! calls, by Linux' counters of that thread.
//! The two acceptors take turns, and the ratio is the median over such rounds.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use countersign::Acceptor;
use countersign::audit::{AuditSink as _, FanOut, Json, Memory, Queue};
use countersign::identity::DnsName;
use countersign::testing::KeyType;
use countersign_benches::case::{Exchange, Kind, Setting, Side};
use countersign_benches::comparison::{Client, Driver as _, Server};
use countersign_benches::fixture::{Counter, Family, Fixture, Verification};
use countersign_benches::streams::Streams;
use rustls::ClientConfig;

/// The greatest ratio of the time with the audit trail to the time without it.
const BUDGET: f64 = 1.03;

fn main() {
    let is_test = !std::env::args().any(|argument| argument == "--bench");
    let rounds = if is_test { 4 } else { 4000 };
    let folder = tempfile::tempdir().expect("a folder");
    let family = Family::new(KeyType::P256);
    for exchange in [Exchange::X25519, Exchange::Hybrid] {
        let setting = Setting {
            exchange,
            key: KeyType::P256,
            intermediates: 1,
            tokio: true,
        };
        let fixture = Fixture::new(&family, setting);
        let file = folder.path().join(format!("{exchange}.jsonl"));
        let comparison = Comparison::new(&fixture, &file);
        let mut measured: Vec<Round> = (0..rounds).map(|number| comparison.round(number)).collect();
        comparison.check(rounds, &file);
        if !is_test {
            report(exchange, &mut measured);
        }
    }
    let setting = Setting {
        exchange: Exchange::X25519,
        key: KeyType::P256,
        intermediates: 1,
        tokio: true,
    };
    let seconds = if is_test { 0 } else { 5 };
    let cost = writing(&Fixture::new(&family, setting), folder.path(), seconds);
    if !is_test {
        cost.report();
    }
}

struct Round {
    off: Duration,
    on: Duration,
}

/// An acceptor without the trail and one with it, and clients of raw rustls whose chains both have
/// verified before.
struct Comparison {
    driver: Streams,
    off: Acceptor<DnsName>,
    on: Acceptor<DnsName>,
    queue: Queue,
    of_off: Arc<ClientConfig>,
    of_on: Arc<ClientConfig>,
}

impl Comparison {
    fn new(fixture: &Fixture<'_>, file: &Path) -> Self {
        let queue = Queue::builder(Json::to_file(file).expect("a file")).start();
        let client = || Arc::new(fixture.raw_client(Side::Server, Kind::Known, Verification::Full));
        let counter = Counter::default();
        let on = fixture.acceptor_builder(&counter).audit(queue.clone());
        let comparison = Self {
            driver: Streams::default(),
            off: fixture.acceptor(&counter),
            on: on.build().expect("an acceptor"),
            queue,
            of_off: client(),
            of_on: client(),
        };
        // These handshakes make the chain known.
        comparison.time_off();
        comparison.time_on();
        comparison
    }

    fn round(&self, number: usize) -> Round {
        if number.is_multiple_of(2) {
            let off = self.time_off();
            let on = self.time_on();
            Round { off, on }
        } else {
            let on = self.time_on();
            let off = self.time_off();
            Round { off, on }
        }
    }

    fn time_off(&self) -> Duration {
        self.time(&self.off, &self.of_off)
    }

    fn time_on(&self) -> Duration {
        self.time(&self.on, &self.of_on)
    }

    fn time(&self, server: &Acceptor<DnsName>, client: &Arc<ClientConfig>) -> Duration {
        let (server, client) = (Server::Ours(server), Client::Raw(client));
        self.driver.handshake(server, client, false).server
    }

    /// Checks that each handshake and each close was written.
    fn check(&self, rounds: usize, file: &Path) {
        assert!(self.queue.flush_within(Duration::from_secs(60)));
        let lines = std::fs::read_to_string(file)
            .expect("a file")
            .lines()
            .count();
        assert_eq!(lines, 2 * (rounds + 1));
        assert_eq!(self.on.control().stats().audit_dropped, 0);
        assert!(self.on.control().stats().chains_remembered >= rounds as u64);
    }
}

fn report(exchange: Exchange, rounds: &mut [Round]) {
    let ratio = |round: &Round| round.on.as_secs_f64() / round.off.as_secs_f64();
    let mut ratios: Vec<f64> = rounds.iter().map(ratio).collect();
    ratios.sort_by(f64::total_cmp);
    let median = ratios[ratios.len() / 2];
    rounds.sort_by_key(|round| round.off);
    let off = rounds[rounds.len() / 2].off;
    rounds.sort_by_key(|round| round.on);
    let on = rounds[rounds.len() / 2].on;
    let verdict = if median <= BUDGET { "within" } else { "OVER" };
    println!(
        "{exchange}, known chain: {on:.1?} with JSON audit, {off:.1?} without: ratio {median:.3}, \
         {verdict} the budget of {BUDGET}"
    );
}

/// What an event costs outside of the handshake.
struct Cost {
    /// Bytes of its line.
    size: usize,
    /// Of `to_json`, which remembers nothing.
    to_json: Duration,
    /// Of the thread of the queue, for each event.
    thread: Duration,
    /// Writes, and two for each time that the thread slept: its wait, and the call that wakes it.
    calls: f64,
}

impl Cost {
    const TIME: Duration = Duration::from_micros(6);
    const CALLS: f64 = 0.1;

    fn report(&self) {
        let is_within = self.thread <= Self::TIME && self.calls <= Self::CALLS;
        println!(
            "outside of the path: {} bytes of JSON for an admission; {:.1?} of processor time and {:.3} system \
             calls for each, {} the budget of {:?} and {}; a single to_json takes {:.1?}",
            self.size,
            self.thread,
            self.calls,
            if is_within { "within" } else { "OVER" },
            Self::TIME,
            Self::CALLS,
            self.to_json,
        );
    }
}

fn writing(fixture: &Fixture<'_>, folder: &Path, seconds: u64) -> Cost {
    const TIMES: u32 = 2000;
    const PER_MILLISECOND: u64 = 4;

    let trail = Memory::new();
    let counter = Counter::default();
    let sink = FanOut::new().and(trail.clone());
    let acceptor = fixture.acceptor_builder(&counter).audit(sink).build();
    let client = Arc::new(fixture.raw_client(Side::Server, Kind::Known, Verification::Full));
    let acceptor = acceptor.expect("an acceptor");
    Streams::default().handshake(Server::Ours(&acceptor), Client::Raw(&client), false);
    let event = Arc::new(trail.events().swap_remove(0));
    let size = event.to_json().len();
    let start = Instant::now();
    for _ in 0..TIMES {
        std::hint::black_box(event.to_json());
    }
    let to_json = start.elapsed() / TIMES;

    let file = Json::to_file(folder.join("writing.jsonl")).expect("a file");
    let queue = Queue::builder(file).start();
    let before = thread_figures();
    let start = Instant::now();
    let mut events = 0;
    while events == 0 || start.elapsed() < Duration::from_secs(seconds) {
        for _ in 0..PER_MILLISECOND {
            queue.record(&event).expect("recorded");
            events += 1;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(queue.flush_within(Duration::from_secs(60)));
    assert_eq!(queue.dropped(), 0);
    let after = thread_figures();
    let calls = after.1 - before.1;
    Cost {
        size,
        to_json,
        thread: (after.0 - before.0) / events,
        calls: calls as f64 / f64::from(events),
    }
}

/// The processor time of the queues' threads, and their system calls: writes, and two for each time that one
/// slept.
fn thread_figures() -> (Duration, u64) {
    let mut sum = (Duration::ZERO, 0);
    for task in std::fs::read_dir("/proc/self/task").expect("Linux") {
        let task = task.expect("a task").path();
        let read = |name| std::fs::read_to_string(task.join(name)).unwrap_or_default();
        if !read("comm").starts_with("countersign-aud") {
            continue;
        }
        let number = |text: &str, before: &str| -> u64 {
            let line = text.lines().find_map(|line| line.strip_prefix(before));
            let word = line.and_then(|rest| rest.split_whitespace().next());
            word.and_then(|word| word.parse().ok())
                .expect("a figure of Linux")
        };
        sum.0 += Duration::from_nanos(number(&read("schedstat"), ""));
        sum.1 += number(&read("io"), "syscw:");
        sum.1 += 2 * number(&read("status"), "voluntary_ctxt_switches:");
    }
    sum
}
