//! Two sides that trust each other talk.

use countersign::identity::DnsName;
use countersign::testing::{self, TestCa};
use countersign::{Acceptor, Connector, policy};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

#[tokio::test]
async fn both_sides_are_identified_and_bytes_flow() {
    let ca = TestCa::new("Root");
    let acceptor = Acceptor::builder()
        .credentials(ca.leaf().dns("server.example").issue().credentials())
        .trust(ca.trust())
        .identify(DnsName::extractor())
        .authorize(policy::allow_any())
        .build()
        .unwrap();
    let connector = Connector::builder()
        .credentials(ca.leaf().dns("client.example").issue().credentials())
        .trust(ca.trust())
        .identify(DnsName::extractor())
        .authorize(policy::allow_any())
        .build()
        .unwrap();
    let (server, client) = testing::handshake(&acceptor, &connector, "server.example").await;
    let (mut server, mut client) = (server.unwrap(), client.unwrap());
    assert_eq!(server.peer().identity().as_str(), "client.example");
    assert_eq!(client.peer().identity().as_str(), "server.example");
    client.write_all(b"ping").await.unwrap();
    client.flush().await.unwrap();
    let mut buffer = [0; 4];
    server.read_exact(&mut buffer).await.unwrap();
    assert_eq!(&buffer, b"ping");
}

#[tokio::test]
async fn denied() {
    let ca = TestCa::new("Root");
    let acceptor = Acceptor::builder()
        .credentials(ca.leaf().dns("server.example").issue().credentials())
        .trust(ca.trust())
        .identify(DnsName::extractor())
        .authorize(policy::exact([]))
        .allow_tls12()
        .build()
        .unwrap();
    let connector = Connector::builder()
        .credentials(ca.leaf().dns("client.example").issue().credentials())
        .trust(ca.trust())
        .identify(DnsName::extractor())
        .authorize(policy::allow_any())
        .build()
        .unwrap();
    let (server, client) = testing::handshake(&acceptor, &connector, "server.example").await;
    eprintln!("{}", server.unwrap_err());
    let mut client = client.unwrap();
    let error = client.read_u8().await.unwrap_err();
    eprintln!("{error}");
}
