//! Rules, pins, deny entries and entries of revocation lists.

use std::hint::black_box;
use std::time::Instant;

use countersign::identity::{DnsName, SpiffeId};
use countersign::pki::Fingerprint;
use countersign::policy::{self, DenyEntry, DenyList, Policy};
use countersign::testing::{self, TestCa};
use countersign::trust::Crls;
use countersign::{ConnectionInfo, Peer};
use countersign_benches::lists::{domain, signed_list, workload};

use crate::fixture::Fixture;
use crate::table::{Table, Unit, seconds};
use crate::{Sizes, cost, with_warm_up};

/// Operations that take less than a microsecond, in one measurement.
const AT_ONCE: usize = 4096;

pub(crate) fn rules(fixture: &Fixture, sizes: &Sizes) -> Table {
    let mut table = Table::new(
        "rules: exact SPIFFE IDs, and prefixes (`…/*`)",
        "rules",
        &[
            ("exact", Unit::Time),
            ("memory", Unit::Bytes),
            ("decision", Unit::Time),
            ("prefixes", Unit::Time),
            ("memory", Unit::Bytes),
            ("decision", Unit::Time),
        ],
    );
    for size in with_warm_up(sizes.lists) {
        let ids = (0..size).map(|number| id(&workload(number)));
        let (exact, exact_time, exact_bytes) = cost(|| policy::exact(ids));
        let patterns = (0..size).map(|number| format!("{}/*", workload(number)));
        let (prefixes, prefixes_time, prefixes_bytes) =
            cost(|| policy::spiffe_patterns(patterns).expect("patterns"));
        let decide = |policy: &dyn Policy<SpiffeId>, below: &str| {
            decision(fixture, policy, |number| {
                id(&format!("{}{below}", workload(number % (2 * size))))
            })
        };
        let decisions = [decide(&exact, ""), decide(&prefixes, "/pod/7")];
        table.row(
            size,
            [
                exact_time,
                exact_bytes,
                decisions[0],
                prefixes_time,
                prefixes_bytes,
                decisions[1],
            ],
        );
    }
    table
}

fn id(text: &str) -> SpiffeId {
    text.parse().expect("a SPIFFE ID")
}

/// The time of a decision, about peers that are spread over the list.
fn decision(
    fixture: &Fixture,
    policy: &dyn Policy<SpiffeId>,
    identity: impl Fn(usize) -> SpiffeId,
) -> f64 {
    let issued = fixture.issue();
    let peers: Vec<Peer<SpiffeId>> = (0..AT_ONCE)
        .map(|number| {
            let identity = identity(number.wrapping_mul(0x9e37_79b9));
            testing::peer_of(identity, &fixture.ca, &issued, ConnectionInfo::default())
        })
        .collect();
    let start = Instant::now();
    for peer in &peers {
        let _ = black_box(policy.authorize(black_box(peer)));
    }
    seconds(start.elapsed()) / AT_ONCE as f64
}

pub(crate) fn pins(fixture: &Fixture, sizes: &Sizes) -> Table {
    let mut table = Table::new(
        "pins: keys in a trust store, of which none is a client's",
        "pins",
        &[
            ("the store", Unit::Time),
            ("its memory", Unit::Bytes),
            ("an acceptor", Unit::Time),
            ("known chain", Unit::Time),
            ("first sight", Unit::Time),
        ],
    );
    for size in with_warm_up(sizes.lists) {
        let pins: Vec<Fingerprint> = (0..size)
            .map(|number| Fingerprint::of(domain(number).as_bytes()))
            .collect();
        let (store, store_time, bytes) = cost(|| {
            let store = fixture.ca.trust();
            pins.iter().fold(store, |store, pin| store.pin_spki(*pin))
        });
        let builder = fixture.builder(store);
        let (acceptor, acceptor_time, _) = cost(|| builder.build().expect("an acceptor"));
        let [first, known] = fixture.first_and_known(&acceptor, sizes.handshakes);
        table.row(size, [store_time, bytes, acceptor_time, known, first]);
    }
    table
}

pub(crate) fn denied(fixture: &Fixture, sizes: &Sizes) -> Table {
    let mut table = Table::new(
        "denied: entries of a deny list, half keys and half identities",
        "entries",
        &[
            ("`replace`", Unit::Time),
            ("memory", Unit::Bytes),
            ("one `insert`", Unit::Time),
            ("known chain", Unit::Time),
            ("first sight", Unit::Time),
        ],
    );
    for size in with_warm_up(sizes.lists) {
        let list = DenyList::<DnsName>::new();
        let acceptor = fixture
            .builder(fixture.ca.trust())
            .deny_list(&list)
            .build()
            .expect("an acceptor");
        let entries: Vec<_> = (0..size).map(entry).collect();
        let (_, replace, bytes) = cost(|| list.replace(entries.iter().cloned()));
        let more: Vec<_> = (0..64).map(|number| entry(size + number)).collect();
        let start = Instant::now();
        for entry in &more {
            assert!(list.insert(entry.clone()));
        }
        let insert = seconds(start.elapsed()) / more.len() as f64;
        let [first, known] = fixture.first_and_known(&acceptor, sizes.handshakes);
        table.row(size, [replace, bytes, insert, known, first]);
    }
    table
}

fn entry(number: usize) -> DenyEntry<DnsName> {
    let name = domain(number);
    if number.is_multiple_of(2) {
        DenyEntry::Key(Fingerprint::of(name.as_bytes()))
    } else {
        DenyEntry::Identity(name.parse().expect("a name"))
    }
}

pub(crate) fn crl(fixture: &Fixture, sizes: &Sizes) -> Table {
    let mut table = Table::new(
        "crl: entries of a certificate revocation list",
        "entries",
        &[
            ("load", Unit::Time),
            ("memory", Unit::Bytes),
            ("lookup", Unit::Time),
            ("known chain", Unit::Time),
            ("first sight", Unit::Time),
        ],
    );
    for size in with_warm_up(sizes.lists) {
        let der = signed_list(&fixture.ca, size, 1);
        let (crls, load, bytes) = cost(|| Crls::from_bytes(der.clone()).expect("a CRL"));
        let lookup = lookup(&fixture.ca, &crls);
        let acceptor = fixture
            .builder(fixture.ca.trust())
            .revocation(crls)
            .build()
            .expect("an acceptor");
        let [first, known] = fixture.first_and_known(&acceptor, sizes.handshakes);
        table.row(size, [load, bytes, lookup, known, first]);
    }
    table
}

fn lookup(ca: &TestCa, crls: &Crls) -> f64 {
    let list = &crls.lists()[0];
    let unlisted = ca.leaf().issue().certificate().serial().clone();
    let start = Instant::now();
    for _ in 0..AT_ONCE {
        assert!(!black_box(list).revokes(black_box(&unlisted)));
    }
    seconds(start.elapsed()) / AT_ONCE as f64
}
