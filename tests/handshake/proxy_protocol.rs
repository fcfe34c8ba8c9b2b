//! PROXY headers in front of TLS: demanded of trusted proxies, refused from others, and counted.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use countersign::audit::{Action, AuditEvent, Memory, Stage};
use countersign::identity::DnsName;
use countersign::proxy_protocol::Trusted;
use countersign::testing::TestCa;
use countersign::{Connector, EarlyDrop, Listener, ListenerBuilder, TlsStream, WhenFull, policy};
use support::sent::{Sender, Sent, from_socket, sent};
use support::{SERVER, acceptor, connector};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::time::{sleep, timeout};

const PATIENCE: Duration = Duration::from_secs(60);
const PROXY: SocketAddr = SocketAddr::new(
    std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 3, 7)),
    40_000,
);
const STRANGER: SocketAddr = SocketAddr::new(
    std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 99)),
    50_000,
);
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// A listener behind proxies of 10.0.3.0/24, and what is needed to connect to it.
struct Behind {
    listener: Listener<DuplexStream, DnsName>,
    sender: Sender,
    connector: Connector<DnsName>,
    audit: Memory,
}

impl Behind {
    fn proxies(options: impl FnOnce(ListenerBuilder<DnsName>) -> ListenerBuilder<DnsName>) -> Self {
        Self::with(options, Trusted::nets(["10.0.3.0/24"]).unwrap())
    }

    fn with(
        options: impl FnOnce(ListenerBuilder<DnsName>) -> ListenerBuilder<DnsName>,
        trusted: Trusted,
    ) -> Self {
        let ca = TestCa::new("Root");
        let (sender, incoming): (Sender, Sent) = sent();
        let audit = Memory::new();
        let acceptor = acceptor(&ca, policy::allow_any()).audit(audit.clone());
        let builder = Listener::builder(acceptor.build().unwrap()).proxy_protocol(trusted);
        Self {
            listener: options(builder).listen(incoming),
            sender,
            connector: connector(&ca, "client.example").build().unwrap(),
            audit,
        }
    }

    /// The server's stream of a client that sends this header before TLS.
    async fn admitted(
        &mut self,
        from: Option<SocketAddr>,
        header: &[u8],
    ) -> TlsStream<DuplexStream, DnsName> {
        let mut io = from_socket(&self.sender, from);
        io.write_all(header).await.unwrap();
        let connecting = self.connector.connect(SERVER, io);
        let both = async { tokio::join!(connecting, self.listener.accept()) };
        let (client, server) = timeout(PATIENCE, both).await.unwrap();
        drop(client.unwrap());
        server.unwrap()
    }

    /// The event of a connection that sends these bytes and is closed without an answer in TLS.
    async fn refused(&self, from: Option<SocketAddr>, bytes: &[u8]) -> Arc<AuditEvent> {
        let before = self.audit.events().len();
        let mut io = from_socket(&self.sender, from);
        io.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        timeout(PATIENCE, io.read_to_end(&mut answer))
            .await
            .unwrap()
            .unwrap();
        let events = self.audit.events();
        let attempts: Vec<_> = events[before..]
            .iter()
            .filter(|event| event.action.ends_attempt())
            .collect();
        assert_eq!(attempts.len(), 1, "{attempts:?}");
        Arc::clone(attempts[0])
    }
}

fn v1(client: &str) -> Vec<u8> {
    format!("PROXY TCP4 {client} 198.51.100.1 4711 443\r\n").into_bytes()
}

fn v2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let length = u16::try_from(block.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[command, family], &length, block].concat()
}

fn v2_of(client: [u8; 4]) -> Vec<u8> {
    let block = [&client[..], &[198, 51, 100, 1, 0x12, 0x67, 1, 0xbb]].concat();
    v2(0x21, 0x11, &block)
}

