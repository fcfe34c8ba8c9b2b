//! A client with wolfSSL calls our acceptor.
//!
//! wolfSSL's client takes a TLS 1.3 session ticket with a `ticket_nonce` of at most 8 octets (RFC 8446
//! section 4.6.1 allows 255), unless it was built with `--enable-ticket-nonce-malloc`. rustls' tickets have
//! 32, and no API of rustls changes that. The handshake succeeds; the client's first read then fails with
//! -425, and it sends illegal_parameter.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, LazyLock};

use countersign::builder::{Builder, ServerSide};
use countersign::identity::CommonName;
use countersign::{Acceptor, Policy, Resumption, policy};
use rustls::{AlertDescription, ProtocolVersion, ServerConfig, ServerConnection};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use support::interop::{Files, Pki, Tls, listen, name, refusal};
use support::programs::{Finished, PATIENCE, command, in_ci, is_there, run};
use support::raw_server::RawServer;

#[tokio::test]
async fn without_resumption_the_client_gets_its_greeting() {
    let Some(client) = client() else { return };
    let pki = Pki::new();
    let acceptor = built(&pki, |builder| builder.resumption(Resumption::Off));
    for tls in [Tls::V12, Tls::V13] {
        let (served, called) = meet(&acceptor, &pki, client, &[version(tls)]).await;
        assert_greeted(&served, &called);
        assert_eq!(served.version, Some(tls.version()));
    }
}

#[tokio::test]
async fn without_tickets_of_tls_1_3_the_client_gets_its_greeting() {
    let Some(client) = client() else { return };
    let pki = Pki::new();
    let acceptor = built(&pki, |builder| {
        builder.customize_rustls(|config| config.send_tls13_tickets = 0)
    });
    for tls in [Tls::V12, Tls::V13] {
        let (served, called) = meet(&acceptor, &pki, client, &[version(tls)]).await;
        assert_greeted(&served, &called);
    }
}

#[tokio::test]
async fn a_client_that_asks_for_no_tickets_gets_its_greeting() {
    let Some(client) = client() else { return };
    let pki = Pki::new();
    let acceptor = built(&pki, |builder| builder);
    let (served, called) = meet(&acceptor, &pki, client, &["1.3", "no-tickets"]).await;
    assert_greeted(&served, &called);
}

/// With tickets it depends on how wolfSSL was built; the refusal is explained.
#[tokio::test]
async fn tickets_need_a_client_that_takes_their_nonce() {
    let Some(client) = client() else { return };
    let pki = Pki::new();
    let acceptor = built(&pki, |builder| builder);
    let (served, called) = meet(&acceptor, &pki, client, &["1.3"]).await;
    if takes_long_nonces(&called) {
        assert_greeted(&served, &called);
    } else {
        assert!(called.stdout.contains("sent 47"), "{called:?}"); // illegal_parameter
        assert!(called.stdout.contains("wolfSSL_read: -425"), "{called:?}");
        let alert = served.alert.expect("an alert");
        assert!(alert.contains("illegal_parameter"), "{alert}");
        assert!(alert.contains("Resumption::Off"), "{alert}");
    }
    let (served, called) = meet(&acceptor, &pki, client, &["1.2"]).await;
    assert_greeted(&served, &called);
}

/// It is no matter of ours: plain rustls has the same. If this fails, rustls has shorter nonces, and the
/// manual's advice can go.
#[tokio::test]
async fn plain_rustls_has_the_same_nonces() {
    let Some(client) = client() else { return };
    let pki = Pki::new();
    let alice = pki.client("alice");
    let mut config = RawServer::new(&pki.ca, &pki.server()).config;
    for tickets in [2, 0] {
        config.send_tls13_tickets = tickets;
        let (listener, port) = listen().await;
        let config = config.clone();
        let server = spawn_blocking(move || greet_plainly(listener, config));
        let call = call(client, port, &pki, &alice, &["1.3"]);
        let both = async { tokio::join!(server, call) };
        let (alert, called) = timeout(PATIENCE, both).await.expect("both end in time");
        let alert = alert.unwrap();
        let expected = (tickets > 0 && !takes_long_nonces(&called))
            .then_some(AlertDescription::IllegalParameter);
        assert_eq!(alert, expected, "{called:?}");
        assert_eq!(called.code == Some(0), expected.is_none(), "{called:?}");
    }
}

#[tokio::test]
async fn a_client_that_the_policy_denies_sees_access_denied() {
    let Some(client) = client() else { return };
    let pki = Pki::new();
    let acceptor = with_policy(&pki, policy::exact([]), |builder| {
        builder.resumption(Resumption::Off)
    });
    let alice = pki.client("alice");
    for tls in ["1.2", "1.3"] {
        let (listener, port) = listen().await;
        let options = [tls];
        let call = call(client, port, &pki, &alice, &options);
        let accept = async { acceptor.accept(listener.accept().await.unwrap().0).await };
        let both = async { tokio::join!(accept, call) };
        let (refused, called) = timeout(PATIENCE, both).await.expect("both end in time");
        assert_eq!(refusal(refused.map(drop)), "denied");
        assert_eq!(called.code, Some(1));
        if tls == "1.3" {
            assert!(called.stdout.contains("received 49"), "{called:?}");
        }
    }
}

