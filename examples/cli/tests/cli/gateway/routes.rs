//! Rules, rate limits, and the lines of the audit.

use std::time::Duration;

use countersign::policy;
use http_body_util::{Empty, Full};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::front::{Front, echoed, header};
use super::support::{ALPN, is_access_denied, text};

#[tokio::test]
async fn requests_reach_the_upstream_of_their_route() {
    let front = Front::new();
    let gateway = front.run("").await;
    let mut expected = 0;
    for alpn in ALPN {
        for (path, peer) in [
            ("/v1/orders/7?secret=1", Value::Null),
            ("/mtls/orders/7?secret=1", json!("gateway.example")),
            ("/h2/orders/7?secret=1", json!("gateway.example")),
        ] {
            let alice = front.client("alice.example", alpn);
            let request = Request::post(gateway.url(path))
                .header("x-mine", "1")
                .body(Full::new(Bytes::from("hello")))
                .unwrap();
            let response = alice.request(request).await.unwrap();
            assert_eq!(response.headers()["content-type"], "application/json");
            let echoed = echoed(response).await;
            assert_eq!(
                (&echoed["method"], &echoed["body"], &echoed["peer"]),
                (&json!("POST"), &json!("hello"), &peer)
            );
            assert!(echoed["uri"].as_str().unwrap().ends_with(path));
            assert_eq!(header(&echoed, "x-mine"), ["1"]);
            assert_eq!(header(&echoed, "x-forwarded-for"), ["127.0.0.1"]);
            assert_eq!(header(&echoed, "content-length"), ["5"]);

            expected += 1;
            let line = gateway.lines(expected).await.pop().unwrap();
            let (upstream, route) = match &peer {
                Value::Null => ("plain", "write"),
                _ if path.starts_with("/h2") => ("h2", "h2"),
                _ => ("mtls", "mtls"),
            };
            let version = if upstream == "h2" {
                "HTTP/2.0"
            } else {
                "HTTP/1.1"
            };
            assert_eq!(echoed["version"], version);
            assert!(line["duration_ms"].as_f64().unwrap() > 0.0);
            assert!(line["bytes"].as_u64().unwrap() > 0);
            for (field, value) in [
                ("event", json!("request")),
                ("method", json!("POST")),
                ("path", json!(path.split('?').next())),
                ("identity", json!("alice.example")),
                ("status", json!(200)),
                ("route", json!(route)),
                ("upstream", json!(upstream)),
                ("reason", Value::Null),
                ("complete", json!(true)),
            ] {
                assert_eq!(line[field], value, "{field} of {line}");
            }
        }
    }
}

#[tokio::test]
async fn a_request_that_no_route_allows_gets_403() {
    let front = Front::new();
    let gateway = front.run("").await;
    let mut lines = 0;
    for alpn in ALPN {
        for (who, method, path, why) in [
            ("bob.example", Method::POST, "/v1/orders", "rule \"write\""),
            ("bob.example", Method::GET, "/mtls/orders", "rule \"mtls\""),
            // Who may connect, but is on no route.
            ("carol.example", Method::GET, "/v1/orders", "rule \"read\""),
            ("alice.example", Method::DELETE, "/v1/orders", "DELETE"),
            ("alice.example", Method::GET, "/v2/orders", "no rule"),
            ("alice.example", Method::GET, "/v1/../v2/orders", "path"),
            ("alice.example", Method::GET, "/v1/%6frders", "encoded"),
        ] {
            let client = front.client(who, alpn);
            let request = Request::builder().method(method).uri(gateway.url(path));
            let request = request.body(Empty::<Bytes>::new()).unwrap();
            let response = client.request(request).await.unwrap();
            assert_eq!(response.status(), StatusCode::FORBIDDEN, "{who} {path}");
            assert_eq!(text(response).await, r#"{"error":"Forbidden"}"#);
            lines += 1;
            let line = gateway.lines(lines).await.pop().unwrap();
            assert_eq!(line["identity"], who);
            assert_eq!(
                (&line["status"], &line["upstream"]),
                (&json!(403), &Value::Null)
            );
            assert!(line["reason"].as_str().unwrap().contains(why), "{line}");
        }
    }
    assert_eq!(front.behind.requests(), 0);
    // The twin.
    let bob = front.client("bob.example", "h2");
    let response = bob.request(gateway.get("/v1/orders")).await.unwrap();
    assert_eq!(echoed(response).await["method"], "GET");
}

const CONDITIONS: &str = r#"
    [[routes]]
    name = "tenants"
    who = ["bob.example"]
    methods = ["POST"]
    path = "/report"
    upstream = "plain"
    headers = { x-tenant = ["red", "blue"] }

    [[routes]]
    name = "tools"
    who = ["bob.example"]
    methods = ["POST"]
    path = "/mcp"
    upstream = "plain"
    mcp_methods = ["tools/list"]
    mcp_tools = ["search"]

    [[routes]]
    name = "nothing"
    who = ["bob.example"]
    methods = ["POST"]
    path = "/none"
    upstream = "plain"
    mcp_tools = []
"#;

#[tokio::test]
async fn a_route_has_conditions_on_headers_and_tools() {
    let front = Front::new();
    let gateway = front.run(CONDITIONS).await;
    let bob = front.client("bob.example", "http/1.1");
    let mcp = |method, name| {
        vec![
            ("mcp-protocol-version", "2026-07-28"),
            ("mcp-method", method),
            ("mcp-name", name),
        ]
    };
    let red = ("x-tenant", "red");
    let mut hidden = mcp("tools/call", "search");
    hidden.push(("connection", "mcp-name"));
    let (mut lines, mut allowed) = (0, 0);
    for (path, headers, why) in [
        ("/report", vec![red], None),
        (
            "/report",
            vec![("x-tenant", "green")],
            Some("x-tenant is \"green\""),
        ),
        (
            "/report",
            vec![red, red],
            Some("x-tenant occurs more than once"),
        ),
        ("/report", vec![], Some("x-tenant is missing")),
        // The upstream would not get it.
        (
            "/report",
            vec![red, ("connection", "x-tenant")],
            Some("x-tenant is missing"),
        ),
        ("/mcp", mcp("tools/call", "search"), None),
        ("/mcp", mcp("tools/list", ""), None),
        (
            "/mcp",
            mcp("tools/call", "delete"),
            Some("the MCP tool is \"delete\""),
        ),
        (
            "/mcp",
            mcp("prompts/get", "search"),
            Some("the MCP method is \"prompts/get\""),
        ),
        ("/mcp", hidden, Some("the request names no MCP tool")),
        ("/mcp", vec![], Some("MCP-Protocol-Version is missing")),
        (
            "/none",
            mcp("tools/call", "search"),
            Some("the MCP tool is \"search\""),
        ),
    ] {
        let mut request = Request::post(gateway.url(path));
        for (name, value) in &headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Empty::<Bytes>::new()).unwrap();
        let status = bob.request(request).await.unwrap().status();
        lines += 1;
        let line = gateway.lines(lines).await.pop().unwrap();
        let reason = line["reason"].as_str();
        match why {
            None => {
                allowed += 1;
                assert_ne!(status, StatusCode::FORBIDDEN, "{line}");
                assert_eq!(reason, None, "{line}");
            }
            Some(why) => {
                assert_eq!(status, StatusCode::FORBIDDEN, "{line}");
                assert!(reason.unwrap().contains(why), "{line}");
            }
        }
        let sent = headers.iter().find(|(name, _)| *name == "mcp-name");
        assert_eq!(line["mcp_name"].as_str(), sent.map(|(_, value)| *value));
    }
    assert_eq!(front.behind.requests(), allowed);
}