#[tokio::test(start_paused = true)]
async fn the_client_has_the_address_that_the_proxy_states() {
    let mut behind = Behind::proxies(|builder| builder);
    let client: SocketAddr = "192.0.2.7:4711".parse().unwrap();
    for header in [v1("192.0.2.7"), v2_of([192, 0, 2, 7])] {
        let stream = behind.admitted(Some(PROXY), &header).await;
        let connection = stream.peer().connection();
        assert_eq!(connection.remote_addr(), Some(client));
        assert_eq!(connection.proxy_addr(), Some(PROXY));
    }
    for event in behind.audit.events() {
        assert_eq!(event.info.remote_addr(), Some(client), "{event}");
        assert_eq!(event.info.proxy_addr(), Some(PROXY), "{event}");
    }
    let json = behind.audit.events()[0].to_json();
    for part in [
        r#""client":{"address":"192.0.2.7","ip":"192.0.2.7","port":4711}"#,
        r#""proxy":{"ip":"10.0.3.7","port":40000}"#,
    ] {
        assert!(json.contains(part), "{part} in {json}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_header_may_arrive_byte_by_byte() {
    let mut behind = Behind::proxies(|builder| builder);
    for header in [v1("192.0.2.7"), v2_of([192, 0, 2, 7])] {
        let mut io = from_socket(&behind.sender, Some(PROXY));
        for byte in header {
            io.write_all(&[byte]).await.unwrap();
            sleep(Duration::from_millis(50)).await;
        }
        let connecting = behind.connector.connect(SERVER, io);
        let (client, server) = tokio::join!(connecting, behind.listener.accept());
        client.unwrap();
        assert!(server.unwrap().peer().connection().proxy_addr().is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn the_proxy_itself_and_a_client_without_an_address_are_served() {
    let mut behind = Behind::proxies(|builder| builder);
    let local = behind.admitted(Some(PROXY), &v2(0x20, 0, &[])).await;
    let connection = local.peer().connection();
    let addresses = (connection.remote_addr(), connection.proxy_addr());
    assert_eq!(addresses, (Some(PROXY), None));
    for header in [
        &b"PROXY UNKNOWN\r\n"[..],
        &v2(0x21, 0, &[]),
        &v2(0x21, 0x31, &[0; 216]),
    ] {
        let unknown = behind.admitted(Some(PROXY), header).await;
        let connection = unknown.peer().connection();
        let addresses = (connection.remote_addr(), connection.proxy_addr());
        assert_eq!(addresses, (None, Some(PROXY)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_trusted_proxy_must_send_a_header_and_no_other_peer_may() {
    let mut behind = Behind::proxies(|builder| builder);
    let client_hello = [0x16, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3];
    for (from, bytes, reason) in [
        (PROXY, &client_hello[..], "proxy_header_missing"),
        (PROXY, b"GET / HTTP/1.1\r\n\r\n", "proxy_header_missing"),
        (PROXY, b"PROXY TCP4 192.0.2.7\r\n", "proxy_header_malformed"),
        (PROXY, &v2(0x21, 0x12, &[0; 12]), "proxy_header_malformed"),
        (
            PROXY,
            &[SIGNATURE, &[0x21, 0x11, 0xff, 0xff]].concat(),
            "proxy_header_too_long",
        ),
        (STRANGER, &v1("192.0.2.7"), "proxy_header_not_trusted"),
        (STRANGER, &v2_of([192, 0, 2, 7]), "proxy_header_not_trusted"),
    ] {
        let event = behind.refused(Some(from), bytes).await;
        assert_eq!(event.reason, Some(reason), "{event}");
        assert_eq!(event.action, Action::HandshakeFailed, "{event}");
        assert_eq!(event.info.remote_addr(), Some(from), "{event}");
        assert_eq!(event.info.proxy_addr(), None, "{event}");
    }
    // The positive twins.
    drop(behind.admitted(Some(PROXY), &v1("192.0.2.7")).await);
    let direct = behind.admitted(Some(STRANGER), b"").await;
    assert_eq!(direct.peer().connection().remote_addr(), Some(STRANGER));
}

#[tokio::test(start_paused = true)]
async fn a_second_header_is_not_read_as_one() {
    let behind = Behind::proxies(|builder| builder);
    let twice = [v1("192.0.2.7"), v1("192.0.2.8")].concat();
    let event = behind.refused(Some(PROXY), &twice).await;
    // It is in the place of TLS, from a client that is no proxy.
    assert_eq!(event.reason, Some("proxy_header_not_trusted"), "{event}");
    let client = "192.0.2.7:4711".parse().unwrap();
    assert_eq!(event.info.remote_addr(), Some(client));
}

#[tokio::test(start_paused = true)]
async fn a_slow_header_ends_with_the_handshake_timeout() {
    let behind = Behind::proxies(|builder| builder);
    let began = tokio::time::Instant::now();
    for start in [&b""[..], b"PROXY TCP4 192.0", &v2_of([192, 0, 2, 7])[..20]] {
        let event = behind.refused(Some(PROXY), start).await;
        assert_eq!(event.reason, Some("proxy_header_timed_out"), "{event}");
        assert_eq!(event.action, Action::TimedOut);
        assert_eq!(event.stage, Some(Stage::Transport));
    }
    assert!(
        began.elapsed() < Duration::from_secs(31),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_proxy_that_closes_within_the_header_has_its_reason() {
    let behind = Behind::proxies(|builder| builder);
    let mut io = from_socket(&behind.sender, Some(PROXY));
    io.write_all(b"PROXY").await.unwrap();
    drop(io);
    sleep(Duration::from_millis(10)).await;
    let events = behind.audit.events();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].reason, Some("proxy_header_closed"));
}

#[tokio::test(start_paused = true)]
async fn limits_by_address_count_the_client_and_not_the_proxy() {
    let mut behind = Behind::proxies(|builder| {
        builder
            .max_handshakes_per_address(2)
            .early_drop(EarlyDrop::new(2, 100, 2))
    });
    // More connections of the proxy than one source may have.
    let mut waiting: Vec<_> = (0..20)
        .map(|_| from_socket(&behind.sender, Some(PROXY)))
        .collect();
    sleep(Duration::from_millis(10)).await;
    assert!(behind.audit.events().is_empty());
    for (last, io) in (1..).zip(&mut waiting) {
        io.write_all(&v2_of([192, 0, 2, last])).await.unwrap();
    }
    let _second = {
        let mut io = from_socket(&behind.sender, Some(PROXY));
        io.write_all(&v1("192.0.2.1")).await.unwrap();
        io
    };
    sleep(Duration::from_millis(10)).await;
    assert!(behind.audit.events().is_empty());
    // A third handshake of one client is closed, by way of any proxy or directly.
    for (from, header) in [
        (Some(PROXY), v1("192.0.2.1")),
        (Some("10.0.3.8:1".parse().unwrap()), v2_of([192, 0, 2, 1])),
        (Some("192.0.2.1:1".parse().unwrap()), Vec::new()),
    ] {
        let event = behind.refused(from, &header).await;
        assert_eq!(
            event.reason,
            Some("too_many_handshakes_of_address"),
            "{event}"
        );
        let client = event.info.remote_addr().unwrap();
        assert_eq!(client.ip().to_string(), "192.0.2.1");
    }
    // Another client is admitted.
    drop(behind.admitted(Some(PROXY), &v1("192.0.2.200")).await);
    drop(waiting);
}

#[tokio::test(start_paused = true)]
async fn the_filter_by_address_is_asked_about_the_client() {
    let mut behind = Behind::proxies(|builder| {
        builder.admit(|address: SocketAddr| address.ip().to_string() != "192.0.2.66")
    });
    drop(behind.admitted(Some(PROXY), &v1("192.0.2.7")).await);
    drop(behind.admitted(Some(PROXY), &v2(0x20, 0, &[])).await);
    for header in [v1("192.0.2.66"), b"PROXY UNKNOWN\r\n".to_vec()] {
        let event = behind.refused(Some(PROXY), &header).await;
        assert_eq!(event.reason, Some("address_not_admitted"), "{event}");
        assert_eq!(event.info.proxy_addr(), Some(PROXY), "{event}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_header_does_not_keep_the_place_of_another_client() {
    let mut behind = Behind::proxies(|builder| builder.max_handshakes(3));
    let idle: Vec<_> = (0..3)
        .map(|_| from_socket(&behind.sender, Some(PROXY)))
        .collect();
    sleep(Duration::from_secs(2)).await;
    drop(behind.admitted(Some(PROXY), &v1("192.0.2.7")).await);
    let events = behind.audit.events();
    let displaced = events
        .iter()
        .filter(|event| event.reason == Some("displaced"));
    assert_eq!(displaced.count(), 1);
    drop(idle);
}

#[tokio::test(start_paused = true)]
async fn a_transport_without_addresses_has_a_header_only_if_every_peer_is_trusted() {
    let mut behind = Behind::proxies(|builder| builder);
    drop(behind.admitted(None, b"").await);
    let mut behind = Behind::with(
        |builder| builder.when_full(WhenFull::Shed),
        Trusted::every_peer(),
    );
    let stream = behind.admitted(None, &v1("192.0.2.7")).await;
    assert!(stream.peer().connection().remote_addr().is_some());
    let event = behind.refused(None, b"\x16\x03\x01").await;
    assert_eq!(event.reason, Some("proxy_header_missing"));
}
