//! The short programs print what they show.

use std::process::Command;

fn printed(program: &str) -> String {
    let output = Command::new(program).output().expect("it starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}: {stderr}");
    assert_eq!(stderr, "", "{program}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn axum_api_authorizes_each_request_by_method_and_path() {
    let printed = printed(env!("CARGO_BIN_EXE_axum_api"));
    let lines: Vec<_> = printed.lines().collect();
    let [created, shown, a, b, c, d, e, f, health] = lines[..] else {
        panic!("{printed}");
    };
    let id = "spiffe://example.org/ns";
    assert_eq!(
        created,
        format!("billing POST /v1/invoices: 200 invoice 7 for {id}/billing/worker")
    );
    assert_eq!(
        shown,
        format!("support GET /v1/invoices/7: 200 invoice 7, read by {id}/support/worker")
    );
    for (why, start, response) in [
        (
            a,
            "denied: rule \"billing\": ",
            (b, "support POST /v1/invoices: 403"),
        ),
        (
            c,
            "denied: the path has an encoded character",
            (d, "support GET /v1/invoices/%37: 403"),
        ),
        (
            e,
            "denied: rule \"support\": ",
            (f, "shipping GET /v1/invoices/7: 403"),
        ),
    ] {
        assert!(why.starts_with(start), "{why}");
        assert_eq!(response.0.trim_end(), response.1);
    }
    assert_eq!(health, "shipping GET /healthz: 200 ok");
}

#[test]
fn axum_server_admits_the_allowed_client_only() {
    assert_eq!(
        printed(env!("CARGO_BIN_EXE_axum_server")),
        "alice.example: hello alice.example\neve.example: denied\n"
    );
}

#[test]
fn reqwest_client_follows_its_connector() {
    assert_eq!(
        printed(env!("CARGO_BIN_EXE_reqwest_client")),
        "first:           hello worker-1.example\n\
         new certificate: hello worker-2.example\n\
         new policy:      invalid peer certificate: ApplicationVerificationFailure\n"
    );
}

#[test]
fn tonic_api_authorizes_each_call_by_its_method() {
    assert_eq!(
        printed(env!("CARGO_BIN_EXE_tonic_api")),
        "billing creates invoice 1\n\
         billing watches invoice 1\n\
         billing watches invoice 2\n\
         support creates no invoice: PermissionDenied\n\
         support watches invoice 1\n\
         support watches invoice 2\n"
    );
}
