//! Our acceptor with `openssl s_client`, and our connector with `openssl s_server`.

mod client;
mod key_update;
mod server;

use support::programs;

#[test]
fn a_missing_program_skips_the_test() {
    assert!(!programs::is_installed(
        "no-such-program",
        "--version",
        false
    ));
}

#[test]
#[should_panic(expected = "no-such-program is missing, and CI must not skip tests")]
fn a_missing_program_fails_in_ci() {
    programs::is_installed("no-such-program", "--version", true);
}
