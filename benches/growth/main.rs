//! How costs grow with what an endpoint has: `cargo bench -p countersign-benches --bench growth`.
//!
//! It prints tables in Markdown. Behind each value is the exponent of its growth since the row above: `n^0.00` is
//! constant, `n^1.00` is linear. `-- WORD ...` selects the tables whose names contain one of the words:
//!
//! * `roots`, `domains`: what is trusted.
//! * `rules`, `pins`, `denied`, `crl`: lists.
//! * `threads`: full handshakes on one and two threads.
//! * `open`: open connections under a change of the policy, the timers, and a shutdown. Takes a minute or two.
//! * `million`: the memory after up to a million handshakes. It takes minutes, and runs only when it is selected.
//!
//! Everything is in memory. The times of handshakes are the server's own work, as in the bench `handshake`; memory
//! is what is allocated and not freed.

mod fixture;
mod lists;
mod million;
mod open;
mod table;
mod threads;
mod trust;

use std::alloc::System;
use std::time::{Duration, Instant};

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

use crate::fixture::Fixture;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// How large everything is.
struct Sizes {
    trusted: &'static [usize],
    lists: &'static [usize],
    open: &'static [usize],
    total: &'static [usize],
    /// Handshakes for a median.
    handshakes: usize,
    /// How long something runs.
    time: Duration,
}

const FULL: Sizes = Sizes {
    trusted: &[1, 100, 10_000],
    lists: &[10, 1_000, 1_000_000],
    open: &[10_000, 100_000],
    total: &[1_000, 10_000, 100_000, 1_000_000],
    handshakes: 101,
    time: Duration::from_secs(5),
};

/// As a test, a short run shows that everything works.
const TEST: Sizes = Sizes {
    trusted: &[1, 10],
    lists: &[10, 100],
    open: &[4, 8],
    total: &[5, 10],
    handshakes: 2,
    time: Duration::from_millis(20),
};

fn main() {
    let (options, words): (Vec<String>, Vec<String>) = std::env::args()
        .skip(1)
        .partition(|argument| argument.starts_with('-'));
    let is_test = !options.iter().any(|option| option == "--bench");
    let sizes = if is_test { TEST } else { FULL };
    let fixture = Fixture::new();
    let is_named = |name: &str| words.iter().any(|word| name.contains(word.as_str()));
    let is_wanted =
        |name: &str| is_named(name) || (words.is_empty() && (is_test || name != "million"));
    type Make = fn(&Fixture, &Sizes) -> table::Table;
    let tables: [(&str, Make); 9] = [
        ("roots", trust::roots),
        ("domains", trust::domains),
        ("rules", lists::rules),
        ("pins", lists::pins),
        ("denied", lists::denied),
        ("crl", lists::crl),
        ("threads", threads::threads),
        ("open", open::open),
        ("million", million::million),
    ];
    for (name, make) in tables {
        if is_wanted(name) {
            let table = make(&fixture, &sizes);
            // Times of an unoptimised build mean nothing.
            if !is_test {
                print!("{table}");
            }
        }
    }
}

/// The first size is measured twice: what happens only once in a process is in the first row, which is replaced.
fn with_warm_up(sizes: &[usize]) -> impl Iterator<Item = usize> {
    sizes.iter().take(1).chain(sizes).copied()
}

/// What `make` makes, with its seconds and the bytes that it retains.
fn cost<T>(make: impl FnOnce() -> T) -> (T, f64, f64) {
    let region = Region::new(ALLOCATOR);
    let start = Instant::now();
    let made = make();
    let time = start.elapsed().as_secs_f64();
    let change = region.change();
    let bytes = change.bytes_allocated as f64 - change.bytes_deallocated as f64;
    (made, time, bytes)
}
