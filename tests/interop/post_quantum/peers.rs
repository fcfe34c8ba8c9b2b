//! The programs on the other side, and a connection with each.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command as Program;
use std::sync::{Mutex, PoisonError};

use countersign::builder::{Builder, ClientSide, ServerSide};
use countersign::identity::CommonName;
use countersign::testing::{Issued, KeyType, TestCa};
use countersign::{AcceptError, Acceptor, ConnectError, Connector, TrustStore, policy};
use rustls::NamedGroup;
use serde_json::Value;
use support::interop::{listen, serve_once};
use support::programs::{PATIENCE, command, in_ci, is_there, python_with, run};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The last version of Go without ML-DSA, and the first with it. `go` gets them, where it is another one.
pub(crate) const GO_WITHOUT_ML_DSA: &str = "go1.26.8";
pub(crate) const GO: &str = "go1.27.0";

/// A program that makes one connection, on either side.
pub(crate) struct Peer {
    program: Vec<OsString>,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    OpenSsl,
    Go,
}

impl Peer {
    /// OpenSSL 3.5 or newer, in Python.
    pub(crate) fn openssl() -> Option<Self> {
        let python = python_with("cryptography.hazmat.primitives.asymmetric.mldsa, OpenSSL")?;
        Some(Self {
            program: vec![python, script()],
            kind: Kind::OpenSsl,
        })
    }

    /// Go of this version.
    pub(crate) fn go(version: &str) -> Option<Self> {
        let program = built(version)?;
        Some(Self {
            program: vec![program.into()],
            kind: Kind::Go,
        })
    }

    /// All that have ML-DSA and are there.
    pub(crate) fn with_ml_dsa() -> Vec<Self> {
        [Self::openssl(), Self::go(GO)]
            .into_iter()
            .flatten()
            .collect()
    }

    fn command(&self, groups: &[NamedGroup], folder: &Path) -> tokio::process::Command {
        let mut made = command(&self.program[0]);
        made.args(&self.program[1..]);
        match self.kind {
            Kind::OpenSsl if !groups.is_empty() => {
                let file = folder.join("openssl.cnf");
                let names: Vec<_> = groups.iter().map(|group| openssl_name(*group)).collect();
                let text = format!(
                    "openssl_conf = main\n[main]\nssl_conf = ssl\n[ssl]\nsystem_default = tls\n[tls]\nGroups = {}\n",
                    names.join(":")
                );
                std::fs::write(&file, text).unwrap();
                made.env("OPENSSL_CONF", file);
            }
            Kind::OpenSsl => {}
            Kind::Go => {
                let numbers: Vec<_> = groups
                    .iter()
                    .map(|group| u16::from(*group).to_string())
                    .collect();
                made.env("GROUPS", numbers.join(" "));
            }
        }
        made
    }
}

fn script() -> OsString {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    folder.join("post_quantum/peer.py").into()
}

fn openssl_name(group: NamedGroup) -> String {
    match group {
        NamedGroup::secp256r1 => "P-256".into(),
        NamedGroup::secp256r1MLKEM768 => "SecP256r1MLKEM768".into(),
        group => format!("{group:?}"),
    }
}

/// Has OpenSSL make a root and a leaf for `alice`.
pub(crate) async fn issued_by_openssl(folder: &Path, algorithm: &str) -> bool {
    let Some(peer) = Peer::openssl() else {
        return false;
    };
    let mut issue = peer.command(&[], folder);
    issue.arg("issue").arg(folder).arg(algorithm);
    let finished = run(&mut issue, "").await;
    assert_eq!(finished.code, Some(0), "{finished:?}");
    true
}

/// The program in Go, built once for each version.
fn built(version: &str) -> Option<PathBuf> {
    static BUILDING: Mutex<()> = Mutex::new(());

    let _one_at_a_time = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let mut asked = Program::new("go");
    asked.arg("version").env("GOTOOLCHAIN", version);
    let is_it = asked.output().is_ok_and(|output| {
        output.status.success() && String::from_utf8_lossy(&output.stdout).contains(version)
    });
    let what = format!("{version} (Go 1.21 or newer gets it as a module)");
    if !is_there(is_it, &what, in_ci()) {
        return None;
    }
    let binary = folder.join(format!("post-quantum-peer-{version}"));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("post_quantum/peer.go");
    let built = Program::new("go")
        .args(["build", "-o"])
        .args([&binary, &source])
        .env("GOTOOLCHAIN", version)
        .env("GOCACHE", folder.join("go"))
        .output()
        .unwrap();
    assert!(
        built.status.success(),
        "{}",
        String::from_utf8_lossy(&built.stderr)
    );
    Some(binary)
}

