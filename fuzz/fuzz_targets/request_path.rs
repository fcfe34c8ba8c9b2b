//! Rules by path before axum's router: no spelling of a path gets to a handler that the rules deny, neither
//! by axum's router nor by a server that decodes, folds or cleans the path.
//!
//! The input is text. The first line is the number of patterns and has an `x` for each that is denied; then
//! the patterns follow, one on each line, and then the targets of requests.
#![no_main]

use std::pin::pin;
use std::sync::LazyLock;
use std::task::{Context, Poll, Waker};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use axum::routing::any;
use countersign::identity::DnsName;
use countersign::integration::tower::{AuthorizeRequest, RequestRules};
use countersign::testing::peer;
use countersign::{Decision, Peer, policy};
use libfuzzer_sys::fuzz_target;
use tower_layer::Layer as _;
use tower_service::Service;

const MOST: usize = 8;

static PEER: LazyLock<Peer<DnsName>> =
    LazyLock::new(|| peer("client.example".parse().expect("a name")));

fuzz_target!(|text: &str| {
    let mut lines = text.lines();
    let Some(head) = lines.next() else { return };
    let denied: Vec<bool> = head.bytes().map(|byte| byte == b'x').take(MOST).collect();
    let mut rules = RequestRules::<DnsName>::new();
    let mut router = Router::new().without_v07_checks();
    let mut patterns: Vec<(&str, bool)> = Vec::new();
    for (is_denied, pattern) in denied.into_iter().zip(lines.by_ref()) {
        // Two rules of one pattern are one pattern of the router.
        let added = RequestRules::<DnsName>::new().allow(
            "one",
            policy::allow_any(),
            [Method::GET],
            pattern,
        );
        if added.is_err() {
            continue;
        }
        let who = move |_: &Peer<DnsName>| {
            if is_denied {
                Decision::deny("by the rule")
            } else {
                Decision::allow("by the rule")
            }
        };
        let mut trial = RequestRules::new();
        for (known, _) in &patterns {
            trial = add(trial, known, policy::allow_any()).expect("added before");
        }
        if let Err(error) = add(trial, pattern, policy::allow_any()) {
            assert!(!error.to_string().contains(char::is_control));
            continue;
        }
        // The same shape as another one: the router takes a pattern once.
        if patterns
            .iter()
            .any(|(known, _)| shape(known) == shape(pattern))
        {
            continue;
        }
        rules = add(rules, pattern, who).expect("it was added to a copy");
        let number = patterns.len();
        router = router.route(pattern, any(move || async move { handled(number) }));
        patterns.push((pattern, is_denied));
    }
    let bare = router.clone();
    let guarded = AuthorizeRequest::new(rules).layer(router);
    for target in lines.take(16) {
        let Ok(uri) = target.parse::<Uri>() else {
            continue;
        };
        let Some(number) = sent(guarded.clone(), &uri) else {
            continue;
        };
        let (pattern, is_denied) = patterns[number];
        assert!(!is_denied, "{target} gets to {pattern}, which is denied");
        // Every server routes the path to the handler for which it was allowed.
        for other in spellings(uri.path()) {
            let Ok(other) = other.parse::<Uri>() else {
                continue;
            };
            if let Some(elsewhere) = sent(bare.clone(), &other)
                && elsewhere != number
            {
                panic!(
                    "{target} is allowed for {pattern}; as {other} it is for {}",
                    patterns[elsewhere].0
                );
            }
        }
    }
});

fn add(
    rules: RequestRules<DnsName>,
    pattern: &str,
    who: impl countersign::Policy<DnsName> + 'static,
) -> Result<RequestRules<DnsName>, countersign::integration::tower::RuleError> {
    rules.allow(pattern.to_owned(), who, [Method::GET], pattern)
}

/// A pattern without the names of its parameters.
fn shape(pattern: &str) -> String {
    let segments = pattern.split('/').map(|segment| match segment.as_bytes() {
        [b'{', b'*', ..] => "{*}",
        [b'{', ..] => "{}",
        _ => segment,
    });
    segments.collect::<Vec<_>>().join("/")
}

fn handled(number: usize) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    let number = HeaderValue::from(number);
    response.headers_mut().insert("handler", number);
    response
}

/// Which handler got the request.
fn sent<S>(mut service: S, uri: &Uri) -> Option<usize>
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = uri.clone();
    request.extensions_mut().insert(PEER.clone());
    let Poll::Ready(Ok(response)) = pin!(service.call(request))
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
    else {
        panic!("a handler that is ready");
    };
    let handler = response.headers().get("handler")?;
    assert_eq!(response.status(), StatusCode::OK);
    handler.to_str().ok()?.parse().ok()
}

/// What other servers make of a path: decoded once or twice, in lower case, with `\` as `/`, without
/// parameters after `;`, without empty segments and dots, without dots and blanks at the ends of segments.
fn spellings(path: &str) -> Vec<String> {
    type Change = fn(&str) -> String;
    const CHANGES: [Change; 7] = [
        decoded,
        |path| path.to_ascii_lowercase(),
        |path| path.replace('\\', "/"),
        |path| {
            let segments = path.split('/');
            let segments = segments.map(|segment| segment.split(';').next().unwrap_or(""));
            segments.collect::<Vec<_>>().join("/")
        },
        clean,
        |path| {
            let segments = path.split('/');
            let segments = segments.map(|segment| segment.trim_end_matches(['.', ' ']));
            segments.collect::<Vec<_>>().join("/")
        },
        |path| path.split(['?', '#', '\0']).next().unwrap_or("").to_owned(),
    ];
    let mut all = Vec::new();
    let mut together = path.to_owned();
    for change in CHANGES {
        all.push(change(path));
        all.push(change(&decoded(path)));
        together = change(&together);
        all.push(together.clone());
    }
    // What a URI cannot have is encoded again, as a router matches encoded paths.
    all.iter()
        .map(|path| path.replace(' ', "%20").replace('"', "%22"))
        .collect()
}

fn decoded(path: &str) -> String {
    let bytes = path.as_bytes();
    let mut result = Vec::new();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let digits = path.get(at + 1..at + 3);
        let octet = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (byte, octet) {
            (b'%', Some(octet)) => {
                result.push(octet);
                at += 3;
            }
            _ => {
                result.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&result).into_owned()
}

/// Without empty segments, `.` and `..`.
fn clean(path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            other => segments.push(other),
        }
    }
    format!("/{}", segments.join("/"))
}
