//! Without our own streams: rustls connections that others drive, and bare chains.

use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use countersign::audit::{Action, Memory, Stage};
use countersign::testing::TestCa;
use countersign::{ConnectionInfo, policy};
use rustls::server::ResolvesServerCert;
use rustls::{ServerConfig, ServerConnection};

use crate::{identity, only};
use support::raw_server::AnyClient;
use support::{SERVER, Version, acceptor, connector, deny_all, provider, thief};

#[test]
fn a_bare_chain_has_one_outcome() {
    let (ca, other) = (TestCa::new("Root"), TestCa::new("Other"));
    let trail = Memory::new();
    let acceptor = acceptor(&ca, policy::allow_any())
        .audit(trail.clone())
        .build()
        .unwrap();
    let info = || {
        ConnectionInfo::default()
            .with_alpn(b"h3")
            .with_server_name(SERVER)
    };
    let leaf = ca.leaf().dns("client.example").issue();

    acceptor
        .control()
        .admit_chain(leaf.chain(), info())
        .unwrap();
    let event = only(&trail);
    assert_eq!(
        (event.action, event.stage),
        (Action::Admitted, Some(Stage::Open))
    );
    assert_eq!(identity(&event), Some(("client.example", "proven")));
    assert_eq!(event.info.alpn(), Some(&b"h3"[..]));

    let strange = other.leaf().dns("client.example").issue();
    acceptor
        .control()
        .admit_chain(strange.chain(), info())
        .unwrap_err();
    let event = only(&trail);
    assert_eq!(
        (event.action, event.reason),
        (Action::ChainRefused, Some("unknown_issuer"))
    );
    assert_eq!(identity(&event), Some(("client.example", "claimed")));

    // All that was presented, not only the path.
    let surplus = [leaf.leaf_der().clone(), strange.leaf_der().clone()];
    acceptor.control().admit_chain(&surplus, info()).unwrap();
    assert_eq!(only(&trail).certificates.len(), 2);

    let unfinished = acceptor.start().unwrap();
    unfinished.admit(None).map(drop).unwrap_err();
    let event = only(&trail);
    assert_eq!(event.reason, Some("handshake_incomplete"));
    assert_eq!(
        (event.action, event.stage),
        (Action::HandshakeFailed, Some(Stage::Handshake))
    );

    acceptor.control().set_policy(deny_all);
    acceptor
        .control()
        .admit_chain(leaf.chain(), info())
        .unwrap_err();
    let event = only(&trail);
    assert_eq!(
        (event.action, event.reason),
        (Action::Denied, Some("denied"))
    );
    assert_eq!(identity(&event), Some(("client.example", "proven")));

    assert_eq!(event.alert, None, "telling the peer is not ours");

    acceptor.control().admit_chain(&[], info()).unwrap_err();
    assert_eq!(only(&trail).reason, Some("no_certificate"));
    let stats = acceptor.control().stats();
    assert_eq!((stats.attempts(), stats.in_flight, stats.open), (6, 0, 0));
}

#[test]
fn a_blocking_handshake_has_one_outcome_on_each_side() {
    let ca = TestCa::new("Root");
    let (served, called) = (Memory::new(), Memory::new());
    let acceptor = acceptor(&ca, policy::allow_any())
        .audit(served.clone())
        .build()
        .unwrap();
    let connector = connector(&ca, "client.example")
        .audit(called.clone())
        .build()
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let call = |name: &str| {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let (mut tcp, from) = listener.accept().unwrap();
                let mut connection =
                    ServerConnection::new(acceptor.unauthorized_rustls_config()).unwrap();
                while connection.is_handshaking() {
                    if connection.complete_io(&mut tcp).is_err() {
                        return; // what rustls rejects does not reach the gate
                    }
                }
                acceptor.control().admit(&connection, from).unwrap();
            });
            let mut tcp = TcpStream::connect(address).unwrap();
            tcp.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            let mut handshake = connector.start(name).unwrap();
            if handshake.complete(&mut tcp).is_ok() {
                drop(handshake.admit(address).unwrap());
            }
        });
    };
    call(SERVER);
    let (server, client) = (only(&served), only(&called));
    assert_eq!([server.action, client.action], [Action::Admitted; 2]);
    assert_eq!(client.info.remote_addr(), Some(address));
    assert_eq!(identity(&client), Some((SERVER, "proven")));

    call("other.example");
    assert_eq!(served.take().len(), 0);
    assert_eq!(only(&called).reason, Some("name_mismatch"));

    // Begun, and given up.
    drop(connector.start(SERVER).unwrap());
    assert_eq!(only(&called).action, Action::Abandoned);
}

