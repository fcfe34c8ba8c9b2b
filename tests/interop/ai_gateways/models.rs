//! The models that a client may use.

use serde_json::json;
use support::http::ALPN;

use super::front::{Front, JSON, chat};
use super::model::Model;

const PATH: &str = "/v1/chat/completions";

#[tokio::test]
async fn a_client_uses_the_models_of_its_routes() {
    let model = Model::default();
    let port = model.plain().await;
    // The model takes the place of the AI gateway.
    let mut front = Front::start(port, port, port, "").await;
    for alpn in ALPN {
        for (agent, named, route) in [
            ("small", "small", Some("small")),
            ("small", "large", None),
            ("large", "large", Some("large and small")),
            ("large", "small", Some("large and small")),
            ("large", "huge", None),
        ] {
            let client = front.agent(agent, alpn);
            let got = client.post(PATH, &[JSON], chat(named, "a", false)).await;
            let line = front.line().await;
            assert_eq!(line["model"], named, "{agent}");
            assert_eq!(line["route"].as_str(), route, "{agent} {named}");
            if route.is_some() {
                assert_eq!(got.status, 200, "{agent} {named}");
                assert_eq!(model.asked_once().json()["model"], named);
            } else {
                assert_eq!(got.status, 403, "{agent} {named}");
                let error = &got.json()["error"];
                assert_eq!(error["code"], "model_not_allowed", "{error}");
                let why = line["reason"].as_str().unwrap();
                assert!(why.contains(&format!("the model is {named:?}")), "{why}");
                assert_eq!(model.asked().len(), 0);
            }
        }
    }
}

/// What an AI gateway may read in another way than the rule is denied, for its reason.
#[tokio::test]
async fn a_body_that_is_ambiguous_is_denied() {
    let model = Model::default();
    let port = model.plain().await;
    let mut front = Front::start(port, port, port, "").await;
    let small = chat("small", "a", false);
    let more = |field: &str| small.replacen('{', &format!("{{{field},"), 1);
    let text = ("content-type", "text/plain");
    let gzip = ("content-encoding", "gzip");
    for (query, headers, body, code, says) in [
        (
            "",
            vec![JSON],
            more(r#""model":"large""#),
            "invalid_model_request",
            "two fields",
        ),
        (
            "",
            vec![JSON],
            more(r#""Model":"large""#),
            "invalid_model_request",
            "a field \"Model\"",
        ),
        (
            "",
            vec![JSON],
            more(r#""fallbacks":["large"]"#),
            "model_not_allowed",
            "the field \"fallbacks\"",
        ),
        (
            "",
            vec![JSON],
            more(r#""api_base":"http://evil.example""#),
            "model_not_allowed",
            "the field \"api_base\"",
        ),
        (
            "",
            vec![JSON],
            "[]".into(),
            "invalid_model_request",
            "expected an object",
        ),
        ("", vec![JSON], "{".into(), "invalid_model_request", "EOF"),
        (
            "",
            vec![],
            small.clone(),
            "invalid_model_request",
            "not application/json",
        ),
        (
            "",
            vec![text],
            small.clone(),
            "invalid_model_request",
            "not application/json",
        ),
        (
            "",
            vec![JSON, text],
            small.clone(),
            "invalid_model_request",
            "not application/json",
        ),
        (
            "",
            vec![JSON, gzip],
            small.clone(),
            "invalid_model_request",
            "is encoded",
        ),
        (
            "?model=large",
            vec![JSON],
            small.clone(),
            "model_not_allowed",
            "the query has the field \"model\"",
        ),
    ] {
        for alpn in ALPN {
            let agent = front.agent("small", alpn);
            let got = agent
                .post(&format!("{PATH}{query}"), &headers, body.clone())
                .await;
            assert_eq!(got.status, 403, "{body}");
            assert_eq!(got.json()["error"]["code"], code, "{body}");
            let line = front.line().await;
            let why = line["reason"].as_str().unwrap();
            assert!(why.contains(says), "{why}");
            assert_eq!(model.asked().len(), 0);
        }
    }
    let agent = front.agent("small", "h2");
    let got = agent.post(PATH, &[JSON], small).await;
    assert_eq!(got.status, 200);
    front.line().await;

    // What is read for a rule is bounded; a client without a rule for the path is not read at all.
    let long = chat("small", &"a".repeat(1_000_000), false);
    let got = agent.post(PATH, &[JSON], long.clone()).await;
    assert_eq!(got.status, 413);
    let line = front.line().await;
    assert_eq!(line["reason"], "the body is too large");
    let got = agent.post("/v1/embeddings", &[JSON], long).await;
    assert_eq!(got.status, 403);
    assert_eq!(got.json(), json!({ "error": "Forbidden" }));
}
