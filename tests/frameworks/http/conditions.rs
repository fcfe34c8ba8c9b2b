//! Rules with conditions on headers, and with tools of the Model Context Protocol.

use axum::Router;
use axum::body::Body;
use axum::routing::any;
use countersign::audit::Memory;
use countersign::identity::DnsName;
use countersign::integration::tower::{
    AuthorizeRequest, Conditions, Denied, RequestPolicy as _, RequestRules, RuleError,
};
use countersign::testing::{self, TestCa};
use countersign::{Diagnostic as _, policy};
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Method, Response, StatusCode};
use tower::ServiceExt as _;
use tower_layer::Layer as _;

use crate::rules::request;
use support::http::{acceptor, name, text};
use support::schema;

const ALICE: &str = "alice.example";
const BOB: &str = "bob.example";
const VERSION: (&str, &str) = ("mcp-protocol-version", "2026-07-28");

fn rules() -> RequestRules<DnsName> {
    let who = |own| policy::exact([name(own)]);
    RequestRules::new()
        .allow_if(
            "discover",
            policy::allow_any(),
            [Method::POST],
            "/mcp",
            Conditions::new().mcp_methods(["server/discover", "tools/list"]),
        )
        .unwrap()
        .allow_if(
            "alice's tools",
            who(ALICE),
            [Method::POST],
            "/mcp",
            Conditions::new().mcp_tools(["search", "wörter"]),
        )
        .unwrap()
        .allow_if(
            "tenants",
            policy::allow_any(),
            [Method::GET],
            "/report",
            Conditions::new()
                .header("x-tenant", ["red", "blue"])
                .unwrap(),
        )
        .unwrap()
}

/// The rule that allows a request with these headers, or why none does.
fn decide(
    own: &str,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
) -> Result<String, String> {
    let (mut parts, _) = request(method, path).into_parts();
    for (name, value) in headers {
        let name = HeaderName::try_from(*name).unwrap();
        let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
        parts.headers.append(name, value);
    }
    let decision = rules().authorize(&testing::peer(name(own)), &parts);
    match decision.reason() {
        None => Ok(decision.rule().unwrap().to_owned()),
        Some(why) => Err(why.to_owned()),
    }
}

fn call(own: &str, headers: &[(&str, &str)]) -> Result<String, String> {
    decide(own, Method::POST, "/mcp", headers)
}

