//! Real AI gateways behind `countersign gateway`: Portkey's gateway and the LiteLLM proxy, with a model of the
//! test behind them.
#![cfg(unix)] // programs are stopped by a signal
#![allow(clippy::unwrap_used)] // helpers of tests, too

mod front;
mod latency;
mod model;
mod models;
mod programs;

use std::path::PathBuf;

use serde_json::{Value, json};
use support::example::countersign;
use support::http::ALPN;
use support::running::Server;

use front::{Front, JSON, Plain, chat, next};
use model::Model;
use programs::AiGateway;

/// What the line of an answered request has of its tokens.
fn usage() -> Value {
    json!({ "input_tokens": 12, "output_tokens": 30, "total_tokens": 42 })
}

/// Portkey's gateway with a model behind it, and the gateway before it.
async fn before_portkey() -> Option<(AiGateway, Model, Front)> {
    let portkey = AiGateway::portkey().await?;
    let model = Model::default();
    let port = model.plain().await;
    let front = Front::start(portkey.port, port, port, "").await;
    Some((portkey, model, front))
}

#[tokio::test]
async fn bodies_pass_byte_for_byte_in_both_directions() {
    let model = Model::default();
    let port = model.plain().await;
    let mut front = Front::start(1, port, port, "").await;
    let json = b" {\"model\" : \"sm\\u0061ll\",\r\n\t\"messages\":[ ],\"n\":1.0e0 }\n".to_vec();
    let xml = "<?xml version=\"1.0\"?>\r\n<a  b='1'>\u{feff}ü<![CDATA[ \0 ]]></a>\n".as_bytes();
    // Every byte, as protobuf's messages have them.
    let protobuf: Vec<u8> = (0..100_000_u32)
        .map(|number| (number * 7 + number / 256) as u8)
        .collect();
    for alpn in ALPN {
        let agent = front.agent("small", alpn);
        for (kind, body) in [
            ("application/json", &json[..]),
            ("application/xml", xml),
            ("application/x-protobuf", &protobuf[..]),
            ("application/json", b"no json {"),
            ("application/json", b""),
        ] {
            let body = body.to_vec();
            let got = agent
                .post("/raw/any", &[("content-type", kind)], body.clone())
                .await;
            assert_eq!(got.status, 200, "{alpn} {kind}");
            assert!(got.body == body, "{alpn} {kind}: the response differs");
            assert_eq!(got.headers["content-type"], kind);
            let asked = model.asked_once();
            assert!(asked.body == body, "{alpn} {kind}: the request differs");
            assert_eq!(asked.header("content-type"), [kind]);
            let line = front.line().await;
            assert_eq!(
                (&line["bytes"], &line["complete"]),
                (&json!(body.len()), &json!(true))
            );
            assert!(line.get("usage").is_none() && line.get("usage_missing").is_none());
        }
        // Also where a rule has read the body.
        let got = agent
            .post("/model/v1/chat/completions", &[JSON], json.clone())
            .await;
        assert_eq!(got.status, 200, "{got:?}");
        assert!(model.asked_once().body == json, "{alpn}");
        let line = front.line().await;
        assert_eq!(
            (&line["model"], &line["usage"]),
            (&json!("small"), &usage())
        );
    }
}

#[tokio::test]
async fn portkey_answers_and_the_audit_trail_has_the_tokens() {
    let Some((_portkey, model, mut front)) = before_portkey().await else {
        return;
    };
    for alpn in ALPN {
        let agent = front.agent("small", alpn);
        let got = agent
            .post("/v1/chat/completions", &[JSON], chat("small", "a", false))
            .await;
        assert_eq!(got.status, 200, "{got:?}");
        assert_eq!(got.json()["usage"]["total_tokens"], 42);
        let asked = model.asked_once();
        let expected: Value = serde_json::from_str(&chat("small", "a", false)).unwrap();
        assert_eq!(
            (&*asked.path, asked.json()),
            ("/v1/chat/completions", expected)
        );
        assert_eq!(asked.header("authorization"), ["Bearer sk-provider"]);
        let line = front.line().await;
        assert_eq!(line["identity"], "spiffe://example.org/agents/small");
        assert_eq!(line["route"], "small");
        assert_eq!(
            (&line["model"], &line["usage"]),
            (&json!("small"), &usage())
        );
    }
}

/// The model sends the next event only when the client has received the one before.
#[tokio::test]
async fn events_through_portkey_are_not_buffered() {
    let Some((_portkey, model, mut front)) = before_portkey().await else {
        return;
    };
    for alpn in ALPN {
        let agent = front.agent("small", alpn);
        let response = agent.open("/v1/chat/completions", &[JSON], chat("small", alpn, true));
        let (events, mut body) = model.started(alpn, response).await;
        assert!(next(&mut body).await.unwrap().contains("start"));
        for number in 0..50 {
            let text = format!("word {number}");
            events.send(&text).await;
            let event = next(&mut body).await.expect("an event");
            assert!(
                event.contains(&text) && event.ends_with("\n\n"),
                "{event:?}"
            );
        }
        events.finish().await;
        let mut rest = String::new();
        while let Some(event) = next(&mut body).await {
            rest.push_str(&event);
        }
        assert!(rest.ends_with("data: [DONE]\n\n"), "{rest:?}");
        let line = front.line().await;
        assert_eq!(
            (&line["usage"], &line["complete"]),
            (&usage(), &json!(true))
        );
    }

    // A client that leaves has no tokens, and the line says why.
    let agent = front.agent("small", "h2");
    let response = agent.open("/v1/chat/completions", &[JSON], chat("small", "left", true));
    let (_events, mut body) = model.started("left", response).await;
    next(&mut body).await.expect("an event");
    drop(body);
    let line = front.line().await;
    assert_eq!(
        (&line["usage_missing"], &line["complete"]),
        (&json!("incomplete"), &json!(false))
    );
}

