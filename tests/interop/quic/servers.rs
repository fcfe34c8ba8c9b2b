//! Our client, with servers of quinn and of aioquic.

use std::net::SocketAddr;
use std::sync::Arc;

use countersign::audit::{Action, Alert, Memory};
use countersign::gate::AdmitError;
use countersign::identity::DnsName;
use countersign::integration::quinn::{Client, Connection, ConnectionError};
use countersign::testing::{Issued, TestCa};
use countersign::{ConnectError, Connector, Decision, HandshakeError};
use serde_json::Value;
use support::programs::{command, python_with};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout};

use crate::world::{ALPN, NAME, PATIENCE};

/// A server of quinn, which requests certificates or not; it answers each stream, or closes with this code.
fn quinn_server(ca: &TestCa, server: &Issued, asks: bool, code: u32) -> SocketAddr {
    let builder =
        rustls::ServerConfig::builder_with_provider(support::provider(support::Version::Tls13))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap();
    let builder = if asks {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(ca.certificate_der()).unwrap();
        let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(
            Arc::new(roots),
            support::provider(support::Version::Tls13),
        );
        builder.with_client_cert_verifier(verifier.build().unwrap())
    } else {
        builder.with_no_client_auth()
    };
    let mut config = builder.with_cert_resolver(support::thief(server, server));
    config.alpn_protocols = vec![ALPN.into()];
    // It offers 0-RTT.
    config.max_early_data_size = u32::MAX;
    let config = quinn::crypto::rustls::QuicServerConfig::try_from(config).unwrap();
    let config = quinn::ServerConfig::with_crypto(Arc::new(config));
    let endpoint = quinn::Endpoint::server(config, ([127, 0, 0, 1], 0).into()).unwrap();
    let address = endpoint.local_addr().unwrap();
    tokio::spawn(async move {
        while let Some(incoming) = endpoint.accept().await {
            tokio::spawn(async move {
                let Ok(connection) = incoming.await else {
                    return;
                };
                while let Ok((mut send, mut receive)) = connection.accept_bi().await {
                    let _ = receive.read_to_end(1024).await;
                    if code != 0 {
                        connection.close(code.into(), b"access_denied");
                        return;
                    }
                    let _ = send.write_all(b"hello").await;
                    let _ = send.finish();
                }
            });
        }
    });
    address
}

/// A server of aioquic, running.
struct AioquicServer {
    address: SocketAddr,
    lines: Lines<BufReader<ChildStdout>>,
    _child: Child,
    _folder: tempfile::TempDir,
}

impl AioquicServer {
    async fn start(server: &Issued, asks: bool, code: u32) -> Option<Self> {
        let mut program = command(python_with("aioquic")?);
        let folder = tempfile::tempdir().unwrap();
        program.args(["-c", include_str!("server.py")]);
        for (name, text) in [("crt", server.chain_pem()), ("key", server.key_pem())] {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            program.arg(path);
        }
        program.args([if asks { "asks" } else { "-" }, &code.to_string()]);
        program.stderr(std::process::Stdio::inherit());
        let mut child = program.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = tokio::time::timeout(PATIENCE, lines.next_line()).await;
        let port: u16 = port.unwrap().unwrap().unwrap().parse().unwrap();
        Some(Self {
            address: ([127, 0, 0, 1], port).into(),
            lines,
            _child: child,
            _folder: folder,
        })
    }

    /// How a connection was closed, as it saw it.
    async fn closed(&mut self) -> Value {
        let line = tokio::time::timeout(PATIENCE, self.lines.next_line()).await;
        serde_json::from_str(&line.unwrap().unwrap().unwrap()).unwrap()
    }
}

struct Caller {
    client: Client<DnsName>,
    connector: Connector<DnsName>,
    issued: Issued,
    trail: Memory,
}

impl Caller {
    fn new(ca: &TestCa) -> Self {
        let trail = Memory::new();
        let issued = ca.leaf().dns("client.example").issue();
        let connector = crate::world::connector(ca, &issued, &trail);
        let client = Client::builder(connector.clone()).alpn([ALPN]);
        Self {
            client: client.bind(([127, 0, 0, 1], 0).into()).unwrap(),
            connector,
            issued,
            trail,
        }
    }

