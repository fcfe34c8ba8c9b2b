//! Everything at once, over real sockets, held against a model: see `model`.
//!
//! `CHAOS_SEED` and `CHAOS_SECONDS` set the seed and the duration; the output has both. `tests/chaos/soak` runs it
//! for longer, in release mode.
#![allow(clippy::unwrap_used)] // a test fails where this fails

mod changes;
mod clients;
mod ingredients;
mod model;
mod random;
mod session;
mod sink;
mod world;

use std::alloc::System;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use tokio::time::sleep;

use crate::changes::Operator;
use crate::clients::{Client, name, strangers};
use crate::ingredients::{minimum, missing};
use crate::random::Random;
use crate::world::{PATIENCE, World};

/// Counts all memory of this process.
#[global_allocator]
static MEMORY: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const CLIENTS: usize = 16;
const STRANGERS: usize = 4;
/// What may be left: what a runtime, the allocator's users and caches of the process keep.
const ALLOWED_GROWTH: usize = 1024 * 1024;
/// What clients may leave in a server without caches: tables that keep their size. It is the same after any time.
const LEFT_BY_CLIENTS: usize = 512 * 1024;
/// How much longer a run may take until it has had each ingredient.
const EXTENSION: Duration = Duration::from_secs(120);
/// From this many seconds on, the memory of the last quarter is compared with that of the second minute.
const COMPARED: usize = 180;

static PANICS: AtomicU64 = AtomicU64::new(0);

fn main_seed() -> u64 {
    let seed = std::env::var("CHAOS_SEED").ok();
    seed.map_or(18, |seed| seed.parse().expect("CHAOS_SEED is a number"))
}

fn duration() -> Duration {
    let seconds = std::env::var("CHAOS_SECONDS").ok();
    let seconds = seconds.map_or(10, |it| it.parse().expect("CHAOS_SECONDS is a number"));
    Duration::from_secs(seconds)
}

fn live_bytes() -> usize {
    let stats = MEMORY.stats();
    stats
        .bytes_allocated
        .saturating_sub(stats.bytes_deallocated)
}

fn median(bytes: &[usize]) -> usize {
    let mut bytes = bytes.to_vec();
    bytes.sort_unstable();
    bytes[bytes.len() / 2]
}

#[test]
fn everything_at_once() {
    let (seed, duration) = (main_seed(), duration());
    println!("CHAOS_SEED={seed} CHAOS_SECONDS={}", duration.as_secs());
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let text = panic.payload().downcast_ref::<&str>();
        if text != Some(&sink::DELIBERATE) {
            PANICS.fetch_add(1, Ordering::SeqCst);
            hook(panic);
        }
    }));
    // The first run fills what a process keeps; the second one must give back all that it takes.
    run(seed ^ 1, Duration::from_secs(3));
    let before = live_bytes();
    run(seed, duration);
    let after = live_bytes();
    println!("live bytes: {before} before, {after} after");
    assert_eq!(
        PANICS.load(Ordering::SeqCst),
        0,
        "a panic, CHAOS_SEED={seed}"
    );
    assert!(
        after < before + ALLOWED_GROWTH,
        "memory grows: {before} bytes before, {after} after, CHAOS_SEED={seed}"
    );
}

fn run(seed: u64, duration: Duration) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(chaos(seed, duration));
    let tasks = || runtime.metrics().num_alive_tasks();
    let start = Instant::now();
    while tasks() > 0 && start.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(tasks(), 0, "tasks are left, CHAOS_SEED={seed}");
}

async fn chaos(seed: u64, duration: Duration) {
    let world = Arc::new(World::start((0..CLIENTS).map(name)).await);
    let fresh = live_bytes();
    let (model, start) = (Arc::clone(&world.model), Instant::now());
    let (stop, calm) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicBool::new(false)),
    );
    let mut peers = tokio::task::JoinSet::new();
    for number in 0..CLIENTS {
        let client = Client::new(&world, seed, number);
        peers.spawn(client.run(Arc::clone(&stop)));
    }
    for number in 0..STRANGERS {
        let random = Random::new(seed, number as u64 + 1000);
        peers.spawn(strangers(Arc::clone(&world), random, Arc::clone(&stop)));
    }
    let operator = Operator::new(&world, seed, CLIENTS);
    let operator = tokio::spawn(operator.run(Arc::clone(&calm)));

    let minimum = minimum(duration);
    // The live bytes of each second.
    let mut memory = Vec::new();
    while !model.has_failed() {
        let elapsed = start.elapsed();
        let is_over = elapsed >= duration && missing(&model, minimum).is_empty();
        if is_over || elapsed >= duration + EXTENSION {
            break;
        }
        sleep(Duration::from_millis(100)).await;
        if start.elapsed() < Duration::from_secs(memory.len() as u64 + 1) {
            continue;
        }
        memory.push(live_bytes());
        if memory.len() % 60 == 0 {
            let (minute, served) = (memory.len() / 60, model.how_often("served"));
            let bytes = median(&memory[memory.len() - 60..]);
            println!("minute {minute}: {served} served, median of live bytes {bytes}");
        }
    }
    calm.store(true, Ordering::SeqCst);
    let operator = operator.await.expect("the operator does not panic");
    stop.store(true, Ordering::SeqCst);
    while let Some(ended) = peers.join_next().await {
        ended.expect("a client does not panic");
    }
    if !model.has_failed() {
        let missing = missing(&model, minimum);
        if !missing.is_empty() {
            model.violation(format!("not {minimum} times each: {missing:?}"));
        }
        for number in 0..CLIENTS {
            Client::new(&world, seed, number).must_be_served().await;
        }
    }
    world.calm().await;
    world.empty_caches();
    model.forget();
    // The clients' side of QUIC takes a little longer.
    let start_of_calm = Instant::now();
    while live_bytes() > fresh + LEFT_BY_CLIENTS && start_of_calm.elapsed() < PATIENCE {
        sleep(Duration::from_millis(10)).await;
    }
    let left = live_bytes();
    println!("live bytes: {fresh} before the first client, {left} after the last");
    operator.stop();
    drop(operator);
    // The task that repeats the stream's value holds the world until it sees that.
    let mut world = world;
    let world = loop {
        match Arc::try_unwrap(world) {
            Ok(world) => break world,
            Err(shared) => world = shared,
        }
        sleep(Duration::from_millis(10)).await;
    };
    let model = world.stop().await;
    for (what, count) in model.counts() {
        println!("{count:>8} {what}");
    }
    println!("CHAOS_SEED={seed}: {:.1?}", start.elapsed());
    model.assert();
    assert!(
        left <= fresh + LEFT_BY_CLIENTS,
        "clients leave memory: {fresh} bytes before them, {left} after, CHAOS_SEED={seed}"
    );
    assert_flat(&memory, seed);
}

/// The memory in use does not grow while clients come and go. In the second minute the caches and the memory of the
/// model are full: each change of trust or CRLs empties the caches.
fn assert_flat(memory: &[usize], seed: u64) {
    if memory.len() < COMPARED {
        return;
    }
    let before = median(&memory[60..120]);
    let after = median(&memory[memory.len() * 3 / 4..]);
    println!("medians of live bytes: {before} in the second minute, {after} in the last quarter");
    assert!(
        after < before + before / 20,
        "memory grows: {before} bytes in the second minute, {after} in the last quarter, CHAOS_SEED={seed}"
    );
}
