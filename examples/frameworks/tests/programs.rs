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

#[test]
fn layered_auth_answers_and_records_each_layer() {
    let printed = printed(env!("CARGO_BIN_EXE_layered_auth"));
    let id = "spiffe://example.org/ns/billing/1";
    let transferred = format!("200 40 EUR to ACME for alice, by {id}");
    let invalid = "401 Bearer error=\"invalid_token\"";
    let problem = |title| format!("403 {{\"status\":403,\"title\":\"The {title} is not valid\"}}");
    let (api_key, signature) = (problem("API key"), problem("signature"));
    let mut lines = printed.lines();
    for (what, answer, event) in [
        ("everything is right", &*transferred, ""),
        (
            "another machine",
            "refused during the handshake",
            "denied denied: ",
        ),
        (
            "a stolen token",
            invalid,
            "request_denied token_of_another_certificate: ",
        ),
        (
            "no bound token",
            invalid,
            "request_denied token_not_bound: ",
        ),
        ("an old token", invalid, "request_denied token_expired: "),
        (
            "another API key",
            &*api_key,
            "request_denied denied: api_key_unknown: ",
        ),
        (
            "another body",
            &*signature,
            "request_denied denied: content_digest_mismatch: ",
        ),
        (
            "an old signature",
            &*signature,
            "request_denied denied: signature_expired: ",
        ),
        (
            "a replay",
            &*signature,
            "request_denied denied: signature_replayed: ",
        ),
    ] {
        assert_eq!(lines.next(), Some(what), "{printed}");
        assert_eq!(
            lines.next(),
            Some(&*format!("    client: {answer}")),
            "{printed}"
        );
        if !event.is_empty() {
            let line = lines.next().unwrap();
            assert!(
                line.starts_with(&format!("    event:  {event}")),
                "{what}: {line}"
            );
        }
    }
    assert_eq!(lines.next(), None);
}

#[test]
fn mcp_allows_each_agent_the_tools_of_its_rules() {
    let printed = printed(env!("CARGO_BIN_EXE_mcp"));
    let mut lines = printed.lines();
    let mismatch = "400 Mcp-Name header `read_order` does not match body value `cancel_order`";
    for (what, answer, event) in [
        (
            "reader calls read_order",
            "200 order 7 is open",
            "request_allowed read_order read",
        ),
        (
            "reader calls cancel_order",
            "403 (no body)",
            "request_denied cancel_order rule \"discover\": the MCP tool is \"cancel_order\", ",
        ),
        (
            "operator calls cancel_order",
            "200 order 7 is cancelled",
            "request_allowed cancel_order cancel",
        ),
        // By its header, it is allowed.
        (
            "reader calls cancel_order as read_order",
            mismatch,
            "request_allowed read_order read",
        ),
        (
            "reader calls by an earlier version",
            "403 (no body)",
            "request_denied read_order rule \"discover\": MCP-Protocol-Version is 2025-11-25; ",
        ),
    ] {
        assert_eq!(lines.next(), Some(what), "{printed}");
        assert_eq!(lines.next(), Some(&*format!("    {answer}")), "{printed}");
        let line = lines.next().unwrap();
        assert!(
            line.starts_with(&format!("    event: {event}")),
            "{what}: {line}"
        );
    }
    assert_eq!(lines.next(), None);
}

/// Three frameworks, one outcome.
#[test]
fn actix_web_poem_and_salvo_authorize_clients_and_routes() {
    for program in [
        env!("CARGO_BIN_EXE_actix_web"),
        env!("CARGO_BIN_EXE_poem"),
        env!("CARGO_BIN_EXE_salvo"),
    ] {
        assert_eq!(
            printed(program),
            "alice.example /: 200 hello alice.example\n\
             alice.example /admin: 403\n\
             admin.example /admin: 200 hello admin.example\n\
             eve.example /: denied by TLS\n",
            "{program}"
        );
    }
}

#[test]
fn two_ports_break_no_client_on_the_way() {
    assert_eq!(
        printed(env!("CARGO_BIN_EXE_two_ports")),
        "old port, /orders: 200 3 orders\n\
         old port, /me: 403\n\
         new port, billing.example: 200 hello billing.example\n\
         new port, reports.example: 200 hello reports.example\n\
         would be denied: reports.example\n\
         enforced, billing.example: 200 hello billing.example\n\
         enforced, reports.example: denied by TLS\n\
         old port, /orders: no connection\n"
    );
}

#[test]
fn probes_have_a_port_of_their_own() {
    assert_eq!(
        printed(env!("CARGO_BIN_EXE_probes")),
        "billing: 200 3 orders for billing.example\n\
         eve: denied by TLS\n\
         probe /livez: 200\n\
         probe /readyz: 200\n\
         probe /orders: 404\n\
         stopping, probe /readyz: 503\n\
         stopping, probe /livez: 200\n\
         stopped\n"
    );
}
