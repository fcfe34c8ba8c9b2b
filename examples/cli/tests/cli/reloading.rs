//! The server follows its files, and re-authorizes its open connections.

#![allow(clippy::unwrap_used)] // helpers of tests, too

use std::path::{Path, PathBuf};
use std::time::Duration;

use countersign::TlsStream;
use countersign::identity::CommonName;
use countersign::policy;
use countersign::testing::TestCa;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::example::countersign;
use crate::interop::{Files, Pki};
use crate::log::{action, message, reason};
use crate::programs::{PATIENCE, run};
use crate::running::{Server, client, identity_of, with};

async fn start(pki: &Pki, options: &[&str]) -> Server {
    let files = pki.files("server", &pki.server());
    let mut arguments: Vec<PathBuf> = with("--trust", &pki.ca_file).into();
    arguments.extend(["--identity", "cn"].map(Into::into));
    arguments.extend(options.iter().map(Into::into));
    Server::start(&files, arguments).await
}

/// The lines of the log that no test has read. The order of two lines is not defined.
#[derive(Default)]
struct Log(Vec<Value>);

impl Log {
    /// After what was loaded at the start.
    async fn from_start(server: &mut Server) -> Self {
        let mut log = Self::default();
        log.next(server, "reload_applied").await;
        log
    }

    /// The next line that is about this.
    async fn next(&mut self, server: &mut Server, what: &str) -> Value {
        loop {
            if let Some(at) = self.0.iter().position(|line| action(line) == what) {
                return self.0.remove(at);
            }
            self.0.push(server.logged().await);
        }
    }
}

/// A connection of a client named so, which stays open.
async fn open(pki: &Pki, server: &Server, common_name: &str) -> TlsStream<TcpStream, CommonName> {
    let connector = countersign::Connector::builder()
        .credentials(pki.ca.leaf().common_name(common_name).issue().credentials())
        .trust(pki.ca.trust())
        .identify(CommonName::extractor())
        .authorize(policy::allow_any())
        .build()
        .unwrap();
    let tcp = TcpStream::connect(("127.0.0.1", server.port))
        .await
        .unwrap();
    let mut stream = connector.connect("localhost", tcp).await.unwrap();
    let answer = get(&mut stream, "/").await;
    assert!(answer.contains(common_name), "{answer}");
    stream
}

async fn get(stream: &mut TlsStream<TcpStream, CommonName>, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\n") || answer.ends_with(b"\r\n") {
        let read = timeout(PATIENCE, stream.read_buf(&mut answer)).await;
        assert_ne!(read.expect("an answer in time").unwrap(), 0);
    }
    String::from_utf8(answer).unwrap()
}

/// What the end of a stream says.
async fn end_of(mut stream: TlsStream<TcpStream, CommonName>) -> String {
    let read = timeout(PATIENCE, stream.read_u8()).await;
    read.expect("it ends in time").unwrap_err().to_string()
}

fn replace(path: &Path, bytes: impl AsRef<[u8]>) {
    let beside = path.with_extension("new");
    std::fs::write(&beside, bytes).unwrap();
    std::fs::rename(&beside, path).unwrap();
}

#[tokio::test]
async fn the_deny_file_reaches_open_connections() {
    let pki = Pki::new();
    let stolen = pki.ca.leaf().common_name("carol").issue();
    let carol = pki.files("carol", &stolen);
    let file = pki.write("denied.txt", "# empty\n");
    let deny = file.to_str().unwrap();
    let options = ["--allow-any", "--reload", "1", "--deny-file", deny];
    let mut server = start(&pki, &options).await;
    let mut log = Log::from_start(&mut server).await;
    let (alice, bob) = (
        open(&pki, &server, "alice").await,
        open(&pki, &server, "bob").await,
    );

    let key = stolen.certificate().spki_sha256();
    replace(&file, format!("bob # left in May\nspki:{key}\n"));
    let line = log.next(&mut server, "reload_applied").await;
    assert_eq!(line["countersign"]["reload"]["changed"][0], "deny list");
    assert!(end_of(bob).await.contains("access_denied"));
    let line = log.next(&mut server, "cut").await;
    assert_eq!(reason(&line), "deny_listed");
    assert_eq!(line["user"]["name"], "bob");
    let refused = client(&carol, with("--trust", &pki.ca_file), &server.url()).await;
    assert!(
        refused.stderr.contains("certificate_revoked"),
        "{refused:?}"
    );

    // By serial number and the issuer's name, and by SIGHUP.
    let serial = stolen.certificate().serial().to_string();
    replace(&file, format!("serial:{serial} issuer:CN=Interop Root\n"));
    server.signal("HUP").await;
    log.next(&mut server, "reload_applied").await;
    let refused = client(&carol, with("--trust", &pki.ca_file), &server.url()).await;
    assert!(
        refused.stderr.contains("certificate_revoked"),
        "{refused:?}"
    );

    // A list that cannot be read changes nothing, and is reported with its line.
    replace(&file, "alice\nspki:12\n");
    let line = log.next(&mut server, "reload_refused").await;
    let said = message(&line);
    assert!(said.contains("denied.txt: line 2: \"spki:12\""), "{said}");
    let mut alice = alice;
    assert!(get(&mut alice, "/").await.contains("alice"));
    server.stop().await;
}

