//! TLS 1.2 without renegotiation.

use std::io::Read as _;
use std::net::TcpListener;

use countersign::policy;
use countersign::testing::TestCa;
use rustls::{AlertDescription, Error, ServerConnection, Stream};
use support::acceptor;
use support::programs::{PATIENCE, command, has_openssl};
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

/// The identity of a client is decided once, and cannot change.
#[tokio::test]
async fn a_client_cannot_renegotiate() {
    if !has_openssl() {
        return;
    }
    let ca = TestCa::new("Root");
    let folder = tempfile::tempdir().unwrap();
    let issued = ca.leaf().dns("client.example").issue();
    let file = folder.path().join("client.pem");
    std::fs::write(&file, issued.key_pem() + &issued.chain_pem()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut openssl = command("openssl")
        .args(["s_client", "-tls1_2"])
        .args(["-connect", &format!("127.0.0.1:{port}")])
        .args(["-cert".as_ref(), file.as_os_str()])
        .spawn()
        .unwrap();
    let mut orders = openssl.stdin.take().unwrap();

    let (heard, hears) = tokio::sync::oneshot::channel();
    let server = tokio::task::spawn_blocking(move || {
        let acceptor = acceptor(&ca, policy::allow_any())
            .allow_tls12()
            .build()
            .unwrap();
        let (mut tcp, _) = listener.accept().unwrap();
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut connection = ServerConnection::new(acceptor.unauthorized_rustls_config()).unwrap();
        while connection.is_handshaking() {
            connection.complete_io(&mut tcp).unwrap();
        }
        acceptor.control().admit(&connection, None).unwrap();
        let mut said = [0; 6];
        Stream::new(&mut connection, &mut tcp)
            .read_exact(&mut said)
            .unwrap();
        heard.send(said).unwrap();
        loop {
            if let Err(error) = connection.complete_io(&mut tcp) {
                return error;
            }
        }
    });
    let client = async {
        orders.write_all(b"hello\n").await.unwrap();
        assert_eq!(&hears.await.unwrap(), b"hello\n");
        orders.write_all(b"R\n").await.unwrap(); // s_client's order to renegotiate
        openssl.wait_with_output().await.unwrap()
    };
    let both = async { tokio::join!(server, client) };
    let (error, client) = timeout(PATIENCE, both).await.unwrap();
    let left = Error::AlertReceived(AlertDescription::HandshakeFailure);
    assert_eq!(error.unwrap().downcast::<Error>().unwrap(), left);
    let said = String::from_utf8_lossy(&client.stderr);
    assert!(said.contains("no renegotiation"), "{said}");
}
