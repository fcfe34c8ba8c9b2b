//! The six paths, and their references.

use countersign::testing::KeyType;
use countersign_benches::case::{Case, Kind, REFERENCE, Side};
use countersign_benches::clock::count;
use countersign_benches::comparison::{Comparison, Implementation};
use countersign_benches::fixture::{Family, Fixture};
use countersign_benches::streams::Streams;

use crate::request::{self, Requests};
use crate::stranger::Strangers;

/// Each has new keys and certificates.
pub(crate) const BATCHES: usize = 5;

/// One path. The first implementation is ours, the second the one that we are compared with.
pub(crate) struct Path {
    pub(crate) name: &'static str,
    pub(crate) implementations: &'static [(&'static str, Implementation)],
    operations: usize,
    work: Work,
}

#[derive(Clone, Copy)]
enum Work {
    Handshake(Side, Kind),
    Stranger,
    Request,
}

const OURS: (&str, Implementation) = ("countersign", Implementation::Ours);
const RAW: (&str, Implementation) = ("rustls", Implementation::Raw);
const NO_VERIFY: (&str, Implementation) =
    ("rustls that verifies no chain", Implementation::NoVerify);

pub(crate) const PATHS: [Path; 6] = [
    Path {
        name: "server, known chain",
        implementations: &[OURS, RAW, NO_VERIFY],
        operations: 10,
        work: Work::Handshake(Side::Server, Kind::Known),
    },
    Path {
        name: "server, first sight",
        implementations: &[OURS, RAW],
        operations: 10,
        work: Work::Handshake(Side::Server, Kind::FirstSight),
    },
    Path {
        name: "server, resumed",
        implementations: &[OURS, RAW],
        operations: 10,
        work: Work::Handshake(Side::Server, Kind::Resumed),
    },
    Path {
        name: "client, known chain",
        implementations: &[OURS, RAW, NO_VERIFY],
        operations: 10,
        work: Work::Handshake(Side::Client, Kind::Known),
    },
    Path {
        name: "server, refused stranger",
        implementations: &[OURS, RAW],
        operations: 10,
        work: Work::Stranger,
    },
    Path {
        name: "server, request over HTTP/1.1",
        implementations: &request::IMPLEMENTATIONS,
        operations: 100,
        work: Work::Request,
    },
];

pub(crate) fn selected(words: &[String]) -> impl Iterator<Item = &'static Path> {
    PATHS
        .iter()
        .filter(|path| words.iter().all(|word| path.name.contains(word.as_str())))
}

/// Runs the paths, a batch of operations for each implementation, with a `share` of their operations.
pub(crate) fn measure(words: &[String], batches: usize, share: usize) {
    for path in selected(words) {
        for _ in 0..batches {
            path.batch(path.operations / share);
        }
    }
}

impl Path {
    fn batch(&self, operations: usize) {
        let family = Family::new(KeyType::P256);
        let fixture = Fixture::new(&family, REFERENCE);
        match self.work {
            Work::Handshake(side, kind) => {
                let case = Case {
                    setting: REFERENCE,
                    side,
                    kind,
                };
                let streams = Streams::default();
                // No chain comes twice: one is for the first handshake, and one for each warm-up.
                let peers = (operations + 1) * self.implementations.len() + 1;
                let mut comparison = Comparison::new(&fixture, case, &streams, peers);
                self.count(side, operations, |_, implementation| {
                    comparison.next_peer();
                    comparison.handshake(implementation);
                });
                comparison.check();
            }
            Work::Stranger => {
                let strangers = Strangers::new(&fixture);
                self.count(Side::Server, operations, |_, implementation| {
                    strangers.refuse(implementation);
                });
            }
            Work::Request => {
                let mut requests = Requests::new(&fixture);
                self.count(Side::Server, operations, |index, _| {
                    requests.send(index);
                });
            }
        }
    }

    fn count(
        &self,
        side: Side,
        operations: usize,
        mut operation: impl FnMut(usize, Implementation),
    ) {
        for (index, (name, implementation)) in self.implementations.iter().enumerate() {
            operation(index, *implementation);
            count(Some(side));
            for _ in 0..operations {
                operation(index, *implementation);
            }
            count(None);
            end_of_batch(self.name, name, operations);
        }
    }
}

/// callgrind writes what it has counted when this is called (`--dump-before`), and counts anew. The line says what
/// that was.
#[inline(never)]
fn end_of_batch(path: &str, implementation: &str, operations: usize) {
    println!("{path}\t{implementation}\t{operations}");
}