    async fn call(&self, address: SocketAddr) -> Result<(Connection<DnsName>, String), String> {
        let connection = self
            .client
            .connect(address, NAME)
            .await
            .map_err(|error| error.reason().to_owned())?;
        let answer = ask(&connection).await;
        answer
            .map(|answer| (connection, answer))
            .map_err(|error| error.to_string())
    }

    /// The only event.
    fn only(&self, action: Action, reason: Option<&str>) {
        let events = self.trail.take();
        assert_eq!(events.len(), 1, "{events:#?}");
        assert_eq!((events[0].action, events[0].reason), (action, reason));
    }
}

async fn ask(connection: &Connection<DnsName>) -> std::io::Result<String> {
    let (mut send, mut receive) = connection.open_bi().await?;
    send.write_all(b"hello").await?;
    send.finish()?;
    let mut answer = String::new();
    receive.read_to_string(&mut answer).await?;
    Ok(answer)
}

/// The addresses of both kinds of servers, or of the one that is there.
async fn servers(
    ca: &TestCa,
    server: &Issued,
    asks: bool,
    code: u32,
) -> Vec<(SocketAddr, Option<AioquicServer>)> {
    let mut all = vec![(quinn_server(ca, server, asks, code), None)];
    if let Some(server) = AioquicServer::start(server, asks, code).await {
        all.push((server.address, Some(server)));
    }
    all
}

#[tokio::test]
async fn a_server_that_asks_is_admitted_and_its_session_is_resumed() {
    let ca = TestCa::new("Root");
    let server = ca.leaf().dns(NAME).issue();
    for (address, aioquic) in servers(&ca, &server, true, 0).await {
        let caller = Caller::new(&ca);
        let (connection, answer) = caller.call(address).await.unwrap();
        assert_eq!(answer, "hello");
        assert_eq!(connection.peer().identity().as_str(), NAME);
        caller.only(Action::Admitted, None);
        if aioquic.is_some() {
            continue; // it keeps no sessions
        }
        let (connection, _) = caller.call(address).await.unwrap();
        assert!(connection.peer().connection().is_resumed());
        // A resumed server is judged too.
        caller
            .connector
            .control()
            .set_policy(|_: &_| Decision::deny("not this server"));
        let closed = connection.close_reason().unwrap();
        assert_eq!(closed.reason(), "denied");
        let denied = caller.client.connect(address, NAME).await.unwrap_err();
        assert_eq!(denied.reason(), "denied");
    }
}

#[tokio::test]
async fn a_server_that_never_asks_is_rejected_inside_the_handshake() {
    let ca = TestCa::new("Root");
    let server = ca.leaf().dns(NAME).issue();
    for (address, aioquic) in servers(&ca, &server, false, 0).await {
        let caller = Caller::new(&ca);
        for _ in 0..2 {
            // No session of it is kept either.
            let error = caller.client.connect(address, NAME).await.unwrap_err();
            assert!(matches!(error, ConnectError::NotAsked), "{error}");
            caller.only(Action::HandshakeFailed, Some("not_asked"));
        }
        if let Some(mut aioquic) = aioquic {
            let closed = aioquic.closed().await;
            assert_eq!(
                (&closed["code"], &closed["application"]),
                (&0x128.into(), &false.into())
            );
        }
    }
}

#[tokio::test]
async fn a_wrong_server_gets_the_alert_and_no_data() {
    let (ca, other) = (TestCa::new("Root"), TestCa::new("Other"));
    for (server, reason, alert) in [
        (other.leaf().dns(NAME).issue(), "unknown_issuer", 48),
        (ca.leaf().dns("other.example").issue(), "name_mismatch", 42),
        (ca.leaf().dns(NAME).expired().issue(), "expired", 45),
    ] {
        for (address, aioquic) in servers(&ca, &server, true, 0).await {
            let caller = Caller::new(&ca);
            let error = caller.client.connect(address, NAME).await.unwrap_err();
            assert_eq!(error.reason(), reason);
            assert!(matches!(
                error,
                ConnectError::NotAdmitted(AdmitError::Chain(_))
            ));
            caller.only(Action::ChainRefused, Some(reason));
            if let Some(mut aioquic) = aioquic {
                let closed = aioquic.closed().await;
                assert_eq!(closed["code"], 0x100 | alert, "{reason}");
            }
        }
    }
}

