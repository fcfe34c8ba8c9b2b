//! A client that says who it is in headers gains nothing.

use std::convert::Infallible;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::{HeaderMap, Request};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use countersign::integration::hyper::Client;
use countersign::pki::GeneralName;

use super::front::{Front, Running, echoed, header};
use super::support::PATIENCE;

const NAMES: [&str; 12] = [
    "client-cert",
    "Client-Cert",
    "CLIENT-CERT",
    "client_cert",
    "Client_Cert-Chain",
    "client-cert-chain",
    "client.cert",
    "x-forwarded-client-cert",
    "X-Forwarded-Client-Cert",
    "x_forwarded_client_cert",
    "X-User",
    "x_user",
];

/// What the server behind gets of it: our headers, each once, and nothing of the client's.
fn assert_gains_nothing(echoed: &Value, certificate: &[u8]) {
    assert!(!echoed.to_string().contains("forged"), "{echoed}");
    let expected = format!(":{}:", STANDARD.encode(certificate));
    assert_eq!(header(echoed, "client-cert"), [expected]);
    let [xfcc] = header(echoed, "x-forwarded-client-cert")[..] else {
        panic!("one: {echoed}");
    };
    assert!(xfcc.starts_with("Hash=") && xfcc.ends_with(";DNS=alice.example"));
    // Alice's path has no intermediate, so that no header may claim one.
    assert_eq!(header(echoed, "client-cert-chain"), [""; 0]);
    assert_eq!(header(echoed, "connection"), [""; 0], "{echoed}");
    assert_eq!(echoed["body"], "hello");
    assert!(echoed["trailers"].is_null() || echoed["trailers"] == serde_json::json!([]));
}

/// Sends these lines as HTTP/1.1, and returns what the server behind got.
async fn by_http1(front: &Front, gateway: &Running, path: &str, lines: &str) -> Value {
    let connector = front.connector("alice.example", "http/1.1");
    let tcp = TcpStream::connect(("127.0.0.1", gateway.port))
        .await
        .unwrap();
    let mut stream = connector.connect("localhost", tcp).await.unwrap();
    let request = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\n{lines}");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut said = Vec::new();
    let read = timeout(PATIENCE, stream.read_to_end(&mut said)).await;
    read.unwrap().unwrap();
    let said = String::from_utf8(said).unwrap();
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
    let (_, body) = said.split_once("\r\n\r\n").unwrap();
    serde_json::from_str(body).unwrap()
}

#[tokio::test]
async fn forged_headers_are_removed_over_http1_in_any_spelling() {
    let front = Front::new();
    let gateway = front.run("").await;
    let mut forged = String::new();
    for name in NAMES {
        // Twice.
        forged.push_str(&format!("{name}: forged\r\n{name}: :Zm9yZ2Vk:, forged\r\n"));
    }
    for path in ["/v1/orders", "/mtls/orders", "/h2/orders"] {
        for (lines, body) in [
            (
                format!("{forged}Content-Length: 5\r\nConnection: close\r\n\r\n"),
                "hello",
            ),
            // Listed as a header of this connection, so that a proxy would take ours out.
            (
                "Content-Length: 5\r\nConnection: close, client-cert, Client_Cert, x-forwarded-client-cert\r\n\
                 Client-Cert: forged\r\n\r\n"
                    .into(),
                "hello",
            ),
            (
                "Content-Length: 5\r\nConnection: X-Forwarded-Client-Cert\r\n\
                 Connection: client-cert,close\r\n\r\n"
                    .into(),
                "hello",
            ),
            // In trailers.
            (
                format!(
                    "{forged}Transfer-Encoding: chunked\r\nTrailer: client-cert, x-user\r\nConnection: close\r\n\r\n"
                ),
                "5\r\nhello\r\n0\r\nClient-Cert: forged\r\nX-User: forged\r\nclient_cert: forged\r\n\r\n",
            ),
        ] {
            let echoed = by_http1(&front, &gateway, path, &format!("{lines}{body}")).await;
            // The certificate is one that was made for this connection: the server behind has it whole.
            let [shown] = header(&echoed, "client-cert")[..] else {
                panic!("one: {echoed}");
            };
            let shown = STANDARD.decode(shown.trim_matches(':')).unwrap();
            let certificate = countersign::Certificate::from_der(&shown).unwrap();
            let names = certificate.subject_alternative_names().unwrap();
            assert_eq!(names, [GeneralName::Dns((*b"alice.example").into())]);
            assert_gains_nothing(&echoed, &shown);
        }
    }
}

#[tokio::test]
async fn forged_headers_are_removed_over_http2_and_in_its_trailers() {
    let front = Front::new();
    let gateway = front.run("").await;
    for path in ["/v1/orders", "/mtls/orders", "/h2/orders"] {
        let own = front.ca.leaf().dns("alice.example").issue();
        let connector = front.connector("alice.example", "h2");
        let update = countersign::Update::new().credentials(own.credentials());
        connector.control().update(update).unwrap();
        let alice = Client::new(connector);
        let mut trailers = HeaderMap::new();
        let mut request = Request::post(gateway.url(path));
        for name in NAMES.map(str::to_ascii_lowercase) {
            let name: hyper::header::HeaderName = name.parse().unwrap();
            request = request
                .header(&name, "forged")
                .header(&name, "forged, twice");
            trailers.append(name, "forged".parse().unwrap());
        }
        let body = Full::new(Bytes::from("hello"));
        let body = body.with_trailers(async move { Some(Ok::<_, Infallible>(trailers)) });
        let request = request.body(body.boxed()).unwrap();
        let echoed = echoed(alice.request(request).await.unwrap()).await;
        assert_gains_nothing(&echoed, own.leaf_der());
    }
}
