//! Runs this program under valgrind, and reads what it counted.

use std::collections::BTreeMap;
use std::path::Path as File;
use std::process::{Command, Stdio};

use crate::paths::{self, Path};

/// The argument of the program inside valgrind.
pub(crate) const MEASURE: &str = "--measure";

/// What one path takes.
pub(crate) struct Counted {
    pub(crate) path: &'static Path,
    /// For each implementation, in the order of the path, the instructions of one operation in each batch, sorted.
    batches: Vec<Vec<u64>>,
}

impl Counted {
    pub(crate) fn new(path: &'static Path, mut batches: Vec<Vec<u64>>) -> Self {
        batches
            .iter_mut()
            .for_each(|batches| batches.sort_unstable());
        Self { path, batches }
    }

    /// The median of the batches.
    pub(crate) fn of(&self, implementation: usize) -> u64 {
        let batches = &self.batches[implementation];
        batches[batches.len() / 2]
    }

    /// The difference between the greatest and the least batch of ours, as a part of the median.
    pub(crate) fn spread(&self) -> f64 {
        let batches = &self.batches[0];
        (batches[batches.len() - 1] - batches[0]) as f64 / self.of(0) as f64
    }
}

/// What the counts depend on, besides the program's source; `None` where there is no valgrind.
pub(crate) fn toolchain() -> Option<String> {
    let version_of = |program: &str| {
        let output = Command::new(program).arg("--version").output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        output.status.success().then_some(text)
    };
    let valgrind = version_of("valgrind")?;
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let rustc = version_of(&rustc).unwrap_or_default();
    Some(format!("{rustc}, {valgrind}, {}", std::env::consts::ARCH))
}

/// # Panics
/// If valgrind fails, or counts something else than expected.
pub(crate) fn run(words: &[String]) -> Vec<Counted> {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("out");
    let program = std::env::current_exe().expect("the path of this program");
    let output = Command::new("valgrind")
        .args([
            "--tool=callgrind",
            "--toggle-collect=*counted_work*",
            "--dump-before=*end_of_batch*",
        ])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(program)
        .arg(MEASURE)
        .args(words)
        .stderr(Stdio::piped())
        .output()
        .expect("valgrind starts");
    assert!(
        output.status.success(),
        "valgrind failed:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let lines = String::from_utf8(output.stdout).expect("text");
    let mut batches: BTreeMap<[&str; 2], Vec<u64>> = BTreeMap::new();
    for (number, line) in (1..).zip(lines.lines()) {
        let [path, implementation, operations] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("not a line of a batch: {line}");
        };
        let operations: u64 = operations.parse().expect("a number");
        let total = total(&out.with_extension(number.to_string()));
        let batches = batches.entry([path, implementation]).or_default();
        batches.push(total / operations);
    }
    let counted = paths::selected(words).map(|path| {
        let implementations = path.implementations.iter();
        let batches = implementations.map(|(name, _)| batches[&[path.name, *name]].clone());
        Counted::new(path, batches.collect())
    });
    counted.collect()
}

/// The instructions in one file of callgrind.
fn total(dump: &File) -> u64 {
    let text = std::fs::read_to_string(dump).expect("a file of callgrind");
    let total = text
        .lines()
        .find_map(|line| line.strip_prefix("totals: "))
        .expect("a line of totals");
    let total = total.trim().parse().expect("a number");
    assert_ne!(total, 0, "callgrind did not find the counted function");
    total
}
