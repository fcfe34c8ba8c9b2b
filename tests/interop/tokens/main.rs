//! The example `layered_auth`, called with tokens of PyJWT and of Authlib, and with signatures of
//! http-message-signatures. Each refusal has its reason in the audit trail.
#![allow(clippy::unwrap_used)] // helpers of tests, too

use serde_json::{Value, json};
use support::example::example;
use support::log::{action, message, reason};
use support::programs::{command, python_with, run};
use support::running::Server;

/// What the client gets.
enum Answer {
    /// The connection is refused.
    NoConnection,
    /// 401 with this challenge.
    Challenge(&'static str),
    /// 403 with a problem of this title.
    Problem(&'static str),
}

use Answer::{Challenge, NoConnection, Problem};

const INVALID: Answer = Challenge("Bearer error=\"invalid_token\"");
const API_KEY: Answer = Problem("The API key is not valid");
const SIGNATURE: Answer = Problem("The signature is not valid");

/// The cases of `client.py` that are refused, in its order: the answer, and the event's reason and text.
const REFUSED: [(&str, Answer, &str, &str); 24] = [
    ("replayed", SIGNATURE, "denied", "signature_replayed"),
    ("another machine", NoConnection, "denied", "ns/shipping/1"),
    (
        "stolen",
        INVALID,
        "token_of_another_certificate",
        "another certificate",
    ),
    ("unbound", INVALID, "token_not_bound", "no cnf claim"),
    (
        "bound to a key",
        INVALID,
        "token_binding_not_supported",
        "\"jkt\"",
    ),
    ("expired", INVALID, "token_expired", "expired"),
    (
        "not yet valid",
        INVALID,
        "token_invalid",
        "ImmatureSignature",
    ),
    ("without expiry", INVALID, "token_invalid", "exp"),
    (
        "another issuer's key",
        INVALID,
        "token_invalid",
        "InvalidSignature",
    ),
    ("another issuer", INVALID, "token_invalid", "InvalidIssuer"),
    (
        "another audience",
        INVALID,
        "token_invalid",
        "InvalidAudience",
    ),
    (
        "another algorithm",
        INVALID,
        "token_invalid",
        "InvalidAlgorithm",
    ),
    ("an ID token", INVALID, "token_invalid", "no access token"),
    (
        "no token",
        Challenge("Bearer"),
        "no_token",
        "no bearer token",
    ),
    ("no API key", API_KEY, "denied", "api_key_missing"),
    ("another API key", API_KEY, "denied", "api_key_unknown"),
    ("no signature", SIGNATURE, "denied", "signature_missing"),
    ("another HMAC key", SIGNATURE, "denied", "signature_invalid"),
    (
        "another key's name",
        SIGNATURE,
        "denied",
        "signature_of_another_key",
    ),
    ("an old signature", SIGNATURE, "denied", "signature_expired"),
    (
        "a future signature",
        SIGNATURE,
        "denied",
        "signature_in_the_future",
    ),
    ("not the query", SIGNATURE, "denied", "signature_incomplete"),
    ("another query", SIGNATURE, "denied", "signature_invalid"),
    (
        "another body",
        SIGNATURE,
        "denied",
        "content_digest_mismatch",
    ),
];

#[tokio::test]
async fn each_layer_refuses_with_its_reason_tokens_of_pyjwt() {
    each_layer_refuses_with_its_reason("pyjwt").await;
}

#[tokio::test]
async fn each_layer_refuses_with_its_reason_tokens_of_authlib() {
    each_layer_refuses_with_its_reason("authlib").await;
}

async fn each_layer_refuses_with_its_reason(maker: &str) {
    let Some(python) = python_with("jwt, authlib.jose, http_message_signatures, cryptography")
    else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let mut server = example("layered_auth");
    server.arg(folder.path());
    let mut server = Server::spawn(server).await;

    let mut client = command(python);
    client.args(["-W", "ignore", "-c", include_str!("client.py")]);
    client
        .arg(folder.path())
        .args([&server.port.to_string(), maker]);
    // While the client runs, because the server waits for the reader of its events.
    let events = async {
        let mut events = Vec::new();
        while events.len() < REFUSED.len() {
            let event = server.logged().await;
            if ["denied", "request_denied"].contains(&action(&event)) {
                events.push(event);
            }
        }
        events
    };
    let (finished, events) = tokio::join!(run(&mut client, ""), events);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let mut answers: Value = serde_json::from_str(&finished.stdout).unwrap();
    // Shown when the test fails.
    eprintln!("{answers:#}");

    let done = json!([
        200,
        "40 EUR to ACME for alice, by spiffe://example.org/ns/billing/1"
    ]);
    for accepted in ["bound", "the next one"] {
        assert_eq!(answers[accepted].take(), done, "{accepted}");
    }
    // One event for each refusal, in their order.
    for ((name, answer, why, text), event) in REFUSED.into_iter().zip(events) {
        let answered = answers[name].take();
        match answer {
            NoConnection => assert_eq!(answered[0], 0, "{name}"),
            Challenge(challenge) => assert_eq!(answered, json!([401, challenge]), "{name}"),
            Problem(title) => {
                let body = json!({"status": 403, "title": title}).to_string();
                assert_eq!(answered, json!([403, body]), "{name}");
            }
        }
        assert_eq!(reason(&event), why, "{name}: {event}");
        assert!(message(&event).contains(text), "{name}: {event}");
    }
    let rest = answers.as_object().unwrap().values();
    assert!(
        rest.clone().all(Value::is_null),
        "every case is checked: {answers}"
    );
    // No refusal has a second event.
    let stopped = server.stop().await;
    let denied = |line: &&Value| action(line) == "request_denied";
    assert_eq!(stopped.log.iter().find(denied), None);
}
