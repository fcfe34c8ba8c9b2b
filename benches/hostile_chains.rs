//! The CPU time that a peer without a trusted certificate can cause:
//! `cargo bench -p countersign-benches --bench hostile_chains`.
//!
//! Whole handshakes in memory present each shape of chain to an acceptor and to a connector with
//! their defaults and an audit trail in JSON. The CPU time is that of the thread of countersign's
//! side, as Linux accounts it, over all handshakes of a shape. It is compared with an honest chain of
//! the same size that is rejected too. Then good clients connect to a `Listener` over loopback, alone
//! and concurrently with 50 handshakes a second of the most expensive shape.
#![allow(clippy::unwrap_used)] // a bench stops at the first error

#[path = "hostile_chains/attacker.rs"]
mod attacker;
#[path = "hostile_chains/good_clients.rs"]
mod good_clients;

use std::process::ExitCode;
use std::time::Duration;

use attacker::{Attacker, Side};
use countersign::testing::KeyType;
use shapes::{Shape, honest};
use support::hostile_chains as shapes;

const LIMIT: Duration = Duration::from_millis(5);
const LIMIT_RATIO: f64 = 20.0;

fn main() -> ExitCode {
    // As a test, a short run shows that everything works.
    let is_test = !std::env::args().any(|argument| argument == "--bench");
    let handshakes = if is_test { 1 } else { 40 };
    let shapes = shapes::all();
    let mut met = true;
    let mut worst: Option<(Duration, &Shape)> = None; // of those with a P-256 root
    for side in [Side::Server, Side::Client] {
        println!("CPU of the {side} for a rejected handshake (budget 5 ms, and 20 × honest)");
        println!("  shape                                       bytes        CPU   × honest");
        for shape in &shapes {
            let attacker = Attacker::new(side, shape.root);
            let hostile = attacker.cpu_of(shape, handshakes);
            let honest = attacker.cpu_of(&honest(shape.size()), handshakes);
            let ratio = hostile.as_secs_f64() / honest.as_secs_f64().max(1e-9);
            let is_met = hostile <= LIMIT && ratio <= LIMIT_RATIO;
            println!(
                "  {:<42} {:>6} {:>10.2?} {ratio:>10.1}{}",
                shape.name,
                shape.size(),
                hostile,
                if is_met { "" } else { "   missed" }
            );
            met &= is_met;
            if side == Side::Server
                && shape.root == KeyType::P256
                && worst.is_none_or(|(most, _)| hostile > most)
            {
                worst = Some((hostile, shape));
            }
        }
    }
    if let Some((_, shape)) = worst {
        met &= good_clients::run(shape, is_test);
    }
    if met || is_test {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
