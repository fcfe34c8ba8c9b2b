//! Where the examples are.

use std::ffi::OsStr;
use std::path::Path;

use tokio::process::Command;

use crate::programs::command;

/// An example's command.
///
/// `cargo test` builds the examples before it runs the tests; with a filter such as `--test
/// examples` it does not, and then they are built here.
pub(crate) fn example(name: &str) -> Command {
    let test = std::env::current_exe().expect("a test has a path");
    let profile = test
        .ancestors()
        .find(|folder| folder.file_name() == Some(OsStr::new("deps")))
        .and_then(Path::parent)
        .expect("target/PROFILE/deps/TEST");
    let path = profile
        .join("examples")
        .join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    if !path.exists() {
        build(name, profile);
    }
    command(path)
}

fn build(name: &str, profile: &Path) {
    let mut cargo = std::process::Command::new(env!("CARGO"));
    cargo
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["build", "--quiet", "--example", name, "--target-dir"])
        .arg(profile.parent().expect("target/PROFILE"));
    if profile.ends_with("release") {
        cargo.arg("--release");
    }
    if cfg!(feature = "webpki-roots") {
        cargo.args(["--features", "webpki-roots"]);
    }
    let status = cargo.status().expect("cargo starts");
    assert!(status.success(), "the example {name} must build");
}
