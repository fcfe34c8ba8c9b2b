//! Three clients: ours, quinn without this crate, and aioquic.

use std::net::SocketAddr;
use std::sync::Arc;

use countersign::audit::Memory;
use countersign::identity::DnsName;
use countersign::integration::quinn::{
    CLOSE_CODE, Client as OurClient, Connection, ConnectionError,
};
use countersign::testing::{Issued, TestCa};
use countersign::{Connector, HandshakeError};
use serde_json::Value;
use support::programs::{command, python_with};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout};

use crate::world::{ALPN, NAME, PATIENCE, World};

/// What a client has seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Answer(String),
    /// By our client, which gives either code its meaning.
    Alert(u8),
    /// An error code of QUIC: of the TLS alert, or the application's.
    Closed {
        code: u64,
        application: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Ours,
    Quinn,
    Aioquic,
}

/// All that are there to test with.
pub(crate) fn kinds() -> Vec<Kind> {
    let mut kinds = vec![Kind::Ours, Kind::Quinn];
    if python_with("aioquic").is_some() {
        kinds.push(Kind::Aioquic);
    }
    kinds
}

/// The code of an alert in the handshake.
pub(crate) fn crypto(kind: Kind, alert: u8) -> Seen {
    if kind == Kind::Ours {
        return Seen::Alert(alert);
    }
    Seen::Closed {
        code: 0x100 | u64::from(alert),
        application: false,
    }
}

/// The code with which an admitted, or an almost admitted peer is rejected.
pub(crate) fn application(kind: Kind, alert: u8) -> Seen {
    if kind == Kind::Ours && alert != 0 {
        return Seen::Alert(alert);
    }
    Seen::Closed {
        code: u64::from(CLOSE_CODE) | u64::from(alert),
        application: true,
    }
}

#[expect(clippy::large_enum_variant, reason = "a test has few of them")]
pub(crate) enum Client {
    Ours {
        client: OurClient<DnsName>,
        address: SocketAddr,
        connection: Option<Connection<DnsName>>,
    },
    Quinn {
        endpoint: quinn::Endpoint,
        address: SocketAddr,
        connection: Option<quinn::Connection>,
    },
    Aioquic {
        stdin: ChildStdin,
        lines: Lines<BufReader<ChildStdout>>,
        /// Dies with it.
        _child: Child,
    },
}

impl Client {
    /// A client of this kind with this certificate, that trusts the authority of the server.
    pub(crate) fn new(kind: Kind, world: &World, certificate: Option<&Issued>) -> Self {
        let address = world.address;
        match (kind, certificate) {
            (Kind::Ours, None) => panic!("ours always has one"),
            (Kind::Ours, Some(issued)) => {
                let connector = crate::world::connector(&world.ca, issued, &Memory::new());
                Self::ours(connector, address)
            }
            (Kind::Quinn, _) => {
                let mut endpoint = quinn::Endpoint::client(([127, 0, 0, 1], 0).into()).unwrap();
                endpoint.set_default_client_config(quinn_client(&world.ca, certificate));
                Self::Quinn {
                    endpoint,
                    address,
                    connection: None,
                }
            }
            (Kind::Aioquic, _) => aioquic(world, certificate),
        }
    }

    pub(crate) fn ours(connector: Connector<DnsName>, address: SocketAddr) -> Self {
        let client = OurClient::builder(connector).alpn([ALPN]);
        Self::Ours {
            client: client.bind(([127, 0, 0, 1], 0).into()).unwrap(),
            address,
            connection: None,
        }
    }

    /// Connects, resuming the last session if there is one, and asks.
    pub(crate) async fn call(&mut self) -> Seen {
        let called = tokio::time::timeout(PATIENCE, self.call_now()).await;
        called.expect("a call ends in time")
    }

    async fn call_now(&mut self) -> Seen {
        match self {
            Self::Ours {
                client,
                address,
                connection,
            } => {
                let connected = match client.connect(*address, NAME).await {
                    Ok(connected) => connected,
                    Err(countersign::ConnectError::Handshake(HandshakeError::Alert(alert))) => {
                        return Seen::Alert(alert.alert().into());
                    }
                    Err(other) => panic!("{other}"),
                };
                let asked = ask_ours(&connected).await;
                let seen = match asked {
                    Ok(answer) => Seen::Answer(answer),
                    Err(error) => {
                        // The stream's error has the alert, and so has the connection.
                        let inner = error.get_ref().unwrap();
                        let named = inner.downcast_ref::<HandshakeError>().unwrap();
                        assert!(named.to_string().contains("the server refused"), "{named}");
                        closed_ours(&connected.closed().await)
                    }
                };
                *connection = Some(connected);
                seen
            }
            Self::Quinn {
                endpoint,
                address,
                connection,
            } => {
                let connected = match endpoint.connect(*address, NAME).unwrap().await {
                    Ok(connected) => connected,
                    Err(error) => return closed_quinn(&error),
                };
                let seen = match ask_quinn(&connected).await {
                    Ok(answer) => Seen::Answer(answer),
                    Err(_) => closed_quinn(&connected.closed().await),
                };
                *connection = Some(connected);
                seen
            }
            Self::Aioquic { .. } => self.say("call").await,
        }
    }