/// No workload has the ID of a trust domain, which is a SPIFFE ID. As a URI it is an identity like any other.
#[tokio::test]
async fn a_deny_file_with_an_entry_that_matches_no_client_is_an_error() {
    let pki = Pki::new();
    let files = pki.files("server", &pki.server());
    let file = pki.write("denied.txt", "spiffe://example.org\n");
    let with_identity = |identity| {
        let mut arguments: Vec<PathBuf> = with("--trust", &pki.ca_file).into();
        arguments.extend(["--identity", identity, "--allow-any", "--deny-file"].map(Into::into));
        arguments.push(file.clone());
        arguments
    };
    let mut server = countersign("serve");
    server.args(["--listen", "127.0.0.1:0"]);
    server
        .args(identity_of(&files))
        .args(with_identity("spiffe"));
    let finished = run(&mut server, "").await;
    assert_eq!((finished.code, &*finished.stdout), (Some(1), ""));
    let said = "denied.txt: line 1: \"spiffe://example.org\": not an identity: it is the ID of a trust domain, which \
        no workload has; write an identity, spki:SHA256";
    assert!(finished.stderr.contains(said), "{finished:?}");

    let uri = Server::start(&files, with_identity("uri")).await;
    uri.stop().await;
    std::fs::write(&file, "spiffe://example.org/a\n").unwrap();
    let workload = Server::start(&files, with_identity("spiffe")).await;
    workload.stop().await;
}

#[tokio::test]
async fn roots_crls_and_credentials_follow_their_files() {
    let pki = Pki::new();
    let bob = pki.ca.leaf().common_name("bob").issue();
    let crl = pki.write("clients.crl", pki.ca.crl().build());
    let options = [
        "--allow-any",
        "--reload",
        "1",
        "--crl",
        crl.to_str().unwrap(),
    ];
    let mut server = start(&pki, &options).await;
    let mut log = Log::from_start(&mut server).await;
    let files = pki.files("bob", &bob);
    let trust = with("--trust", &pki.ca_file);
    assert_eq!(client(&files, &trust, &server.url()).await.code, Some(0));
    replace(&crl, pki.ca.crl().number(2).revoke(bob.serial()).build());
    log.next(&mut server, "reload_applied").await;
    let refused = client(&files, &trust, &server.url()).await;
    assert!(
        refused.stderr.contains("certificate_revoked"),
        "{refused:?}"
    );

    // A new certificate and its key, one after the other: never a mixed pair.
    let other = TestCa::new("Other Root");
    let next = other.leaf().common_name("server").dns("localhost").issue();
    std::fs::write(pki.path("server.crt"), next.chain_pem()).unwrap();
    std::fs::write(pki.path("server.key"), next.key_pem()).unwrap();
    log.next(&mut server, "reload_applied").await;
    let alice = pki.client("alice");
    let other_ca = with("--trust", &pki.write("other.pem", other.pem()));
    assert_eq!(client(&alice, other_ca, &server.url()).await.code, Some(0));
    assert_eq!(client(&alice, &trust, &server.url()).await.code, Some(1));

    // A key that belongs to another certificate is refused.
    std::fs::write(pki.path("server.key"), bob.key_pem()).unwrap();
    let line = log.next(&mut server, "reload_refused").await;
    assert!(message(&line).contains("does not match"), "{line}");
    server.stop().await;
}

#[tokio::test]
async fn only_admins_see_the_connections() {
    let pki = Pki::new();
    let server = start(&pki, &["--allow-any", "--admin", "alice"]).await;
    let (mut alice, mut bob) = (
        open(&pki, &server, "alice").await,
        open(&pki, &server, "bob").await,
    );
    let shown = get(&mut alice, "/connections").await;
    let (head, body) = shown.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let shown: Value = serde_json::from_str(body).unwrap();
    let identities: Vec<_> = (0..2)
        .map(|index| shown[index]["identity"].clone())
        .collect();
    assert_eq!(identities, ["alice", "bob"]);
    assert!(
        shown[1]["remote"]
            .as_str()
            .unwrap()
            .starts_with("127.0.0.1:")
    );
    assert_eq!(shown[1]["ending"], Value::Null);
    let hidden = get(&mut bob, "/connections").await;
    assert!(hidden.starts_with("HTTP/1.1 404 "), "{hidden}");
}

#[tokio::test]
async fn a_handshake_has_a_time_limit() {
    let pki = Pki::new();
    let options = [
        "--allow-any",
        "--handshake-timeout",
        "2000",
        "--max-handshakes",
        "1",
    ];
    let mut server = start(&pki, &options).await;
    let mut log = Log::from_start(&mut server).await;
    let silent = TcpStream::connect(("127.0.0.1", server.port))
        .await
        .unwrap();
    let line = timeout(Duration::from_secs(20), log.next(&mut server, "timed_out")).await;
    assert_eq!(reason(&line.unwrap()), "timed_out");
    drop(silent);
    let alice: Files = pki.client("alice");
    let finished = client(&alice, with("--trust", &pki.ca_file), &server.url()).await;
    assert_eq!(finished.code, Some(0));
}
