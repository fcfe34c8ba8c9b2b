//! The examples of the root package print what they show.

use std::path::Path;
use std::process::Command;

/// Runs an example, which `cargo test` has built. `cargo test --test examples` does not build it.
fn printed(example: &str) -> String {
    let test = std::env::current_exe().expect("a test has a path");
    let profile = test.ancestors().nth(2).expect("target/PROFILE/deps/TEST");
    let file = format!("{example}{}", std::env::consts::EXE_SUFFIX);
    let path = profile.join("examples").join(file);
    if !path.exists() {
        build(example, profile);
    }
    let output = Command::new(&path).output().expect("the example starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{example}: {stderr}");
    assert_eq!(stderr, "", "{example}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn build(example: &str, profile: &Path) {
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["build", "--quiet", "--example", example, "--target-dir"])
        .arg(profile.parent().expect("target/PROFILE"));
    if profile.ends_with("release") {
        cargo.arg("--release");
    }
    let status = cargo.status().expect("cargo starts");
    assert!(status.success(), "the example {example} must build");
}

#[test]
fn quickstart_admits_one_client_and_rejects_two_with_the_reason() {
    let printed = printed("quickstart");
    for part in [
        "client billing: hello spiffe://example.org/ns/billing/worker\n",
        "server: denied: denied by policy: only billing may call orders",
        "client shipping: the server refused our certificate \"CN=shipping\": access_denied (",
        "server: unknown_issuer: unknown issuer: ",
        "client billing: the server refused our certificate \"CN=billing\": unknown_ca (issuer \"CN=Other CA\" ",
    ] {
        assert!(printed.contains(part), "{part}\nis not in\n{printed}");
    }
    assert_eq!(printed.lines().count(), 5, "{printed}");
}

#[test]
fn hot_reload_renews_the_certificate_and_closes_a_connection_that_is_no_longer_allowed() {
    let printed = printed("hot_reload");
    let lines: Vec<_> = printed.lines().collect();
    let [first, renewed, closed] = lines[..] else {
        panic!("{printed}");
    };
    assert_eq!(first, "certificate: 01");
    assert_eq!(renewed, "certificate after the renewal: 02");
    assert!(closed.contains("access_denied"), "{closed}");
}

#[test]
fn own_extractor_reads_a_typed_identity() {
    assert_eq!(
        printed("own_extractor"),
        "urn:device:acme:4711: Device { tenant: \"acme\", serial: 4711 }\n\
         urn:device:other:4711: denied\n\
         urn:device:acme:unknown: identity_bad_syntax\n"
    );
}

#[test]
fn async_policy_asks_once_for_each_peer_and_denies_a_late_decision() {
    assert_eq!(
        printed("async_policy"),
        "alice: allowed by directory\n\
         alice: allowed by directory\n\
         eve: denied\n\
         slow: policy_timed_out\n\
         directory calls: 3\n"
    );
}
