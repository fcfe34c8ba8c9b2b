//! Hostile paths against the rules, against axum's router, and as careless readers have them.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::MatchedPath;
use axum::routing::get as route_get;
use countersign::identity::DnsName;
use countersign::integration::tower::{AuthorizeRequest, RequestPolicy as _, RequestRules};
use countersign::testing::{self, TestCa};
use countersign::{Peer, policy};
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode, Uri};
use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tower::ServiceExt as _;
use tower_layer::Layer as _;

use crate::paths::{GUARDED, HOSTILE, OPEN};
use support::http::{acceptor, connector, name, serve};

fn rules() -> RequestRules<DnsName> {
    let mut rules = RequestRules::new();
    let admin = || policy::exact([name("admin.example")]);
    for pattern in GUARDED {
        rules = rules
            .allow("admin", admin(), [Method::GET], pattern)
            .unwrap();
    }
    for pattern in OPEN {
        let both = policy::exact(["admin.example", "support.example"].map(name));
        rules = rules.allow("both", both, [Method::GET], pattern).unwrap();
    }
    rules
}

/// axum's own router, which notes by which of its routes it was reached.
fn router(reached: &Arc<Mutex<Vec<(String, String)>>>) -> Router {
    let mut router = Router::new();
    for pattern in GUARDED.into_iter().chain(OPEN) {
        let reached = Arc::clone(reached);
        let handler = async move |matched: MatchedPath, request: axum::extract::Request| {
            let peer = request.extensions().get::<Peer<DnsName>>().unwrap();
            let who = peer.identity().to_string();
            reached
                .lock()
                .unwrap()
                .push((who, matched.as_str().to_owned()));
            "reached"
        };
        router = router.route(pattern, route_get(handler));
    }
    router
}

/// Who may reach the handler of a route, said in another way than the rules say it.
fn may_reach(who: &str, route: &str) -> bool {
    who == "admin.example" || (who == "support.example" && OPEN.contains(&route))
}

fn request(who: &str, path: &str) -> Option<Request<Empty<Bytes>>> {
    let uri = path.parse::<Uri>().ok()?;
    let mut request = Request::builder().uri(uri).body(Empty::new()).ok()?;
    request.extensions_mut().insert(testing::peer(name(who)));
    Some(request)
}

#[test]
fn the_table_is_long_enough_and_has_nothing_twice() {
    let different: BTreeSet<_> = HOSTILE.iter().collect();
    assert_eq!(different.len(), HOSTILE.len());
    assert!(HOSTILE.len() >= 100, "{}", HOSTILE.len());
}

#[tokio::test]
async fn no_hostile_path_is_allowed_nor_reaches_a_handler_of_axum() {
    let reached = Arc::default();
    let service = AuthorizeRequest::new(rules()).layer(router(&reached));
    let mut unsendable = Vec::new();
    for path in HOSTILE {
        match request("support.example", path) {
            // http's own types cannot hold it.
            None => unsendable.push(*path),
            Some(request) => {
                let response = service.clone().oneshot(request).await.unwrap();
                assert_eq!(response.status(), StatusCode::FORBIDDEN, "{path:?}");
            }
        }
    }
    assert_eq!(*reached.lock().unwrap(), []);
    assert!(
        unsendable.len() <= 6,
        "hardly anything is tested: {unsendable:?}"
    );
    // The twins: what is guarded is there for the administrator, and what is open for both.
    for (who, paths) in [
        (
            "admin.example",
            &["/v1/admin", "/v1/admin/users", "/v1/invoices/export"][..],
        ),
        (
            "support.example",
            &["/v1/anything", "/v1/invoices/7", "/v1/files/a/b.txt"],
        ),
        (
            "support.example",
            &["/healthz", "/v1/two%20words", "/v1/files/Some.File"],
        ),
    ] {
        for path in paths {
            let request = request(who, path).unwrap();
            let response = service.clone().oneshot(request).await.unwrap();
            assert_eq!(response.status(), StatusCode::OK, "{who} {path}");
        }
    }
    assert_eq!(reached.lock().unwrap().len(), 9);
}

/// The same table over the wire, where hyper reads the path, byte for byte.
#[tokio::test]
async fn no_hostile_path_gets_through_over_the_wire() {
    let ca = TestCa::new("Root");
    let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
    let reached = Arc::default();
    let service = AuthorizeRequest::new(rules()).layer(router(&reached));
    let server = serve(&acceptor, service).await;
    let support = connector(&ca, "support.example", "http/1.1")
        .build()
        .unwrap();
    let status = async |path: &str| {
        let tcp = TcpStream::connect(server.address).await.unwrap();
        let mut stream = support.connect("localhost", tcp).await.unwrap();
        let head = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let answer = String::from_utf8_lossy(&answer).into_owned();
        answer[9..12].to_owned()
    };
    for path in HOSTILE {
        let status = status(path).await;
        assert!(status == "403" || status == "400", "{path:?}: {status}");
    }
    assert_eq!(*reached.lock().unwrap(), []);
    assert_eq!(status("/v1/invoices/7").await, "200");
    assert_eq!(reached.lock().unwrap().len(), 1);
}

