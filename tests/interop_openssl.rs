//! Our acceptor with `openssl s_client`, and our connector with `openssl s_server`.

#[path = "interop_openssl/client.rs"]
mod client;
#[path = "common/interop.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod interop;
#[path = "interop_openssl/key_update.rs"]
mod key_update;
#[path = "common/programs.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod programs;
#[path = "interop_openssl/server.rs"]
mod server;

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
