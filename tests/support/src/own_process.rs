//! Tests that set what a process has once: a subscriber of `tracing`, a recorder of metrics.

use std::ffi::OsStr;
use std::process::Command;

/// Set in the process of such a test.
const OWN_PROCESS: &str = "COUNTERSIGN_TEST_IN_OWN_PROCESS";

/// Ends the test here, after it was run in a process of its own, where it goes on.
///
/// Tests of one binary share a process. A test that sets something process-wide begins with this:
///
/// ```ignore
/// support::in_own_process!(an_event_is_logged);
/// ```
#[macro_export]
macro_rules! in_own_process {
    ($test:ident) => {
        if !$crate::run_in_own_process(module_path!(), stringify!($test)) {
            return;
        }
    };
}

/// Whether this is the test's own process. If not, runs the test in one, and fails if it fails.
pub fn run_in_own_process(module: &str, test: &str) -> bool {
    is_own_process() || run_with(module, test, &[])
}

/// Whether this is the process of one test.
pub fn is_own_process() -> bool {
    std::env::var_os(OWN_PROCESS).is_some()
}

/// Runs the test in a process of its own with these variables of the environment. Returns false.
pub fn run_with(module: &str, test: &str, variables: &[(&str, &OsStr)]) -> bool {
    // The harness names a test without the crate.
    let name = match module.split_once("::") {
        Some((_, module)) => format!("{module}::{test}"),
        None => test.to_owned(),
    };
    let output = Command::new(std::env::current_exe().expect("a test has a path"))
        .args([&name, "--exact", "--nocapture", "--test-threads=1"])
        .env(OWN_PROCESS, "1")
        .envs(variables.iter().copied())
        .output()
        .expect("the test starts");
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{name} failed in its own process");
    assert!(said.contains("1 passed"), "there is no test {name}");
    false
}