#[tokio::test]
async fn forged_headers_gain_nothing() {
    let Some((portkey, model, mut front)) = before_portkey().await else {
        return;
    };
    let evil = Model::default();
    let host = format!("http://127.0.0.1:{}/v1", evil.plain().await);
    let config = json!({
        "provider": "openai", "api_key": "sk-evil", "custom_host": host,
        "override_params": { "model": "large" }
    })
    .to_string();
    let forged = [
        JSON,
        ("authorization", "Bearer sk-stolen"),
        ("x-portkey-provider", "openai"),
        ("x-portkey-custom-host", &host),
        ("X-Portkey-Config", &config),
        ("x-portkey-metadata", r#"{"_user":"root"}"#),
        (
            "x-portkey-forward-headers",
            "x-client-id,x-forwarded-client-cert",
        ),
        ("x-client-id", "spiffe://example.org/agents/large"),
        ("x_client_id", "spiffe://example.org/agents/large"),
        (
            "x-forwarded-client-cert",
            "URI=spiffe://example.org/agents/large",
        ),
        ("client-cert", ":AAAA:"),
    ];

    // Portkey obeys them when a client reaches it directly.
    let url = format!("http://127.0.0.1:{}/v1/chat/completions", portkey.port);
    let got = Plain::new()
        .post(&url, &forged, chat("small", "a", false))
        .await;
    assert_eq!(got.status, 200, "{got:?}");
    assert_eq!(evil.asked_once().json()["model"], "large");

    for alpn in ALPN {
        let agent = front.agent("small", alpn);
        let got = agent
            .post("/v1/chat/completions", &forged, chat("small", "a", false))
            .await;
        assert_eq!(got.status, 200, "{got:?}");
        assert_eq!(evil.asked().len(), 0);
        let asked = model.asked_once();
        assert_eq!(asked.json()["model"], "small");
        assert_eq!(asked.header("authorization"), ["Bearer sk-provider"]);
        let text = format!("{:?}", asked.headers);
        assert!(
            !text.contains("agents/large") && !text.contains("sk-stolen"),
            "{text}"
        );
        let line = front.line().await;
        assert_eq!(line["identity"], "spiffe://example.org/agents/small");

        // What the AI gateway is given.
        let got = agent.post("/raw/any", &forged, "").await;
        assert_eq!(got.status, 200);
        let asked = model.asked_once();
        let id = "spiffe://example.org/agents/small";
        assert_eq!(asked.header("x-client-id"), [id]);
        let xfcc = asked.header("x-forwarded-client-cert");
        assert!(
            xfcc.len() == 1 && xfcc[0].ends_with(&format!(";URI={id}")),
            "{xfcc:?}"
        );
        let names: Vec<_> = asked.headers.keys().map(|name| name.as_str()).collect();
        let forged = |name: &&&str| {
            name.starts_with("x-portkey") || **name == "x_client_id" || **name == "client-cert"
        };
        assert!(!names.iter().any(|name| forged(&name)), "{names:?}");
        front.line().await;
    }
}

#[tokio::test]
async fn the_rate_of_each_identity_is_limited() {
    let model = Model::default();
    let port = model.plain().await;
    let rate = "rate = { per_minute = 1, burst = 2 }";
    let mut front = Front::start(1, port, port, rate).await;
    let path = "/model/v1/chat/completions";
    for agent in ["small", "other"] {
        // By identity, and not by connection.
        for (alpn, status) in [("h2", 200), ("http/1.1", 200), ("h2", 429)] {
            let client = front.agent(agent, alpn);
            let got = client.post(path, &[JSON], chat("small", "a", false)).await;
            assert_eq!(got.status, status, "{agent} {got:?}");
            let line = front.line().await;
            assert_eq!(line["status"], status);
            if status == 429 {
                let wait = got.headers["retry-after"].to_str().unwrap();
                let wait: u64 = wait.parse().unwrap();
                assert!((1..=60).contains(&wait), "{wait}");
                assert_eq!(line["reason"], "rate limit");
                assert!(line.get("usage").is_none());
            }
        }
        assert_eq!(model.asked().len(), 2);
    }
}

/// Agent, gateway, Portkey, `countersign egress`, and a model that requires a certificate.
#[tokio::test]
async fn portkey_calls_a_model_over_mutual_tls() {
    let Some(portkey) = AiGateway::portkey().await else {
        return;
    };
    let model = Model::default();
    let plain = Model::default().plain().await;
    let ca = countersign::testing::TestCa::new("Models");
    let port = model.mtls(&ca, "egress.example").await;
    let folder = tempfile::tempdir().unwrap();
    let own = ca.leaf().dns("egress.example").issue();
    let file = |name: &str, text: String| -> PathBuf {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let mut egress = countersign("egress");
    egress
        .arg("--cert")
        .arg(file("egress.crt", own.chain_pem()))
        .arg("--key")
        .arg(file("egress.key", own.key_pem()))
        .arg("--trust")
        .arg(file("ca.crt", ca.pem()))
        .args(["--identity", "dns", "--allow", "localhost"])
        .arg(format!("https://localhost:{port}"));
    let mut egress = Server::spawn(egress).await;
    let mut front = Front::start(portkey.port, plain, egress.port, "").await;

    let agent = front.agent("small", "h2");
    let got = agent
        .post("/v1/chat/completions", &[JSON], chat("small", "a", false))
        .await;
    assert_eq!(got.status, 200, "{got:?}");
    assert_eq!(model.asked_once().json()["model"], "small");
    assert_eq!(front.line().await["usage"], usage());
    let line = egress.logged().await;
    assert_eq!(
        (&line["identity"], &line["status"]),
        (&json!("local"), &json!(200))
    );

    // Events are passed on one by one through all four.
    let response = agent.open("/v1/chat/completions", &[JSON], chat("small", "b", true));
    let (events, mut body) = model.started("b", response).await;
    assert!(next(&mut body).await.unwrap().contains("start"));
    for number in 0..20 {
        let text = format!("word {number}");
        events.send(&text).await;
        assert!(next(&mut body).await.unwrap().contains(&text));
    }
    events.finish().await;
    while next(&mut body).await.is_some() {}
    assert_eq!(front.line().await["usage"], usage());

    // A page in a browser cannot use the certificate, by a name that resolves to loopback or as another origin.
    let plain = Plain::new();
    let url = format!("http://127.0.0.1:{}/v1/chat/completions", egress.port);
    let body = || chat("small", "c", false);
    model.asked();
    assert_eq!(plain.post(&url, &[JSON], body()).await.status, 200);
    assert_eq!(model.asked().len(), 1);
    for forged in [("host", "evil.example"), ("origin", "https://evil.example")] {
        let got = plain.post(&url, &[JSON, forged], body()).await;
        assert_eq!(got.status, 403, "{forged:?}");
    }
    assert_eq!(model.asked().len(), 0);
}

/// LiteLLM is slow to start, so one test has all of it.
#[tokio::test]
async fn litellm_behind_the_gateway() {
    let model = Model::default();
    let port = model.plain().await;
    let Some(litellm) = AiGateway::litellm(port).await else {
        return;
    };
    let mut front = Front::start(litellm.port, port, port, "").await;
    let agent = front.agent("small", "h2");
    let path = "/v1/chat/completions";

    let got = agent.post(path, &[JSON], chat("small", "a", false)).await;
    assert_eq!(got.status, 200, "{got:?}");
    assert_eq!(got.json()["usage"]["total_tokens"], 42);
    assert_eq!(model.asked_once().json()["model"], "small");
    assert_eq!(front.line().await["usage"], usage());

    // LiteLLM needs the next chunk before it passes one on: one is always on its way.
    let response = agent.open(path, &[JSON], chat("small", "b", true));
    let (events, mut body) = model.started("b", response).await;
    let mut seen = String::new();
    let mut before = "start".to_owned();
    for number in 0..20 {
        let text = format!("word {number}");
        events.send(&text).await;
        while !seen.contains(&format!("{before}\"")) {
            seen.push_str(&next(&mut body).await.expect("an event"));
        }
        before = text;
    }
    events.finish().await;
    while let Some(event) = next(&mut body).await {
        seen.push_str(&event);
    }
    assert!(seen.ends_with("data: [DONE]\n\n"), "{seen}");
    let line = front.line().await;
    assert_eq!(
        (&line["usage"], &line["complete"]),
        (&usage(), &json!(true))
    );
    model.asked();

    // By these, a client gets another model from LiteLLM than a rule has seen.
    let plain = Plain::new();
    let direct = format!("http://127.0.0.1:{}{path}", litellm.port);
    let twice = chat("small", "a", false).replacen('{', r#"{"model":"small","#, 1);
    let twice = twice.replacen(r#","model":"small""#, r#","model":"large""#, 1);
    for (query, body) in [("?model=large", chat("small", "a", false)), ("", twice)] {
        let got = plain
            .post(&format!("{direct}{query}"), &[JSON], body.clone())
            .await;
        assert_eq!(got.status, 200, "{got:?}");
        assert_eq!(
            model.asked_once().json()["model"],
            "large",
            "{query} {body}"
        );
        let got = agent.post(&format!("{path}{query}"), &[JSON], body).await;
        assert_eq!(got.status, 403, "{got:?}");
        assert_eq!(model.asked().len(), 0);
        front.line().await;
    }
}
