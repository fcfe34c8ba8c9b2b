//! Other people's programs, to test against: found, run and bounded.

use std::ffi::{OsStr, OsString};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::time::timeout;

/// Longer than anything here takes, so that a test which hangs fails instead.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Whether `openssl` is there to test against.
pub fn has_openssl() -> bool {
    is_installed("openssl", "version", in_ci())
}

/// Whether `curl` is there to test against.
pub fn has_curl() -> bool {
    is_installed("curl", "--version", in_ci())
}

/// Whether Python is there to test against.
pub fn has_python() -> bool {
    is_installed("python3", "--version", in_ci())
}

/// Python with these modules (`jwt, authlib`), to test against: that of `INTEROP_PYTHON`, or `python3`.
/// `.ci/python.txt` has the packages.
pub fn python_with(modules: &str) -> Option<OsString> {
    let python = std::env::var_os("INTEROP_PYTHON").unwrap_or_else(|| "python3".into());
    let found = std::process::Command::new(&python)
        .args(["-c", &format!("import {modules}")])
        .output()
        .is_ok_and(|output| output.status.success());
    let what = format!(
        "Python with {modules} (INTEROP_PYTHON names one with the packages of .ci/python.txt)"
    );
    is_there(found, &what, in_ci()).then_some(python)
}

pub fn in_ci() -> bool {
    std::env::var_os("CI").is_some_and(|value| value == "true")
}

pub fn is_installed(program: &str, version: &str, in_ci: bool) -> bool {
    let found = std::process::Command::new(program)
        .arg(version)
        .output()
        .is_ok_and(|output| output.status.success());
    is_there(found, program, in_ci)
}

/// A test without what it needs is skipped, and says so; in CI that would go unnoticed, so there it
/// fails.
pub fn is_there(found: bool, what: &str, in_ci: bool) -> bool {
    if !found {
        assert!(!in_ci, "{what} is missing, and CI must not skip tests");
        eprintln!("SKIPPED: this test needs {what}, which is not there");
    }
    found
}

/// The exit code and the output of a program.
#[derive(Debug)]
pub struct Finished {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Finished {
    /// What it said in all, in lower case, for alerts that each version spells differently.
    pub fn said(&self) -> String {
        format!("{}\n{}", self.stdout, self.stderr).to_lowercase()
    }
}

/// A program, by name or path, that dies with the test.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// Runs a program to its end, with `input` on its standard input.
pub async fn run(command: &mut Command, input: &str) -> Finished {
    run_to_end(command, input, false).await
}

/// The same for a program that hangs up at the end of its input: there is none before its own.
pub async fn run_with_open_input(command: &mut Command, input: &str) -> Finished {
    run_to_end(command, input, true).await
}

async fn run_to_end(command: &mut Command, input: &str, stays_open: bool) -> Finished {
    let mut child = command.spawn().expect("the program starts");
    let mut stdin = child.stdin.take().expect("piped");
    let feed = async {
        // A program that ends early does not read all of it.
        let _ = stdin.write_all(input.as_bytes()).await;
        stays_open.then_some(stdin)
    };
    let both = async { tokio::join!(feed, child.wait_with_output()).1 };
    let output = timeout(PATIENCE, both)
        .await
        .unwrap_or_else(|_| panic!("the program did not end in time: {command:?}"))
        .expect("its output can be read");
    Finished {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
