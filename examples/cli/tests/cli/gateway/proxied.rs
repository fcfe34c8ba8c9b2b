//! The gateway behind a proxy that vouches for its clients.

use ::support::forwarded::{Format, forwarded};
use http_body_util::Empty;
use hyper::Request;
use hyper::body::Bytes;

use super::front::{Front, echoed, header};
use crate::example::countersign;
use crate::programs::run;
use crate::running::Server;

#[tokio::test]
async fn the_client_of_a_proxy_is_authorized_and_forwarded() {
    let front = Front::new();
    let mut program = countersign("gateway");
    program.arg("--config").arg(front.config("").await);
    program.args(["--identity-from-proxy", "edge.example=client-cert"]);
    let mut server = Server::spawn(program).await;
    let url = format!("https://localhost:{}/v1/x", server.port);
    let edge = front.client::<Empty<Bytes>>("edge.example", "http/1.1");
    for (who, status, reason) in [
        ("alice.example", 200, None),
        ("bob.example", 200, None),
        ("carol.example", 403, None), // no route
        ("eve.example", 403, Some("denied")),
        ("edge.example", 403, Some("denied")), // it may connect, and is no client
    ] {
        let client = front.ca.leaf().dns(who).issue();
        let (name, value) = forwarded(Format::ClientCert, &client).remove(0);
        let request = Request::get(&url).header(name, &value);
        let request = request.body(Empty::new()).unwrap();
        let response = edge.request(request).await.unwrap();
        assert_eq!(response.status(), status, "{who}");
        if status == 200 {
            let echoed = echoed(response).await;
            assert_eq!(header(&echoed, "client-cert"), [value]);
            assert_eq!(header(&echoed, "x-forwarded-for"), [""; 0]);
        }
        let line = server.logged().await;
        assert_eq!(line["status"], status, "{line}");
        if let Some(reason) = reason {
            assert_eq!(line["reason"], reason, "{line}");
        } else {
            assert_eq!(line["identity"], who, "{line}");
            assert_eq!(line["proxy"], "edge.example", "{line}");
        }
    }
    let request = Request::get(&url).body(Empty::new()).unwrap();
    assert_eq!(edge.request(request).await.unwrap().status(), 403);
    let line = server.logged().await;
    assert_eq!(line["reason"], "proxied_identity_missing", "{line}");
    server.stop().await;
}

#[tokio::test]
async fn invalid_options_are_named() {
    let front = Front::new();
    let config = front.config("").await;
    for (options, why) in [
        (
            ["--proxy-protocol", "10.0.0.1/8"],
            "it has bits after its prefix",
        ),
        (
            ["--proxy-protocol", "proxy.example"],
            "neither an address nor a network",
        ),
        (
            ["--identity-from-proxy", "edge.example"],
            "write PATTERN=HEADER",
        ),
        (
            ["--identity-from-proxy", "edge.example=x-cert"],
            "the header is one of client-cert, xfcc",
        ),
        (
            ["--identity-from-proxy", "edge.example=nginx:a b"],
            "the header is one of client-cert, xfcc",
        ),
        (
            ["--identity-from-proxy", "*.*.example=xfcc"],
            "--identity-from-proxy *.*.example",
        ),
    ] {
        let mut program = countersign("gateway");
        program.arg("--config").arg(&config).args(options);
        let finished = run(&mut program, "").await;
        assert_eq!(finished.code, Some(1), "{options:?}: {finished:?}");
        assert!(finished.stderr.contains(why), "{options:?}: {finished:?}");
    }
    let finished = run(
        countersign("gateway").args(["--proxy-protocol", "10.0.0.1"]),
        "",
    )
    .await;
    assert!(finished.stderr.contains("need --config"), "{finished:?}");
}
