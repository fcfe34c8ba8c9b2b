//! Our connector calls `openssl s_server`.

use std::io;
use std::path::Path;

use countersign::gate::AdmitError;
use countersign::identity::CommonName;
use countersign::trust::ChainError;
use countersign::{ConnectError, Connector, HandshakeError, policy};
use rustls::AlertDescription;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::Child;
use tokio::time::timeout;

use support::interop::{BOTH, Pki, Tls};
use support::programs::{PATIENCE, command, has_openssl};

/// A running `openssl s_server` that answers requests with a page about the connection.
struct SServer {
    port: u16,
    /// Ends with the test.
    _child: Child,
}

impl SServer {
    /// With `clients_ca`, it demands a certificate from there; without, it asks for none.
    async fn start(pki: &Pki, tls: Tls, clients_ca: Option<&Path>) -> Self {
        let files = pki.files("server", &pki.server());
        let mut openssl = command("openssl");
        openssl
            .args(["s_server", "-www", "-accept", "127.0.0.1:0"])
            .args(["-cert".as_ref(), files.cert.as_os_str()])
            .args(["-key".as_ref(), files.key.as_os_str()])
            .arg(match tls {
                Tls::V12 => "-tls1_2",
                Tls::V13 => "-tls1_3",
            });
        if let Some(ca) = clients_ca {
            openssl.args(["-Verify", "1", "-verify_return_error"]);
            openssl.args(["-CAfile".as_ref(), ca.as_os_str()]);
        }
        let mut child = openssl.spawn().expect("openssl starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let port = timeout(PATIENCE, async {
            loop {
                let line = lines.next_line().await.expect("UTF-8");
                let line = line.expect("it says its port");
                if let Some(address) = line.strip_prefix("ACCEPT ") {
                    let port = address.rsplit(':').next().expect("a port");
                    break port.parse().expect("a port");
                }
            }
        })
        .await
        .expect("s_server is ready in time");
        // It writes about each connection, and blocks unless that is read.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self {
            port,
            _child: child,
        }
    }
}

/// What a connector got to see of a server.
#[derive(Debug)]
struct Called {
    server: String,
    resumed: bool,
    page: io::Result<String>,
}

async fn call(connector: &Connector<CommonName>, to: &SServer) -> Result<Called, ConnectError> {
    ask(connector, to, "GET / HTTP/1.0\r\n\r\n").await
}

async fn ask(
    connector: &Connector<CommonName>,
    to: &SServer,
    request: &str,
) -> Result<Called, ConnectError> {
    let call = async {
        let tcp = TcpStream::connect(("127.0.0.1", to.port)).await;
        let tcp = tcp.expect("it listens");
        let mut stream = connector.connect("localhost", tcp).await?;
        let page = async {
            stream.write_all(request.as_bytes()).await?;
            let mut page = Vec::new();
            match stream.read_to_end(&mut page).await {
                // Old versions of s_server close without close_notify.
                Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => Err(error),
                _ => Ok(String::from_utf8_lossy(&page).into_owned()),
            }
        };
        let page = page.await;
        Ok(Called {
            server: stream.peer().identity().to_string(),
            resumed: stream.peer().connection().is_resumed(),
            page,
        })
    };
    timeout(PATIENCE, call)
        .await
        .expect("the call ends in time")
}

#[tokio::test]
async fn a_server_that_verifies_us_is_talked_to_and_resumed() {
    if !has_openssl() {
        return;
    }
    let pki = Pki::new();
    for tls in BOTH {
        let server = SServer::start(&pki, tls, Some(&pki.ca_file)).await;
        let connector = pki.connector();

        let called = call(&connector, &server).await.unwrap();
        assert_eq!((&*called.server, called.resumed), ("server", false));
        let page = called.page.unwrap();
        assert!(page.contains("alice"), "our certificate arrived: {page}");

        // A session with a server that had asked for our certificate may be resumed.
        let called = call(&connector, &server).await.unwrap();
        assert_eq!((&*called.server, called.resumed), ("server", true));
        assert!(called.page.unwrap().contains("Reused"));
    }
}

#[tokio::test]
async fn a_server_that_requests_no_certificate_is_rejected_every_time() {
    if !has_openssl() {
        return;
    }
    let pki = Pki::new();
    for tls in BOTH {
        let server = SServer::start(&pki, tls, None).await;
        let connector = pki.connector();
        // A stored session would hide that the server never asks.
        for attempt in 1..=3 {
            let error = call(&connector, &server).await.expect_err("not mutual");
            assert!(
                matches!(error, ConnectError::NotAsked),
                "{tls:?}, attempt {attempt}: {error}"
            );
            assert_eq!(error.reason(), "not_asked");
        }
    }
}

#[tokio::test]
async fn a_server_of_an_unknown_ca_is_rejected() {
    if !has_openssl() {
        return;
    }
    let pki = Pki::new();
    for tls in BOTH {
        let server = SServer::start(&pki, tls, Some(&pki.ca_file)).await;
        let connector = pki.connector_with(policy::allow_any(), &pki.strange_ca);
        let error = call(&connector, &server).await.expect_err("unknown");
        assert!(
            matches!(
                &error,
                ConnectError::NotAdmitted(AdmitError::Chain(ChainError::UnknownIssuer { .. }))
            ),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_server_that_the_policy_denies_is_rejected() {
    if !has_openssl() {
        return;
    }
    let pki = Pki::new();
    for tls in BOTH {
        let server = SServer::start(&pki, tls, Some(&pki.ca_file)).await;
        let connector = pki.connector_with(policy::exact([]), &pki.ca);
        let error = call(&connector, &server).await.expect_err("denied");
        assert_eq!(error.reason(), "denied");
    }
}

#[tokio::test]
async fn a_server_that_does_not_trust_us_says_unknown_ca() {
    if !has_openssl() {
        return;
    }
    let pki = Pki::new();
    for tls in BOTH {
        let server = SServer::start(&pki, tls, Some(&pki.strange_ca_file)).await;
        // s_server closes at once: bytes that it has not read would turn its alert into a reset.
        let called = ask(&pki.connector(), &server, "").await;
        // TLS 1.2 rejects within the handshake, TLS 1.3 after it.
        let alert = match tls {
            Tls::V12 => match called.expect_err("refused") {
                ConnectError::Handshake(error) => error.alert(),
                other => panic!("{other}"),
            },
            Tls::V13 => {
                let error = called.unwrap().page.expect_err("refused");
                let inner = error.get_ref().expect("a cause");
                let inner = inner.downcast_ref::<HandshakeError>().expect("our error");
                inner.alert()
            }
        };
        assert_eq!(alert, Some(AlertDescription::UnknownCA));
    }
}
