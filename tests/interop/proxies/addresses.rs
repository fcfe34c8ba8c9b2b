//! The client's address, by a PROXY header of HAProxy.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use countersign::audit::Memory;
use countersign::identity::CommonName;
use countersign::proxy_protocol::Trusted;
use countersign::{Acceptor, Listener, policy};
use support::interop::Pki;
use support::programs::{PATIENCE, command, has_curl, run};
use support::proxies::{Listens, Proxy, Running, haproxy_with};
use support::running::{Server, with};
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};

/// HAProxy that passes TLS through, with a header of this kind before it.
async fn haproxy(send: &str, to: u16) -> (Running, u16) {
    let running = Running::on_a_free_port(Proxy::Haproxy, |port, _| {
        haproxy_with(&format!(
            "frontend in\n mode tcp\n bind 127.0.0.1:{port}\n default_backend app\n\
             backend app\n mode tcp\n server app 127.0.0.1:{to} {send}\n"
        ))
    })
    .await;
    let Listens::Tcp(port) = running.listens else {
        panic!("it listens on a port");
    };
    (running, port)
}

/// A connection to the proxy from this address of loopback.
async fn connect_from(last: u8, port: u16) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket
        .bind((Ipv4Addr::new(127, 0, 0, last), 0).into())
        .unwrap();
    let proxy = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    timeout(PATIENCE, socket.connect(proxy))
        .await
        .unwrap()
        .unwrap()
}

fn is_linux() -> bool {
    cfg!(target_os = "linux") // elsewhere, loopback has one address
}

#[tokio::test]
async fn the_limit_by_address_counts_the_client_behind_haproxy() {
    if !Proxy::Haproxy.is_installed() || !is_linux() {
        return;
    }
    for send in [
        "send-proxy-v2",
        "send-proxy",
        "send-proxy-v2 proxy-v2-options crc32c",
    ] {
        let pki = Pki::new();
        let audit = Memory::new();
        let acceptor: Acceptor<CommonName> = Acceptor::builder()
            .credentials(pki.server().credentials())
            .trust(pki.ca.trust())
            .identify(CommonName::extractor())
            .authorize(policy::allow_any())
            .audit(audit.clone())
            .build()
            .unwrap();
        let mut listener = Listener::builder(acceptor)
            .proxy_protocol(Trusted::nets(["127.0.0.1"]).unwrap())
            .max_handshakes_per_address(2)
            .bind("127.0.0.1:0")
            .await
            .unwrap();
        let (_running, port) = haproxy(send, listener.local_addr().unwrap().port()).await;
        // What the proxy's start left behind is not ours.
        let ours = |audit: &Memory| {
            let events = audit.events();
            let mut ours: Vec<_> = events
                .iter()
                .filter(|event| event.reason == Some("too_many_handshakes_of_address"))
                .cloned()
                .collect();
            ours.truncate(9);
            ours
        };
        // More than two connections of the proxy, of clients with two each.
        let mut held = Vec::new();
        for last in [2, 2, 4, 4, 5] {
            held.push(connect_from(last, port).await);
        }
        sleep(Duration::from_millis(300)).await;
        assert_eq!(ours(&audit).len(), 0, "{send}");
        let mut third = connect_from(2, port).await;
        let closed = timeout(PATIENCE, third.read_u8()).await.unwrap();
        assert!(closed.is_err(), "{send}");
        let refused = ours(&audit);
        assert_eq!(refused.len(), 1, "{send}: {refused:?}");
        let info = &refused[0].info;
        assert_eq!(
            info.remote_addr().unwrap().ip(),
            Ipv4Addr::new(127, 0, 0, 2)
        );
        assert_eq!(info.proxy_addr().unwrap().ip(), Ipv4Addr::LOCALHOST);
        // Another client is served.
        let connector = pki.connector();
        let tcp = connect_from(3, port).await;
        let both = async { tokio::join!(connector.connect("localhost", tcp), listener.accept()) };
        let (client, server) = timeout(PATIENCE, both).await.unwrap();
        client.unwrap();
        let server = server.unwrap();
        let connection = server.peer().connection();
        let client = connection.remote_addr().unwrap().ip();
        assert_eq!(client, Ipv4Addr::new(127, 0, 0, 3));
        drop(held);
    }
}

#[tokio::test]
async fn the_tool_answers_with_the_address_of_the_client() {
    if !Proxy::Haproxy.is_installed() || !has_curl() || !is_linux() {
        return;
    }
    let pki = Pki::new();
    let mut arguments: Vec<_> = ["--identity", "cn", "--allow", "alice"]
        .map(Into::into)
        .into();
    arguments.extend(with("--trust", &pki.ca_file));
    arguments.extend(["--proxy-protocol", "127.0.0.1/32"].map(Into::into));
    let mut server = Server::start(&pki.files("server", &pki.server()), arguments).await;
    let (_running, port) = haproxy("send-proxy-v2", server.port).await;
    let alice = pki.client("alice");
    let curl = async |port: u16| {
        let mut curl = command("curl");
        curl.args(["--silent", "--noproxy", "*", "--interface", "127.0.0.7"])
            .args(["--resolve", &format!("localhost:{port}:127.0.0.1")])
            .arg("--cacert")
            .arg(&pki.ca_file)
            .arg("--cert")
            .arg(&alice.cert)
            .arg("--key")
            .arg(&alice.key)
            .arg(format!("https://localhost:{port}/"));
        run(&mut curl, "").await
    };
    let finished = curl(port).await;
    let about: serde_json::Value = serde_json::from_str(&finished.stdout).expect("JSON");
    let remote: SocketAddr = about["remote"].as_str().unwrap().parse().unwrap();
    assert_eq!(remote.ip(), Ipv4Addr::new(127, 0, 0, 7), "{about}");
    let event = server.logged_as("admitted").await;
    assert_eq!(event["client"]["ip"], "127.0.0.7", "{event}");
    assert_eq!(event["countersign"]["proxy"]["ip"], "127.0.0.1", "{event}");

    // From an address that is not named, without a header.
    let direct = curl(server.port).await;
    assert_eq!(direct.code, Some(0), "{direct:?}");
    let about: serde_json::Value = serde_json::from_str(&direct.stdout).expect("JSON");
    let remote: SocketAddr = about["remote"].as_str().unwrap().parse().unwrap();
    assert_eq!(remote.ip(), Ipv4Addr::new(127, 0, 0, 7), "{about}");

    // From a named one, without a header.
    let refused = TcpStream::connect(("127.0.0.1", server.port))
        .await
        .unwrap();
    let mut refused = refused;
    tokio::io::AsyncWriteExt::write_all(&mut refused, b"\x16\x03\x01\x02\x00")
        .await
        .unwrap();
    let event = loop {
        let event = server.logged_as("handshake_failed").await;
        if event["event"]["reason"] == "proxy_header_missing" {
            break event;
        }
    };
    assert_eq!(event["client"]["ip"], "127.0.0.1", "{event}");
    server.stop().await;
}
