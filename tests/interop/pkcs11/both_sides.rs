//! Each kind of key in a token, on both sides, and other programs as peers.

use std::process::Stdio;
use std::time::Duration;

use countersign::identity::{CommonName, DnsName};
use countersign::pki::pkcs11::Pkcs11Key;
use countersign::testing::{KeyType, TestCa, handshake};
use countersign::{Acceptor, Connector, Credentials, policy};
use rustls::ProtocolVersion;
use support::interop::{BOTH, Pki, Tls, listen, meet, name};
use support::programs::{command, has_curl, has_openssl, run};
use support::{SERVER, Version, provider};

use tokio::net::TcpStream;

use crate::softhsm::{folder, import, token, tool, uri, with_softhsm, write};

/// Connects to a server that is just starting.
async fn reach(port: u16) -> TcpStream {
    let mut tries = 0;
    loop {
        match TcpStream::connect(("127.0.0.1", port)).await {
            Ok(tcp) => return tcp,
            Err(error) => assert!(tries < 500, "{error}"),
        }
        tries += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn key(attributes: &str) -> Pkcs11Key {
    Pkcs11Key::from_uri(&uri(attributes)).unwrap()
}

#[tokio::test]
async fn each_kind_of_key_signs_for_a_server_and_for_a_client() {
    with_softhsm!(each_kind_of_key_signs_for_a_server_and_for_a_client);
    token("orders");
    let ca = TestCa::new("Root");
    let kinds = [
        ("p256", KeyType::P256),
        ("p384", KeyType::P384),
        ("p521", KeyType::P521),
        ("ed25519", KeyType::Ed25519),
        ("rsa", KeyType::Rsa2048),
    ];
    for (number, (label, kind)) in kinds.into_iter().enumerate() {
        let issued = ca.leaf().dns(SERVER).key(kind).issue();
        import("orders", &issued, label, &format!("0{number}"));
        let chain = write("chain.pem", issued.chain_pem());
        let in_token =
            Credentials::from_pkcs11(chain, key(&format!("token=orders;object={label}")));
        let in_token = in_token.unwrap();
        for version in [Version::Tls12, Version::Tls13] {
            let in_file = ca.leaf().dns(SERVER).issue().credentials();
            for (server, client) in [(&in_token, &in_file), (&in_file, &in_token)] {
                let acceptor = Acceptor::builder()
                    .credentials(server.clone())
                    .trust(ca.trust())
                    .identify(DnsName::extractor())
                    .authorize(policy::allow_any())
                    .allow_tls12()
                    .build()
                    .unwrap();
                let connector = Connector::builder()
                    .credentials(client.clone())
                    .trust(ca.trust())
                    .identify(DnsName::extractor())
                    .authorize(policy::allow_any())
                    .allow_tls12()
                    .crypto_provider(provider(version))
                    .build()
                    .unwrap();
                let (accepted, connected) = handshake(&acceptor, &connector, SERVER).await;
                let expected = match version {
                    Version::Tls12 => ProtocolVersion::TLSv1_2,
                    Version::Tls13 => ProtocolVersion::TLSv1_3,
                };
                let accepted = accepted.unwrap_or_else(|error| panic!("{label}: {error}"));
                assert_eq!(accepted.peer().connection().version(), Some(expected));
                connected.unwrap_or_else(|error| panic!("{label}: {error}"));
            }
        }
    }
}

#[tokio::test]
async fn curl_calls_a_server_whose_key_is_in_a_token() {
    with_softhsm!(curl_calls_a_server_whose_key_is_in_a_token);
    if !has_curl() {
        return;
    }
    token("orders");
    let pki = Pki::new();
    let server = pki.server();
    import("orders", &server, "tls", "01");
    let chain = write("server.crt", server.chain_pem());
    let acceptor = Acceptor::builder()
        .credentials(Credentials::from_pkcs11(chain, key("token=orders;object=tls")).unwrap())
        .trust(pki.ca.trust())
        .identify(CommonName::extractor())
        .authorize(policy::exact([name("alice")]))
        .allow_tls12()
        .build()
        .unwrap();
    let (alice, (listener, port)) = (pki.client("alice"), listen().await);
    for tls in BOTH {
        let mut curl = command("curl");
        curl.args(["--silent", "--show-error", "--http1.1", "--noproxy", "*"])
            .args(["--resolve", &format!("localhost:{port}:127.0.0.1")])
            .arg("--cacert")
            .arg(&pki.ca_file);
        match tls {
            Tls::V12 => curl.args(["--tlsv1.2", "--tls-max", "1.2"]),
            Tls::V13 => curl.arg("--tlsv1.3"),
        };
        curl.arg("--cert").arg(&alice.cert);
        curl.arg("--key").arg(&alice.key);
        curl.arg(format!("https://localhost:{port}/"));
        let (served, curl) = meet(&acceptor, &listener, run(&mut curl, "")).await;
        assert_eq!(served.unwrap().version, Some(tls.version()));
        assert_eq!((curl.code, &*curl.stdout), (Some(0), "hello alice"));
    }
}

#[tokio::test]
async fn a_client_whose_key_is_in_a_token_calls_openssl() {
    with_softhsm!(a_client_whose_key_is_in_a_token_calls_openssl);
    if !has_openssl() {
        return;
    }
    token("orders");
    let pki = Pki::new();
    let server = pki.files("server", &pki.server());
    let alice = pki
        .ca
        .leaf()
        .common_name("alice")
        .key(KeyType::Rsa2048)
        .issue();
    import("orders", &alice, "alice", "01");
    let chain = write("alice.crt", alice.chain_pem());
    let connector = Connector::builder()
        .credentials(Credentials::from_pkcs11(chain, key("token=orders;object=alice")).unwrap())
        .trust(pki.ca.trust())
        .identify(CommonName::extractor())
        .authorize(policy::exact([name("server")]))
        .allow_tls12()
        .build()
        .unwrap();
    for version in ["-tls1_2", "-tls1_3"] {
        let (listener, port) = listen().await;
        drop(listener);
        let mut openssl = command("openssl");
        openssl
            .args([
                "s_server",
                "-quiet",
                "-Verify",
                "2",
                "-verify_return_error",
                version,
            ])
            .args(["-accept", &format!("127.0.0.1:{port}")])
            .arg("-CAfile")
            .arg(&pki.ca_file)
            .arg("-cert")
            .arg(&server.cert)
            .arg("-key")
            .arg(&server.key)
            .stdout(Stdio::null());
        let _server = openssl.spawn().unwrap();
        let tcp = reach(port).await;
        let stream = connector.connect("localhost", tcp).await.unwrap();
        assert_eq!(stream.peer().identity().as_str(), "server");
    }
}

#[tokio::test]
async fn a_key_made_in_the_token_with_its_certificate_beside_it() {
    with_softhsm!(a_key_made_in_the_token_with_its_certificate_beside_it);
    token("orders");
    let make = ["--keypairgen", "--key-type", "EC:prime256v1"];
    tool(
        "orders",
        &[&make[..], &["--label", "tls", "--id", "07"]].concat(),
    );
    let spki = folder().join("spki.der");
    let read = ["--read-object", "--type", "pubkey", "--id", "07", "-o"];
    tool("orders", &[&read[..], &[spki.to_str().unwrap()]].concat());

    let without = Credentials::from_pkcs11_token(key("token=orders;object=tls"));
    assert_eq!(without.unwrap_err().reason(), "pkcs11_no_certificate");

    let root = TestCa::new("Root");
    let issuing = root.intermediate("Issuing");
    let spki = std::fs::read(spki).unwrap();
    let issued = issuing.leaf().dns(SERVER).spki_der(spki).issue();
    let put = |name: &str, der: &[u8], id: &str| {
        let file = write(name, der);
        let file = file.to_str().unwrap();
        tool(
            "orders",
            &[
                "--write-object",
                file,
                "--type",
                "cert",
                "--id",
                id,
                "--label",
                name,
            ],
        );
    };
    put("leaf.der", issued.leaf_der(), "07");
    put("issuing.der", issuing.certificate_der().as_ref(), "20");
    put("root.der", root.certificate_der().as_ref(), "21");
    let credentials = Credentials::from_pkcs11_token(key("token=orders;object=tls")).unwrap();
    assert_eq!(credentials.chain(), issued.chain(), "without the root");

    let acceptor = Acceptor::builder()
        .credentials(credentials)
        .trust(root.trust())
        .identify(DnsName::extractor())
        .authorize(policy::allow_any())
        .build()
        .unwrap();
    let connector = support::connector(&root, "client.example").build().unwrap();
    let (accepted, connected) = handshake(&acceptor, &connector, SERVER).await;
    accepted.unwrap();
    connected.unwrap();

    // Another certificate with the same identifier: which one is meant?
    put("other.der", issued.leaf_der(), "07");
    let several = Credentials::from_pkcs11_token(key("token=orders;object=tls"));
    assert_eq!(several.unwrap_err().reason(), "pkcs11_several_certificates");
}
