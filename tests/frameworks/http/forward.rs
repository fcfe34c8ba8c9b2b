//! The peer's certificate in the headers of a request that is passed on.

use std::convert::Infallible;

use countersign::identity::DnsName;
use countersign::integration::http::{ForwardError, ForwardedIdentity, XfccField, peer_in};
use countersign::integration::hyper::{Client, RequestBody};
use countersign::testing::{self, Issued, TestCa};
use countersign::{ConnectionInfo, Peer, policy};
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::body::Bytes;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Request, Response, StatusCode};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use support::http::{ALPN, acceptor, connector, get, serve, text};

fn peer(ca: &TestCa, issued: &Issued) -> Peer<()> {
    testing::peer_of((), ca, issued, ConnectionInfo::default())
}

fn every_field() -> ForwardedIdentity {
    ForwardedIdentity::new().client_cert_chain().xfcc([
        XfccField::Dns,
        XfccField::Uri,
        XfccField::Subject,
        XfccField::Chain,
        XfccField::Cert,
        XfccField::Hash,
        XfccField::By("spiffe://example.org/gateway".into()),
    ])
}

fn headers_of(forward: &ForwardedIdentity, peer: &Peer<()>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    forward.apply(&mut headers, peer).unwrap();
    headers
}

fn one<'h>(headers: &'h HeaderMap, name: &str) -> &'h str {
    let mut values = headers.get_all(name).iter();
    let value = values.next().expect(name).to_str().unwrap();
    assert!(values.next().is_none(), "{name} is there once");
    value
}

/// Reads an element as Envoy's documentation describes it.
fn parse_xfcc(element: &str) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    let mut rest = element;
    loop {
        let (key, value) = rest.split_once('=').expect("a key");
        let (value, after) = if let Some(quoted) = value.strip_prefix('"') {
            let mut text = String::new();
            let mut characters = quoted.char_indices();
            let end = loop {
                match characters.next().expect("a closing quote") {
                    (at, '"') => break at,
                    (_, '\\') if characters.as_str().starts_with('"') => {
                        characters.next();
                        text.push('"');
                    }
                    (_, character) => text.push(character),
                }
            };
            (text, &quoted[end + 1..])
        } else {
            let end = value.find([';', ',']).unwrap_or(value.len());
            (value[..end].to_owned(), &value[end..])
        };
        pairs.push((key.to_owned(), value));
        match after.strip_prefix(';') {
            Some(more) => rest = more,
            None => {
                assert_eq!(after, "", "one element, and nothing behind it");
                return pairs;
            }
        }
    }
}

fn url_decoded(text: &str) -> Vec<u8> {
    let mut pieces = text.split('%');
    let mut decoded = pieces.next().unwrap().as_bytes().to_vec();
    for piece in pieces {
        decoded.push(u8::from_str_radix(&piece[..2], 16).unwrap());
        decoded.extend(piece[2..].bytes());
    }
    decoded
}

fn base64_decoded(text: &str) -> Vec<u8> {
    let pem = format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n");
    CertificateDer::from_pem_slice(pem.as_bytes())
        .unwrap()
        .to_vec()
}

#[test]
fn rfc_9440_has_the_leaf_and_its_issuers() {
    let root = TestCa::new("Root");
    let middle = root.intermediate("Middle");
    let issuing = middle.intermediate("Issuing");
    let leaf = issuing.leaf().dns("alice.example").issue();
    let headers = headers_of(&every_field(), &peer(&root, &leaf));
    let bytes = |text: &str| {
        let text = text.strip_prefix(':').unwrap().strip_suffix(':').unwrap();
        base64_decoded(text)
    };
    assert_eq!(
        bytes(one(&headers, "client-cert")),
        leaf.leaf_der().to_vec()
    );
    let chain: Vec<_> = one(&headers, "client-cert-chain")
        .split(", ")
        .map(bytes)
        .collect();
    let issuers: Vec<_> = leaf.chain()[1..].iter().map(|der| der.to_vec()).collect();
    assert_eq!(chain, issuers);
    assert_eq!(chain.len(), 2, "without the leaf, and without the root");

    // Issued by a root: there are no intermediates.
    let leaf = root.leaf().dns("alice.example").issue();
    let headers = headers_of(&every_field(), &peer(&root, &leaf));
    assert!(headers.contains_key("client-cert"));
    assert!(!headers.contains_key("client-cert-chain"));

    // What was not asked for is not set.
    let headers = headers_of(&ForwardedIdentity::new().client_cert(), &peer(&root, &leaf));
    assert_eq!(headers.len(), 1);
    assert_eq!(
        headers_of(&ForwardedIdentity::new(), &peer(&root, &leaf)).len(),
        0
    );
}