/// Other readers of a path: each turns it into what it would serve.
const READERS: [fn(&str) -> String; 10] = [
    |path| path.to_ascii_lowercase(),
    |path| percent_decoded(path),
    |path| path.replace('\\', "/"),
    |path| without_dot_segments(path),
    |path| {
        path.split('/')
            .filter(|s| !s.is_empty())
            .fold(String::new(), |all, s| all + "/" + s)
    },
    |path| {
        path.split('/')
            .map(|s| s.split(';').next().unwrap())
            .collect::<Vec<_>>()
            .join("/")
    },
    |path| path.split(['\0', '?', '#']).next().unwrap().to_owned(),
    |path| {
        path.split('/')
            .map(|s| s.trim_end_matches(['.', ' ', '\t', '\r', '\n']))
            .collect::<Vec<_>>()
            .join("/")
    },
    |path| {
        path.split('/')
            .map(|s| s.trim())
            .collect::<Vec<_>>()
            .join("/")
    },
    |path| path.trim_end_matches('/').to_owned(),
];

fn percent_decoded(path: &str) -> String {
    let bytes = path.as_bytes();
    let mut decoded = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let digits = path.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

fn without_dot_segments(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/').skip(1) {
        match segment {
            "." => {}
            ".." => drop(kept.pop()),
            other => kept.push(other),
        }
    }
    format!("/{}", kept.join("/"))
}

/// Everything that a path may be read as, by several readers one after the other.
fn readings(path: &str) -> BTreeSet<String> {
    let mut all = BTreeSet::from([path.to_owned()]);
    for _ in 0..4 {
        let more: Vec<_> = all
            .iter()
            .flat_map(|path| READERS.map(|read| read(path)))
            .collect();
        all.extend(more);
    }
    all
}

/// Whether a plain path is a guarded one.
fn is_guarded(path: &str) -> bool {
    let segments: Vec<_> = path.split('/').skip(1).collect();
    match segments[..] {
        ["v1", "admin"] | ["v1", "admin", "users"] => true,
        ["v1", "invoices", "export"] | ["v1", "files", "secret"] => true,
        ["v1", "stores", name, "keys"] => !name.is_empty(),
        _ => false,
    }
}

fn is_allowed(who: &str, path: &str) -> bool {
    let Some(request) = request(who, path) else {
        return false;
    };
    let (parts, _) = request.into_parts();
    rules()
        .authorize(&testing::peer(name(who)), &parts)
        .is_allowed()
}

/// The oracle finds something: rules that compare paths literally fail for most of the table.
#[test]
fn the_readers_see_through_the_table() {
    let seen = HOSTILE
        .iter()
        .filter(|path| readings(path).iter().any(|reading| is_guarded(reading)))
        .count();
    assert!(seen >= 60, "only {seen}");
}

fn hostile_path() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "/", "/", "/", "/", "v1", "v1", "admin", "users", "invoices", "export", "files", "stores",
        "secret", "keys", "x", "7", ".", "..", "%2e", "%2f", "%5c", "\\", ";", "%3b", "%00", "%61",
        "%41", "a", "A", "%20", "%25", "%", "?", "%3f", "#", "%23", "healthz", "Admin", "%c0%af",
        "é", "*", "{name}", ":", "@", "~", "%7e", "//", "/./", "/../",
    ]);
    prop::collection::vec(piece, 1..9).prop_map(|pieces| format!("/v1/{}", pieces.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is allowed is, to every reader, something that is not guarded.
    #[test]
    fn what_is_allowed_is_guarded_for_no_reader(path in hostile_path()) {
        if is_allowed("support.example", &path) {
            let uri: Uri = path.parse().unwrap();
            for reading in readings(uri.path()) {
                prop_assert!(!is_guarded(&reading), "{path:?} may be read as {reading:?}");
            }
        }
    }

    /// Whatever axum routes to a handler was allowed for that handler's route.
    #[test]
    fn what_axum_routes_was_allowed_for_that_route(path in hostile_path()) {
        let reached = Arc::default();
        let service = AuthorizeRequest::new(rules()).layer(router(&reached));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for who in ["support.example", "admin.example", "stranger.example"] {
            if let Some(request) = request(who, &path) {
                runtime.block_on(service.clone().oneshot(request)).unwrap();
            }
        }
        for (who, route) in &*reached.lock().unwrap() {
            prop_assert!(may_reach(who, route), "{who} reached {route} by {path:?}");
        }
    }
}
