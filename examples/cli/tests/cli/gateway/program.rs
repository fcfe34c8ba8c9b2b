//! The program: its demonstration, its configuration, and its signals.

use std::time::Duration;

use serde_json::json;

use super::front::{Front, next_event};
use super::support::get;
use crate::example::countersign;
use crate::programs::run;
use crate::running::Server;
use countersign_cli::gateway::proxy::Config;

#[tokio::test]
async fn without_a_configuration_it_shows_what_it_does() {
    let finished = run(&mut countersign("gateway"), "").await;
    assert_eq!((finished.code, &*finished.stderr), (Some(0), ""));
    // The audit's lines come in between.
    let lines: Vec<_> = finished.stdout.lines().collect();
    let (audited, shown): (Vec<&str>, Vec<&str>) =
        lines.iter().partition(|line| line.starts_with("   audit:"));
    assert_eq!(
        shown,
        [
            "An assistant calls the model.",
            "   response:  200, in separate events: one two three",
            "It sends a forged Client-Cert header.",
            "   upstream:  one Client-Cert header with the assistant's certificate: true",
            "It exceeds its rate limit.",
            "   response:  429, Retry-After: 1",
            "Support calls the model.",
            "   response:  403",
            "A client that is not allowed connects.",
            "   response:  no connection",
        ]
    );
    assert_eq!(audited.len(), 6, "{audited:?}");
}

#[test]
fn the_documented_configuration_is_valid_and_names_the_defaults() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).to_owned();
    let path = folder.join("gateway.toml");
    let documented = Config::from_file(&path).unwrap();
    assert_eq!(documented.tls.cert, Some(folder.join("gateway.crt")));
    let text = std::fs::read_to_string(path).unwrap();
    let (before, rest) = text.split_once("[limits]").unwrap();
    let (_, after) = rest.split_once("[forward]").unwrap();
    let without: Config = toml::from_str(&format!("{before}[forward]{after}")).unwrap();
    let mut limits = documented.limits;
    assert!(limits.rate.take().is_some() && limits.max_response_body.take().is_some());
    assert_eq!(format!("{limits:?}"), format!("{:?}", without.limits));
}

#[tokio::test]
async fn an_invalid_configuration_is_rejected_with_its_place() {
    let front = Front::new();
    let good = std::fs::read_to_string(front.config("").await).unwrap();
    let path = front.path("bad.toml");
    for (old, new, why) in [
        ("identity = \"dns\"", "identity = \"name\"", "name"),
        (
            "cert = \"server.crt\"",
            "cert = \"missing.crt\"",
            "missing.crt",
        ),
        ("key = \"server.key\"", "key = \"client.key\"", "key"),
        ("path = \"/v1/{*rest}\"", "path = \"/v1/\"", "routes: write"),
        (
            "upstream = \"plain\"",
            "upstream = \"plane\"",
            "no upstream is called plane",
        ),
        ("methods = [\"POST\", \"PUT\"]", "methods = []", "no method"),
        (
            "methods = [\"POST\", \"PUT\"]",
            "methods = [\"CONNECT\"]",
            "CONNECT",
        ),
        (
            "name = \"read\"",
            "name = \"write\"",
            "two routes have this name",
        ),
        ("http://127.0.0.1", "http://192.0.2.1", "loopback"),
        ("https://localhost", "http://localhost", "upstreams.mtls"),
        (
            "strip = [\"x-user\"]",
            "strip = [\"x user\"]",
            "forward.strip",
        ),
        (
            "[upstreams.mtls]",
            "http2 = true\n[upstreams.mtls]",
            "http2 is for https",
        ),
        ("listen = ", "listens = ", "listens"),
        (
            "who = [\"alice.example\"]",
            "who = [\"*\"]",
            "routes: write",
        ),
        (
            "name = \"read\"",
            "name = \"read\"\nheaders = { x-tenant = [] }",
            "routes: read: ",
        ),
        (
            "name = \"read\"",
            "name = \"read\"\nheaders = { \"x tenant\" = [\"red\"] }",
            "it is no header name",
        ),
    ] {
        assert!(good.contains(old), "{old}");
        std::fs::write(&path, good.replacen(old, new, 1)).unwrap();
        let finished = run(countersign("gateway").arg("--config").arg(&path), "").await;
        assert_eq!((finished.code, &*finished.stdout), (Some(1), ""), "{new}");
        assert!(finished.stderr.contains(why), "{new}: {}", finished.stderr);
    }
    let missing = front.path("nowhere.toml");
    let finished = run(countersign("gateway").arg("--config").arg(missing), "").await;
    assert!(finished.stderr.contains("nowhere.toml"), "{finished:?}");
}

#[cfg(unix)]
#[tokio::test]
async fn sigterm_finishes_requests_in_flight_and_stops() {
    let front = Front::new();
    let mut program = countersign("gateway");
    program.arg("--config").arg(front.config("").await);
    let mut server = Server::spawn(program).await;
    let port = server.port;
    let url = |path: &str| format!("https://localhost:{port}{path}");
    let alice = front.client("alice.example", "h2");
    let response = alice.request(get(&url("/v1/events/1"))).await.unwrap();
    let sender = front.behind.stream("1").await;
    let mut body = response.into_body();

    front.renew_server();
    server.signal("HUP").await;
    assert_eq!(server.logged().await, json!({"event": "reloaded"}));
    server.signal("TERM").await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    for number in 0..3 {
        sender.send(number.to_string()).await.unwrap();
        let event = next_event(&mut body).await.unwrap().unwrap();
        assert_eq!(event, format!("data: {number}\n\n"));
    }
    let refused = front.client("alice.example", "h2");
    assert!(refused.request(get(&url("/v1/x"))).await.is_err());
    drop(sender);
    assert!(next_event(&mut body).await.is_none());
    drop(alice);
    let stopped = server.ended().await;
    assert_eq!(stopped.code, Some(0));
    assert_eq!(stopped.log.len(), 1);
    assert_eq!(stopped.log[0]["complete"], true);
}
