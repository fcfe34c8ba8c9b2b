//! What mutual TLS costs with countersign, compared with raw rustls and with the minimal
//! cryptography, in one run.
//!
//! `cargo bench -p countersign-benches --bench handshake` prints tables at the end;
//! `-- P-256/1 server` measures only the cases whose names contain all of these words.
//!
//! Everything runs in memory, on one thread, against a peer of raw rustls. The bench times one
//! side's own work from the first byte of a connection to the first byte of the application,
//! session tickets included: the polls of its future, or its calls into rustls.
//!
//! * **known chain**: a full handshake with a peer whose chain was verified before.
//! * **first sight**: a full handshake with a chain that was not verified before. Each chain is
//!   presented once, so that countersign pays for verifying and for caching it. When the chains run
//!   out, a new acceptor or connector replaces the old one. The chains have the same issuers, which
//!   countersign knows after the first of them.
//! * **resumed**: the peer resumes a session, and is authorized again.
//! * **floor**: the key exchange, one signature and one verification, called directly.
//! * **no_verify**: raw rustls that verifies no chain. It shows the cost of everything else.
//!
//! The implementations take turns, and a ratio is the median over such rounds, so that load on the
//! machine slows all of them equally. (criterion would measure one after the other.)

use std::time::{Duration, Instant};

use countersign::testing::KeyType;
use countersign_benches::blocking::Blocking;
use countersign_benches::case::{BUDGETED, Case, KEYS, POST_QUANTUM, REFERENCE, Setting};
use countersign_benches::comparison::{Comparison, Driver, Round};
use countersign_benches::fixture::{Family, Fixture};
use countersign_benches::report::{Measured, Report};
use countersign_benches::streams::Streams;

fn main() {
    let effort = Effort::from_args();
    let streams = Streams::default();
    let mut measured = Vec::new();
    for key in KEYS {
        let family = Family::new(key);
        for setting in settings(key) {
            let fixture = Fixture::new(&family, setting);
            let driver: &dyn Driver = if setting.tokio { &streams } else { &Blocking };
            for case in setting.cases() {
                if !effort.wants(case) {
                    continue;
                }
                let mut comparison = Comparison::new(&fixture, case, driver, effort.chains);
                let done = Measured {
                    case,
                    rounds: effort.measure(case, || comparison.round()),
                };
                comparison.check();
                // Times of an unoptimised build mean nothing.
                if !effort.is_test {
                    println!("{done}");
                }
                measured.push(done);
            }
        }
    }
    if effort.words.is_empty() && !effort.is_test {
        print!("{}", Report(&measured));
    }
}

/// All settings with keys of one kind.
fn settings(key: KeyType) -> impl Iterator<Item = Setting> {
    let other = (0..=2).map(move |intermediates| Setting {
        key,
        intermediates,
        ..REFERENCE
    });
    let budgeted = BUDGETED
        .into_iter()
        .chain([POST_QUANTUM])
        .filter(move |setting| setting.key == key);
    budgeted.chain(other.filter(|setting| *setting != REFERENCE))
}

/// What is measured, and for how long.
struct Effort {
    words: Vec<String>,
    /// As a test, a short run shows that everything works.
    is_test: bool,
    /// The number of chains for first sight.
    chains: usize,
}

impl Effort {
    fn from_args() -> Self {
        let (options, words): (Vec<_>, Vec<_>) = std::env::args()
            .skip(1)
            .partition(|argument| argument.starts_with('-'));
        let is_test = !options.iter().any(|option| option == "--bench");
        Self {
            words,
            is_test,
            chains: if is_test { 3 } else { 1000 },
        }
    }

    fn wants(&self, case: Case) -> bool {
        let name = case.to_string();
        self.words.iter().all(|word| name.contains(word.as_str()))
    }

    fn measure(&self, case: Case, mut round: impl FnMut() -> Round) -> Vec<Round> {
        let (least, time) = match (self.is_test, BUDGETED.contains(&case.setting)) {
            (true, _) => (4, Duration::ZERO),
            (false, true) => (100, Duration::from_millis(2500)),
            (false, false) => (100, Duration::from_millis(1000)),
        };
        let start = Instant::now();
        let mut rounds = Vec::new();
        while rounds.len() < least || start.elapsed() < time {
            rounds.push(round());
        }
        rounds
    }
}
