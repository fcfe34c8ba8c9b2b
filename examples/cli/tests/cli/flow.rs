//! `serve` and `call` with each other.

use countersign::Acceptor;
use countersign::identity::CommonName;
use countersign::policy;
use countersign::testing::{KeyType, TestCa};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::failure::failure;
use crate::interop::{Pki, listen, name, serve_once};
use crate::programs::PATIENCE;
use crate::running::{Server, client, with};

const BILLING: &str = "spiffe://example.org/ns/billing/worker";

/// A server for the SPIFFE IDs below billing, whose own certificate names no host.
async fn orders(pki: &Pki) -> Server {
    let issued = pki
        .ca
        .leaf()
        .spiffe("spiffe://example.org/ns/orders")
        .issue();
    let files = pki.files("orders", &issued);
    let options = ["--identity", "spiffe", "--allow"].into_iter().chain([
        "spiffe://example.org/ns/ops/root",
        "spiffe://example.org/ns/billing/*",
    ]);
    let trust = with("--trust", &pki.ca_file);
    Server::start(&files, options.map(Into::into).chain(trust)).await
}

/// Options of a client that allows "orders" only.
fn to_orders(pki: &Pki) -> Vec<std::path::PathBuf> {
    let mut options = Vec::from(with("--trust", &pki.ca_file));
    options.extend(
        [
            "--identity",
            "spiffe",
            "--allow",
            "spiffe://example.org/ns/orders",
        ]
        .map(Into::into),
    );
    options
}

#[tokio::test]
async fn an_allowed_client_gets_its_identity() {
    let pki = Pki::new();
    let server = orders(&pki).await;
    let billing = pki.ca.leaf().common_name("billing").spiffe(BILLING).issue();
    let files = pki.files("billing", &billing);

    let finished = client(&files, to_orders(&pki), &server.url()).await;
    assert_eq!((finished.code, &*finished.stderr), (Some(0), ""));
    let fingerprint = billing.certificate().sha256().to_string();
    assert_eq!(
        finished.stdout,
        format!(
            "{{\"identity\":\"{BILLING}\",\"fingerprint\":\"{fingerprint}\",\"resumed\":false,\
             \"tls\":\"1.3\",\"rule\":\"spiffe://example.org/ns/billing/*\"}}\n"
        )
    );

    let elsewhere = format!("{}elsewhere", server.url());
    let finished = client(&files, to_orders(&pki), &elsewhere).await;
    assert_eq!(finished.code, Some(1));
    assert_eq!(
        finished.stderr,
        "error: the server answered 404 Not Found\n"
    );

    let server_port = server.port;
    let stopped = server.stop().await;
    assert_eq!((stopped.code, stopped.stdout.len()), (Some(0), 0));
    let log = stopped.attempts();
    assert_eq!(log.len(), 2, "one outcome for each connection");
    let line = &log[0];
    assert_eq!(line["event"]["action"], "admitted");
    assert_eq!(line["event"]["outcome"], "success");
    assert_eq!(line["client"]["ip"], "127.0.0.1");
    assert_eq!(line["server"]["port"], server_port);
    assert_eq!(line["rule"]["name"], "spiffe://example.org/ns/billing/*");
    assert_eq!(line["user"]["name"], BILLING);
    assert_eq!(
        line["countersign"]["identity"],
        json!({"value": BILLING, "proof": "proven"})
    );
    let certificate = &line["countersign"]["certificates"][0];
    assert_eq!(certificate["subject"], "CN=billing");
    assert_eq!(certificate["issuer"], "CN=Interop Root");
    assert_eq!(certificate["sha256"], fingerprint);
    let serial = billing.certificate().serial().to_string();
    assert_eq!(certificate["serial"], serial);
    let x509 = &line["tls"]["client"]["x509"];
    assert_eq!(x509["serial_number"], serial.to_uppercase());
    assert_eq!(x509["alternative_names"], json!([BILLING]));
    assert_eq!(line["tls"]["version"], "1.3");
    assert_eq!(line["tls"]["next_protocol"], "h2");

    // The audit trail also records the close, with the bytes of the connection.
    let id = &line["countersign"]["connection"]["id"];
    let of_first = |line: &&Value| {
        line["event"]["action"] == "closed" && line["countersign"]["connection"]["id"] == *id
    };
    let closed: Vec<_> = stopped.log.iter().filter(of_first).collect();
    assert_eq!(closed.len(), 1);
    assert!(
        closed[0]["server"]["bytes"].as_u64() > Some(200),
        "{}",
        closed[0]
    );
}

