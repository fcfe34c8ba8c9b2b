//! Paths that mean one thing to the one who judges and another to the one who serves.

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

use crate::support::{acceptor, connector, name, serve};

/// What only the administrator may get.
const GUARDED: [&str; 5] = [
    "/v1/admin",
    "/v1/admin/users",
    "/v1/invoices/export",
    "/v1/files/secret",
    "/v1/stores/{name}/keys",
];
/// What support may get, too.
const OPEN: [&str; 5] = [
    "/v1/{name}",
    "/v1/invoices/{id}",
    "/v1/files/{*path}",
    "/v1/stores/{name}",
    "/healthz",
];

/// Each is a way to write something guarded, or to get there from what is open.
const HOSTILE: &[&str] = &[
    // As it is.
    "/v1/admin",
    "/v1/admin/users",
    "/v1/invoices/export",
    "/v1/files/secret",
    "/v1/stores/x/keys",
    // Upper and lower case.
    "/v1/Admin",
    "/v1/ADMIN",
    "/v1/admin/Users",
    "/v1/invoices/EXPORT",
    "/v1/files/Secret",
    "/v1/stores/x/KEYS",
    // Slashes, more or less.
    "/v1/admin/",
    "/v1//admin",
    "//v1/admin",
    "/v1/admin//",
    "/v1/admin//users",
    "/v1///admin",
    "/v1/invoices/export/",
    "/v1/files/secret/",
    "/v1/files//secret",
    "/v1/stores/x/keys/",
    "/v1/stores/x//keys",
    // Dot segments.
    "/v1/./admin",
    "/v1/admin/.",
    "/v1/invoices/../admin",
    "/v1/invoices/7/../../admin",
    "/v1/files/../admin",
    "/v1/files/a/../secret",
    "/v1/files/a/../../admin",
    "/v1/files/./secret",
    "/v1/files/secret/.",
    "/v1/files/secret/x/..",
    "/../v1/admin",
    "/v1/files/..",
    "/v1/files/a/b/../../../admin",
    "/v1/.../admin",
    // Encoded dots.
    "/v1/files/%2e%2e/admin",
    "/v1/files/%2E%2E/admin",
    "/v1/files/.%2e/admin",
    "/v1/files/%2e./admin",
    "/v1/files/%2e/secret",
    "/v1/files/%252e%252e/admin",
    // Encoded slashes.
    "/v1%2fadmin",
    "/v1%2Fadmin",
    "/v1/files/..%2fadmin",
    "/v1/files/..%2Fadmin",
    "/v1/files/a%2f..%2fsecret",
    "/v1/admin%2f",
    "/v1/admin%2fusers",
    "/v1/invoices%2fexport",
    "/v1/files/%2fsecret",
    "/v1/stores/x%2fkeys",
    "/v1%252fadmin",
    "/v1/files/..%252fadmin",
    // Backslashes.
    "/v1/admin\\",
    "/v1\\admin",
    "/v1/files/..\\admin",
    "/v1/files/a\\..\\secret",
    "/v1/files/..%5cadmin",
    "/v1/files/..%5Cadmin",
    "/v1/admin%5cusers",
    "/v1/files/..%255cadmin",
    // Encoded letters.
    "/v1/%61dmin",
    "/v1/%61%64%6d%69%6e",
    "/v1/%41dmin",
    "/v1/admi%6e",
    "/v1/admi%6E",
    "/%76%31/admin",
    "/v1/invoices/%65xport",
    "/v1/files/%73ecret",
    "/v1/stores/x/%6beys",
    "/v1/%2561dmin",
    // The end of the path, for some.
    "/v1/admin%00",
    "/v1/admin%00.json",
    "/v1/admin\0",
    "/v1/admin%3f",
    "/v1/admin%3Fx=1",
    "/v1/admin%23",
    "/v1/admin%253f",
    "/v1/admin;",
    "/v1/admin;x=1",
    "/v1/;x/admin",
    "/v1/admin;/users",
    "/v1/files/..;/admin",
    "/v1/files/secret;.png",
    "/v1/admin%3b",
    "/v1/admin%3Bx=1",
    // What file systems drop.
    "/v1/admin.",
    "/v1/admin..",
    "/v1/admin%20",
    "/v1/%20admin",
    "/v1/admin%09",
    "/v1/admin%0a",
    "/v1/admin%0d%0a",
    "/v1/admin%7f",
    "/v1/files/secret.",
    "/v1/files/secret%20",
    // Beyond ASCII: overlong forms, wide forms, other dots and slashes.
    "/v1/files/%c0%ae%c0%ae/admin",
    "/v1/files/..%c0%afadmin",
    "/v1%c0%afadmin",
    "/v1/files/..%e0%80%afadmin",
    "/v1%ef%bc%8fadmin",
    "/v1/%ef%bd%81dmin",
    "/v1/\u{ff41}dmin",
    "/v1/files/%e2%80%a5/admin",
    "/v1%e2%88%95admin",
    "/v1/admin%e2%80%8b",
    "/v1/adm%c4%b1n",
    "/v1/%ff",
    "/v1/%u0061dmin",
    // Not even encoded.
    "/v1/admin%",
    "/v1/admin%2",
    "/v1/admin%zz",
    "/v1/%%61dmin",
    // Other forms of a request's target.
    "*",
    "v1/admin",
    "",
    "/v1/admin /x",
    "/v1/{name}/../admin",
    "/v1/|admin",
    "/v1/^admin",
    "/v1/\"admin\"",
];

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

/// The same table over the wire, where hyper reads the path, byte for byte as it stands.
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

/// The oracle can find something: a judge who compares paths as they stand falls for most of the table.
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
