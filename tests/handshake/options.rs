//! Two sides that trust each other talk, and every option does what it says.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use countersign::gate::ServerNameVerification;
use countersign::identity::{DnsName, SpiffeId};
use countersign::testing::{self, FixedClock, TestCa};
use countersign::trust::{Anchor, EkuPolicy, Limits};
use countersign::{Acceptor, Connector, TrustStore, policy};
use support::{Recording, SERVER, VERSIONS, Version, acceptor, connector, handshake, provider};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

#[tokio::test(start_paused = true)]
async fn both_sides_are_identified_and_bytes_flow() {
    for version in VERSIONS {
        let ca = TestCa::new("Root");
        let acceptor = acceptor(&ca, policy::allow_any())
            .allow_tls12()
            .build()
            .unwrap();
        let connector = connector(&ca, "client.example")
            .allow_tls12()
            .crypto_provider(provider(version))
            .build()
            .unwrap();
        let (server, client) = handshake(&acceptor, &connector).await;
        let (mut server, mut client) = (server.unwrap(), client.unwrap());
        assert_eq!(server.peer().identity().as_str(), "client.example");
        assert_eq!(client.peer().identity().as_str(), SERVER);
        assert_eq!(server.rule(), "allow_any");
        let info = server.peer().connection();
        assert_eq!(info.version(), Some(version.protocol()));
        assert_eq!(info.server_name(), Some(SERVER));
        assert!(info.cipher_suite().is_some() && !info.is_resumed());

        let big = vec![7; 100_000];
        let send = async {
            client.write_all(&big).await.unwrap();
            client.shutdown().await.unwrap();
        };
        let mut received = Vec::new();
        let (_, read) = tokio::join!(send, server.read_to_end(&mut received));
        read.unwrap();
        assert_eq!(received, big);
    }
}

#[tokio::test(start_paused = true)]
async fn a_policy_sees_the_whole_peer() {
    let root = TestCa::new("Root");
    let issuing = root.intermediate("Issuing");
    let seen = Recording::new(policy::allow_any());
    let acceptor = acceptor(&root, seen.clone()).alpn(["h2"]).build().unwrap();
    let connector = connector(&root, "unused.example");
    drop(connector);
    let connector = Connector::builder()
        .credentials(issuing.leaf().dns("client.example").issue().credentials())
        .trust(root.trust())
        .identify(DnsName::extractor())
        .authorize(policy::allow_any())
        .alpn(["http/1.1", "h2"])
        .build()
        .unwrap();
    let (near, far) = tokio::io::duplex(64 * 1024);
    let address: std::net::SocketAddr = ([192, 0, 2, 7], 4711).into();
    let (server, client) = tokio::join!(
        acceptor.accept_from(near, address),
        connector.connect(SERVER, far)
    );
    server.unwrap();
    client.unwrap();
    let peers = seen.seen.lock().unwrap();
    let peer = &peers[0];
    assert_eq!(peer.connection().remote_addr(), Some(address));
    assert_eq!(peer.connection().alpn(), Some(&b"h2"[..]));
    assert_eq!(peer.connection().server_name(), Some(SERVER));
    let subjects: Vec<_> = peer
        .chain()
        .certificates()
        .iter()
        .map(|certificate| certificate.issuer().to_string())
        .collect();
    assert_eq!(subjects, ["CN=Issuing", "CN=Root"]);
    let Anchor::Root { subject } = peer.chain().anchor() else {
        panic!("not anchored in a root")
    };
    assert_eq!(subject.as_ref().unwrap().to_string(), "CN=Root");
    assert_eq!(peer.chain().not_after(), peer.certificate().not_after());
}

#[tokio::test]
async fn the_address_of_a_tcp_stream_is_found() {
    let ca = TestCa::new("Root");
    let acceptor = acceptor(&ca, policy::allow_any()).build().unwrap();
    let connector = connector(&ca, "client.example").build().unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let client = async {
        let tcp = tokio::net::TcpStream::connect(address).await.unwrap();
        connector.connect(SERVER, tcp).await.unwrap()
    };
    let server = async {
        let (tcp, _) = listener.accept().await.unwrap();
        acceptor.accept(tcp).await.unwrap()
    };
    let (server, client) = tokio::join!(server, client);
    assert_eq!(
        server.peer().connection().remote_addr(),
        Some(client.get_ref().local_addr().unwrap())
    );
    assert_eq!(client.peer().connection().remote_addr(), Some(address));
}

