//! Rules of method and path.

use countersign::identity::DnsName;
use countersign::integration::tower::{RequestPolicy, RequestRules, RuleError};
use countersign::testing;
use countersign::{Decision, policy};
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::{Method, Request};

use support::http::name;

fn who(own: &str) -> policy::Exact<DnsName> {
    policy::exact([name(own)])
}

pub(crate) fn rules() -> RequestRules<DnsName> {
    RequestRules::new()
        .allow(
            "billing",
            who("billing.example"),
            [Method::POST],
            "/v1/invoices",
        )
        .unwrap()
        .allow(
            "support",
            who("support.example"),
            [Method::GET],
            "/v1/invoices/{id}",
        )
        .unwrap()
}

pub(crate) fn request(method: Method, path: &str) -> Request<Empty<Bytes>> {
    let request = Request::builder().method(method).uri(path);
    request.body(Empty::new()).unwrap()
}

/// What a policy says of a request from this peer.
fn decide(rules: &impl RequestPolicy<DnsName>, own: &str, method: Method, path: &str) -> Decision {
    let (parts, _) = request(method, path).into_parts();
    rules.authorize(&testing::peer(name(own)), &parts)
}

#[test]
fn a_rule_is_a_name_a_method_and_a_path() {
    for (own, method, path, expected) in [
        (
            "billing.example",
            Method::POST,
            "/v1/invoices",
            Ok("billing"),
        ),
        (
            "support.example",
            Method::GET,
            "/v1/invoices/7",
            Ok("support"),
        ),
        (
            "support.example",
            Method::GET,
            "/v1/invoices/7?x=/v1/invoices",
            Ok("support"),
        ),
        (
            "support.example",
            Method::POST,
            "/v1/invoices",
            Err("rule \"billing\": the identity is not the one that"),
        ),
        (
            "billing.example",
            Method::GET,
            "/v1/invoices",
            Err("no rule of \"/v1/invoices\" is for GET"),
        ),
        (
            "support.example",
            Method::HEAD,
            "/v1/invoices/7",
            Err("no rule of \"/v1/invoices/{id}\" is for HEAD"),
        ),
        (
            "billing.example",
            Method::POST,
            "/v1",
            Err("no rule is for this path"),
        ),
        (
            "billing.example",
            Method::POST,
            "/",
            Err("no rule is for this path"),
        ),
        (
            "billing.example",
            Method::POST,
            "/v1/invoices/",
            Err("the path has an empty segment (two slashes, or one at the end)"),
        ),
        (
            "support.example",
            Method::GET,
            "/v1/invoices/7/lines",
            Err("no rule is for this path"),
        ),
    ] {
        let decision = decide(&rules(), own, method.clone(), path);
        let said = decision
            .rule()
            .ok_or_else(|| decision.reason().unwrap_or_default());
        match (said, expected) {
            (Err(said), Err(expected)) => {
                assert!(said.starts_with(expected), "{method} {path}: {said}");
            }
            _ => assert_eq!(said, expected, "{method} {path}"),
        }
    }
}

#[test]
fn without_a_rule_every_request_is_denied() {
    for path in ["/", "/v1", "/v1/invoices"] {
        let decision = decide(&RequestRules::new(), "a.example", Method::GET, path);
        assert_eq!(decision.reason(), Some("no rule is for this path"));
    }
}