#[tokio::test]
async fn a_client_that_may_not_connect_gets_the_alert() {
    let front = Front::new();
    let gateway = front.run("").await;
    for alpn in ALPN {
        let eve = front.client("eve.example", alpn);
        let error = eve.request(gateway.get("/v1/orders")).await.unwrap_err();
        assert!(is_access_denied(&error), "{error:?}");
    }
    let lines = gateway.lines(2).await;
    for line in lines {
        assert_eq!(
            (&line["event"], &line["reason"]),
            (&json!("refused"), &json!("denied"))
        );
    }
    assert_eq!(front.behind.requests(), 0);
}

/// The policy flips while a response is under way.
#[tokio::test]
async fn a_client_that_is_denied_later_is_disconnected() {
    let front = Front::new();
    let gateway = front.run("").await;
    let bob = front.client("bob.example", "h2");
    let response = bob.request(gateway.get("/v1/events/1")).await.unwrap();
    let _sender = front.behind.stream("1").await;
    gateway
        .acceptor
        .control()
        .set_policy(policy::not(policy::allow_any()));
    let body = http_body_util::BodyExt::collect(response.into_body()).await;
    assert!(is_access_denied(&body.unwrap_err()));
    let line = gateway.line().await;
    assert_eq!(
        (&line["status"], &line["complete"]),
        (&json!(200), &json!(false))
    );
}

#[tokio::test]
async fn a_client_that_exceeds_its_rate_gets_retry_after() {
    let front = Front::new();
    let gateway = front
        .run("[limits]\nrate = { per_minute = 12, burst = 3 }")
        .await;
    let alice = front.client("alice.example", "h2");
    let other = front.client("alice.example", "http/1.1");
    let ask = async |client: &countersign::integration::hyper::Client<_, _>| {
        client.request(gateway.get("/v1/orders")).await.unwrap()
    };
    // Over whatever connections.
    for client in [&alice, &other, &alice] {
        assert_eq!(ask(client).await.status(), 200);
    }
    let refused = ask(&other).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    let retry_after = refused.headers()["retry-after"].to_str().unwrap();
    let seconds: u64 = retry_after.parse().unwrap();
    assert!((1..=5).contains(&seconds), "{seconds}");
    assert_eq!(text(refused).await, r#"{"error":"Too Many Requests"}"#);
    // Others are not concerned.
    let bob = front.client("bob.example", "h2");
    assert_eq!(ask(&bob).await.status(), 200);
    // What is denied counts, too.
    let carol = front.client("carol.example", "h2");
    for status in [403, 403, 403, 429] {
        assert_eq!(ask(&carol).await.status(), status);
    }
    // The header is right.
    sleep(Duration::from_secs(seconds)).await;
    assert_eq!(ask(&alice).await.status(), 200);

    let lines = gateway.lines(10).await;
    let refused: Vec<_> = lines.iter().filter(|line| line["status"] == 429).collect();
    assert_eq!(refused.len(), 2);
    assert!(refused.iter().all(|line| line["reason"] == "rate limit"));
    assert_eq!(front.behind.requests(), 5);
}