#[tokio::test(start_paused = true)]
async fn tls12_is_off_by_default_on_both_sides() {
    let ca = TestCa::new("Root");
    let only_13 = acceptor(&ca, policy::allow_any()).build().unwrap();
    let client_12 = connector(&ca, "client.example")
        .allow_tls12()
        .crypto_provider(provider(Version::Tls12))
        .build()
        .unwrap();
    let (server, client) = handshake(&only_13, &client_12).await;
    let server = server.unwrap_err();
    assert_eq!(server.reason(), "version_too_old");
    assert!(server.to_string().contains("allow_tls12()"), "{server}");
    assert_eq!(client.unwrap_err().reason(), "alert_received");

    // A client without allow_tls12, with a provider that can do nothing else, cannot be built.
    let unusable = connector(&ca, "client.example")
        .crypto_provider(provider(Version::Tls12))
        .build()
        .unwrap_err();
    assert_eq!(unusable.reason(), "unusable_provider");
}

#[tokio::test(start_paused = true)]
async fn the_certificate_follows_the_requested_name_and_the_gate_stays() {
    let ca = TestCa::new("Root");
    let issue = |name: &str| ca.leaf().dns(name).issue().credentials();
    let acceptor = acceptor(&ca, policy::exact(["good.example".parse().unwrap()]))
        .credentials_for("api.example", issue("api.example"))
        .credentials_for("*.wild.example", issue("*.wild.example"))
        .build()
        .unwrap();
    let shown_for = async |name: &str, client: &str| {
        let connector = Connector::builder()
            .credentials(issue(client))
            .trust(ca.trust())
            .identify(|certificate: &countersign::Certificate| {
                Ok(format!("{:?}", certificate.subject_alternative_names()))
            })
            .authorize(policy::allow_any())
            .server_names(ServerNameVerification::ByPolicy)
            .build()
            .unwrap();
        let (server, client) = testing::handshake(&acceptor, &connector, name).await;
        let shown = client.map(|stream| {
            let certificate = stream.peer().certificate().clone();
            let names = certificate.subject_alternative_names().unwrap();
            let countersign::pki::GeneralName::Dns(name) = &names[0] else {
                panic!("no DNS name")
            };
            String::from_utf8(name.to_vec()).unwrap()
        });
        (server.map(drop).map_err(|error| error.reason()), shown.ok())
    };
    for (asked, shown) in [
        ("api.example", "api.example"),
        ("API.example", "api.example"),
        ("any.wild.example", "*.wild.example"),
        ("two.levels.wild.example", SERVER),
        ("wild.example", SERVER),
        ("unknown.example", SERVER),
        ("192.0.2.1", SERVER), // no SNI for an address
    ] {
        let (server, seen) = shown_for(asked, "good.example").await;
        assert_eq!((server, seen.as_deref()), (Ok(()), Some(shown)), "{asked}");
        // The same policy decides for every name.
        let (server, _) = shown_for(asked, "bad.example").await;
        assert_eq!(server, Err("denied"), "{asked}");
    }
}

#[test]
fn a_certificate_under_a_wrong_name_is_found_at_start_up() {
    let ca = TestCa::new("Root");
    let build = |name: &str, dns: &str| {
        acceptor(&ca, policy::allow_any())
            .credentials_for(name, ca.leaf().dns(dns).issue().credentials())
            .build()
            .map(drop)
            .map_err(|error| (error.reason(), error.to_string()))
    };
    assert_eq!(build("api.example", "api.example"), Ok(()));
    assert_eq!(build("*.api.example", "*.api.example"), Ok(()));
    let (reason, message) = build("api.example", "other.example").unwrap_err();
    assert_eq!(reason, "name_not_covered");
    assert!(message.contains("\"api.example\""), "{message}");
    assert_eq!(build("a b", "other.example").unwrap_err().0, "invalid_name");
    let twice = acceptor(&ca, policy::allow_any())
        .credentials_for(
            "a.example",
            ca.leaf().dns("a.example").issue().credentials(),
        )
        .credentials_for(
            "A.example",
            ca.leaf().dns("a.example").issue().credentials(),
        )
        .build()
        .unwrap_err();
    assert_eq!(twice.reason(), "name_twice");
}