/// As in axum's router: and it counts alone.
#[test]
fn the_most_specific_pattern_counts() {
    let rules = RequestRules::new()
        .allow("all", policy::allow_any(), [Method::GET], "/v1/{*rest}")
        .unwrap()
        .allow("admin", who("admin.example"), [Method::GET], "/v1/admin")
        .unwrap()
        .allow(
            "auditor",
            who("auditor.example"),
            [Method::GET],
            "/v1/admin",
        )
        .unwrap();
    let rule = |own, path| {
        let decision = decide(&rules, own, Method::GET, path);
        decision.rule().map(str::to_owned)
    };
    assert_eq!(rule("a.example", "/v1/x/y").as_deref(), Some("all"));
    assert_eq!(rule("a.example", "/v1/admin"), None);
    assert_eq!(rule("admin.example", "/v1/admin").as_deref(), Some("admin"));
    assert_eq!(
        rule("auditor.example", "/v1/admin").as_deref(),
        Some("auditor")
    );
    assert_eq!(rule("admin.example", "/v1/admin/x").as_deref(), Some("all"));
    let both = decide(&rules, "a.example", Method::GET, "/v1/admin");
    let why = both.reason().unwrap();
    assert!(
        why.contains("rule \"admin\": ") && why.contains(", rule \"auditor\": "),
        "{why}"
    );
}

#[test]
fn a_pattern_that_could_not_be_meant_is_an_error() {
    let allow = |rules: RequestRules<DnsName>, pattern| {
        rules.allow("r", policy::allow_any(), [Method::GET], pattern)
    };
    for (pattern, says) in [
        ("", "does not begin with a slash"),
        ("v1", "does not begin with a slash"),
        ("/v1/", "no request can match it"),
        ("//v1", "no request can match it"),
        ("/v1/../x", "no request can match it"),
        ("/v1/%69d", "no request can match it"),
        ("/v1/a;b", "no request can match it"),
        ("/v1/é", "no request can match it"),
        ("/v1/a b", "no request can match it"),
        ("/v1/*", "{*name} for all segments that follow"),
        ("/v1/a*", "{*name} for all segments that follow"),
        ("/v1/inv-{id}", "is only a part of its segment"),
        ("/v1/{id}.json", "is only a part of its segment"),
        ("/v1/{id", "is only a part of its segment"),
        ("/v1/{{id}}", "a parameter has no name"),
        ("/v1/{}", "a parameter has no name"),
        ("/v1/{*}", "a parameter has no name"),
        ("/v1/{*rest}/x", "segments follow {*name}"),
    ] {
        let error = allow(RequestRules::new(), pattern).unwrap_err();
        assert!(
            matches!(error, RuleError::Pattern { .. }),
            "{pattern}: {error:?}"
        );
        assert!(error.to_string().contains(says), "{pattern}: {error}");
    }
    for (first, second) in [
        ("/v1/admin", "/v1/Admin"),
        ("/v1/{id}/x", "/V1/{other}/x"),
        ("/v1/{id}", "/v1/{*rest}"),
    ] {
        let error = allow(allow(RequestRules::new(), first).unwrap(), second).unwrap_err();
        assert!(matches!(error, RuleError::Conflict { .. }), "{error:?}");
    }
    // The names of parameters make no difference.
    let twice = allow(
        allow(RequestRules::new(), "/v1/{id}").unwrap(),
        "/v1/{number}",
    )
    .unwrap();
    assert!(decide(&twice, "a.example", Method::GET, "/v1/7").is_allowed());

    let none = RequestRules::<DnsName>::new().allow("r", policy::allow_any(), [], "/v1");
    assert!(matches!(none, Err(RuleError::NoMethod { rule }) if rule == "r"));
}

/// A server may fold a path, and compare it with its patterns as they are written.
#[test]
fn a_pattern_in_upper_case_is_no_way_into_another_in_lower_case() {
    let allow = |rules: RequestRules<DnsName>, own: &str, pattern: &str| {
        rules.allow("r", policy::exact([name(own)]), [Method::GET], pattern)
    };
    let alone = allow(RequestRules::new(), "a.example", "/V1/me/x").unwrap();
    assert!(decide(&alone, "a.example", Method::GET, "/V1/me/x").is_allowed());
    let both = allow(alone, "admin.example", "/v1/{id}/x").unwrap();
    let decision = decide(&both, "a.example", Method::GET, "/V1/me/x");
    assert!(decision.reason().unwrap().contains("/v1/{id}/x"));
    assert!(decide(&both, "admin.example", Method::GET, "/v1/7/x").is_allowed());
}
