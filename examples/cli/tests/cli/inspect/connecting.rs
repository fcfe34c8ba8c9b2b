//! `--connect`: what any server presents, requests, and answers.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use countersign::Side;
use countersign::identity::CommonName;
use countersign::testing::{Issued, TestCa};
use countersign::{Acceptor, Decision, Peer, Policy, policy};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion, version};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::reports::{VALIDATOR, asking, checked, parse};
use crate::example::countersign;
use crate::programs::{PATIENCE, command, has_openssl, run};
use countersign_cli::inspect::connect;
use countersign_cli::inspect::report::Report;

const SERVER: &str = "server.example";

struct World {
    ca: TestCa,
    folder: TempDir,
}

impl World {
    fn new() -> Self {
        Self {
            ca: TestCa::new("Servers and Clients"),
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    fn server(&self) -> Issued {
        self.ca.leaf().common_name("server").dns(SERVER).issue()
    }

    fn client(&self) -> Issued {
        self.ca.leaf().common_name("alice").issue()
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        path
    }

    fn acceptor(&self, policy: impl Policy<CommonName> + 'static) -> Acceptor<CommonName> {
        Acceptor::builder()
            .credentials(self.server().credentials())
            .trust(self.ca.trust())
            .identify(CommonName::extractor())
            .authorize(policy)
            .build()
            .expect("an acceptor")
    }

    /// The exit status, the JSON and the text of a call with these credentials.
    async fn call(
        &self,
        address: SocketAddr,
        own: Option<&Issued>,
    ) -> (Option<i32>, Value, String) {
        self.call_within(10, address, own).await
    }

    async fn call_within(
        &self,
        seconds: u8,
        address: SocketAddr,
        own: Option<&Issued>,
    ) -> (Option<i32>, Value, String) {
        let mut options: Vec<OsString> = ["--connect", &address.to_string()].map(Into::into).into();
        options.extend(["--timeout".into(), seconds.to_string().into()]);
        options.extend(["--server-name".into(), SERVER.into(), "--trust".into()]);
        options.push(self.write("roots.pem", &self.ca.pem()).into());
        if let Some(own) = own {
            options.push("--cert".into());
            options.push(self.write("own.crt", &own.chain_pem()).into());
            options.push("--key".into());
            options.push(self.write("own.key", &own.key_pem()).into());
        }
        let text = run(countersign("inspect").args(&options), "").await;
        let json = run(countersign("inspect").args(&options).arg("--json"), "").await;
        eprintln!("{}", text.stdout);
        assert_eq!((&*text.stderr, &*json.stderr), ("", ""));
        assert_eq!(text.code, json.code);
        let deceives = |character: char| character.is_control() && character != '\n';
        assert!(!text.stdout.contains(deceives), "{:?}", text.stdout);
        (json.code, parse(&json.stdout), text.stdout)
    }
}

/// Serves every connection in the same way, and ends with the test.
struct Served {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve<F>(mut each: impl FnMut(TcpStream) -> F + Send + 'static) -> Served
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let task = tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            tokio::spawn(each(tcp));
        }
    });
    Served { address, task }
}

/// Our own acceptor, which wants not one octet from the caller.
async fn ours(acceptor: Acceptor<CommonName>) -> Served {
    serve(move |tcp| {
        let acceptor = acceptor.clone();
        async move {
            if let Ok(mut stream) = acceptor.accept(tcp).await {
                let mut all = Vec::new();
                let _ = stream.read_to_end(&mut all).await;
                assert!(all.is_empty(), "data was sent: {all:?}");
            }
        }
    })
    .await
}

/// Plain rustls, as another program would configure it.
async fn raw(config: ServerConfig) -> Served {
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    serve(move |tcp| {
        let acceptor = acceptor.clone();
        async move {
            if let Ok(mut stream) = acceptor.accept(tcp).await {
                let _ = stream.read_to_end(&mut Vec::new()).await;
            }
        }
    })
    .await
}