    /// Waits until the connection is closed.
    pub(crate) async fn closed(&mut self) -> Seen {
        let wait = async {
            match self {
                Self::Ours { connection, .. } => {
                    closed_ours(&connection.as_ref().unwrap().closed().await)
                }
                Self::Quinn { connection, .. } => {
                    closed_quinn(&connection.as_ref().unwrap().closed().await)
                }
                Self::Aioquic { .. } => self.say("wait").await,
            }
        };
        let closed = tokio::time::timeout(PATIENCE, wait).await;
        closed.expect("the connection is closed in time")
    }

    async fn say(&mut self, what: &str) -> Seen {
        let Self::Aioquic { stdin, lines, .. } = self else {
            panic!("only the program is driven by lines");
        };
        stdin
            .write_all(format!("{what}\n").as_bytes())
            .await
            .unwrap();
        let line = lines.next_line().await.unwrap().expect("an answer");
        let seen: Value = serde_json::from_str(&line).unwrap();
        match (seen["answer"].as_str(), seen["code"].as_u64()) {
            (Some(answer), _) => {
                let resumed = format!("resumed: {}", seen["resumed"]);
                assert!(answer.ends_with(&resumed), "{seen}");
                Seen::Answer(answer.into())
            }
            (None, Some(code)) => Seen::Closed {
                code,
                application: seen["application"].as_bool().unwrap(),
            },
            (None, None) => panic!("{seen}"),
        }
    }
}

async fn ask_ours(connection: &Connection<DnsName>) -> std::io::Result<String> {
    let (mut send, mut receive) = connection.open_bi().await?;
    send.write_all(b"hello").await?;
    send.finish()?;
    let mut answer = String::new();
    receive.read_to_string(&mut answer).await?;
    Ok(answer)
}

async fn ask_quinn(connection: &quinn::Connection) -> std::io::Result<String> {
    let (mut send, mut receive) = connection.open_bi().await?;
    send.write_all(b"hello").await?;
    send.finish()?;
    let answer = receive
        .read_to_end(1024)
        .await
        .map_err(std::io::Error::other)?;
    Ok(String::from_utf8(answer).unwrap())
}

fn closed_ours(error: &ConnectionError) -> Seen {
    match error {
        ConnectionError::Alert(alert) => Seen::Alert(alert.alert().into()),
        ConnectionError::Lost(error) => closed_quinn(error),
        other => panic!("{other}"),
    }
}

pub(crate) fn closed_quinn(error: &quinn::ConnectionError) -> Seen {
    match error {
        quinn::ConnectionError::ConnectionClosed(close) => Seen::Closed {
            code: close.error_code.into(),
            application: false,
        },
        quinn::ConnectionError::ApplicationClosed(close) => Seen::Closed {
            code: close.error_code.into_inner(),
            application: true,
        },
        other => panic!("{other}"),
    }
}

/// quinn's own TLS.
pub(crate) fn quinn_client(ca: &TestCa, certificate: Option<&Issued>) -> quinn::ClientConfig {
    let resolver = certificate.map(|issued| support::thief(issued, issued));
    let resolver = resolver.map(|it| it as Arc<dyn rustls::client::ResolvesClientCert>);
    let mut roots = rustls::RootCertStore::empty();
    roots.add(ca.certificate_der()).unwrap();
    let builder =
        rustls::ClientConfig::builder_with_provider(support::provider(support::Version::Tls13))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots);
    let mut config = match resolver {
        Some(resolver) => builder.with_client_cert_resolver(resolver),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![ALPN.into()];
    // It would like 0-RTT.
    config.enable_early_data = true;
    let config = quinn::crypto::rustls::QuicClientConfig::try_from(config).unwrap();
    quinn::ClientConfig::new(Arc::new(config))
}

fn aioquic(world: &World, certificate: Option<&Issued>) -> Client {
    let python = python_with("aioquic").expect("checked before");
    let mut program = command(python);
    program.args(["-c", include_str!("client.py"), "127.0.0.1"]);
    program.arg(world.address.port().to_string());
    program.arg(world.write("ca.pem", &world.ca.pem()));
    match certificate {
        Some(issued) => {
            program.arg(world.write("client.pem", &issued.chain_pem()));
            program.arg(world.write("client.key", &issued.key_pem()));
        }
        None => {
            program.args(["", ""]);
        }
    }
    program.stderr(std::process::Stdio::inherit());
    let mut child = program.spawn().unwrap();
    let stdin = child.stdin.take().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    Client::Aioquic {
        stdin,
        lines,
        _child: child,
    }
}
