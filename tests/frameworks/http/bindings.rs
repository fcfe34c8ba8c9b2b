//! What ties tokens and other authentications to the peer: RFC 9266.

use countersign::policy;
use countersign::testing::{self, TestCa};
use rustls::crypto::CryptoProvider;
use support::http::{acceptor, connector, deny_all};
use tokio::io::AsyncWriteExt as _;

#[tokio::test]
async fn both_ends_have_the_same_binding_and_no_other_connection_has() {
    let ca = TestCa::new("Root");
    let mut tls12 = rustls::crypto::aws_lc_rs::default_provider();
    tls12.cipher_suites.retain(|suite| suite.tls13().is_none());
    let tls13 = rustls::crypto::aws_lc_rs::default_provider();
    let mut seen = Vec::new();
    for provider in [tls13, tls12] {
        let acceptor = acceptor(&ca, policy::allow_any())
            .allow_tls12()
            .build()
            .unwrap();
        let alice = connector(&ca, "alice.example", "h2")
            .allow_tls12()
            .crypto_provider(CryptoProvider::clone(&provider))
            .build()
            .unwrap();
        for resumed in [false, true] {
            let (server, client) = testing::handshake(&acceptor, &alice, "localhost").await;
            let (mut server, mut client) = (server.unwrap(), client.unwrap());
            assert_eq!(client.peer().connection().is_resumed(), resumed);
            let binding = client.channel_binding().unwrap();
            assert_eq!(server.channel_binding(), Some(binding));
            assert!(!seen.contains(&binding));
            seen.push(binding);
            // For the session's ticket to arrive.
            server.write_all(b"x").await.unwrap();
            server.flush().await.unwrap();
            tokio::io::AsyncReadExt::read_u8(&mut client).await.unwrap();
            if resumed {
                // One that was cut is tied to nothing any more.
                acceptor.control().set_policy(deny_all);
                assert!(tokio::io::AsyncReadExt::read_u8(&mut server).await.is_err());
                assert_eq!(server.channel_binding(), None);
            }
        }
    }
    assert_eq!(seen.len(), 4);
}