#[tokio::test]
async fn a_denied_client_reports_the_denial() {
    let pki = Pki::new();
    let server = orders(&pki).await;
    let shipping = pki
        .ca
        .leaf()
        .spiffe("spiffe://example.org/ns/shipping")
        .issue();
    let files = pki.files("shipping", &shipping);

    let finished = client(&files, to_orders(&pki), &server.url()).await;
    assert_eq!(
        failure(&finished),
        "the server refused our certificate \"URI:spiffe://example.org/ns/shipping\": \
         access_denied (its policy: the certificate is trusted, and the server's policy or deny list \
         denies us, or it finds no identity in it); have us allowed there, or use a certificate that is"
    );
    let [line] = &server.stop().await.attempts()[..] else {
        panic!("one outcome for each connection");
    };
    assert_eq!(line["event"]["outcome"], "failure");
    assert_eq!(line["event"]["reason"], "denied");
    assert_eq!(line["rule"], Value::Null);
    assert_eq!(
        line["countersign"]["identity"],
        json!({"value": "spiffe://example.org/ns/shipping", "proof": "proven"})
    );
    let alert = json!({"direction": "sent", "name": "access_denied"});
    assert_eq!(line["countersign"]["alert"], alert);
    let sha256 = shipping.certificate().sha256().to_string();
    assert_eq!(line["countersign"]["certificates"][0]["sha256"], sha256);
}

#[tokio::test]
async fn the_identity_of_an_unknown_ca_is_only_claimed() {
    let pki = Pki::new();
    let server = orders(&pki).await;
    let impostor = pki.strange_ca.leaf().spiffe(BILLING).issue();
    let files = pki.files("impostor", &impostor);

    let finished = client(&files, to_orders(&pki), &server.url()).await;
    let issuer = impostor.certificate().issuer().to_string();
    let refusal = format!(
        "the server refused our certificate \"URI:{BILLING}\": unknown_ca (issuer \"{issuer}\" \
         is not in the server's trust store, or an intermediate is missing); "
    );
    assert!(failure(&finished).starts_with(&refusal), "{finished:?}");
    let [line] = &server.stop().await.attempts()[..] else {
        panic!("one outcome for each connection");
    };
    assert_eq!(line["event"]["reason"], "unknown_issuer");
    assert_eq!(line["user"], Value::Null);
    assert_eq!(
        line["countersign"]["identity"],
        json!({"value": BILLING, "proof": "claimed"})
    );
    let message = line["message"].as_str().unwrap();
    assert!(message.contains("CN=Strange Root"), "{message}");
}

#[tokio::test]
async fn the_client_authorizes_the_server() {
    let pki = Pki::new();
    let server = orders(&pki).await;
    let billing = pki.ca.leaf().spiffe(BILLING).issue();
    let files = pki.files("billing", &billing);
    let refused = async |options: &[&str], trust| {
        let options = options.iter().map(Into::into).chain(with("--trust", trust));
        failure(&client(&files, options, &server.url()).await)
    };

    let other = [
        "--identity",
        "spiffe",
        "--allow",
        "spiffe://example.org/ns/other",
    ];
    let line = refused(&other, &pki.ca_file).await;
    let denied = "denied by policy: no --allow pattern matches spiffe://example.org/ns/orders";
    assert!(line.starts_with(denied), "{line}");

    let line = refused(&[], &pki.ca_file).await;
    assert!(line.starts_with("name mismatch: "), "{line}");

    let line = refused(&[], &pki.strange_ca_file).await;
    assert!(line.starts_with("unknown issuer: "), "{line}");
}

#[tokio::test]
async fn without_identity_the_host_name_is_verified_and_nothing_else() {
    let pki = Pki::new();
    let options = ["--identity", "cn", "--allow", "alice"].map(Into::into);
    let options = options.into_iter().chain(with("--trust", &pki.ca_file));
    let server_files = pki.files("server", &pki.server());
    let server = Server::start(&server_files, options).await;
    let alice = pki.client("alice");
    let folder = pki.path("roots");
    std::fs::create_dir(&folder).unwrap();
    std::fs::copy(&pki.ca_file, folder.join("ca.pem")).unwrap();

    for trust in [
        with("--trust", &pki.ca_file),
        with("--trust", &folder),
        with("--pin", &server_files.cert),
    ] {
        let finished = client(&alice, trust, &server.url()).await;
        assert_eq!(finished.code, Some(0), "{finished:?}");
        assert!(finished.stdout.starts_with("{\"identity\":\"alice\","));
    }

    let webpki = client(&alice, ["--webpki-roots"], &server.url()).await;
    let why = if cfg!(feature = "webpki-roots") {
        "unknown issuer: "
    } else {
        "--webpki-roots is not compiled in: build with `--features webpki-roots`"
    };
    assert!(failure(&webpki).starts_with(why), "{webpki:?}");
}