/// Files for the program.
pub(crate) struct Files {
    folder: TempDir,
    roots: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

impl Files {
    /// What it presents, and the roots that it trusts.
    pub(crate) fn new(own: &Issued, roots: &[&TestCa]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: String| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        Self {
            roots: write("roots.pem", roots.iter().map(|root| root.pem()).collect()),
            certificate: write("own.crt", own.chain_pem()),
            key: write("own.key", own.key_pem()),
            folder,
        }
    }
}

pub(crate) fn ca(key: KeyType) -> TestCa {
    TestCa::builder(&format!("{key:?} Root")).key(key).root()
}

pub(crate) fn leaf(ca: &TestCa, key: KeyType) -> Issued {
    let leaf = ca.leaf().common_name("alice").dns("localhost");
    leaf.key(key).issue()
}

pub(crate) fn acceptor(own: &Issued, trust: TrustStore) -> Builder<ServerSide, CommonName> {
    Acceptor::builder()
        .credentials(own.credentials())
        .trust(trust)
        .identify(CommonName::extractor())
        .authorize(policy::allow_any())
}

pub(crate) fn connector(own: &Issued, trust: TrustStore) -> Builder<ClientSide, CommonName> {
    Connector::builder()
        .credentials(own.credentials())
        .trust(trust)
        .identify(CommonName::extractor())
        .authorize(policy::allow_any())
}

fn reported(stdout: &str) -> Value {
    let line = stdout.lines().last().unwrap_or_default();
    serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {stdout}"))
}

/// Lets the program call the acceptor: the identity that was admitted, and what the program reports.
pub(crate) async fn called(
    peer: &Peer,
    acceptor: &Acceptor<CommonName>,
    files: &Files,
    groups: &[NamedGroup],
) -> (Result<String, AcceptError>, Value) {
    let (listener, port) = listen().await;
    let mut client = peer.command(groups, files.folder.path());
    client.args(["client", &port.to_string()]);
    client.args([&files.roots, &files.certificate, &files.key]);
    let both = async { tokio::join!(serve_once(acceptor, &listener), run(&mut client, "")) };
    let (served, finished) = timeout(PATIENCE, both).await.expect("both end in time");
    // Shown when the test fails.
    eprintln!("served: {served:?}\nclient: {finished:?}");
    let served = served.map(|served| served.identity);
    (served, reported(&finished.stdout))
}

/// Calls the program: its identity and its answer, and what it reports.
pub(crate) async fn calling(
    peer: &Peer,
    connector: &Connector<CommonName>,
    files: &Files,
    groups: &[NamedGroup],
) -> (Result<String, ConnectError>, Value) {
    let mut server = peer.command(groups, files.folder.path());
    server.arg("server");
    server.args([&files.roots, &files.certificate, &files.key]);
    let mut child = server.spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let attempt = async {
        let mut line = String::new();
        stdout.read_line(&mut line).await.unwrap();
        let port = line.trim().strip_prefix("port ").expect("a port");
        let tcp = TcpStream::connect(("127.0.0.1", port.parse().unwrap()))
            .await
            .unwrap();
        let connected = match connector.connect("localhost", tcp).await {
            Err(error) => Err(error),
            Ok(mut stream) => {
                let mut answer = String::new();
                let exchanged = async {
                    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
                    stream.read_to_string(&mut answer).await
                };
                // A server that rejects our certificate says so after its own part of the handshake.
                match exchanged.await {
                    Ok(_) => Ok(answer),
                    Err(error) => {
                        let error = error.downcast::<countersign::HandshakeError>();
                        Err(ConnectError::Handshake(error.expect("a named alert")))
                    }
                }
            }
        };
        let mut rest = String::new();
        stdout.read_to_string(&mut rest).await.unwrap();
        child.wait().await.unwrap();
        (connected, rest)
    };
    let (connected, rest) = timeout(PATIENCE, attempt).await.expect("both end in time");
    // Shown when the test fails.
    eprintln!("connected: {connected:?}\nserver: {rest}");
    (connected, reported(&rest))
}

/// What the program reports that calls a port without a server.
pub(crate) async fn without_server(peer: &Peer, files: &Files) -> Value {
    let mut client = peer.command(&[], files.folder.path());
    client.args(["client", "1"]);
    client.args([&files.roots, &files.certificate, &files.key]);
    reported(&run(&mut client, "").await.stdout)
}