/// All conditions must be met: its checks, too.
#[test]
fn a_check_of_the_application_decides() {
    #[derive(Clone)]
    struct Model(&'static str);

    let small = Conditions::new()
        .header("x-tenant", ["red"])
        .unwrap()
        .check(|request| match request.extensions.get::<Model>() {
            Some(Model("small")) => Ok(()),
            Some(Model(model)) => Err(format!("the model is {model}").into()),
            None => Err("the body was not read".into()),
        })
        .check(|request| match request.uri.query() {
            None => Ok(()),
            Some(_) => Err("there is a query".into()),
        });
    let rules = RequestRules::<DnsName>::new()
        .allow_if("small", policy::allow_any(), [Method::POST], "/chat", small)
        .unwrap();
    for (target, tenant, model, expected) in [
        ("/chat", "red", Some("small"), Ok("small")),
        (
            "/chat",
            "red",
            Some("large"),
            Err("rule \"small\": the model is large"),
        ),
        (
            "/chat",
            "red",
            None,
            Err("rule \"small\": the body was not read"),
        ),
        (
            "/chat?model=large",
            "red",
            Some("small"),
            Err("rule \"small\": there is a query"),
        ),
        (
            "/chat",
            "blue",
            Some("small"),
            Err("rule \"small\": the header x-tenant is \"blue\""),
        ),
    ] {
        let (mut parts, _) = request(Method::POST, target).into_parts();
        parts
            .headers
            .insert("x-tenant", HeaderValue::from_static(tenant));
        if let Some(model) = model {
            parts.extensions.insert(Model(model));
        }
        let decision = rules.authorize(&testing::peer(name(ALICE)), &parts);
        let decided = match decision.reason() {
            None => Ok(decision.rule().unwrap()),
            Some(why) => Err(why),
        };
        assert_eq!(decided, expected, "{target} {model:?}");
    }
}

#[test]
fn a_peer_calls_the_tools_of_its_rule_and_no_other() {
    let tool = |tool| [VERSION, ("mcp-method", "tools/call"), ("mcp-name", tool)];
    for allowed in ["search", "=?base64?c2VhcmNo?=", "=?base64?d8O2cnRlcg==?="] {
        assert_eq!(
            call(ALICE, &tool(allowed)),
            Ok("alice's tools".to_owned()),
            "{allowed}"
        );
    }
    for (own, named, why) in [
        (BOB, "search", "rule \"alice's tools\": "),
        (ALICE, "delete", "the MCP tool is \"delete\""),
        (ALICE, "Search", "the MCP tool is \"Search\""),
        (
            ALICE,
            "search, delete",
            "the MCP tool is \"search, delete\"",
        ),
        (ALICE, "=?base64?ZGVsZXRl?=", "the MCP tool is \"delete\""),
        (
            ALICE,
            "=?base64?c2VhcmNo=?=",
            "Mcp-Name is no valid base64 of UTF-8",
        ),
        (
            ALICE,
            "=?base64?/w==?=",
            "Mcp-Name is no valid base64 of UTF-8",
        ),
        (
            ALICE,
            "=?BASE64?c2VhcmNo?=",
            "the MCP tool is \"=?BASE64?c2VhcmNo?=\"",
        ),
        (
            ALICE,
            "w\u{f6}rter",
            "Mcp-Name has characters outside printable ASCII",
        ),
    ] {
        let refused = call(own, &tool(named)).unwrap_err();
        assert!(refused.contains(why), "{named}: {refused}");
    }
}

#[test]
fn headers_count_only_in_a_revision_whose_servers_compare_them_with_the_body() {
    let method = ("mcp-method", "tools/call");
    let tool = ("mcp-name", "search");
    let version = |version| ("mcp-protocol-version", version);
    for later in ["2026-07-28", "2027-01-01"] {
        assert!(
            call(ALICE, &[version(later), method, tool]).is_ok(),
            "{later}"
        );
    }
    for (headers, why) in [
        (vec![method, tool], "MCP-Protocol-Version is missing"),
        (
            vec![VERSION, VERSION, method, tool],
            "MCP-Protocol-Version occurs more than once",
        ),
        (
            vec![version("2025-06-18"), method, tool],
            "MCP-Protocol-Version is 2025-06-18; servers compare",
        ),
        (
            vec![version("draft"), method, tool],
            "MCP-Protocol-Version is no date",
        ),
        (
            vec![version("2026-07-280"), method, tool],
            "MCP-Protocol-Version is no date",
        ),
        (
            vec![version("9026/07/28"), method, tool],
            "MCP-Protocol-Version is no date",
        ),
        (vec![VERSION, tool], "Mcp-Method is missing"),
        (
            vec![VERSION, method, method, tool],
            "Mcp-Method occurs more than once",
        ),
        (vec![VERSION, method], "the request names no MCP tool"),
        (
            vec![VERSION, method, tool, ("mcp-name", "delete")],
            "Mcp-Name occurs more than once",
        ),
        (
            vec![VERSION, ("mcp-method", "resources/read"), tool],
            "the MCP method is \"resources/read\"",
        ),
    ] {
        let refused = call(ALICE, &headers).unwrap_err();
        assert!(refused.contains(why), "{headers:?}: {refused}");
    }
    let list = [VERSION, ("mcp-method", "tools/list")];
    assert_eq!(call(BOB, &list), Ok("discover".to_owned()));
}

#[test]
fn a_header_has_one_of_the_values_exactly_once() {
    let report = |headers: &[_]| decide(BOB, Method::GET, "/report", headers);
    assert_eq!(report(&[("x-tenant", "red")]), Ok("tenants".to_owned()));
    for (headers, why) in [
        (vec![], "the header x-tenant is missing"),
        (
            vec![("x-tenant", "green")],
            "the header x-tenant is \"green\"",
        ),
        (vec![("x-tenant", "Red")], "the header x-tenant is \"Red\""),
        (
            vec![("x-tenant", "red, blue")],
            "the header x-tenant is \"red, blue\"",
        ),
        (
            vec![("x-tenant", "red"), ("x-tenant", "red")],
            "the header x-tenant occurs more than once",
        ),
        (vec![("x_tenant", "red")], "the header x-tenant is missing"),
    ] {
        let refused = report(&headers).unwrap_err();
        assert!(refused.contains(why), "{headers:?}: {refused}");
    }
    for (name, values, problem) in [
        ("x tenant", vec!["a"], "it is no header name"),
        ("", vec!["a"], "it is no header name"),
        (
            "x-tenant",
            vec![],
            "it has no value, so the rule would allow nothing",
        ),
    ] {
        let error = Conditions::new().header(name, values).unwrap_err();
        assert_eq!(error.reason(), "invalid_header_condition");
        let name = name.to_owned();
        assert_eq!(error, RuleError::Header { name, problem });
    }
}

#[test]
fn head_follows_get_only_where_it_is_chosen() {
    let rules = || {
        RequestRules::<DnsName>::new()
            .allow("read", policy::allow_any(), [Method::GET], "/report")
            .unwrap()
            .allow("write", policy::allow_any(), [Method::POST], "/invoices")
            .unwrap()
    };
    let is_allowed = |rules: &RequestRules<DnsName>, path| {
        let (parts, _) = request(Method::HEAD, path).into_parts();
        rules
            .authorize(&testing::peer(name(BOB)), &parts)
            .is_allowed()
    };
    assert!(!is_allowed(&rules(), "/report"));
    assert!(is_allowed(&rules().head_follows_get(), "/report"));
    assert!(!is_allowed(&rules().head_follows_get(), "/invoices"));
}

#[tokio::test]
async fn a_denied_request_gets_the_response_of_the_application() {
    let problem = |denied: &Denied<'_, DnsName>| {
        let mut response =
            Response::new(Body::from(format!("{{\"title\":\"{}\"}}", denied.reason)));
        *response.status_mut() = StatusCode::FORBIDDEN;
        let kind = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(CONTENT_TYPE, kind);
        response
    };
    let layer = AuthorizeRequest::new(rules()).respond(problem);
    let service = layer.layer(Router::new().fallback(any(async || "reached")));
    let mut allowed = request(Method::GET, "/report");
    allowed.extensions_mut().insert(testing::peer(name(BOB)));
    let denied = allowed.clone();
    allowed
        .headers_mut()
        .insert("x-tenant", HeaderValue::from_static("red"));
    let response = service.clone().oneshot(allowed).await.unwrap();
    assert_eq!(text(response).await, "reached");
    let response = service.oneshot(denied).await.unwrap();
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
    assert_eq!(text(response).await, r#"{"title":"denied"}"#);
}

#[tokio::test]
async fn the_audit_trail_names_the_peer_the_tool_and_the_rule() {
    let ca = TestCa::new("Root");
    let trail = Memory::new();
    let acceptor = acceptor(&ca, policy::allow_any())
        .audit(trail.clone())
        .build()
        .unwrap();
    let layer = AuthorizeRequest::new(rules())
        .audit(&acceptor)
        .audit_allowed();
    let service = layer.layer(Router::new().fallback(any(async || "reached")));
    for own in [ALICE, BOB] {
        let mut request = request(Method::POST, "/mcp");
        for (name, value) in [
            VERSION,
            ("mcp-method", "tools/call"),
            ("mcp-name", "search"),
        ] {
            request
                .headers_mut()
                .insert(name, HeaderValue::from_static(value));
        }
        request.extensions_mut().insert(testing::peer(name(own)));
        service.clone().oneshot(request).await.unwrap();
    }
    let [allowed, denied] = &trail.take()[..] else {
        panic!("one event each");
    };
    let schema = schema::of_events();
    let json = schema::assert_valid(&schema, allowed);
    assert_eq!(json["event"]["action"], "request_allowed");
    assert_eq!(json["event"]["outcome"], "success");
    assert_eq!(json["log"]["level"], "info");
    assert_eq!(json["user"]["name"], ALICE);
    assert_eq!(json["rule"]["name"], "alice's tools");
    assert_eq!(json["countersign"]["mcp"]["method"], "tools/call");
    assert_eq!(json["countersign"]["mcp"]["name"], "search");
    let json = schema::assert_valid(&schema, denied);
    assert_eq!(json["event"]["action"], "request_denied");
    assert_eq!(json["user"]["name"], BOB);
    assert_eq!(json["countersign"]["mcp"]["name"], "search");
    let why = json["error"]["message"].as_str().unwrap();
    assert!(why.contains("alice's tools"), "{why}");
}