#[test]
fn what_a_builder_rejects() {
    let ca = TestCa::new("Root");
    let empty = Acceptor::builder()
        .credentials(ca.leaf().dns(SERVER).issue().credentials())
        .trust(TrustStore::empty())
        .identify(DnsName::extractor())
        .authorize(policy::allow_any())
        .build()
        .unwrap_err();
    assert_eq!(empty.reason(), "empty_trust");
    for bad in [vec![], vec![b'x'; 256]] {
        let error = acceptor(&ca, policy::allow_any())
            .alpn([bad])
            .build()
            .unwrap_err();
        assert_eq!(error.reason(), "invalid_alpn");
    }
    acceptor(&ca, policy::allow_any())
        .alpn([vec![b'x'; 255]])
        .build()
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_clock_decides_about_validity() {
    let ca = TestCa::new("Root");
    let clock = FixedClock::now();
    let acceptor = acceptor(&ca, policy::allow_any())
        .clock(clock.clone())
        .build()
        .unwrap();
    let connector = connector(&ca, "client.example").build().unwrap();
    let (server, _) = handshake(&acceptor, &connector).await;
    server.unwrap();

    clock.advance(Duration::from_secs(366 * 24 * 60 * 60));
    let (server, _) = handshake(&acceptor, &connector).await;
    let error = server.unwrap_err();
    assert_eq!(error.reason(), "expired");
    let message = error.to_string();
    assert!(message.contains("our clock says 20"), "{message}");
}

#[tokio::test(start_paused = true)]
async fn limits_hold_before_signatures() {
    let root = TestCa::new("Root");
    let mut issuer = root.clone();
    for depth in 0..4 {
        issuer = issuer.intermediate(&format!("Intermediate {depth}"));
    }
    let client = Connector::builder()
        .credentials(issuer.leaf().dns("client.example").issue().credentials())
        .trust(root.trust())
        .identify(DnsName::extractor())
        .authorize(policy::allow_any())
        .build()
        .unwrap();
    let roomy = acceptor(&root, policy::allow_any())
        .limits(Limits::default().chain_length(5))
        .build()
        .unwrap();
    handshake(&roomy, &client).await.0.unwrap();
    let tight = acceptor(&root, policy::allow_any())
        .limits(Limits::default().chain_length(4))
        .build()
        .unwrap();
    let error = handshake(&tight, &client).await.0.unwrap_err();
    assert_eq!(error.reason(), "chain_too_long");
    assert!(error.to_string().contains("5 certificates"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn extended_key_usage_can_be_required() {
    let ca = TestCa::new("Root");
    let without = Connector::builder()
        .credentials(
            ca.leaf()
                .dns("client.example")
                .extended_key_usage(None)
                .issue()
                .credentials(),
        )
        .trust(ca.trust())
        .identify(DnsName::extractor())
        .authorize(policy::allow_any())
        .build()
        .unwrap();
    let lenient = acceptor(&ca, policy::allow_any()).build().unwrap();
    handshake(&lenient, &without).await.0.unwrap();
    let strict = acceptor(&ca, policy::allow_any())
        .extended_key_usage(EkuPolicy::Required)
        .build()
        .unwrap();
    let error = handshake(&strict, &without).await.0.unwrap_err();
    assert_eq!(error.reason(), "wrong_extended_key_usage");
    let with = connector(&ca, "client.example").build().unwrap();
    handshake(&strict, &with).await.0.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_spiffe_server_needs_no_host_name() {
    let ca = TestCa::new("Root");
    let orders: SpiffeId = "spiffe://example.org/ns/orders".parse().unwrap();
    let acceptor = Acceptor::builder()
        .credentials(ca.leaf().spiffe(orders.as_str()).issue().credentials())
        .trust(ca.trust())
        .identify(SpiffeId::extractor())
        .authorize(policy::allow_any())
        .build()
        .unwrap();
    let dial = |rule, allowed: SpiffeId| {
        Connector::builder()
            .credentials(
                ca.leaf()
                    .spiffe("spiffe://example.org/ns/billing")
                    .issue()
                    .credentials(),
            )
            .trust(ca.trust())
            .identify(SpiffeId::extractor())
            .authorize(policy::exact([allowed]))
            .server_names(rule)
            .build()
            .unwrap()
    };
    let connect = async |connector: Connector<SpiffeId>| {
        let (_, client) = testing::handshake(&acceptor, &connector, "orders.internal").await;
        client
            .map(|stream| stream.peer().identity().to_string())
            .map_err(|error| error.reason())
    };
    let by_policy = dial(ServerNameVerification::ByPolicy, orders.clone());
    assert_eq!(connect(by_policy).await.as_deref(), Ok(orders.as_str()));
    let by_name = dial(ServerNameVerification::Verify, orders);
    assert_eq!(connect(by_name).await, Err("name_mismatch"));
    let another = "spiffe://example.org/ns/other".parse().unwrap();
    let other = dial(ServerNameVerification::ByPolicy, another);
    assert_eq!(connect(other).await, Err("denied"));
}

/// Counts the secrets that it gets.
#[derive(Clone, Debug, Default)]
struct CountingKeyLog(Arc<AtomicUsize>);

impl rustls::KeyLog for CountingKeyLog {
    fn log(&self, _: &str, _: &[u8], _: &[u8]) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test(start_paused = true)]
async fn keys_are_logged_only_when_enabled() {
    let ca = TestCa::new("Root");
    let log = CountingKeyLog::default();
    let acceptor = acceptor(&ca, policy::allow_any())
        .key_log(log.clone())
        // The customisation cannot turn on one of its own.
        .customize_rustls(|config| config.key_log = Arc::new(rustls::KeyLogFile::new()))
        .build()
        .unwrap();
    let connector = connector(&ca, "client.example").build().unwrap();
    handshake(&acceptor, &connector).await.0.unwrap();
    assert!(log.0.load(Ordering::Relaxed) > 0);
    // The public door has the same log; the connector, which has no log, has none.
    assert!(
        format!("{:?}", acceptor.unauthorized_rustls_config().key_log).contains("CountingKeyLog")
    );
}
