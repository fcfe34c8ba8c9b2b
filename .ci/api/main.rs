//! Compares the public API of countersign with the snapshot `api.txt`:
//!
//! ```text
//! cargo run -p countersign-api              # prints the difference, and fails if there is one
//! cargo run -p countersign-api -- --renew   # writes the snapshot
//! ```
//!
//! rustdoc's JSON is unstable. One fixed compiler writes it, so that the snapshot changes with the API
//! only.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// The compiler whose JSON `public-api` can read.
const TOOLCHAIN: &str = "1.95.0";
const PACKAGE: &str = "countersign";
/// It needs CMake and Go, and adds no public item.
const LEFT_OUT: &str = "fips";

fn main() -> ExitCode {
    let renew = std::env::args().skip(1).any(|option| option == "--renew");
    match run(renew) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Returns whether the snapshot is equal to the API.
fn run(renew: bool) -> Result<bool, Box<dyn Error>> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = here.ancestors().nth(2).ok_or("no workspace")?;
    let snapshot = here.join("api.txt");
    let json = rustdoc_json(root)?;
    let api = public_api::Builder::from_rustdoc_json(json)
        // They follow from the items that are listed. `tests` checks `Send` and `Sync`.
        .omit_blanket_impls(true)
        .omit_auto_trait_impls(true)
        .build()?;
    let now = api.to_string();
    if renew {
        std::fs::write(&snapshot, &now)?;
        println!(
            "wrote {} lines to {}",
            now.lines().count(),
            snapshot.display()
        );
        return Ok(true);
    }
    let before = std::fs::read_to_string(&snapshot)?;
    let (removed, added) = difference(&before, &now);
    for line in &removed {
        println!("-{line}");
    }
    for line in &added {
        println!("+{line}");
    }
    if removed.is_empty() && added.is_empty() {
        println!(
            "the public API is equal to the snapshot: {} lines",
            now.lines().count()
        );
        return Ok(true);
    }
    println!(
        "the public API differs from the snapshot: {} lines removed, {} added",
        removed.len(),
        added.len()
    );
    println!("if this is intended: cargo run -p countersign-api -- --renew");
    Ok(false)
}

/// The lines that only one of the texts has.
fn difference<'a>(before: &'a str, now: &'a str) -> (Vec<&'a str>, Vec<&'a str>) {
    let mut counts: BTreeMap<&str, i32> = BTreeMap::new();
    for line in before.lines() {
        *counts.entry(line).or_default() -= 1;
    }
    for line in now.lines() {
        *counts.entry(line).or_default() += 1;
    }
    let with = |sign: i32| {
        let lines = counts
            .iter()
            .filter(move |(_, count)| count.signum() == sign);
        lines.map(|(line, _)| *line).collect()
    };
    (with(-1), with(1))
}

/// Writes rustdoc's JSON, and returns its path.
fn rustdoc_json(root: &Path) -> Result<PathBuf, Box<dyn Error>> {
    // Of its own: RUSTC_BOOTSTRAP makes cargo compile dependencies again.
    let target = match std::env::var_os("CARGO_TARGET_DIR") {
        Some(target) => root.join(target),
        None => root.join("target"),
    }
    .join("api");
    let status = Command::new("rustup")
        .args(["run", "--install", TOOLCHAIN, "cargo", "rustdoc"])
        .args(["--locked", "--quiet", "--lib", "--package", PACKAGE])
        .args(["--features", &features(root)?])
        .args(["--", "-Z", "unstable-options", "--output-format", "json"])
        .args(["--cap-lints", "allow"])
        .current_dir(root)
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_TARGET_DIR", &target)
        .status()
        .map_err(|error| format!("rustup cannot be started: {error}"))?;
    if !status.success() {
        return Err(format!("rustdoc of Rust {TOOLCHAIN} failed: {status}").into());
    }
    Ok(target.join("doc").join(format!("{PACKAGE}.json")))
}

/// All features but the one that is left out, separated by commas.
fn features(root: &Path) -> Result<String, Box<dyn Error>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--locked", "--no-deps", "--format-version", "1"])
        .current_dir(root)
        .output()?;
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)
        .map_err(|_| String::from_utf8_lossy(&output.stderr).into_owned())?;
    let packages = metadata["packages"].as_array().ok_or("no packages")?;
    let package = packages.iter().find(|package| package["name"] == PACKAGE);
    let features = package.and_then(|package| package["features"].as_object());
    let names = features.ok_or("no features")?.keys().map(String::as_str);
    let names: Vec<&str> = names.filter(|name| *name != LEFT_OUT).collect();
    Ok(names.join(","))
}
