//! What can happen between two connections.

use std::ops::Range;

use proptest::collection::vec;
use proptest::prelude::*;

use super::world::{EDGES, SERVER, World};

/// Whose chains the gates verify.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Side {
    Clients,
    /// With the server name.
    Servers,
}

/// Numbers count through the lists of [`World`].
#[derive(Clone, Debug)]
pub(crate) enum Operation {
    Present {
        chain: usize,
        name: &'static str,
    },
    /// Seconds after the start: forwards or backwards.
    SetClock(u64),
    SetTrust(usize),
    SetRevocation(usize),
    SetBoth(usize, usize),
    /// Nothing else but a new generation.
    Renew,
    Deny(usize),
    AllowAgain(usize),
    ReplaceDenials(Vec<usize>),
    SetPolicy(Rule),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Rule {
    AllowAny,
    DenyAll,
    OnlyDomainA,
    OnlyShortPaths,
}

/// Operations about some of the chains, so that those return: several that can be good, and one
/// that hardly ever is.
pub(crate) fn operations(world: &World, steps: usize) -> impl Strategy<Value = Vec<Operation>> {
    const GOOD: usize = 5;

    let (good, bad): (Vec<usize>, Vec<usize>) =
        (0..world.chains.len()).partition(|chain| world.chains[*chain].can_be_good);
    let [trusts, revocations, denials] = [
        world.trusts.len(),
        world.revocations.len(),
        world.denials.len(),
    ];
    let chains = (
        prop::sample::subsequence(good, GOOD),
        prop::sample::select(bad),
    );
    chains.prop_flat_map(move |(mut chains, bad)| {
        chains.push(bad);
        let operation = operation(chains, 0..trusts, 0..revocations, 0..denials);
        vec(operation, steps)
    })
}

fn operation(
    chains: Vec<usize>,
    trusts: Range<usize>,
    revocations: Range<usize>,
    denials: Range<usize>,
) -> impl Strategy<Value = Operation> {
    let name = prop_oneof![9 => Just(SERVER), 1 => Just("other.example")];
    let present = (prop::sample::select(chains), name);
    let edge = (prop::sample::select(&EDGES[..]), -1_i64..=1);
    let rule = prop_oneof![
        3 => Just(Rule::AllowAny),
        1 => Just(Rule::DenyAll),
        1 => Just(Rule::OnlyDomainA),
        1 => Just(Rule::OnlyShortPaths),
    ];
    prop_oneof![
        60 => present.prop_map(|(chain, name)| Operation::Present { chain, name }),
        12 => edge.prop_map(|(edge, beside)| Operation::SetClock(edge.saturating_add_signed(beside))),
        2 => trusts.clone().prop_map(Operation::SetTrust),
        2 => revocations.clone().prop_map(Operation::SetRevocation),
        1 => (trusts, revocations).prop_map(|(trust, lists)| Operation::SetBoth(trust, lists)),
        1 => Just(Operation::Renew),
        3 => denials.clone().prop_map(Operation::Deny),
        3 => denials.clone().prop_map(Operation::AllowAgain),
        1 => vec(denials, 0..3).prop_map(Operation::ReplaceDenials),
        4 => rule.prop_map(Operation::SetPolicy),
    ]
}