#[test]
fn a_server_that_requests_no_certificate_is_recorded() {
    let ca = TestCa::new("Root");
    let trail = Memory::new();
    let server = ca.leaf().dns(SERVER).issue();
    let config = ServerConfig::builder_with_provider(provider(Version::Tls13))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(server.chain().to_vec(), server.key_der())
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let connector = connector(&ca, "client.example")
        .audit(trail.clone())
        .build()
        .unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (mut tcp, _) = listener.accept().unwrap();
            let mut connection = ServerConnection::new(Arc::new(config)).unwrap();
            while connection.is_handshaking() && connection.complete_io(&mut tcp).is_ok() {}
        });
        let mut tcp = TcpStream::connect(address).unwrap();
        let mut handshake = connector.start(SERVER).unwrap();
        handshake.complete(&mut tcp).unwrap();
        let error = handshake.admit(address).unwrap_err();
        assert_eq!(error.reason(), "not_asked");
    });
    let event = only(&trail);
    assert_eq!(
        (event.action, event.reason),
        (Action::HandshakeFailed, Some("not_asked"))
    );
    assert_eq!(event.certificates.len(), 1);
    assert_eq!(identity(&event), Some((SERVER, "claimed")));
}

/// An exported configuration decides in the handshake, and records the outcome there.
#[tokio::test]
async fn an_exported_configuration_has_one_outcome_for_each_server() {
    let (ca, other) = (TestCa::new("Root"), TestCa::new("Other"));
    let trail = Memory::new();
    let connector = connector(&ca, "client.example")
        .audit(trail.clone())
        .build()
        .unwrap();
    let good = ca.leaf().dns(SERVER).issue();
    let mallory = ca.leaf().dns("mallory.example").issue();
    let strange = other.leaf().dns(SERVER).issue();
    let call = async |shown: Arc<dyn ResolvesServerCert>| {
        let server = ServerConfig::builder_with_provider(provider(Version::Tls13))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(Arc::new(AnyClient))
            .with_cert_resolver(shown);
        let (near, far) = tokio::io::duplex(64 * 1024);
        let config = Arc::new(connector.clone().into_authorizing_rustls_config());
        let client = tokio_rustls::TlsConnector::from(config);
        let both = tokio::join!(
            tokio_rustls::TlsAcceptor::from(Arc::new(server)).accept(near),
            client.connect(SERVER.try_into().unwrap(), far)
        );
        both.1.map(drop).is_ok()
    };
    assert!(call(thief(&good, &good)).await);
    let event = only(&trail);
    assert_eq!(event.action, Action::Admitted);
    assert_eq!(identity(&event), Some((SERVER, "proven")));
    assert_eq!(event.info.server_name(), Some(SERVER));

    assert!(!call(thief(&strange, &strange)).await);
    let event = only(&trail);
    assert_eq!(
        (event.action, event.reason),
        (Action::ChainRefused, Some("unknown_issuer"))
    );
    assert!(!call(thief(&good, &mallory)).await);
    let event = only(&trail);
    assert_eq!(
        (event.action, event.reason),
        (Action::HandshakeFailed, Some("key_not_proven"))
    );
    assert_eq!(event.stage, Some(Stage::Proof));
    assert_eq!(identity(&event), Some((SERVER, "claimed")));

    connector.control().set_policy(deny_all);
    assert!(!call(thief(&good, &good)).await);
    let event = only(&trail);
    assert_eq!(
        (event.action, event.reason),
        (Action::Denied, Some("denied"))
    );
    assert_eq!(connector.control().stats().attempts(), 4);
    assert_eq!(connector.control().stats().in_flight, 0);
}