const BOTH: [&SupportedProtocolVersion; 2] = [&version::TLS13, &version::TLS12];

/// Wants a certificate from this authority, or none.
fn raw_config(
    server: &Issued,
    clients: Option<&TestCa>,
    version: &'static SupportedProtocolVersion,
) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[version])
        .expect("a version");
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(ca) => {
            let mut roots = RootCertStore::empty();
            roots.add(ca.certificate_der()).expect("a root");
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
            builder.with_client_cert_verifier(verifier.build().expect("a verifier"))
        }
    };
    builder
        .with_single_cert(server.chain().to_vec(), server.key_der())
        .expect("a certificate")
}

fn deny(_: &Peer<CommonName>) -> Decision {
    Decision::deny("closed")
}

#[tokio::test]
async fn a_server_of_countersign() {
    let world = World::new();
    let server = ours(world.acceptor(policy::allow_any())).await;
    let (code, json, text) = world.call(server.address, Some(&world.client())).await;
    assert_eq!(code, Some(0), "{json:#}");
    let connection = &json["connection"];
    assert_eq!(connection["tls"]["version"], "1.3");
    assert_eq!(connection["key_proven"], true);
    assert_eq!(connection["asks_for_certificate"], true);
    assert_eq!(connection["authorities"], json!(["CN=Servers and Clients"]));
    assert_eq!(connection["ours_is_among"], true);
    assert_eq!(connection["answer"]["code"], "admitted");
    assert_eq!(json["certificate"]["subject"], "CN=server");
    assert_eq!(json["explain"]["findings"], json!([]));
    for part in [
        "\n  TLS           1.3\n",
        "\n  its key       proven: ",
        "\n  asks for ours yes\n",
        "\n  from          CN=Servers and Clients\n",
        "\n  answer        ADMITTED: ",
        "\n  subject       CN=server\n",
        "\n  cn            ok            server\n",
        "\nTRUSTED as a server at ",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    for (pointer, value) in [
        ("/connection", json!("yes")),
        ("/connection/tls/version", json!("3.0")),
        ("/connection/answer/code", json!("perhaps")),
        ("/connection/answer/message", json!("")),
        ("/connection/authorities/0", json!("two\nlines")),
    ] {
        let mut spoiled = json.clone();
        *spoiled.pointer_mut(pointer).expect(pointer) = value;
        assert!(!VALIDATOR.is_valid(&spoiled), "{pointer}");
    }
}

/// What it says to a certificate that it does not take, and to none at all.
#[tokio::test]
async fn a_rejection_is_reported_in_words() {
    let world = World::new();
    let strange = TestCa::new("Strangers").leaf().common_name("alice").issue();
    let old = world.ca.leaf().common_name("alice").expired().issue();
    let allowing = ours(world.acceptor(policy::allow_any())).await;
    let denying = ours(world.acceptor(deny)).await;
    for (server, own, alert, words, among) in [
        (
            &denying,
            &world.client(),
            49,
            "access_denied (its policy: ",
            true,
        ),
        (
            &allowing,
            &strange,
            48,
            "unknown_ca (issuer \"CN=Strangers\" is not",
            false,
        ),
        (
            &allowing,
            &old,
            45,
            "certificate_expired (expired or not yet valid",
            true,
        ),
    ] {
        let (code, json, text) = world.call(server.address, Some(own)).await;
        assert_eq!(code, Some(1), "{json:#}");
        let connection = &json["connection"];
        assert_eq!(connection["answer"]["code"], "refused");
        assert_eq!(connection["answer"]["alert"], alert);
        let message = connection["answer"]["message"].as_str().expect("text");
        let start = "the server refused our certificate \"CN=alice\": ";
        assert!(message.starts_with(&format!("{start}{words}")), "{message}");
        assert_eq!(connection["ours_is_among"], among);
        assert_eq!(json["problem"], Value::Null);
        assert!(
            text.contains("answer        REFUSED: the server refused"),
            "{text}"
        );
        assert!(
            text.contains("which is from none of these") != among,
            "{text}"
        );
    }
    let (code, json, _) = world.call(allowing.address, None).await;
    assert_eq!(code, Some(0), "it is as it should be: {json:#}");
    let connection = &json["connection"];
    assert_eq!(connection["answer"]["alert"], 116);
    assert_eq!(
        (&connection["sent_ours"], &connection["ours_is_among"]),
        (&json!(false), &Value::Null)
    );
}

#[tokio::test]
async fn a_server_that_requests_no_certificate() {
    let world = World::new();
    for version in BOTH {
        let server = raw(raw_config(&world.server(), None, version)).await;
        let (code, json, text) = world.call(server.address, Some(&world.client())).await;
        assert_eq!(code, Some(0), "{json:#}");
        let connection = &json["connection"];
        assert_eq!(connection["asks_for_certificate"], false);
        assert_eq!(connection["sent_ours"], false);
        assert_eq!(connection["answer"]["code"], "admitted");
        assert!(
            text.contains("NO: it does not authenticate its clients"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_server_that_rejects_our_certificate() {
    let world = World::new();
    let others = TestCa::new("Others");
    for version in BOTH {
        let server = raw(raw_config(&world.server(), Some(&others), version)).await;
        let (code, json, _) = world.call(server.address, Some(&world.client())).await;
        assert_eq!(code, Some(1), "{json:#}");
        let connection = &json["connection"];
        assert_eq!(connection["authorities"], json!(["CN=Others"]));
        assert_eq!(connection["ours_is_among"], false);
        assert_eq!(connection["answer"]["alert"], 48, "{json:#}");
        assert_eq!(json["certificate"]["subject"], "CN=server");
        let (code, json, _) = world.call(server.address, None).await;
        assert_eq!(
            (code, &json["connection"]["answer"]["alert"]),
            (Some(0), &json!(116))
        );
    }
}

/// What trust says of the server's chain, and which names it has.
#[tokio::test]
async fn a_chain_that_is_not_trusted_is_explained() {
    let world = World::new();
    let impostor = TestCa::new("Impostors")
        .leaf()
        .common_name("server")
        .dns(SERVER)
        .issue();
    let elsewhere = world
        .ca
        .leaf()
        .common_name("server")
        .dns("other.example")
        .issue();
    for (shown, finding) in [(&impostor, "missing_issuer"), (&elsewhere, "name_mismatch")] {
        let server = raw(raw_config(shown, None, &version::TLS13)).await;
        let (code, json, text) = world.call(server.address, None).await;
        assert_eq!(code, Some(1));
        assert_eq!(json["explain"]["findings"][0]["code"], finding);
        assert!(text.contains("as a server at 20"), "{text}");
        assert!(text.contains(&format!("({finding})")), "{text}");
    }
}

/// It shows a certificate whose key it does not have.
#[tokio::test]
async fn a_stolen_certificate() {
    let world = World::new();
    for version in BOTH {
        let mut config = raw_config(&world.server(), None, version);
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let key = provider
            .key_provider
            .load_private_key(world.client().key_der());
        let stolen = CertifiedKey::new(world.server().chain().to_vec(), key.expect("a key"));
        config.cert_resolver = Arc::new(SingleCertAndKey::from(stolen));
        let server = raw(config).await;
        let (code, json, text) = world.call(server.address, None).await;
        assert_eq!(code, Some(1), "{json:#}");
        assert_eq!(json["connection"]["key_proven"], false);
        assert!(text.contains("NOT PROVEN: "), "{text}");
    }
}

/// Nothing that is no server of TLS holds it up, or makes it fail in another way than in words.
#[tokio::test]
async fn a_server_that_does_not_speak_tls() {
    let world = World::new();
    let stalled = serve(|tcp| async move {
        tokio::time::sleep(PATIENCE).await;
        drop(tcp);
    })
    .await;
    let http = serve(|mut tcp| async move {
        let _ = tcp.read(&mut [0; 2048]).await;
        let _ = tcp
            .write_all(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n")
            .await;
    })
    .await;
    let closing = serve(|mut tcp| async move {
        let _ = tcp.read(&mut [0; 2048]).await;
    })
    .await;
    let garbage = serve(|mut tcp| async move {
        let _ = tcp.read(&mut [0; 2048]).await;
        while tcp.write_all(&[0x16; 4096]).await.is_ok() {}
    })
    .await;
    // A server's hello that is cut off, and then handshake records without an end.
    let endless = serve(|mut tcp| async move {
        let _ = tcp.read(&mut [0; 2048]).await;
        let record = [
            &[0x16, 3, 3, 0x40, 0, 2, 0xff, 0xff, 0xff][..],
            &[0; 0x4000 - 4],
        ]
        .concat();
        while tcp.write_all(&record).await.is_ok() {}
    })
    .await;
    let refusing = serve(|mut tcp| async move {
        let _ = tcp.read(&mut [0; 2048]).await;
        let _ = tcp.write_all(&[21, 3, 3, 0, 2, 2, 112]).await; // unrecognized_name
        let _ = tcp.read(&mut [0; 2048]).await;
    })
    .await;
    let unused = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let closed_port = unused.local_addr().expect("an address");
    drop(unused);
    for (address, words) in [
        (stalled.address, "not finished within 1s (received 0 bytes)"),
        (http.address, "it speaks plaintext HTTP"),
        (closing.address, "it closed the connection after 0 bytes"),
        (garbage.address, "TLS failed: "),
        (endless.address, "TLS failed: "),
        (
            refusing.address,
            "the handshake failed: the server refused us: unrecognized_name",
        ),
        (closed_port, "cannot connect to 127.0.0.1 port "),
    ] {
        let begin = Instant::now();
        let (code, json, text) = world.call_within(1, address, Some(&world.client())).await;
        // Called twice, with more than enough time for the programs to start.
        assert!(begin.elapsed() < Duration::from_secs(15));
        assert_eq!(code, Some(1), "{words}");
        let problem = json["problem"].as_str().expect("a problem");
        assert!(problem.contains(words), "{words:?} is not in {problem:?}");
        assert!(text.starts_with("problem: "), "{text}");
        assert!(!text.contains(" as a server at "), "{text}");
        assert_eq!(json["certificate"], Value::Null);
    }
}

/// An octet between us and a good server is changed: the report explains that, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_changed_octet_anywhere() {
    let world = World::new();
    let server = raw(raw_config(
        &world.server(),
        Some(&world.ca),
        &version::TLS12,
    ))
    .await;
    let address = server.address;
    let mut seen = 0;
    for place in (0..1_400).step_by(20) {
        let proxy = serve(move |near| async move {
            let far = TcpStream::connect(address).await.expect("the server");
            let (mut from_client, mut to_client) = near.into_split();
            let (mut from_server, mut to_server) = far.into_split();
            let up = tokio::io::copy(&mut from_client, &mut to_server);
            let down = async {
                let (mut at, mut buffer) = (0, [0; 4096]);
                while let Ok(count @ 1..) = from_server.read(&mut buffer).await {
                    if let Some(octet) = (at..at + count).position(|position| position == place) {
                        buffer[octet] ^= 0x41;
                    }
                    at += count;
                    if to_client.write_all(&buffer[..count]).await.is_err() {
                        break;
                    }
                }
                let _ = to_client.shutdown().await;
            };
            tokio::select! { _ = up => {}, () = down => {} }
        })
        .await;
        let (host, port) = (proxy.address.ip().to_string(), proxy.address.port());
        let called = tokio::task::spawn_blocking(move || {
            connect::call(connect::Call {
                host,
                port,
                server_name: SERVER.try_into().expect("a name"),
                credentials: None,
                timeout: Duration::from_millis(700),
            })
        });
        let found = called.await.expect("no panic");
        let problem = found.problem.clone().unwrap_or_default();
        assert!(
            !problem.starts_with("nothing was found"),
            "{place}: {problem}"
        );
        assert!(found.address.is_some() && (found.problem.is_some() || found.answer.is_some()));
        let question = asking(
            world.ca.trust(),
            Side::Server,
            rustls_pki_types::UnixTime::now(),
        );
        let report = Report::on_server("it", &found, &question);
        checked(&report);
        seen += usize::from(!found.chain.is_empty());
    }
    assert!(seen > 10, "{seen}"); // some of it was read, with and without the change
}

/// A server may name authorities as it likes.
#[tokio::test]
async fn hostile_names_stay_on_their_line() {
    let world = World::new();
    let evil = TestCa::new("evil\u{202e}\n\u{1b}[2J");
    let server = raw(raw_config(&world.server(), Some(&evil), &version::TLS13)).await;
    let (_, json, text) = world.call(server.address, None).await;
    let names = json["connection"]["authorities"].to_string();
    assert!(
        names.contains("evil\\\\E2\\\\80\\\\AE\\\\0A\\\\1B[2J"),
        "{names}"
    );
    assert!(!text.contains('\u{202e}'), "{text:?}");
}

#[tokio::test]
async fn openssl_s_server() {
    if !has_openssl() {
        return;
    }
    let world = World::new();
    let clients = TestCa::new("Clients of OpenSSL");
    let cert = world.write("server.crt", &world.server().chain_pem());
    let key = world.write("server.key", &world.server().key_pem());
    // Not the same certificate in both calls of `server()`, so write one pair.
    let pair = world.server();
    std::fs::write(&cert, pair.chain_pem()).expect("written");
    std::fs::write(&key, pair.key_pem()).expect("written");
    let ca = world.write("clients.pem", &clients.pem());
    let known = clients.leaf().common_name("alice").issue();
    for tls in ["-tls1_3", "-tls1_2"] {
        let mut openssl = command("openssl");
        openssl
            .args(["s_server", "-www", "-accept", "127.0.0.1:0", tls])
            .args(["-Verify", "1", "-verify_return_error", "-CAfile"])
            .arg(&ca)
            .arg("-cert")
            .arg(&cert)
            .arg("-key")
            .arg(&key);
        let mut child = openssl.spawn().expect("openssl starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let port: u16 = tokio::time::timeout(PATIENCE, async {
            loop {
                let line = lines.next_line().await.expect("UTF-8").expect("a line");
                if let Some(address) = line.strip_prefix("ACCEPT ") {
                    break address
                        .rsplit(':')
                        .next()
                        .expect("a port")
                        .parse()
                        .expect("a port");
                }
            }
        })
        .await
        .expect("s_server is ready in time");
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let address = SocketAddr::from(([127, 0, 0, 1], port));

        let (code, json, _) = world.call(address, Some(&known)).await;
        assert_eq!(code, Some(0), "{tls}: {json:#}");
        assert_eq!(
            json["connection"]["authorities"],
            json!(["CN=Clients of OpenSSL"])
        );
        assert_eq!(json["connection"]["answer"]["code"], "admitted");
        let (code, json, _) = world.call(address, Some(&world.client())).await;
        assert_eq!(code, Some(1), "{tls}: {json:#}");
        assert_eq!(json["connection"]["answer"]["code"], "refused", "{tls}");
        assert_eq!(json["connection"]["answer"]["alert"], 48, "{tls}");
        let (_, json, _) = world.call(address, None).await;
        assert_eq!(
            json["connection"]["answer"]["alert"], 116,
            "{tls}: {json:#}"
        );
    }
}
