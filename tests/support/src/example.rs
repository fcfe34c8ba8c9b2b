//! The programs of this repository: the command line tool, and the examples.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex};
use std::time::SystemTime;

use tokio::process::Command;

use crate::programs::command;
use crate::workspace;

/// The command line tool `countersign` with this subcommand: `serve`, `call`, `inspect`, `gateway`.
pub fn countersign(subcommand: &str) -> Command {
    let mut command = command(program("countersign-cli", "countersign", "cli"));
    command.arg(subcommand);
    command
}

/// An example of the package `examples/frameworks`.
pub fn example(name: &str) -> Command {
    command(program("countersign-frameworks", name, "frameworks"))
}

/// The program of the package `examples/fleet`.
pub fn fleet() -> Command {
    command(program("countersign-fleet", "fleet", "fleet"))
}

/// An example of the library itself.
pub fn root_example(name: &str) -> Command {
    let arguments = ["--package", "countersign", "--example", name];
    let file = format!("{name}.rs");
    command(built(&Path::new("examples").join(name), &arguments, &file))
}

/// A binary of a package in `examples`.
fn program(package: &str, name: &str, folder: &str) -> PathBuf {
    let arguments = ["--package", package, "--bin", name];
    built(Path::new(name), &arguments, folder)
}

/// The path of a program. It is built if there is none, or if it is older than its sources.
///
/// `cargo test --workspace` builds the programs before it runs the tests; with `--package` it does not.
fn built(path: &Path, arguments: &[&str], sources: &str) -> PathBuf {
    static BUILT: LazyLock<Mutex<HashMap<PathBuf, PathBuf>>> = LazyLock::new(Mutex::default);

    let mut built = BUILT.lock().unwrap();
    if let Some(known) = built.get(path) {
        return known.clone();
    }
    let name = format!("{}{}", path.display(), std::env::consts::EXE_SUFFIX);
    let found = profile().join(name);
    let program = if is_fresh(&found, sources) {
        found
    } else {
        build(arguments)
    };
    built.insert(path.to_owned(), program.clone());
    program
}

/// `target/PROFILE`, where the tests are in `deps`.
fn profile() -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    let deps = test.parent().expect("target/PROFILE/deps/TEST");
    deps.parent().expect("target/PROFILE/deps").to_owned()
}

fn is_fresh(program: &Path, sources: &str) -> bool {
    let Ok(built) = program.metadata().and_then(|file| file.modified()) else {
        return false;
    };
    let changed = ["src", &format!("examples/{sources}")]
        .iter()
        .filter_map(|folder| last_change(&workspace().join(folder)))
        .max();
    changed.is_none_or(|changed| changed <= built)
}

/// When the file, or a file below the folder, was changed last.
fn last_change(path: &Path) -> Option<SystemTime> {
    let Ok(entries) = path.read_dir() else {
        return path.metadata().and_then(|file| file.modified()).ok();
    };
    let files = entries.map(|entry| last_change(&entry.expect("an entry").path()));
    files.max().flatten()
}

fn build(arguments: &[&str]) -> PathBuf {
    let mut cargo = std::process::Command::new(env!("CARGO"));
    let profile = profile();
    cargo
        .current_dir(workspace())
        .args(["build", "--quiet", "--message-format=json"])
        .args(arguments)
        .arg("--target-dir")
        .arg(profile.parent().expect("target/PROFILE"))
        .stderr(std::process::Stdio::inherit());
    if profile.ends_with("release") {
        cargo.arg("--release");
    }
    let output = cargo.output().expect("cargo starts");
    assert!(output.status.success(), "cargo build {arguments:?} failed");
    let executable = String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .find_map(|message| message["executable"].as_str().map(PathBuf::from));
    executable.unwrap_or_else(|| panic!("cargo names no program for {arguments:?}"))
}