/// The client's program, compiled once; `None` where there is no wolfSSL to compile it with.
fn client() -> Option<&'static Path> {
    static CLIENT: LazyLock<Option<PathBuf>> = LazyLock::new(compile);
    is_there(CLIENT.is_some(), "cc with libwolfssl-dev", in_ci()).then_some(())?;
    CLIENT.as_deref()
}

fn compile() -> Option<PathBuf> {
    let source = support::workspace().join("tests/interop/wolfssl/client.c");
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("wolfssl-client");
    let mut cc = Command::new("cc");
    cc.arg("-o").arg(&program).arg(source).arg("-lwolfssl");
    let compiled = cc.output().ok()?;
    let said = String::from_utf8_lossy(&compiled.stderr);
    let is_missing = said.contains("wolfssl/options.h") || said.contains("-lwolfssl");
    assert!(compiled.status.success() || is_missing, "{said}");
    compiled.status.success().then_some(program)
}

const fn version(tls: Tls) -> &'static str {
    match tls {
        Tls::V12 => "1.2",
        Tls::V13 => "1.3",
    }
}

fn built(
    pki: &Pki,
    choose: impl FnOnce(Builder<ServerSide, CommonName>) -> Builder<ServerSide, CommonName>,
) -> Acceptor<CommonName> {
    with_policy(pki, policy::exact([name("alice")]), choose)
}

fn with_policy(
    pki: &Pki,
    policy: impl Policy<CommonName> + 'static,
    choose: impl FnOnce(Builder<ServerSide, CommonName>) -> Builder<ServerSide, CommonName>,
) -> Acceptor<CommonName> {
    let builder = Acceptor::builder()
        .credentials(pki.server().credentials())
        .trust(pki.ca.trust())
        .identify(CommonName::extractor())
        .authorize(policy)
        .allow_tls12();
    choose(builder).build().expect("an acceptor")
}

/// What the acceptor saw of a client that it admitted.
#[derive(Debug)]
struct Served {
    version: Option<ProtocolVersion>,
    /// The alert with which the client refused us, explained.
    alert: Option<String>,
}

/// Admits the client, greets it at once, and reads until it closes.
async fn meet(
    acceptor: &Acceptor<CommonName>,
    pki: &Pki,
    client: &Path,
    options: &[&str],
) -> (Served, Finished) {
    let alice = pki.client("alice");
    let (listener, port) = listen().await;
    let serve = async {
        let (tcp, _) = listener.accept().await.expect("a connection");
        let mut stream = acceptor.accept(tcp).await.expect("admitted");
        let alerts = stream.alert_watch();
        let greeting = format!("hello {}", stream.peer().identity());
        // The alert may arrive first.
        let _ = stream.write_all(greeting.as_bytes()).await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
        Served {
            version: stream.peer().connection().version(),
            alert: alerts.get().map(ToString::to_string),
        }
    };
    let both = async { tokio::join!(serve, call(client, port, pki, &alice, options)) };
    let (served, called) = timeout(PATIENCE, both).await.expect("both end in time");
    eprintln!("served: {served:?}\nclient: {called:?}"); // shown when the test fails
    (served, called)
}

async fn call(client: &Path, port: u16, pki: &Pki, files: &Files, options: &[&str]) -> Finished {
    let mut program = command(client);
    program.arg(port.to_string()).arg(&pki.ca_file);
    program.arg(&files.cert).arg(&files.key).args(options);
    run(&mut program, "").await
}

/// Greets the client of a plain rustls server: the alert that it sends, if any.
fn greet_plainly(listener: TcpListener, config: ServerConfig) -> Option<AlertDescription> {
    let listener = listener.into_std().unwrap();
    listener.set_nonblocking(false).unwrap();
    let (mut tcp, _) = listener.accept().unwrap();
    tcp.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut connection = ServerConnection::new(Arc::new(config)).unwrap();
    let mut stream = rustls::Stream::new(&mut connection, &mut tcp);
    let written = stream.write_all(b"hello alice");
    let read = stream.read_to_end(&mut Vec::new()).map(drop);
    let error = written.and(read).err()?;
    match error.get_ref()?.downcast_ref() {
        Some(rustls::Error::AlertReceived(alert)) => Some(*alert),
        _ => None,
    }
}

fn takes_long_nonces(called: &Finished) -> bool {
    called.stdout.contains("nonces of any length")
}

fn assert_greeted(served: &Served, called: &Finished) {
    assert_eq!(called.code, Some(0), "{called:?}");
    assert!(called.stdout.contains("read: hello alice"), "{called:?}");
    assert_eq!(served.alert, None);
}
