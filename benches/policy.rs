//! What a decision costs, in time and in memory, by the number of entries of a rule:
//! `cargo bench -p countersign-benches --bench policy`.
//!
//! Each rule decides about peers of which half match. The bench prints a table at the end. Memory is
//! the bytes that the rule has allocated, divided by its entries.

use std::alloc::System;
use std::cell::Cell;
use std::fmt::Display;
use std::hint::black_box;
use std::time::{Duration, Instant};

use countersign::identity::{DnsName, SpiffeId};
use countersign::policy::{self, PatternSet, Policy, SpiffePattern};
use countersign::testing::{self, TestCa};
use countersign::{ConnectionInfo, Peer};
use countersign_benches::lists::{domain, workload};
use criterion::Criterion;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// The number of peers in a batch, which fits the processor's first cache.
const AT_ONCE: usize = 16;

const BUDGET: Duration = Duration::from_micros(1);

fn main() {
    // As a test, a short run shows that everything works.
    let is_test = !std::env::args().any(|argument| argument == "--bench");
    let sizes: &[usize] = if is_test {
        &[10, 1_000]
    } else {
        &[10, 1_000, 1_000_000]
    };
    let mut bench = Bench {
        criterion: Criterion::default()
            .sample_size(20)
            .warm_up_time(Duration::from_millis(300))
            .measurement_time(Duration::from_secs(2))
            .configure_from_args(),
        // So many that the entries they look up do not all fit the processor's caches.
        peers: if is_test { 16 } else { 16_384 },
        ca: TestCa::new("Root"),
        rows: Vec::new(),
    };
    for &size in sizes {
        bench.exact(size);
        bench.trust_domain(size);
        bench.prefix(size);
        bench.wildcard(size);
        bench.mixed(size);
    }
    bench.criterion.final_summary();
    // Times of an unoptimised build mean nothing.
    if !is_test {
        bench.print();
    }
}

struct Bench {
    criterion: Criterion,
    peers: usize,
    ca: TestCa,
    rows: Vec<Row>,
}

struct Row {
    rule: &'static str,
    size: usize,
    time: Duration,
    bytes: f64,
}

impl Bench {
    fn exact(&mut self, size: usize) {
        self.rule(
            "exact",
            size,
            || policy::exact((0..size).map(|number| parsed::<SpiffeId>(&workload(number)))),
            |number| parsed(&workload(number)),
        );
    }

    fn trust_domain(&mut self, size: usize) {
        self.rule(
            "trust domain",
            size,
            || policy::trust_domains((0..size).map(|number| parsed(&domain(number)))),
            |number| parsed::<SpiffeId>(&format!("spiffe://{}/ns/a/sa/b", domain(number))),
        );
    }

    fn prefix(&mut self, size: usize) {
        self.rule(
            "prefix",
            size,
            || {
                let patterns = (0..size).map(|number| format!("{}/*", workload(number)));
                ready(policy::spiffe_patterns(patterns))
            },
            |number| parsed::<SpiffeId>(&format!("{}/pod/7", workload(number))),
        );
    }

    fn wildcard(&mut self, size: usize) {
        self.rule(
            "wildcard",
            size,
            || {
                ready(policy::dns_patterns(
                    (0..size).map(|number| format!("*.{}", domain(number))),
                ))
            },
            |number| parsed::<DnsName>(&format!("host-7.{}", domain(number))),
        );
    }

    /// A third each of exact IDs, prefixes and trust domains, in a thousand named rules.
    fn mixed(&mut self, size: usize) {
        self.rule(
            "mixed, named",
            size,
            || {
                let mut set = PatternSet::<SpiffePattern>::new();
                for number in 0..size {
                    let pattern = match number % 3 {
                        0 => format!("{}/pod/7", workload(number)),
                        1 => format!("{}/*", workload(number)),
                        _ => format!("spiffe://{}/*", domain(number)),
                    };
                    set.insert_named(format!("rule {}", number % 1000), parsed(&pattern));
                }
                set
            },
            |number| match number % 3 {
                2 => parsed::<SpiffeId>(&format!("spiffe://{}/a/b", domain(number))),
                _ => parsed(&format!("{}/pod/7", workload(number))),
            },
        );
    }

    /// Measures a rule. `identity` returns one that matches for each number below `size`, and one that
    /// does not for each other number.
    fn rule<P: Policy<I>, I: Display>(
        &mut self,
        rule: &'static str,
        size: usize,
        policy: impl FnOnce() -> P,
        identity: impl Fn(usize) -> I,
    ) {
        let before = Region::new(ALLOCATOR);
        let policy = policy();
        let memory = before.change();
        let bytes = memory.bytes_allocated as f64 - memory.bytes_deallocated as f64;

        let issued = self.ca.leaf().issue();
        let peers: Vec<Peer<I>> = (0..self.peers)
            .map(|number| {
                // Spread over the table; every second one matches.
                let scattered = number.wrapping_mul(0x9e37_79b9) % size;
                let identity = identity(scattered + (number % 2) * size);
                testing::peer_of(identity, &self.ca, &issued, ConnectionInfo::default())
            })
            .collect();
        let allowed = peers
            .iter()
            .filter(|peer| policy.authorize(peer).is_allowed());
        assert_eq!(allowed.count(), self.peers / 2, "half of them match");

        let (spent, decisions) = (Cell::new(Duration::ZERO), Cell::new(0));
        let mut next = peers.chunks_exact(AT_ONCE).cycle();
        self.criterion
            .bench_function(&format!("{rule}/{size}"), |bencher| {
                bencher.iter_custom(|iterations| {
                    let chunks = iterations.div_ceil(AT_ONCE as u64);
                    let mut elapsed = Duration::ZERO;
                    for peers in next.by_ref().take(chunks as usize) {
                        // A new peer is in the caches when it is authorized; the rule may not be.
                        let touched: usize = peers
                            .iter()
                            .map(|peer| peer.identity().to_string().len())
                            .sum();
                        black_box(touched);
                        let begun = Instant::now();
                        for peer in peers {
                            let _ = black_box(policy.authorize(black_box(peer)));
                        }
                        elapsed += begun.elapsed();
                    }
                    let decided = chunks * AT_ONCE as u64;
                    spent.set(spent.get() + elapsed);
                    decisions.set(decisions.get() + decided);
                    elapsed.mul_f64(iterations as f64 / decided as f64)
                });
            });
        // A filter on the command line may have excluded it.
        if decisions.get() > 0 {
            self.rows.push(Row {
                rule,
                size,
                time: spent.get().div_f64(decisions.get() as f64),
                bytes: bytes / size as f64,
            });
        }
    }

    fn print(&self) {
        println!(
            "\n{:14} {:>9} {:>13} {:>14}",
            "rule", "entries", "per decision", "bytes / entry"
        );
        for Row {
            rule,
            size,
            time,
            bytes,
        } in &self.rows
        {
            let over = if *time > BUDGET {
                "  over the budget of 1 µs"
            } else {
                ""
            };
            println!(
                "{rule:14} {size:>9} {:>10} ns {bytes:>14.1}{over}",
                time.as_nanos()
            );
        }
    }
}

fn parsed<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().expect("valid")
}

fn ready<T, E: std::fmt::Debug>(policy: Result<T, E>) -> T {
    policy.expect("valid")
}