#[test]
fn xfcc_reads_as_envoy_writes_it() {
    let root = TestCa::new("Root");
    let issuing = root.intermediate("Issuing");
    let leaf = issuing
        .leaf()
        .common_name("Alice")
        .attribute("2.5.4.10", 0x0c, "Müller, \"Söhne\" \\ Co; a=b".as_bytes())
        .uri("spiffe://example.org/a,b;c=d")
        .uri("spiffe://example.org/plain")
        .dns("alice.example")
        .dns("alice.internal")
        .issue();
    let peer = peer(&root, &leaf);
    let headers = headers_of(&every_field(), &peer);
    let element = one(&headers, "x-forwarded-client-cert");
    let pairs = parse_xfcc(element);
    let keys: Vec<_> = pairs.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(
        keys,
        [
            "By", "Hash", "Cert", "Chain", "Subject", "URI", "URI", "DNS", "DNS"
        ]
    );
    let all = |key: &str| -> Vec<&str> {
        let pairs = pairs.iter().filter(|(name, _)| name == key);
        pairs.map(|(_, value)| value.as_str()).collect()
    };
    assert_eq!(all("By"), ["spiffe://example.org/gateway"]);
    assert_eq!(all("Hash"), [peer.certificate().sha256().to_string()]);
    assert_eq!(
        all("URI"),
        ["spiffe://example.org/a,b;c=d", "spiffe://example.org/plain"]
    );
    assert!(
        element.contains(";URI=spiffe://example.org/plain;"),
        "no quotes without need"
    );
    assert_eq!(all("DNS"), ["alice.example", "alice.internal"]);
    // OpenSSL reads the same out of RFC 4514's pairs of digits as out of its backslashes.
    let subject = all("Subject")[0];
    assert_eq!(
        subject,
        "O=M\\C3\\BCller\\2C \\22S\\C3\\B6hne\\22 \\5C Co\\3B a=b,CN=Alice"
    );
    let certificates = |key: &str| -> Vec<_> {
        let pem = url_decoded(all(key)[0]);
        let all = CertificateDer::pem_slice_iter(&pem).map(Result::unwrap);
        all.collect()
    };
    assert_eq!(certificates("Cert"), leaf.chain()[..1]);
    assert_eq!(certificates("Chain"), *leaf.chain());
    for character in ['\n', ' ', '+', '/', '='] {
        assert!(!all("Chain")[0].contains(character), "{character:?}");
    }
}

/// A certificate that would write more into the header than its own fields.
#[test]
fn a_name_that_could_be_read_in_two_ways_is_not_forwarded() {
    let root = TestCa::new("Root");
    let xfcc = |fields: [XfccField; 1]| ForwardedIdentity::new().client_cert().xfcc(fields);
    for hostile in [
        &b"spiffe://example.org/\\\",URI=spiffe://example.org/admin"[..],
        b"spiffe://example.org/a\\",
        b"spiffe://example.org/a\r\nx-user: admin",
        b"spiffe://example.org/a\0",
        b"spiffe://example.org/\xc3\xa4",
        b"spiffe://example.org/\xff",
    ] {
        for (tag, field) in [(0x86, XfccField::Uri), (0x82, XfccField::Dns)] {
            let leaf = root.leaf().general_name(tag, hostile).issue();
            let peer = peer(&root, &leaf);
            let mut headers = HeaderMap::new();
            headers.insert("client-cert", HeaderValue::from_static("forged"));
            let error = xfcc([field]).apply(&mut headers, &peer).unwrap_err();
            assert!(
                matches!(error, ForwardError::Unrepresentable { .. }),
                "{error:?}"
            );
            assert!(
                headers.is_empty(),
                "neither the forged one nor half of ours: {headers:?}"
            );
            // A certificate without names can still be forwarded.
            xfcc([XfccField::Hash]).apply(&mut headers, &peer).unwrap();
            assert_eq!(headers.len(), 2);
        }
    }
    // A quote alone has one reading: Envoy's escape.
    let uri = b"spiffe://example.org/\",URI=spiffe://example.org/admin";
    let leaf = root.leaf().general_name(0x86, uri).issue();
    let headers = headers_of(&xfcc([XfccField::Uri]), &peer(&root, &leaf));
    let pairs = parse_xfcc(one(&headers, "x-forwarded-client-cert"));
    assert_eq!(pairs.len(), 1);
    assert_eq!(pairs[0].1.as_bytes(), uri);
}

#[test]
fn what_the_client_sent_is_removed_first() {
    let root = TestCa::new("Root");
    let leaf = root.leaf().dns("alice.example").issue();
    let names = [
        "client-cert",
        "Client-Cert",
        "client_cert",
        "CLIENT_CERT",
        "client-cert-chain",
        "client_cert-chain",
        "x-forwarded-client-cert",
        "X_Forwarded_Client_Cert",
        "x.forwarded.client.cert",
        "x-user",
        "X_User",
    ];
    let forward = ForwardedIdentity::new().strip(HeaderName::from_static("x-user"));
    let mut headers = HeaderMap::new();
    for name in names {
        for _ in 0..2 {
            let name: HeaderName = name.parse().unwrap();
            headers.append(name, HeaderValue::from_static("forged"));
        }
    }
    headers.insert("x-users", HeaderValue::from_static("kept"));
    headers.insert("accept", HeaderValue::from_static("kept"));
    let mut without_peer = headers.clone();
    forward.apply(&mut headers, &peer(&root, &leaf)).unwrap();
    assert_eq!(headers.len(), 2, "{headers:?}");
    assert!(headers.values().all(|value| value == "kept"));
    forward.remove(&mut without_peer);
    assert_eq!(without_peer, headers);
}