#[tokio::test]
async fn tls12_is_negotiated_if_both_sides_allow_it() {
    let pki = Pki::new();
    let alice = pki.client("alice");
    let acceptor = Acceptor::builder()
        .credentials(pki.server().credentials())
        .trust(pki.ca.trust())
        .identify(CommonName::extractor())
        .authorize(policy::exact([name("alice")]))
        .crypto_provider(tls12_only())
        .allow_tls12()
        .build()
        .unwrap();
    let (listener, port) = listen().await;
    let url = format!("https://localhost:{port}/");
    for (tls12, code) in [(true, 0), (false, 1)] {
        let mut options = Vec::from(with("--trust", &pki.ca_file));
        options.extend(tls12.then(|| "--tls12".into()));
        let both = async {
            tokio::join!(
                serve_once(&acceptor, &listener),
                client(&alice, options, &url)
            )
        };
        let (served, finished) = timeout(PATIENCE, both).await.expect("both end in time");
        assert_eq!(finished.code, Some(code), "{finished:?}");
        match served {
            Ok(served) => assert_eq!(served.version, Some(rustls::ProtocolVersion::TLSv1_2)),
            Err(error) => assert!(!tls12, "{error}"),
        }
    }
}

/// With `--post-quantum only` both sides have ML-DSA certificates and a hybrid key exchange, or no connection.
#[tokio::test]
async fn post_quantum_only_admits_nothing_else() {
    let pki = Pki::new();
    let root = TestCa::builder("Root").key(KeyType::MlDsa65).root();
    let issue = |name: &str, key| {
        let leaf = root.leaf().common_name(name).dns("localhost").key(key);
        pki.files(&format!("{name}-{key:?}"), &leaf.issue())
    };
    let roots = pki.write("post-quantum.pem", root.pem());
    let only = || ["--post-quantum", "only"].map(std::path::PathBuf::from);
    let trust = || with("--trust", &roots);
    let strict = || trust().into_iter().chain(only());
    let server_files = issue("orders", KeyType::MlDsa65);
    let rules = ["--identity", "cn", "--allow-any"].map(std::path::PathBuf::from);
    let server = Server::start(&server_files, rules.into_iter().chain(strict())).await;

    let modern = issue("alice", KeyType::MlDsa87);
    let finished = client(&modern, strict(), &server.url()).await;
    assert_eq!((finished.code, &*finished.stderr), (Some(0), ""));

    // Its own side says why, before it connects.
    let classical = issue("bob", KeyType::P256);
    let finished = client(&classical, strict(), &server.url()).await;
    assert_eq!(finished.code, Some(1));
    assert!(
        finished
            .stderr
            .starts_with("error[post_quantum_own_certificate]"),
        "{}",
        finished.stderr
    );
    let finished = client(&classical, trust(), &server.url()).await;
    assert_eq!(finished.code, Some(1), "{finished:?}");

    let together = strict().chain(["--tls12".into()]);
    let finished = client(&modern, together, &server.url()).await;
    assert_eq!(finished.code, Some(2));
    assert!(
        finished.stderr.contains("cannot be used with"),
        "{}",
        finished.stderr
    );

    let log = server.stop().await.attempts();
    assert_eq!(log.len(), 2, "{log:?}");
    assert_eq!(log[0]["tls"]["curve"], "X25519MLKEM768");
    assert_eq!(log[1]["event"]["reason"], "no_certificate");
}

/// The default cryptography without TLS 1.3.
fn tls12_only() -> rustls::crypto::CryptoProvider {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider
        .cipher_suites
        .retain(|suite| suite.tls13().is_none());
    provider
}

#[tokio::test]
async fn the_client_reports_a_denial_over_http1() {
    let pki = Pki::new();
    // It offers http/1.1 only.
    let (acceptor, (listener, port)) = (pki.acceptor(), listen().await);
    let url = format!("https://localhost:{port}/");
    for (who, code, stdout) in [("alice", 0, "hello alice"), ("mallory", 1, "")] {
        let files = pki.client(who);
        let client = client(&files, with("--trust", &pki.ca_file), &url);
        let both = async { tokio::join!(serve_once(&acceptor, &listener), client) };
        let (served, finished) = timeout(PATIENCE, both).await.expect("both end in time");
        assert_eq!((finished.code, &*finished.stdout), (Some(code), stdout));
        match served {
            Ok(served) => assert_eq!(served.identity, "alice"),
            Err(error) => {
                assert_eq!(error.reason(), "denied");
                let line = "the server refused our certificate \"CN=mallory\": access_denied (";
                assert!(failure(&finished).starts_with(line), "{finished:?}");
            }
        }
    }
}
