//! The kept counts.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Deserialize;

use crate::callgrind::Counted;

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
        let is_same = self.toolchain == toolchain;
        println!(
            "| instructions | countersign | spread | reference | | ratio | kept | count | ratio |"
        );
        println!("|---|---|---|---|---|---|---|---|---|");
        let (mut grown, mut fallen) = (Vec::new(), Vec::new());
        for counted in counted {
            let name = counted.path.name;
            let kept = self.paths.get(name);
            let mut changes = Vec::new();
            for (index, (reference, _)) in counted.path.implementations.iter().enumerate().skip(1) {
                let ratio = counted.of(0) as f64 / counted.of(index) as f64;
                let kept_ours = kept.and_then(|kept| kept.get(counted.path.implementations[0].0));
                let kept_reference = kept.and_then(|kept| kept.get(*reference));
                let kept_ratio = kept_ours
                    .zip(kept_reference)
                    .map(|(ours, reference)| *ours as f64 / *reference as f64);
                let count = kept_ours
                    .filter(|_| is_same)
                    .map(|kept| counted.of(0) as f64 / *kept as f64 - 1.0);
                let of_ratio = kept_ratio.map(|kept| ratio / kept - 1.0);
                changes.extend(count.into_iter().chain(of_ratio));
                let percent = |part: Option<f64>| {
                    part.map_or_else(String::new, |part| format!("{:+.2} %", part * 100.0))
                };
                println!(
                    "| {name} | {} | {:.2} % | {reference} | {} | {ratio:.3} | {} | {} | {} |",
                    counted.of(0),
                    counted.spread() * 100.0,
                    counted.of(index),
                    kept_ratio.map_or_else(String::new, |ratio| format!("{ratio:.3}")),
                    percent(count),
                    percent(of_ratio),
                );
            }
            if changes.is_empty() {
                grown.push(format!("{name}: no kept count"));
            } else if changes.iter().any(|change| *change > ALLOWANCE) {
                grown.push(format!("{name}: grew over {} %", ALLOWANCE * 100.0));
            } else if changes.iter().any(|change| *change < -ALLOWANCE) {
                fallen.push(name);
            }
        }
        println!();
        if !is_same && !self.paths.is_empty() {
            println!(
                "The ratios alone are compared: the kept counts are those of {}.",
                self.toolchain
            );
        }
        for name in fallen {
            println!(
                "NOTE: {name}: fell over {} %; keep it: bash benches/instructions/run --renew",
                ALLOWANCE * 100.0
            );
        }
        for failure in &grown {
            println!(
                "FAILED: {failure}. If there is a reason for it: bash benches/instructions/run --renew"
            );
        }
        grown.is_empty()
    }

    /// These counts, with the new ones in their places.
    pub(crate) fn renewed(mut self, counted: &[Counted], toolchain: String) -> Self {
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