#[test]
fn headers_of_a_prefix_are_removed_in_any_spelling() {
    let forward = ForwardedIdentity::new().strip_prefix(HeaderName::from_static("x-portkey-"));
    let mut headers = HeaderMap::new();
    for name in [
        "x-portkey-config",
        "X-Portkey-Custom-Host",
        "x_portkey_provider",
        "x-portkey-",
    ] {
        let name: HeaderName = name.parse().unwrap();
        headers.append(name, HeaderValue::from_static("forged"));
    }
    for name in ["x-portkey", "x-portkeys-a", "ax-portkey-a"] {
        headers.append(
            HeaderName::from_static(name),
            HeaderValue::from_static("kept"),
        );
    }
    headers.insert(
        "connection",
        HeaderValue::from_static("x-portkey-config, upgrade"),
    );
    forward.remove(&mut headers);
    assert_eq!(headers.remove("connection").unwrap(), "upgrade");
    assert_eq!(headers.len(), 3, "{headers:?}");
    assert!(headers.values().all(|value| value == "kept"));
}

/// `Connection` names headers that the next proxy must take out: ours must not be among them.
#[test]
fn connection_does_not_take_our_headers_out() {
    for (sent, left) in [
        ("close, Client-Cert", Some("close")),
        ("client_cert,x-forwarded-client-cert", None),
        ("keep-alive,upgrade", Some("keep-alive,upgrade")),
        ("x-user , upgrade", Some("upgrade")),
    ] {
        let forward = ForwardedIdentity::new().strip(HeaderName::from_static("x-user"));
        let mut headers = HeaderMap::new();
        headers.insert("connection", HeaderValue::from_static(sent));
        forward.remove(&mut headers);
        let now = headers
            .get("connection")
            .map(|value| value.to_str().unwrap());
        assert_eq!(now, left, "{sent}");
    }
}

/// A gateway: its upstream gets the identity of the caller, and nothing else.
#[tokio::test]
async fn an_upstream_receives_the_identity_of_the_caller() {
    let ca = TestCa::new("Root");
    // The upstream returns what it got.
    let received = tower::service_fn(|request: Request<RequestBody>| async move {
        let gateway = peer_in::<DnsName>(request.extensions())
            .unwrap()
            .identity()
            .clone();
        let received = request.headers().get_all("x-forwarded-client-cert").iter();
        let received: Vec<_> = received.map(|value| value.to_str().unwrap()).collect();
        let forged = request.headers().contains_key("x-user");
        let body = format!("{gateway} {forged} {received:?}");
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(body))))
    });
    let upstream_acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
    let upstream = serve(&upstream_acceptor, received).await;
    let to_upstream = Client::new(connector(&ca, "gateway.example", "h2").build().unwrap());
    let url = upstream.url("/");
    let forward = ForwardedIdentity::new()
        .xfcc([XfccField::Dns])
        .strip(HeaderName::from_static("x-user"));
    let gateway = tower::service_fn(move |request: Request<RequestBody>| {
        let (client, forward, url) = (to_upstream.clone(), forward.clone(), url.clone());
        async move {
            let mut onward = get(&url);
            *onward.headers_mut() = request.headers().clone();
            onward.headers_mut().remove("host");
            let peer = peer_in::<DnsName>(request.extensions()).unwrap();
            forward.apply(onward.headers_mut(), peer).unwrap();
            let response = client.request(onward).await.unwrap();
            let body = response.into_body().collect().await.unwrap().to_bytes();
            Ok::<_, Infallible>(Response::new(Full::new(body)))
        }
    });
    let gateway_acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
    let gateway = serve(&gateway_acceptor, gateway).await;
    for alpn in ALPN {
        let alice = Client::new(connector(&ca, "alice.example", alpn).build().unwrap());
        let mut request: Request<Empty<Bytes>> = get(&gateway.url("/"));
        let forged = HeaderValue::from_static("DNS=admin.example");
        request
            .headers_mut()
            .append("x-forwarded-client-cert", forged.clone());
        request
            .headers_mut()
            .append("x-forwarded-client-cert", forged.clone());
        request.headers_mut().append("x-user", forged);
        let response = alice.request(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(
            text(response).await,
            "gateway.example false [\"DNS=alice.example\"]"
        );
    }
}
