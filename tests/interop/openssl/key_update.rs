//! `openssl s_client` updates its keys, and is cut.

use countersign::policy;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::time::timeout;

use support::interop::{Pki, deny, listen};
use support::programs::{PATIENCE, command, has_openssl};

/// Connects with `openssl s_client`, which updates its keys by these command letters, and is then cut by
/// a change of the policy; returns what it said on its standard error.
///
/// `K` requests new keys of ours too, `k` does not.
async fn cut_after(pki: &Pki, letters: &str) -> String {
    let mallory = pki.client("mallory");
    let acceptor = pki.acceptor();
    acceptor.control().set_policy(policy::allow_any());
    let (listener, port) = listen().await;
    let mut openssl = command("openssl");
    openssl
        .args(["s_client", "-tls1_3", "-verify_return_error"])
        .args(["-connect", &format!("127.0.0.1:{port}")])
        .args(["-servername", "localhost"])
        .args(["-CAfile".as_ref(), pki.ca_file.as_os_str()])
        .args(["-cert".as_ref(), mallory.cert.as_os_str()])
        .args(["-key".as_ref(), mallory.key.as_os_str()])
        .stdout(std::process::Stdio::null());
    let mut client = openssl.spawn().expect("openssl starts");
    let mut stdin = client.stdin.take().expect("piped");
    let mut stderr = BufReader::new(client.stderr.take().expect("piped"));

    let (tcp, _) = listener.accept().await.expect("a connection");
    let mut stream = acceptor.accept(tcp).await.expect("it is allowed");
    let mut said = String::new();
    for letter in letters.chars() {
        let line = format!("{letter}\n");
        stdin.write_all(line.as_bytes()).await.expect("it reads");
        // It takes one command of what it reads at once.
        let before = said.matches("KEYUPDATE").count();
        while said.matches("KEYUPDATE").count() == before {
            let read = stderr.read_line(&mut said).await.expect("UTF-8");
            assert_ne!(read, 0, "it ended early: {said}");
        }
    }
    stdin.write_all(b"x\n").await.expect("it reads");
    assert_eq!(stream.read_u8().await.expect("it writes"), b'x');
    deny(&acceptor, false);
    let (cut, read) = tokio::join!(stream.read_u8(), stderr.read_to_string(&mut said));
    assert!(cut.is_err());
    read.expect("UTF-8");
    said
}

#[tokio::test]
async fn a_client_that_has_updated_its_keys_reads_why_it_is_cut() {
    if !has_openssl() {
        return;
    }
    let pki = Pki::new();
    for letters in ["", "k", "K", "KKK", "kK"] {
        let said = timeout(PATIENCE, cut_after(&pki, letters)).await;
        let said = said.expect("it ends in time");
        assert!(said.contains("SSL alert number 49"), "{letters}: {said}");
        assert!(!said.contains("bad record mac"), "{letters}: {said}");
    }
}