#[tokio::test]
async fn a_server_that_is_denied_gets_our_code() {
    let ca = TestCa::new("Root");
    let server = ca.leaf().dns(NAME).issue();
    for (address, aioquic) in servers(&ca, &server, true, 0).await {
        let caller = Caller::new(&ca);
        caller
            .connector
            .control()
            .set_policy(|_: &_| Decision::deny("not this server"));
        let error = caller.client.connect(address, NAME).await.unwrap_err();
        assert_eq!(error.reason(), "denied");
        caller.only(Action::Denied, Some("denied"));
        if let Some(mut aioquic) = aioquic {
            let closed = aioquic.closed().await;
            assert_eq!(closed["code"], 0x6d74_6c31);
            assert_eq!(
                (&closed["application"], &closed["reason"]),
                (&true.into(), &"access_denied".into())
            );
        }
    }
}

#[tokio::test]
async fn the_code_of_a_server_is_an_alert_and_other_codes_are_not() {
    let ca = TestCa::new("Root");
    let server = ca.leaf().dns(NAME).issue();
    for code in [0x6d74_6c31, 0x0131] {
        for (address, _aioquic) in servers(&ca, &server, true, code).await {
            let caller = Caller::new(&ca);
            let connection = caller.client.connect(address, NAME).await.unwrap();
            let error = ask(&connection).await.unwrap_err();
            let is_alert = code == 0x6d74_6c31;
            let named = error
                .get_ref()
                .and_then(|it| it.downcast_ref::<HandshakeError>());
            assert_eq!(named.is_some(), is_alert, "{error}");
            match connection.closed().await {
                ConnectionError::Alert(alert) => {
                    assert!(is_alert);
                    assert_eq!(alert.alert(), rustls::AlertDescription::AccessDenied);
                    let own = alert.own_certificate().unwrap();
                    assert_eq!(own, &caller.issued.certificate());
                }
                ConnectionError::Lost(_) => assert!(!is_alert),
                other => panic!("{other}"),
            }
            drop(connection);
            let events = caller.trail.take();
            let closed = events.last().unwrap();
            let (reason, alert) = if is_alert {
                (
                    "alert_received",
                    Some(Alert::Received("access_denied".to_owned().into())),
                )
            } else {
                ("closed", None)
            };
            assert_eq!(
                (closed.action, closed.reason),
                (Action::Closed, Some(reason))
            );
            assert_eq!(closed.alert, alert);
        }
    }
}

#[tokio::test]
async fn new_credentials_drain_a_client_and_need_no_new_socket() {
    let ca = TestCa::new("Root");
    let world = crate::world::World::of(ca.clone());
    let caller = Caller::new(&ca);
    let (connection, answer) = caller.call(world.address).await.unwrap();
    assert_eq!(answer, "hello client.example, resumed: false");
    let next = ca.leaf().dns("next.example").issue();
    let update = countersign::Update::new().credentials(next.credentials());
    caller.connector.control().update(update).unwrap();
    assert_eq!(connection.draining().await.reason(), "credentials_replaced");
    let (_, answer) = caller.call(world.address).await.unwrap();
    assert_eq!(answer, "hello next.example, resumed: false");

    // The same on the server's side.
    let update = countersign::Update::new();
    let server = ca.leaf().dns(NAME).issue();
    let before = connection.peer().certificate().sha256();
    world
        .acceptor
        .control()
        .update(update.credentials(server.credentials()))
        .unwrap();
    let (connection, _) = caller.call(world.address).await.unwrap();
    assert_ne!(connection.peer().certificate().sha256(), before);
    assert_eq!(connection.peer().certificate(), &server.certificate());
}
