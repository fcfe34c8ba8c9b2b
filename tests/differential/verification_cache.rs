//! Remembering changes no verdict: gates that remember nothing, little and much say the same of
//! every chain, whatever happens to clocks, lists, trust, policies and deny lists in between.
//!
//! The gates take part in the same random sequence of operations. The certificates are issued
//! once, so that a sequence costs no more than its verifications.

mod gates;
mod operations;
mod world;

use std::cell::RefCell;
use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};

use gates::Gates;
use operations::{Operation, Side, operations};
use world::World;

/// Of each side.
const SEQUENCES: u32 = 1_000;
const STEPS: usize = 20;
/// The same sequences in every run, and others for each side.
const SEED: u64 = 20_261_122;

/// What must have been answered, or agreement would mean little.
const ANSWERS: [&str; 14] = [
    "good",
    "unknown_issuer",
    "bad_signature",
    "ca_as_end_entity",
    "expired",
    "not_yet_valid",
    "revoked",
    "unknown_revocation_status",
    "crl_expired",
    "no_trust_domain",
    "unknown_trust_domain",
    "identity_ambiguous",
    "deny_listed",
    "denied",
];

#[test]
fn remembering_clients_changes_no_verdict() {
    check(Side::Clients, &ANSWERS);
}

#[test]
fn remembering_servers_changes_no_verdict() {
    let answers = [&ANSWERS[..], &["name_mismatch"]].concat();
    check(Side::Servers, &answers);
}

fn check(side: Side, answers: &[&str]) {
    let world = World::new();
    let reached = RefCell::new(BTreeMap::<&str, u32>::new());
    let hits = RefCell::new([0; 2]);
    let mut runner = TestRunner::new(Config {
        cases: SEQUENCES,
        rng_seed: RngSeed::Fixed(SEED + side as u64),
        failure_persistence: None,
        ..Config::default()
    });
    let sequences = (any::<bool>(), operations(&world, STEPS));
    runner
        .run(&sequences, |(with_lists, operations)| {
            let gates = Gates::new(&world, side, with_lists);
            for (step, operation) in operations.iter().enumerate() {
                let Operation::Present { chain, name } = operation else {
                    gates.change(operation);
                    continue;
                };
                let chain = &world.chains[*chain];
                let [nothing, little, much] = gates.decide(chain, name);
                prop_assert_eq!(&nothing, &little, "step {}, {}", step, chain.label);
                prop_assert_eq!(&nothing, &much, "step {}, {}", step, chain.label);
                *reached.borrow_mut().entry(nothing.reason()).or_default() += 1;
            }
            let [nothing, little, much] = gates.asked();
            let mut hits = hits.borrow_mut();
            hits[0] += nothing - little;
            hits[1] += nothing - much;
            Ok(())
        })
        .unwrap();

    let (reached, hits) = (reached.into_inner(), hits.into_inner());
    println!("{reached:#?}\nknown chains: {hits:?}");
    for answer in answers {
        let count = reached.get(answer).copied().unwrap_or(0);
        assert!(count >= 30, "{answer} was reached {count} times");
    }
    assert!(hits[1] > 2_000, "there was much to remember: {hits:?}");
    assert!(hits[0] + 100 < hits[1], "little made room: {hits:?}");
}
