//! The kept counts.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Deserialize;

use crate::callgrind::Counted;
use crate::paths::{PATHS, Path};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/instructions/counts.toml");

/// How much a count may grow before the comparison fails.
const ALLOWANCE: f64 = 0.02;

#[derive(Clone, Default, Deserialize)]
pub(crate) struct Kept {
    toolchain: String,
    /// For each path, the count of each implementation.
    paths: BTreeMap<String, BTreeMap<String, u64>>,
}

impl Kept {
    pub(crate) fn load() -> Self {
        std::fs::read_to_string(FILE).map_or_else(
            |_| Self::default(),
            |text| toml::from_str(&text).expect("counts.toml"),
        )
    }

    /// Prints all counts beside the kept ones. Returns whether none has grown too much.
    pub(crate) fn compare(&self, counted: &[Counted], toolchain: &str) -> bool {
        println!(
            "| instructions | ours | spread | reference | its | ratio | kept ratio | ours | ratio |"
        );
        println!("|---|---|---|---|---|---|---|---|---|");
        let renew = "bash benches/instructions/run --renew";
        let allowance = format!("{} %", ALLOWANCE * 100.0);
        let (mut notes, mut is_good) = (Vec::new(), true);
        for counted in counted {
            let name = counted.path.name;
            let changes = self.print(counted, toolchain);
            if changes.is_empty() || changes.iter().any(|change| *change > ALLOWANCE) {
                is_good = false;
                notes.push(format!(
                    "FAILED: {name}: grew over {allowance}, or has no kept count; with a reason: {renew}"
                ));
            } else if changes.iter().any(|change| *change < -ALLOWANCE) {
                notes.push(format!(
                    "NOTE: {name}: fell over {allowance}; keep that: {renew}"
                ));
            }
        }
        if self.toolchain != toolchain {
            notes.push(format!(
                "NOTE: the ratios alone are compared: the kept counts are not by {toolchain}"
            ));
        }
        println!("\n{}", notes.join("\n"));
        is_good
    }

    /// Prints a row for each reference. Returns the changes that are compared.
    fn print(&self, counted: &Counted, toolchain: &str) -> Vec<f64> {
        let Path {
            name,
            implementations,
            ..
        } = counted.path;
        let kept = |implementation: &str| Some(*self.paths.get(*name)?.get(implementation)? as f64);
        let percent = |change: Option<f64>| {
            change.map_or_else(String::new, |change| format!("{:+.2} %", change * 100.0))
        };
        let ours = counted.of(0);
        let kept_ours = kept(implementations[0].0);
        let of_count = kept_ours
            .filter(|_| self.toolchain == toolchain)
            .map(|kept| ours as f64 / kept - 1.0);
        let mut changes = Vec::from_iter(of_count);
        for (index, (reference, _)) in implementations.iter().enumerate().skip(1) {
            let theirs = counted.of(index);
            let ratio = ours as f64 / theirs as f64;
            let kept_ratio = kept_ours
                .zip(kept(reference))
                .map(|(ours, theirs)| ours / theirs);
            let of_ratio = kept_ratio.map(|kept| ratio / kept - 1.0);
            changes.extend(of_ratio);
            println!(
                "| {name} | {ours} | {:.2} % | {reference} | {theirs} | {ratio:.3} | {} | {} | {} |",
                counted.spread() * 100.0,
                kept_ratio.map_or_else(String::new, |ratio| format!("{ratio:.3}")),
                percent(of_count),
                percent(of_ratio),
            );
        }
        changes
    }

    /// These counts, with the new ones in their places. Counts by something else are dropped.
    pub(crate) fn renewed(mut self, counted: &[Counted], toolchain: String) -> Self {
        if self.toolchain != toolchain {
            self.paths.clear();
        }
        self.toolchain = toolchain;
        for counted in counted {
            let names = counted.path.implementations.iter().enumerate();
            let counts = names.map(|(index, (name, _))| ((*name).to_owned(), counted.of(index)));
            self.paths
                .insert(counted.path.name.to_owned(), counts.collect());
        }
        self
    }

    pub(crate) fn save(&self) {
        let mut text = String::from(
            "# Instructions of one operation, by callgrind. Written by `bash benches/instructions/run --renew`.\n",
        );
        let _ = writeln!(text, "toolchain = \"{}\"", self.toolchain);
        for (path, counts) in &self.paths {
            let _ = writeln!(text, "\n[paths.\"{path}\"]");
            for (name, count) in counts {
                let _ = writeln!(text, "\"{name}\" = {count}");
            }
        }
        std::fs::write(FILE, text).expect("written");
        println!("written: {FILE}");
    }
}

/// Checks what fails the comparison, and what does not.
pub(crate) fn check() {
    let path = &PATHS[1];
    let counted = |ours, theirs| [Counted::new(path, vec![vec![ours], vec![theirs]])];
    let kept = Kept::default().renewed(&counted(1000, 2000), "same".to_owned());
    assert!(!Kept::default().compare(&counted(1000, 2000), "same"));
    for (ours, theirs, toolchain, is_good) in [
        (1000, 2000, "same", true),
        (1019, 2000, "same", true),
        (1021, 2000, "same", false),
        (1021, 2042, "same", false), // the count alone
        (1021, 2042, "other", true),
        (1000, 1950, "other", false), // the ratio alone
        (900, 2000, "same", true),
    ] {
        assert_eq!(kept.compare(&counted(ours, theirs), toolchain), is_good);
    }
}
