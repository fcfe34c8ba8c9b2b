//! hyper on both sides.

use countersign::identity::{CommonName, DnsName};
use countersign::integration::hyper::{Client, HttpsConnector, RequestBody};
use countersign::testing::TestCa;
use countersign::{Peer, policy};
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper_util::client::legacy;
use hyper_util::rt::TokioExecutor;
use rustls::AlertDescription;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio::time::timeout;

use support::http::{
    ALPN, PATIENCE, WhoAmI, acceptor, alert_in, connector, deny_all, get, is_access_denied, name,
    refused_in, serve, text,
};

#[tokio::test]
async fn each_request_knows_its_client_and_each_response_its_server() {
    let ca = TestCa::new("Root");
    let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
    let server = serve(&acceptor, WhoAmI::default()).await;
    let clients = ALPN.map(|alpn| {
        let alice = connector(&ca, "alice.example", alpn).build().unwrap();
        Client::new(alice)
    });
    for (client, version) in clients.iter().zip(["HTTP/1.1", "HTTP/2.0"]) {
        for _ in 0..2 {
            let response = client.request(get(&server.url("/"))).await.unwrap();
            let peer = response.extensions().get::<Peer<DnsName>>().unwrap();
            assert_eq!(*peer.identity(), name("localhost"));
            assert_eq!(peer.connection().remote_addr(), Some(server.address));
            let said = text(response).await;
            assert_eq!(said, format!("alice.example resumed=false {version}"));
        }
    }
    assert_eq!(
        acceptor.control().connections().len(),
        2,
        "each client has kept one"
    );
}

#[tokio::test]
async fn a_resumed_session_has_its_peer_too() {
    let ca = TestCa::new("Root");
    let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
    let server = serve(&acceptor, WhoAmI::default()).await;
    for alpn in ALPN {
        let alice = connector(&ca, "alice.example", alpn).build().unwrap();
        for resumed in ["resumed=false", "resumed=true"] {
            // A client of its own has a connection of its own.
            let client = Client::new(alice.clone());
            let response = client.request(get(&server.url("/"))).await.unwrap();
            assert!(text(response).await.contains(resumed));
        }
        // And is authorized again.
        acceptor.control().set_policy(deny_all);
        let client = Client::new(alice.clone());
        let error = client.request(get(&server.url("/"))).await.unwrap_err();
        assert!(is_access_denied(&error), "{alpn}: {error:?}");
        acceptor.control().set_policy(policy::allow_any());
    }
}

#[tokio::test]
async fn a_denied_client_reaches_no_service() {
    let ca = TestCa::new("Root");
    let only_bob = policy::exact([name("bob.example")]);
    let acceptor = acceptor(&ca, only_bob).build().unwrap();
    let service = WhoAmI::default();
    let server = serve(&acceptor, service.clone()).await;
    for alpn in ALPN {
        let alice = Client::new(connector(&ca, "alice.example", alpn).build().unwrap());
        let error = alice.request(get(&server.url("/"))).await.unwrap_err();
        assert!(is_access_denied(&error), "{alpn}: {error:?}");
    }
    assert_eq!(service.count(), 0);
    for alpn in ALPN {
        let bob = Client::new(connector(&ca, "bob.example", alpn).build().unwrap());
        let response = bob.request(get(&server.url("/"))).await.unwrap();
        assert!(text(response).await.starts_with("bob.example "));
    }
    assert_eq!(service.count(), 2);
}

#[tokio::test]
async fn a_server_that_is_denied_gets_no_request() {
    let ca = TestCa::new("Root");
    let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
    let service = WhoAmI::default();
    let server = serve(&acceptor, service.clone()).await;
    let alice = connector(&ca, "alice.example", "h2").build().unwrap();
    alice.control().set_policy(deny_all);
    let client = Client::new(alice.clone());
    let error = client.request(get(&server.url("/"))).await.unwrap_err();
    assert_eq!(refused_in(&error), Some("denied"));
    assert_eq!(service.count(), 0);

    alice.control().set_policy(policy::allow_any());
    client.request(get(&server.url("/"))).await.unwrap();
    assert_eq!(service.count(), 1);
}

#[tokio::test]
async fn a_server_that_requests_no_certificate_receives_no_request() {
    let ca = TestCa::new("Root");
    let leaf = ca.leaf().dns("localhost").issue();
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(leaf.chain().to_vec(), leaf.key_der())
        .unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}/", tcp.local_addr().unwrap().port());
    let serving = tokio::spawn(async move {
        let (tcp, _) = tcp.accept().await.unwrap();
        let tls = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(config));
        tls.accept(tcp).await.map(drop)
    });
    let client = Client::new(connector(&ca, "alice.example", "http/1.1").build().unwrap());
    let error = client.request(get(&url)).await.unwrap_err();
    assert_eq!(refused_in(&error), Some("not_asked"));
    let error = serving.await.unwrap().unwrap_err();
    assert_eq!(alert_in(&error), Some(AlertDescription::HandshakeFailure));
}

#[tokio::test]
async fn without_tls_there_is_no_connection() {
    let ca = TestCa::new("Root");
    let alice = connector(&ca, "alice.example", "http/1.1").build().unwrap();
    let client = legacy::Client::builder(TokioExecutor::new())
        .build::<_, Empty<Bytes>>(HttpsConnector::new(alice));
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = tcp.local_addr().unwrap().port();
    for url in ["http", "HTTP", "ws", "unix"].map(|scheme| format!("{scheme}://localhost:{port}/"))
    {
        let error = client.request(get(&url)).await.unwrap_err();
        assert_eq!(refused_in(&error), Some("not_https"), "{url}: {error:?}");
    }
    // The twin: with https, a client connects.
    let url = format!("https://localhost:{port}/");
    let (_, came) = tokio::join!(
        timeout(PATIENCE, async { drop(client.request(get(&url)).await) }),
        async {
            let (mut tcp, _) = timeout(PATIENCE, tcp.accept()).await.unwrap().unwrap();
            let first = timeout(PATIENCE, tcp.read_u8()).await;
            first.unwrap().unwrap()
        }
    );
    assert_eq!(came, 0x16, "and it begins with a TLS handshake");
}

#[tokio::test]
async fn of_another_type_of_identity_there_is_no_peer() {
    let ca = TestCa::new("Root");
    let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
    let service = tower::service_fn(|request: hyper::Request<RequestBody>| async move {
        let extensions = request.extensions();
        let body = format!(
            "{} {}",
            countersign::integration::http::peer_in::<DnsName>(extensions).is_some(),
            countersign::integration::http::peer_in::<CommonName>(extensions).is_some()
        );
        Ok::<_, std::convert::Infallible>(hyper::Response::new(body))
    });
    let server = serve(&acceptor, service).await;
    let client = Client::new(connector(&ca, "alice.example", "h2").build().unwrap());
    let response = client.request(get(&server.url("/"))).await.unwrap();
    assert_eq!(text(response).await, "true false");
}
