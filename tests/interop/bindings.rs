//! What ties tokens and other authentications to the peer: RFC 8705, and RFC 9266.

use countersign::identity::DnsName;
use countersign::testing::TestCa;
use countersign::{Acceptor, policy};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::time::timeout;

use support::acceptor;
use support::programs::{PATIENCE, command, has_openssl, has_python, run};

/// Python says the same.
#[tokio::test]
async fn a_thumbprint_is_that_of_rfc_8705() {
    let certificate = TestCa::new("Root")
        .leaf()
        .dns("a.example")
        .issue()
        .certificate();
    let thumbprint = certificate.x5t_s256();
    assert_eq!(thumbprint.len(), 43);
    if !has_python() {
        return;
    }
    let script = "import base64, hashlib, sys\n\
        digest = hashlib.sha256(bytes.fromhex(sys.stdin.read())).digest()\n\
        print(base64.urlsafe_b64encode(digest).rstrip(b'=').decode())";
    let der: String = certificate
        .der()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let python = run(command("python3").args(["-c", script]), &der).await;
    assert_eq!(python.stdout.trim(), thumbprint, "{python:?}");
}

/// openssl exports the same.
#[tokio::test]
async fn a_binding_is_that_of_rfc_9266() {
    if !has_openssl() {
        return;
    }
    let ca = TestCa::new("Root");
    let folder = tempfile::tempdir().unwrap();
    let alice = ca.leaf().dns("alice.example").issue();
    let file = |name: &str, content: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    };
    let (ca_file, certificate, key) = (
        file("ca.pem", ca.pem()),
        file("alice.pem", alice.chain_pem()),
        file("alice.key", alice.key_pem()),
    );
    let acceptor: Acceptor<DnsName> = acceptor(&ca, policy::allow_any())
        .allow_tls12()
        .build()
        .unwrap();
    for version in ["-tls1_3", "-tls1_2"] {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = tcp.local_addr().unwrap().to_string();
        let mut openssl = command("openssl");
        openssl
            .args(["s_client", version, "-connect", &address])
            .args(["-keymatexport", "EXPORTER-Channel-Binding"])
            .args(["-keymatexportlen", "32"])
            .arg("-CAfile")
            .arg(&ca_file)
            .arg("-cert")
            .arg(&certificate)
            .arg("-key")
            .arg(&key);
        let serving = async {
            let (tcp, _) = timeout(PATIENCE, tcp.accept()).await.unwrap().unwrap();
            let mut stream = acceptor.accept(tcp).await.unwrap();
            let binding = stream.channel_binding().unwrap();
            // It prints when it has heard something.
            let _ = stream.write_all(b"hello\n").await;
            let _ = stream.shutdown().await;
            binding
        };
        let (said, binding) = tokio::join!(run(&mut openssl, ""), serving);
        let binding: String = binding.iter().map(|byte| format!("{byte:02X}")).collect();
        assert!(
            said.stdout.contains(&format!("Keying material: {binding}")),
            "{version}: {binding} is not in {said:?}"
        );
    }
}
