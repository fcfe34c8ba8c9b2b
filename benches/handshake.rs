//! What mutual TLS costs with us, beside raw rustls and beside the floor, in the same run.
//!
//! `cargo bench --bench handshake` prints tables at the end; `-- P-256/1 server` only measures the
//! cases whose names hold all these words.
//!
//! Everything happens in memory, on one thread, against a peer of raw rustls. What is timed is one
//! side's own work from the first byte of a connection to the first byte of the application,
//! session tickets included: the polls of its future, or its calls into rustls.
//!
//! * **known chain**: a full handshake with a peer whose chain was verified before.
//! * **first sight**: a full handshake with a chain that nobody has seen. Each is shown once, so
//!   that ours pays for verifying and for remembering it; the acceptor is new when they run out.
//! * **resumed**: the peer brings a session, and is judged again.
//! * **the floor**: the key exchange, one signature and one verification, called directly.
//! * **blind rustls**: raw rustls that verifies no chain, which shows what the rest costs.
//!
//! Ours, raw rustls and the others take turns, and a ratio is the median over such rounds, so that
//! whatever slows the machine down slows all of them. (criterion would measure one after the
//! other.)

#[path = "handshake/blind.rs"]
mod blind;
#[path = "handshake/blocking.rs"]
mod blocking;
#[path = "handshake/case.rs"]
mod case;
#[path = "handshake/contest.rs"]
mod contest;
#[path = "handshake/floor.rs"]
mod floor;
#[path = "handshake/report.rs"]
mod report;
#[path = "handshake/streams.rs"]
mod streams;
#[path = "handshake/world.rs"]
mod world;

use std::time::{Duration, Instant};

use countersign::testing::KeyType;

use blocking::Blocking;
use case::{Case, Exchange, Setting};
use contest::{Contest, Door, Round};
use report::{Measured, Report};
use streams::Streams;
use world::{Family, World};

const KEYS: [KeyType; 4] = [
    KeyType::P256,
    KeyType::P384,
    KeyType::Ed25519,
    KeyType::Rsa2048,
];

/// What the budgets are made for.
const REFERENCE: Setting = Setting {
    exchange: Exchange::X25519,
    key: KeyType::P256,
    intermediates: 1,
    tokio: true,
};

/// The reference, with the default key exchange too, and without tokio.
const BUDGETED: [Setting; 3] = [
    REFERENCE,
    Setting {
        exchange: Exchange::Hybrid,
        ..REFERENCE
    },
    Setting {
        exchange: Exchange::Hybrid,
        tokio: false,
        ..REFERENCE
    },
];

fn main() {
    let effort = Effort::from_args();
    let streams = Streams::new();
    let mut measured = Vec::new();
    for key in KEYS {
        let family = Family::new(key);
        for setting in settings(key) {
            let world = World::new(&family, setting);
            let door: &dyn Door = if setting.tokio { &streams } else { &Blocking };
            for case in setting.cases() {
                if !effort.wants(case) {
                    continue;
                }
                let mut contest = Contest::new(&world, case, door, effort.chains);
                let done = Measured {
                    case,
                    rounds: effort.measure(case, || contest.round()),
                };
                contest.check();
                // What an unoptimised build takes says nothing.
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
        .filter(move |setting| setting.key == key);
    budgeted.chain(other.filter(|setting| *setting != REFERENCE))
}

/// How much is measured.
struct Effort {
    words: Vec<String>,
    /// Run as a test, it only shows that it works.
    is_test: bool,
    /// How many chains there are for first sight.
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
