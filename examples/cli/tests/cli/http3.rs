//! HTTP/3 with `serve --http3` and `call --http3`, beside HTTP over TCP at the same port.

use serde_json::Value;

use crate::interop::Pki;
use crate::running::{Server, client, with};

async fn start(pki: &Pki, options: &[&str]) -> Server {
    let files = pki.files("server", &pki.server());
    let options = options.iter().map(Into::into);
    let options = ["--identity", "cn", "--allow", "alice"]
        .map(Into::into)
        .into_iter()
        .chain(options);
    Server::start(&files, options.chain(with("--trust", &pki.ca_file))).await
}

fn options(pki: &Pki) -> Vec<std::path::PathBuf> {
    let mut options = vec!["--http3".into()];
    options.extend(with("--trust", &pki.ca_file));
    options
}

#[tokio::test]
async fn one_port_serves_http3_beside_tcp_by_the_same_rules() {
    let pki = Pki::new();
    let server = start(&pki, &["--http3"]).await;
    let alice = pki.client("alice");

    let over_quic = client(&alice, options(&pki), &server.url()).await;
    assert_eq!((over_quic.code, &*over_quic.stderr), (Some(0), ""));
    let answer: Value = serde_json::from_str(&over_quic.stdout).unwrap();
    assert_eq!(
        (&answer["identity"], &answer["rule"]),
        (&"alice".into(), &"alice".into())
    );
    let over_tcp = client(&alice, with("--trust", &pki.ca_file), &server.url()).await;
    assert_eq!(over_tcp.stdout, over_quic.stdout);

    let mallory = pki.client("mallory");
    let denied = client(&mallory, options(&pki), &server.url()).await;
    assert_eq!(denied.code, Some(1));
    assert!(denied.stderr.contains("access_denied"), "{}", denied.stderr);
    assert!(
        denied.stderr.contains("the server refused our certificate"),
        "{}",
        denied.stderr
    );

    let elsewhere = format!("{}elsewhere", server.url());
    let finished = client(&alice, options(&pki), &elsewhere).await;
    assert_eq!(
        finished.stderr,
        "error: the server answered 404 Not Found\n"
    );

    let stopped = server.stop().await;
    let log = stopped.attempts();
    let found: Vec<_> = log
        .iter()
        .map(|line| {
            let protocol = line["tls"]["next_protocol"].as_str().unwrap_or_default();
            (line["event"]["action"].as_str().unwrap(), protocol)
        })
        .collect();
    assert_eq!(
        found,
        [
            ("admitted", "h3"),
            ("admitted", "h2"),
            ("denied", "h3"),
            ("admitted", "h3")
        ]
    );
}

#[tokio::test]
async fn without_the_option_nothing_listens_on_udp() {
    let pki = Pki::new();
    let server = start(&pki, &[]).await;
    let alice = pki.client("alice");
    let mut options = options(&pki);
    options.extend(["--timeout".into(), "2".into()]);
    let finished = client(&alice, options, &server.url()).await;
    assert_eq!(finished.code, Some(1));
}

#[tokio::test]
async fn an_idle_connection_is_closed_when_the_server_stops() {
    use countersign::integration::quinn::{Client, ConnectionError};

    let pki = Pki::new();
    let server = start(&pki, &["--http3"]).await;
    let connector = pki.connector_with(countersign::policy::allow_any(), &pki.ca);
    let client = Client::builder(connector).alpn(["h3"]);
    let client = client.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let address = ([127, 0, 0, 1], server.port).into();
    let connection = client.connect(address, "localhost").await.unwrap();
    // It sends its settings, so it is admitted.
    let settings = connection.accept_uni().await;
    assert!(settings.is_ok(), "{settings:?}");
    server.signal("TERM").await;
    let closed = tokio::time::timeout(std::time::Duration::from_secs(5), connection.closed()).await;
    match closed.expect("it does not wait for the end of the drain time") {
        ConnectionError::Lost(quinn::ConnectionError::ApplicationClosed(close)) => {
            assert_eq!(close.error_code.into_inner(), 0x100); // H3_NO_ERROR
        }
        other => panic!("{other}"),
    }
    assert_eq!(server.ended().await.code, Some(0));
}
