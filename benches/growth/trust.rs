//! Roots and trust domains.

use std::time::Instant;

use countersign::TrustStore;
use countersign::identity::TrustDomain;
use countersign::testing::{KeyType, TestCa};
use countersign_benches::lists::domain;

use crate::fixture::{DOMAIN, Fixture};
use crate::table::{Table, Unit, median};
use crate::{Sizes, cost, with_warm_up};

pub(crate) fn roots(fixture: &Fixture, sizes: &Sizes) -> Table {
    let mut table = Table::new(
        "roots: one trust store",
        "roots",
        &[
            ("the store", Unit::Time),
            ("its memory", Unit::Bytes),
            ("an acceptor", Unit::Time),
            ("known chain", Unit::Time),
            ("first sight", Unit::Time),
            ("root hints", Unit::Bytes),
        ],
    );
    let others = authorities(sizes);
    for size in with_warm_up(sizes.trusted) {
        let roots = others[..size - 1].iter().chain([&fixture.ca]);
        let roots: Vec<_> = roots.map(TestCa::certificate_der).collect();
        let (store, store_time, bytes) =
            cost(|| TrustStore::from_der(roots.iter().cloned()).expect("roots"));
        let builder = fixture.builder(store);
        let (acceptor, acceptor_time, _) = cost(|| builder.build().expect("an acceptor"));
        let [first, known] = fixture.first_and_known(&acceptor, sizes.handshakes);
        let hints = fixture.hints(&acceptor) as f64;
        table.row(
            size,
            [store_time, bytes, acceptor_time, known, first, hints],
        );
    }
    table
}

pub(crate) fn domains(fixture: &Fixture, sizes: &Sizes) -> Table {
    let mut table = Table::new(
        "domains: trust by SPIFFE trust domain, a root for each",
        "domains",
        &[
            ("the bundles", Unit::Time),
            ("their memory", Unit::Bytes),
            ("an acceptor", Unit::Time),
            ("known chain", Unit::Time),
            ("first sight", Unit::Time),
            ("`set_trust_domain`", Unit::Time),
            ("root hints", Unit::Bytes),
        ],
    );
    let others = authorities(sizes);
    let own: TrustDomain = DOMAIN.parse().expect("a domain");
    for size in with_warm_up(sizes.trusted) {
        let roots: Vec<(TrustDomain, _)> = (0..size - 1)
            .map(|number| (domain(number).parse().expect("a domain"), &others[number]))
            .chain([(own.clone(), &fixture.ca)])
            .map(|(domain, ca)| (domain, ca.certificate_der()))
            .collect();
        let (bundles, bundles_time, bytes) = cost(|| {
            let empty = TrustStore::by_trust_domain();
            roots.iter().fold(empty, |bundles, (domain, root)| {
                let store = TrustStore::from_der([root.clone()]).expect("a root");
                bundles.with(domain.clone(), store).expect("a bundle")
            })
        });
        let builder = fixture.builder(bundles);
        let (acceptor, acceptor_time, _) = cost(|| builder.build().expect("an acceptor"));
        let [first, known] = fixture.first_and_known(&acceptor, sizes.handshakes);
        let hints = fixture.hints(&acceptor) as f64;
        let changes = (0..5).map(|number| {
            let root = TestCa::builder(&format!("New root {number}")).root();
            let start = Instant::now();
            let control = acceptor.control();
            control
                .set_trust_domain(own.clone(), store_of(&root))
                .expect("set");
            start.elapsed()
        });
        let change = median(changes.collect());
        table.row(
            size,
            [
                bundles_time,
                bytes,
                acceptor_time,
                known,
                first,
                change,
                hints,
            ],
        );
    }
    table
}

fn store_of(ca: &TestCa) -> TrustStore {
    TrustStore::from_der([ca.certificate_der()]).expect("a root")
}

/// The authorities beside that of the clients.
fn authorities(sizes: &Sizes) -> Vec<TestCa> {
    let most = sizes.trusted[sizes.trusted.len() - 1];
    (1..most)
        .map(|number| {
            let name = format!("Root {number:05}");
            TestCa::builder(&name).key(KeyType::P256).root()
        })
        .collect()
}
